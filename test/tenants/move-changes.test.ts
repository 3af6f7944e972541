/** What becomes of events that are changed, deleted or brought back while their log is copied to another server. */
import { StoreError } from "@rotorsoft/act";
import { beforeAll, describe, expect, test } from "vitest";
import { Admin } from "../../src/admin/index.ts";
import { MoveError } from "../../src/backup/move/error.ts";
import { move } from "../../src/backup/move.ts";
import { type Context, contextOf } from "../../src/context.ts";
import { DatabaseError, PostgresStore } from "../../src/index.ts";
import { DatabaseFixture, event, meta } from "../postgres/fixture.ts";
import { Tenants } from "./fixture.ts";

const [here, there] = [new DatabaseFixture(), new DatabaseFixture()];
const [tenants, elsewhere] = [new Tenants(here), new Tenants(there)];
beforeAll(async () => {
  await Promise.all([here.open(), there.open()]);
  return async () => void (await Promise.all([here.close(), there.close()]));
});

/** Numbers the steps of a move: its reads of the source, and the transactions there. `before` runs in front of each. */
function inSteps(context: Context, before: (step: number) => Promise<unknown>): Context {
  let step = 0;
  const { connections } = context;
  const stepped = new Proxy(connections, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== "function") return value;
      const call = (...args: unknown[]): unknown => Reflect.apply(value, target, args);
      return name !== "read" && name !== "session"
        ? call
        : async (...args: unknown[]) => {
            await before(++step);
            return call(...args);
          };
    },
  });
  return { ...context, connections: stepped };
}

/** Every row of the log in a schema, as text. */
async function log(fixture: DatabaseFixture, schema: string): Promise<string[]> {
  const rows =
    await fixture.sql`select to_jsonb(e)::text as row from ${fixture.sql(schema)}.events e order by id`;
  return rows.map(({ row }) => String(row));
}

/** Triggers, tables and functions that a move has left in a schema. */
async function leftIn(fixture: DatabaseFixture, schema: string): Promise<string[]> {
  const rows = await fixture.sql`
    select tgname as name from pg_trigger t join pg_class c on c.oid = t.tgrelid
      where c.relnamespace = ${schema}::regnamespace and not t.tgisinternal
    union all select relname from pg_class where relnamespace = ${schema}::regnamespace and relname ~ '_(moving|filling)$'
    union all select proname from pg_proc where pronamespace = ${schema}::regnamespace`;
  return rows.map(({ name }) => String(name));
}

/** Several pages of events, and streams for each way to change them. */
async function fill(store: PostgresStore): Promise<void> {
  const many = Array.from({ length: 60 }, (_, n) => ({ ...event("Happened", { n }), pii: { n } }));
  for (const stream of ["kept", "forgotten", "truncated", "emptied", "updated", "late"])
    await store.commit(stream, many, meta);
  await store.commit("windowed", many.slice(0, 30), meta);
  await store.commit("windowed", [{ name: "__snapshot__", data: { n: 30 } }], meta);
  await store.commit("windowed", many.slice(30), meta);
}

async function pair() {
  const source = await tenants.store(tenants.database());
  await fill(source);
  const target = new PostgresStore({ database: elsewhere.database(), schema: source.config.schema });
  return { source, target, schema: source.config.schema };
}

/** All verbs and statements that change what is copied already. */
async function disturber(source: PostgresStore): Promise<() => Promise<void>> {
  const admin = new Admin(source);
  const { schema } = source.config;
  const archived: string[] = [];
  for await (const text of admin.export({ stream: "late", streamExact: true })) archived.push(text);
  await here.sql`delete from ${here.sql(schema)}.events where stream = 'late'`;
  return async () => {
    await source.forget_pii("forgotten");
    await source.truncate([{ stream: "truncated", snapshot: { n: 1 } }, { stream: "emptied" }]);
    await source.truncate([{ stream: "windowed", before: new Date(Date.now() + 60_000) }]);
    await here.sql`update ${here.sql(schema)}.events set data = '{"changed": true}' where stream = 'updated' and version = 7`;
    await here.sql`delete from ${here.sql(schema)}.events where stream = 'updated' and version = 8`;
    await admin.import(
      (async function* () {
        yield* archived;
      })(),
      { mode: "merge" },
    );
    await source.commit("truncated", [event("Behind")], meta);
  };
}

/** Streams and versions that were there, with other ids. */
async function restore(source: PostgresStore): Promise<void> {
  const streams = ["kept", "forgotten", "truncated"];
  await source.restore(async (callback) => {
    for (let n = 0; n < 180; n++)
      await callback({
        ...{ id: n, stream: streams[n % 3] ?? "", version: Math.floor(n / 3), created: new Date(n), meta },
        ...event("Restored", { n }),
      });
  });
}

/** Steps of a move of such a log that nobody disturbs. */
async function stepsOf(): Promise<number> {
  const { source, target } = await pair();
  await disturber(source);
  let steps = 0;
  const counted = inSteps(contextOf(source), async (step) => {
    steps = step;
  });
  await move(counted, contextOf(target));
  return steps;
}

describe("at whatever step of the copy it happens", () => {
  const kinds = {
    "a truncate, forget_pii, UPDATE, DELETE and the import of archived events arrive": disturber,
    "a restore arrives": async (source: PostgresStore) => () => restore(source),
  };
  for (const [title, kind] of Object.entries(kinds))
    test(title, { timeout: 180_000 }, async () => {
      const steps = await stepsOf();
      expect(steps).toBeGreaterThan(7);
      for (let at = 1; at <= steps; at++) {
        const { source, target, schema } = await pair();
        const disturb = await kind(source);
        const disturbed = inSteps(contextOf(source), async (step) => (step === at ? disturb() : undefined));
        const { events } = await move(disturbed, contextOf(target));
        const arrived = await log(there, schema);
        expect(arrived, `before step ${at}`).toEqual(await log(here, `${schema}_moved`));
        expect(events).toBe(arrived.length);
        expect(await leftIn(here, `${schema}_moved`)).toEqual([]);
        expect(await leftIn(there, schema)).toEqual([]);
      }
    });
});

test("a log that is changed at every step arrives as it is at the end", async () => {
  const { source, target, schema } = await pair();
  let n = 0;
  const disturb = async () => {
    await source.forget_pii(["kept", "forgotten", "updated"][n % 3] ?? "kept");
    await source.truncate([{ stream: "truncated", snapshot: { n: n++ } }]);
    await source.commit("truncated", [event("Behind", { n })], meta);
  };
  await move(inSteps(contextOf(source), disturb), contextOf(target));
  expect(await log(there, schema)).toEqual(await log(here, `${schema}_moved`));
});

test("events that are changed again and again, more often than is read at once, arrive as they are at the end", async () => {
  const { source, target, schema } = await pair();
  const steps = await stepsOf();
  const disturb = async (step: number) => {
    if (step !== steps) return;
    // More than 10,000 records of some events, and then those of others.
    for (let n = 0; n < 90; n++)
      await here.sql.unsafe(
        `update "${schema}".events set data = jsonb_build_object('n', ${n}) where version < 20`,
      );
    await here.sql.unsafe(`delete from "${schema}".events where version = 59`);
  };
  await move(inSteps(contextOf(source), disturb), contextOf(target));
  expect(await log(there, schema)).toEqual(await log(here, `${schema}_moved`));
});

test("a log that grows faster than it is copied stays where it is, and is never locked", async () => {
  const { source, target, schema } = await pair();
  const states: string[] = [];
  const growing = inSteps(contextOf(source), () => source.commit("kept", [event()], meta));
  const onProgress = ({ state }: { state: string }) => states.push(state);
  const moving = move(growing, contextOf(target), { onProgress }, { few: 0, passes: 3 });
  await expect(moving).rejects.toThrow(
    /nothing was moved: while events were copied, \d+ more were added or changed.*again: true/,
  );
  expect(states).toEqual(["copying", "copying", "copying"]);
  expect(await leftIn(here, schema)).toEqual([]);
  const before = await log(here, schema);
  expect(await new Admin(source).move(target, { again: true })).toMatchObject({ events: before.length });
  expect(await log(there, schema)).toEqual(before);
});

test("a writer whose triggers are off, as a subscriber of replication, is noticed all the same", async () => {
  const { source, target, schema } = await pair();
  const disturb = async (step: number) => {
    if (step !== 5) return;
    await here.sql.unsafe(
      `begin; set local session_replication_role = replica; delete from "${schema}".events where stream = 'kept' and version < 9; commit`,
    );
  };
  await move(inSteps(contextOf(source), disturb), contextOf(target));
  expect(await log(there, schema)).toEqual(await log(here, `${schema}_moved`));
});

describe("what cannot be recorded stops the move, and the source works on", () => {
  const kinds = {
    "TRUNCATE of the table": (schema: string) => `truncate "${schema}".events`,
    "a table that is rewritten": (schema: string) => `vacuum full "${schema}".events`,
    "a trigger that is disabled": (schema: string) => `alter table "${schema}".events disable trigger user`,
    // As crash recovery, and a standby that is promoted, leave an unlogged table.
    "a server that crashed": (schema: string) => `truncate "${schema}".events_moving`,
  };
  for (const [title, statement] of Object.entries(kinds))
    test(title, async () => {
      const steps = await stepsOf();
      // In the first pass, between two passes, and when the lock is about to be taken.
      for (const at of [4, 7, steps - 3, steps - 1, steps]) {
        const { source, target, schema } = await pair();
        const before = await log(here, schema);
        const disturb = async (step: number) =>
          step === at ? here.sql.unsafe(statement(schema)) : undefined;
        const moving = move(inSteps(contextOf(source), disturb), contextOf(target));
        await expect(moving, `before step ${at} of ${steps}`).rejects.toThrow(MoveError);
        await expect(moving).rejects.toThrow(/nothing was moved.*again: true/);
        expect(await leftIn(here, schema)).toEqual([]);
        if (!statement(schema).startsWith("truncate") || statement(schema).endsWith("_moving"))
          expect(await log(here, schema)).toEqual(before);
        await source.commit("kept", [event("After")], meta);
        await new Admin(source).move(target, { again: true });
        expect(await log(there, schema)).toEqual(await log(here, `${schema}_moved`));
      }
    });
});

test("subscriptions that are added, changed and deleted at every step arrive as they stand at the end", async () => {
  const { source, target, schema } = await pair();
  const name = (n: number) => `r-${String(n).padStart(3, "0")}`;
  await source.subscribe(
    Array.from({ length: 60 }, (_, n) => ({ stream: name(n), source: "kept", correlated_at: 60 })),
    60,
  );
  const disturb = async (step: number) => {
    await source.subscribe([{ stream: `new-${step}`, source: "kept", correlated_at: step }], 60 + step);
    await source.prioritize({ stream: name(30 + step), stream_exact: true }, step);
    await source.claim(1, 1, "worker", 60_000);
    await here.sql`delete from ${here.sql(schema)}.events_streams where stream = ${name(step)}`;
  };
  const moved = await move(inSteps(contextOf(source), disturb), contextOf(target));
  const rows = async (fixture: DatabaseFixture, of: string) => {
    const found = await fixture.sql`
      select (to_jsonb(s) - 'leased_by' - 'leased_until')::text as row from ${fixture.sql(of)}.events_streams s order by stream`;
    return found.map(({ row }) => String(row));
  };
  const arrived = await rows(there, schema);
  expect(arrived).toEqual(await rows(here, `${schema}_moved`));
  expect(arrived.some((row) => row.includes('"new-1"'))).toBe(true);
  expect(arrived.some((row) => row.includes(`"${name(1)}"`))).toBe(false);
  expect(moved.subscriptions).toBe(arrived.length);
});

test("a log that is there already is refused, whatever is said of earlier attempts, and stays as it is", async () => {
  const { source, schema } = await pair();
  const before = await log(here, schema);
  const same = new PostgresStore({ database: tenants.database(), schema });
  for (const options of [{}, { again: true }])
    await expect(new Admin(source).move(same, options)).rejects.toThrow("the log is there already");
  expect(await log(here, schema)).toEqual(before);
});

test("one connection suffices", async () => {
  const { source, schema } = await pair();
  const narrow = new PostgresStore({ database: tenants.database({ max: 1 }), schema });
  const target = new PostgresStore({ database: elsewhere.database({ max: 1 }), schema });
  const disturb = async (step: number) => (step === 6 ? source.forget_pii("forgotten") : undefined);
  await move(inSteps(contextOf(narrow), disturb), contextOf(target));
  expect(await log(there, schema)).toEqual(await log(here, `${schema}_moved`));
});

test("nobody else writes to the log that is being filled", async () => {
  const { source, target, schema } = await pair();
  const early = new PostgresStore({ database: elsewhere.database(), schema });
  const refused: unknown[] = [];
  const disturb = async (step: number) => {
    if (step !== 5) return;
    for (const call of [
      () => early.commit("early", [event()], meta),
      () => early.forget_pii("kept"),
      () => early.truncate([{ stream: "kept" }]),
    ])
      refused.push(await call().catch((error: unknown) => error));
  };
  await move(inSteps(contextOf(source), disturb), contextOf(target));
  expect(refused).toHaveLength(3);
  for (const error of refused)
    expect(error).toSatisfy(
      (found) =>
        found instanceof StoreError && found.cause instanceof DatabaseError && found.cause.code === "55000",
    );
  expect(await log(there, schema)).toEqual(await log(here, `${schema}_moved`));
  expect(await early.commit("early", [event()], meta)).toHaveLength(1);
});

test("a log in partitions by stream, as users of act-pg have, is moved with its changes", async () => {
  const { source, target, schema } = await pair();
  await here.sql.unsafe(`alter table "${schema}".events rename to whole;
    create table "${schema}".events (like "${schema}".whole including defaults including identity) partition by hash (stream);
    create table "${schema}".part_0 partition of "${schema}".events for values with (modulus 2, remainder 0);
    create table "${schema}".part_1 partition of "${schema}".events for values with (modulus 2, remainder 1);
    insert into "${schema}".events overriding system value select * from "${schema}".whole;
    do $$ begin execute format('alter sequence %s owned by "${schema}".events.id', pg_get_serial_sequence('"${schema}".whole', 'id')); end $$;
    drop table "${schema}".whole;
    create unique index on "${schema}".events (stream, version)`);
  const disturb = async (step: number) => {
    if (step !== 5) return;
    await here.sql.unsafe(`delete from "${schema}".events where stream = 'kept' and version < 5;
      update "${schema}".part_0 set data = '{}' where version = 9; update "${schema}".part_1 set data = '{}' where version = 9`);
  };
  await move(inSteps(contextOf(source), disturb), contextOf(target));
  expect(await log(there, schema)).toEqual(await log(here, `${schema}_moved`));
});

test("a lock that is not granted in time is asked for again: calls do not queue behind a long reader", async () => {
  const { source, target, schema } = await pair();
  const reader = await here.sql.reserve();
  await reader.unsafe(`begin; select 1 from "${schema}".events limit 1`);
  const states: string[] = [];
  const moving = move(
    contextOf(source),
    contextOf(target),
    { onProgress: ({ state }) => states.push(state) },
    { lockMs: 50 },
  );
  await expect
    .poll(() => states.filter((state) => state === "copying").length, { timeout: 10_000 })
    .toBeGreaterThan(1);
  await reader.unsafe("rollback");
  reader.release();
  await moving;
  expect(states.slice(-2)).toEqual(["locked", "moved"]);
});
