/** Restoring in the small: when the driver is told, what it cannot swallow, and what is refused. */
import { type Committed, type Schemas, StoreError, ValidationError } from "@rotorsoft/act";
import { describe, expect, onTestFinished, test } from "vitest";
import type { PostgresStore } from "../../src/index.ts";
import { append, appendOne, idsOf, read, restorable, restore } from "../conformance/kit/scenario.ts";
import { useDatabase } from "../postgres/fixture.ts";

const fixture = useDatabase();
type Sink = (event: Committed<Schemas, string>) => Promise<number>;
const TWICE = "two events of the input have the same stream and version: leave one out (23505)";

async function filled(): Promise<PostgresStore> {
  const store = await fixture.seeded();
  await append(store, "kept", "A", "B", "C");
  return store;
}

const outcome = (promise: Promise<unknown>) =>
  promise.then(
    () => "fine",
    (error: unknown) => error,
  );

test("the driver gets the error of a duplicate with the thousandth event, and cannot suppress it", async () => {
  const store = await filled();
  const told: number[] = [];
  const restoring = store.restore(async (insert) => {
    const sink: Sink = insert;
    for (let i = 0; i < 1_500; i++) {
      const version = i === 7 ? 6 : i;
      await sink(restorable("s", version)).catch(() => told.push(i));
    }
  });
  const error = await outcome(restoring);
  expect(error).toMatchObject({ operation: "restore", cause: { message: TWICE, code: "23505" } });
  expect(told[0]).toBe(999);
  expect(idsOf(await read(store))).toEqual([1, 2, 3]);
});

test.each(["data", "pii"])("the driver gets it once 4,000,000 characters of %s were given", async (part) => {
  const store = await filled();
  const told: number[] = [];
  // With the data that an event has in any case, two are 4,000,000 to the character.
  const rest = '{"text":""}'.length + (part === "pii" ? "{}".length : 0);
  const long = { text: "x".repeat(2_000_000 - rest) };
  const restoring = store.restore(async (insert) => {
    const sink: Sink = insert;
    for (let i = 0; i < 3; i++) await sink(restorable("s", 0, { [part]: long })).catch(() => told.push(i));
  });
  expect(await outcome(restoring)).toMatchObject({ cause: { message: TWICE } });
  expect(told).toEqual([1]);
  expect(idsOf(await read(store))).toEqual([1, 2, 3]);
});

test("a duplicate in the last batch fails the restore", async () => {
  const store = await filled();
  const error = await outcome(restore(store, [restorable("s", 0), restorable("s", 0)]));
  expect(error).toMatchObject({ cause: { message: TWICE } });
  expect(idsOf(await read(store))).toEqual([1, 2, 3]);
});

describe("an event that is refused for another reason than its version fails the restore with the server's reason:", () => {
  const refusalOf = async (store: PostgresStore) => {
    const error = await outcome(restore(store, [restorable("s", 0), restorable("s", 1)]));
    expect(error).toMatchObject({ operation: "restore", cause: { code: "23505" } });
    expect(String(error)).not.toContain("same stream and version");
    expect(idsOf(await read(store))).toEqual([1, 2, 3]);
    return error instanceof StoreError ? error.cause : undefined;
  };

  test("a unique index of yours", async () => {
    const store = await filled();
    const { schema, table } = store.config;
    await fixture.sql.unsafe(`create unique index "${table}_own" on "${schema}"."${table}" (stream) where id < 3
      and stream = 's'`);
    expect(await refusalOf(store)).toMatchObject({ constraint: `${table}_own` });
  });

  test("a unique index of another table that a trigger fills", async () => {
    const store = await filled();
    const { schema, table } = store.config;
    await fixture.sql.unsafe(`create table "${schema}"."${table}_copy" (stream text primary key);
      create function "${schema}"."${table}_copied"() returns trigger language plpgsql as $$
      begin insert into "${schema}"."${table}_copy" values (new.stream); return new; end $$;
      create trigger copied after insert on "${schema}"."${table}"
      for each row execute function "${schema}"."${table}_copied"()`);
    expect(await refusalOf(store)).toMatchObject({ constraint: `${table}_copy_pkey` });
  });

  test("a trigger that says so itself", async () => {
    const store = await filled();
    const { schema, table } = store.config;
    await fixture.sql.unsafe(`create function "${schema}"."${table}_refuse"() returns trigger language plpgsql as $$
      begin raise exception using errcode = '23505'; end $$;
      create trigger refuse after insert on "${schema}"."${table}"
      for each row execute function "${schema}"."${table}_refuse"()`);
    expect(await refusalOf(store)).toMatchObject({ message: expect.stringContaining("of yours raised it") });
  });
});

test("a driver that does not await the ids has all its events stored in its order", async () => {
  const store = await filled();
  await store.restore(async (insert) => {
    const sink: Sink = insert;
    const ids = await Promise.all(Array.from({ length: 2_500 }, (_, i) => sink(restorable("s", i))));
    expect(ids).toEqual(Array.from({ length: 2_500 }, (_, i) => i + 1));
  });
  const events = await read(store);
  expect(events.map(({ id, version }) => [id, version])).toEqual(
    Array.from({ length: 2_500 }, (_, i) => [i + 1, i]),
  );
  expect((await appendOne(store, "s", { name: "Next", data: {} })).id).toBe(2_501);
});

const sequenceOf = async ({ config: { schema, table } }: PostgresStore) => {
  const [row] = await fixture.sql.unsafe(
    `select last_value::int as last, is_called as used from "${schema}"."${table}_id_seq"`,
  );
  return { ...row };
};

test("restore itself moves the ids' sequence: it does not leave that to the next commit", async () => {
  const store = await filled();
  await restore(store, [restorable("s", 0), restorable("s", 1), restorable("s", 2), restorable("s", 3)]);
  expect(await sequenceOf(store)).toEqual({ last: 4, used: true });
  await store.seed();
  expect(await sequenceOf(store)).toEqual({ last: 4, used: true });
});

test("a restore that fails at its COMMIT leaves the ids' sequence where it was", async () => {
  const store = await filled();
  const before = await sequenceOf(store);
  const { schema, table } = store.config;
  await fixture.sql.unsafe(`create function "${schema}"."${table}_late"() returns trigger language plpgsql as $$
    begin raise exception 'not that'; end $$;
    create constraint trigger late after insert on "${schema}"."${table}" deferrable initially deferred
    for each row execute function "${schema}"."${table}_late"()`);
  await expect(restore(store, [restorable("s", 0)])).rejects.toThrow();
  expect(await sequenceOf(store)).toEqual(before);
});

test("a role that does not own the ids' sequence moves it forward only", async (context) => {
  const owner = await filled();
  const role = await fixture.role();
  if (!role) return context.skip("this server's user may not create roles");
  const { schema, table } = owner.config;
  await fixture.sql.unsafe(`grant usage on schema "${schema}" to ${role.user};
    grant all on "${schema}"."${table}", "${schema}"."${table}_streams", "${schema}"."${table}_correlated" to ${role.user};
    grant all on sequence "${schema}"."${table}_id_seq" to ${role.user}`);
  const store = fixture.store({ ...role, table });
  const next = async (...versions: number[]) => {
    await restore(
      store,
      versions.map((version) => restorable("s", version)),
    );
    return (await appendOne(store, "s", { name: "Next", data: {} })).id;
  };
  // Three ids had been given.
  expect(await next(0, 1)).toBe(4);
  expect(await next(0, 1, 2, 3, 4, 5, 6)).toBe(8);
  expect(await next()).toBe(9);
});

test("ids that come from a sequence that the table does not own go on behind the restored ones", async () => {
  const store = await filled();
  const { schema, table } = store.config;
  // Renamed too, with what has to be quoted in it: the default of the column alone leads to it.
  await fixture.sql.unsafe(`alter sequence "${schema}"."${table}_id_seq" owned by none;
    alter sequence "${schema}"."${table}_id_seq" rename to "${table}'s ""ids"""`);
  expect(
    await restore(
      store,
      [0, 1, 2, 3, 4].map((version) => restorable("s", version)),
    ),
  ).toEqual([1, 2, 3, 4, 5]);
  expect((await appendOne(store, "s", { name: "Next", data: {} })).id).toBe(6);
});

test.each(["by default", "always"])(
  "an identity that is generated %s is a sequence too",
  async (generated) => {
    const store = await filled();
    const { schema, table } = store.config;
    const events = `"${schema}"."${table}"`;
    await fixture.sql.unsafe(`alter table ${events} alter id drop default; drop sequence "${schema}"."${table}_id_seq";
    alter table ${events} alter id add generated ${generated} as identity`);
    await restore(store, [restorable("s", 0), restorable("s", 1)]);
    expect((await appendOne(store, "s", { name: "Next", data: {} })).id).toBe(3);
  },
);

test("a driver may be idle for longer than the server allows a transaction to be", async () => {
  const store = await filled();
  const [row] = await fixture.sql`select current_database() as name`;
  const own = `alter role current_user in database "${row?.name}"`;
  await fixture.sql.unsafe(`${own} set idle_in_transaction_session_timeout = 100`);
  onTestFinished(async () => void (await fixture.sql.unsafe(`${own} reset all`)));
  const patient = fixture.store({ table: store.config.table });
  await patient.restore(async (insert) => {
    const sink: Sink = insert;
    await sink(restorable("s", 0));
    // Three times the server's limit: what does not happen gives no signal.
    await fixture.sql`select pg_sleep(0.3)`;
    await sink(restorable("s", 1));
  });
  expect(idsOf(await read(store))).toEqual([1, 2]);
});

test("a log whose ids come from no known sequence cannot be restored, and keeps its events", async () => {
  const store = await filled();
  const { schema, table } = store.config;
  await fixture.sql.unsafe(`alter table "${schema}"."${table}" alter id set default 100 + random() * 1e6`);
  await fixture.sql.unsafe(`drop sequence "${schema}"."${table}_id_seq"`);
  const error = await outcome(restore(store, [restorable("s", 0)]));
  expect(error).toMatchObject({
    operation: "restore",
    cause: {
      message: expect.stringMatching(/^the sequence of the ids of ".*"\.".*" cannot be found/),
    },
  });
  expect(idsOf(await read(store))).toEqual([1, 2, 3]);
});

test("a driver that is no function is refused, and the error names it", async () => {
  const error = await outcome(fixture.store().restore("driver" as never));
  expect(error).toBeInstanceOf(ValidationError);
  expect(error).toMatchObject({ target: "restore", details: "driver must be a function, not string" });
});

test("events that are given after the end of the restore are refused", async () => {
  const store = await filled();
  let sink: Sink | undefined;
  await store.restore(async (insert) => {
    sink = insert;
    await insert(restorable("s", 0));
  });
  const late = await outcome(Promise.resolve(sink?.(restorable("s", 1))));
  expect(late).toBeInstanceOf(StoreError);
  expect(late).toMatchObject({
    operation: "restore",
    cause: { message: "the restore has ended: nothing is written" },
  });
  expect(idsOf(await read(store))).toEqual([1]);
});

test("events that are given after the driver has failed are refused", async () => {
  const store = await filled();
  let sink: Sink | undefined;
  const failure = new Error("own");
  const restoring = store.restore(async (insert) => {
    sink = insert;
    throw failure;
  });
  expect(await outcome(restoring)).toBe(failure);
  expect(await outcome(Promise.resolve(sink?.(restorable("s", 1))))).toBeInstanceOf(StoreError);
  expect(idsOf(await read(store))).toEqual([1, 2, 3]);
});

test("an empty restore leaves an empty log whose ids start again at 1", async () => {
  const store = await filled();
  await store.subscribe([{ stream: "s", correlated_at: 1 }], 3);
  await restore(store, []);
  expect(await read(store)).toEqual([]);
  expect(await store.subscribe([])).toEqual({ subscribed: 0, watermark: -1, correlated_at: -1 });
  expect((await appendOne(store, "s", { name: "First", data: {} })).id).toBe(1);
});

const DATE = "created of event 2 must be a valid Date";
const RANGE = "created of event 2 is beyond what PostgreSQL holds (4713 BC to 294276 AD)";
const WHOLE = "version of event 2 must be a whole number that a PostgreSQL integer holds";

test.each([
  ["created that is no Date", { created: 5 as never }, DATE],
  ["created that is no valid Date", { created: new Date(Number.NaN) }, DATE],
  ["created before PostgreSQL's time", { created: new Date(-8.64e15) }, RANGE],
  ["a version with a fraction", { version: 0.5 }, WHOLE],
  ["a version beyond 32 bits", { version: 2 ** 31 }, WHOLE],
  ["a version that is no number", { version: Number.NaN }, "version must be a number, not NaN"],
])("%s is refused, by the event's place", async (_, over, details) => {
  const store = await filled();
  const error = await outcome(restore(store, [restorable("s", 0), restorable("s", 1, over)]));
  expect(error).toBeInstanceOf(ValidationError);
  expect(error).toMatchObject({ target: "restore", details });
  expect(idsOf(await read(store))).toEqual([1, 2, 3]);
});

test("events that lack a field are refused", async () => {
  const store = await filled();
  for (const nothing of [undefined, null, {}])
    expect(await outcome(restore(store, [nothing as never]))).toMatchObject({
      target: "restore",
      details: "created of event 1 must be a valid Date",
    });
});

const IN_RESTORE = (operation: string) => ({ operation, cause: { code: "IN_RESTORE", sent: false } });

test.each([1, 2])("with max: %i a driver that reads from its own store is told at once", async (max) => {
  const store = await fixture.seeded({ max });
  await append(store, "kept", "A");
  const start = performance.now();
  for (const [verb, read] of Object.entries({
    query: () => store.query(() => {}),
    query_stats: () => store.query_stats({}),
    query_streams: () => store.query_streams(() => {}),
  }))
    expect(await outcome(store.restore(async () => void (await read())))).toMatchObject(IN_RESTORE(verb));
  expect(performance.now() - start).toBeLessThan(5_000);
  expect(idsOf(await read(store))).toEqual([1]);
});

test("with max: 3 a driver may read from its own store", async () => {
  const store = await fixture.seeded({ max: 3 });
  await append(store, "kept", "A", "B");
  await store.restore(async (insert) => {
    await store.query(async (event) => void (await insert(event)));
  });
  expect(idsOf(await read(store))).toEqual([1, 2]);
});

test("a driver that writes to its own store, or disposes of it, is told at once and changes nothing", async () => {
  const store = await filled();
  const start = performance.now();
  for (const [verb, call] of Object.entries({
    commit: () => append(store, "s", "A"),
    subscribe: () => store.subscribe([{ stream: "t" }]),
    truncate: () => store.truncate([{ stream: "kept" }]),
    restore: () => store.restore(async () => {}),
    seed: () => store.seed(),
    dispose: () => store.dispose(),
  }))
    expect(await outcome(store.restore(async () => void (await call())))).toMatchObject(IN_RESTORE(verb));
  expect(performance.now() - start).toBeLessThan(5_000);
  expect(idsOf(await read(store))).toEqual([1, 2, 3]);
});

test("another store may be written to meanwhile, and this one by others and afterwards", async () => {
  const [store, other] = [await filled(), await fixture.seeded()];
  let later: Promise<unknown> = Promise.resolve();
  await store.restore(async (insert) => {
    await append(other, "s", "A");
    await insert(restorable("s", 0));
    later = new Promise((resolve) => setImmediate(resolve));
  });
  await later;
  await append(store, "s", "B");
  expect(idsOf(await read(store))).toEqual([1, 2]);
});
