/** A tenant moves to another server while its processes work: no event is lost, doubled, or left behind. */
import { StoreError } from "@rotorsoft/act";
import { beforeAll, expect, test } from "vitest";
import { Admin } from "../../src/admin/index.ts";
import { DatabaseError, type PostgresDatabase, PostgresStore } from "../../src/index.ts";
import { Ledger } from "../faults/kit/ledger.ts";
import { DatabaseFixture, event, meta } from "../postgres/fixture.ts";
import { Tenants } from "./fixture.ts";

const [here, there] = [new DatabaseFixture(), new DatabaseFixture()];
const [tenants, elsewhere] = [new Tenants(here), new Tenants(there)];
beforeAll(async () => {
  await Promise.all([here.open(), there.open()]);
  return async () => void (await Promise.all([here.close(), there.close()]));
});

const storeAt = (database: PostgresDatabase, { config }: PostgresStore) =>
  new PostgresStore({ database, schema: config.schema });

/** What a verb fails with on a server that the tenant has left. */
const isElsewhere = (error: unknown) =>
  error instanceof StoreError && error.cause instanceof DatabaseError && error.cause.code.startsWith("42");

async function everything(fixture: DatabaseFixture, { config }: PostgresStore): Promise<unknown[]> {
  const schema = fixture.sql(config.schema);
  const events = await fixture.sql`select to_jsonb(e)::text as row from ${schema}.events e order by id`;
  const streams = await fixture.sql`
    select (to_jsonb(s) - 'leased_by' - 'leased_until')::text as row from ${schema}.events_streams s order by stream`;
  const correlated = await fixture.sql`
    select (to_jsonb(c) - 'leased_by' - 'leased_until')::text as row from ${schema}.events_correlated c order by key`;
  return [...events, ...streams, ...correlated].map(({ row }) => row);
}

test("log, subscriptions and checkpoints arrive as they were, and ids go on behind them", async () => {
  const source = await tenants.store(tenants.database());
  await source.commit("a", [event("A", { at: new Date(0) }), event("B")], meta);
  await source.commit("b", [{ ...event("C"), pii: { email: "ada@example.org" } }], meta);
  await source.truncate([{ stream: "a", snapshot: { n: 1 } }]);
  await source.subscribe([{ stream: "r", source: "a", correlated_at: 4, lane: "x", priority: 3 }], 4);
  await source.claim(1, 1, "w", 60_000);
  const before = await everything(here, source);
  const target = storeAt(elsewhere.database(), source);
  const moved = await new Admin(source).move(target);
  expect(moved).toMatchObject({ events: 2, subscriptions: 1 });
  expect(await everything(there, target)).toEqual(before);
  expect((await target.commit("a", [event()], meta))[0]).toMatchObject({ id: 5, version: 1 });
  // Its lease stayed behind, with the worker that held it.
  expect(await target.claim(1, 1, "w2", 10)).toHaveLength(1);
});

test("ids go on behind those of the old server, also if its sequence was restarted and none was drawn since", async () => {
  const source = await tenants.store(tenants.database());
  await source.commit("a", [event()], meta);
  await here.sql.unsafe(`alter sequence "${source.config.schema}".events_id_seq restart with 50`);
  const target = storeAt(elsewhere.database(), source);
  await new Admin(source).move(target);
  expect((await target.commit("a", [event()], meta))[0]?.id).toBe(50);
});

test("the old server refuses every call, and does not begin a new log", async () => {
  const database = tenants.database();
  const source = await tenants.store(database);
  await source.commit("a", [event()], meta);
  const target = storeAt(elsewhere.database(), source);
  await new Admin(source).move(target);
  const calls = [
    source.commit("a", [event()], meta),
    source.query(() => {}),
    source.claim(1, 1, "w", 10),
    source.subscribe([{ stream: "r", correlated_at: 1 }]),
    storeAt(database, source).commit("a", [event()], meta),
  ];
  await Promise.all(calls.map((call) => expect(call).rejects.toSatisfy(isElsewhere)));
  await expect(storeAt(database, source).seed()).rejects.toThrow("does not belong to this store");
  expect(await here.sql`select stream from ${here.sql(`${source.config.schema}_moved`)}.events`).toHaveLength(
    1,
  );
  // And back.
  await here.sql.unsafe(`drop schema "${source.config.schema}_moved" cascade`);
  await new Admin(target).move(source);
  expect(await source.query(() => {})).toBe(1);
});

test.each([1, 2])(
  "with max: %i a move to another schema of the same connections is told at once",
  async (max) => {
    const database = tenants.database({ max });
    const source = await tenants.store(database);
    await source.commit("a", [event()], meta);
    const target = new PostgresStore({ database, schema: `${source.config.schema}_two` });
    await expect(new Admin(source).move(target)).rejects.toThrow("raise `max` of their PostgresDatabase");
    expect(await source.query(() => {})).toBe(1);
    await new Admin(source).move(storeAt(elsewhere.database({ max }), source));
  },
);

test("a target that is not empty is refused, unless it is the copy of an earlier attempt", async () => {
  const source = await tenants.store(tenants.database());
  await source.commit("a", [event("Mine")], meta);
  const target = storeAt(elsewhere.database(), source);
  await target.seed();
  await target.commit("other", [event("Theirs")], meta);
  await expect(new Admin(source).move(target)).rejects.toThrow(
    'not empty. Move to a new schema, or, if the log is the copy of an earlier attempt, with "again: true"',
  );
  expect(await source.commit("a", [event("Mine")], meta)).toHaveLength(1);
  await new Admin(source).move(target, { again: true });
  const names: string[] = [];
  await target.query(({ name }) => void names.push(name));
  expect(names).toEqual(["Mine", "Mine"]);
});

test("under load: what was acknowledged is there once, what was refused is not", {
  timeout: 60_000,
}, async () => {
  const source = await tenants.store(tenants.database({ max: 6 }));
  const target = storeAt(elsewhere.database({ max: 6 }), source);
  for (let n = 0; n < 20; n++)
    await source.commit(
      `old-${n}`,
      Array.from({ length: 100 }, () => event()),
      meta,
    );
  const ledger = new Ledger();
  let place = source;
  let done = false;
  let redirected = 0;
  // While the log is copied it grows by this many commits a pass at most: by less than the move copies in its last one.
  const PER_PASS = 400;
  let left = Number.POSITIVE_INFINITY;
  let pass = Promise.withResolvers<void>();
  const allow = (commits: number) => {
    left = commits;
    pass.resolve();
    pass = Promise.withResolvers();
  };
  // Each client goes where the registry says, and asks it again when the server has no such tenant.
  const client = async (k: number) => {
    for (let n = 0; !done; n++) {
      while (left <= 0) await pass.promise;
      left--;
      const at = place;
      if (await ledger.commit(at, `s-${k}`, undefined, 1 + (n % 3))) continue;
      redirected++;
      // Until the registry knows the new place.
      await expect.poll(() => place !== at || done, { timeout: 20_000 }).toBe(true);
    }
  };
  const clients = Array.from({ length: 8 }, (_, k) => client(k));
  await expect.poll(() => ledger.acknowledged.size, { timeout: 20_000 }).toBeGreaterThan(200);
  // Changes what is copied already.
  const disturb = source.truncate([{ stream: "old-3", snapshot: {} }, { stream: "old-4" }]);
  const states: string[] = [];
  allow(PER_PASS);
  const moved = await new Admin(source).move(target, {
    onProgress: ({ state }) => {
      states.push(state);
      allow(PER_PASS);
    },
  });
  await disturb;
  place = target;
  allow(Number.POSITIVE_INFINITY);
  const seen = ledger.acknowledged.size;
  await expect.poll(() => ledger.acknowledged.size, { timeout: 20_000 }).toBeGreaterThan(seen + 200);
  done = true;
  await Promise.all(clients);
  expect(redirected).toBeGreaterThan(0);
  expect(states.at(-1)).toBe("moved");
  const { schema, table } = target.config;
  const verdict = await ledger.verify(there.url, { schema, table });
  expect(verdict.damage).toEqual([]);
  expect(ledger.unknown.size).toBe(0);
  console.log(
    `locked for ${Math.round(moved.lockedMs)} ms, ${moved.events} events, ${redirected} calls redirected`,
  );
});

test("onProgress may call the source while the move holds its tables", async () => {
  const source = await tenants.store(tenants.database({ max: 2 }));
  const target = storeAt(elsewhere.database(), source);
  await source.commit("a", [event("A")], meta);
  const answers: unknown[] = [];
  const moved = await new Admin(source).move(target, {
    onProgress: async ({ state }) => {
      if (state === "locked") answers.push(await source.query(() => {}).catch((error: unknown) => error));
    },
  });
  expect(moved.events).toBe(1);
  // The query waited for the lock, and then found no tables.
  expect(answers.map(isElsewhere)).toEqual([true]);
});
