/** The server, or a pooler, grants fewer connections than the store may have: those that there are go round. */
import { expect, onTestFinished, test } from "vitest";
import type { PostgresStore, PostgresStoreOptions } from "../../src/index.ts";
import { absent, findProgram, titled } from "../faults/failover/programs.ts";
import { startBouncer } from "../faults/pgbouncer/bouncer.ts";
import { until } from "../order/fence.ts";
import { serverUrl } from "../support/database.ts";
import { event, failureOf, meta, useDatabase } from "./fixture.ts";

const fixture = useDatabase();

/** A store of a role that may have so many connections; undefined where no role can be made. */
async function limited(connections: number, options: PostgresStoreOptions = {}) {
  const owner = await fixture.seeded();
  const { schema, table } = owner.config;
  const role = await fixture.role(`connection limit ${connections}`);
  if (!role) return undefined;
  await fixture.sql.unsafe(`grant usage on schema ${schema} to ${role.user}`);
  await fixture.sql.unsafe(`grant all on all tables in schema ${schema} to ${role.user}`);
  await fixture.sql.unsafe(`grant all on all sequences in schema ${schema} to ${role.user}`);
  return fixture.store({ table, ...role, ...options });
}

const failures = async (work: readonly Promise<unknown>[]) =>
  (await Promise.allSettled(work)).flatMap((one) => (one.status === "rejected" ? [one.reason] : []));

const reads = (store: PostgresStore, count: number) =>
  Array.from({ length: count }, () => store.query_stats({}, { limit: 5 }));
const commits = (store: PostgresStore, count: number) =>
  Array.from({ length: count }, (_, n) => store.commit(`s-${n}`, [event()], meta));

test("60 reads at once are answered by the 5 connections that a role may have, though max is 20", async () => {
  const store = await limited(5);
  if (!store) return;
  await fixture.openReaders(store, 5);
  expect(await failures(reads(store, 60))).toEqual([]);
  expect((await fixture.pids(store)).length).toBe(5);
});

test("reads do not keep the last connection from commits, nor commits from reads", async () => {
  const store = await limited(3);
  if (!store) return;
  expect(await failures([...reads(store, 40), ...commits(store, 10), ...reads(store, 40)])).toEqual([]);
});

test("with a single connection for all, reads and commits take turns", async () => {
  const store = await limited(1);
  if (!store) return;
  for (let round = 0; round < 3; round++)
    expect(await failures([...reads(store, 10), ...commits(store, 3)])).toEqual([]);
});

test("who waits too long is told how many are in use, and why there is no other", async () => {
  const store = await limited(2, { connectionTimeoutMillis: 500 });
  if (!store) return;
  const { release } = await fixture.hold(store);
  const committing = store.commit("s", [event()], meta);
  await until("a commit waits for its lock", async () => (await fixture.lockWaiters()).length === 1);
  const { release: end } = await fixture.hold({
    config: { ...store.config, table: "another" },
  } as PostgresStore);
  const restoring = store.truncate([{ stream: "s" }]);
  await until("so does a truncate", async () => (await fixture.lockWaiters()).length === 2);
  const { error } = await failureOf(store.query(() => {}));
  expect(error).toMatchObject({
    cause: {
      code: "POOL_TIMEOUT",
      message: expect.stringMatching(/all 1 for all but commits \(max is 20\) are in use, and no other/),
    },
  });
  await end();
  await release();
  await Promise.all([committing, restoring]);
});

test.each([
  { max: 1, says: "all 1 are in use" },
  { max: 2, says: "all 1 for all but commits (max is 2) are in use" },
  { max: 3, says: "all 2 for all but commits (max is 3) are in use" },
])("with max: $max the error says that $says", async ({ max, says }) => {
  const store = await fixture.seeded({ max, connectionTimeoutMillis: 300 });
  const { release } = await fixture.hold(store);
  const held = Array.from({ length: Math.max(1, max - 1) }, () => store.truncate([{ stream: "s" }]));
  await until("all are in use", async () => (await fixture.lockWaiters()).length === held.length);
  const { error } = await failureOf(store.query(() => {}));
  expect(error).toMatchObject({ cause: { message: expect.stringContaining(says) } });
  await release();
  await Promise.all(held);
});

const reason = absent({ pgbouncer: findProgram("pgbouncer") });
const behind = async (pool_mode: string, options: PostgresStoreOptions, poolSize = 2) => {
  const ignore_startup_parameters =
    "statement_timeout,default_transaction_isolation,jit,idle_in_transaction_session_timeout,plan_cache_mode,array_nulls,extra_float_digits,idle_session_timeout,tcp_keepalives_idle,tcp_keepalives_interval,tcp_keepalives_count,tcp_user_timeout,row_security";
  const bouncer = await startBouncer(serverUrl(), {
    poolSize,
    settings: { pool_mode, ignore_startup_parameters },
  });
  onTestFinished(() => bouncer.stop());
  const { hostname, port } = new URL(bouncer.through(fixture.url));
  return fixture.store({ host: hostname, port: Number(port), ...options });
};

test.skipIf(reason !== "")(
  titled("behind a pooler in session mode with a smaller pool, reads and commits are answered", reason),
  async () => {
    const direct = await fixture.seeded();
    const store = await behind("session", { table: direct.config.table });
    expect(await failures([...reads(store, 60), ...commits(store, 5)])).toEqual([]);
  },
);

test.skipIf(reason !== "")(
  titled(
    "a wait for a pooler's connection is a wait for a connection: it ends with connectionTimeoutMillis",
    reason,
  ),
  async () => {
    const direct = await fixture.seeded();
    const { table } = direct.config;
    const first = await behind("session", { table, max: 1, idleTimeoutMillis: 0 }, 1);
    expect(await first.query(() => {})).toBe(0);
    const { host, port } = first.config;
    const second = fixture.store({ host, port, table, connectionTimeoutMillis: 1_000 });
    const { error, millis } = await failureOf(second.query(() => {}));
    expect(error).toMatchObject({ cause: { code: "CONNECT_TIMEOUT" } });
    expect(millis).toBeLessThan(4_000);
  },
);

test.skipIf(reason !== "")(
  titled("a pooler in statement mode says itself why a transaction with turns in between is refused", reason),
  async () => {
    const direct = await fixture.seeded();
    const store = await behind("statement", { table: direct.config.table, prepare: false });
    const fresh = await behind("statement", { prepare: false });
    // A transaction of one message is one statement for the pooler.
    expect(await store.commit("s", [event()], meta)).toHaveLength(1);
    for (const call of [() => fresh.seed(), () => store.restore(async () => {})])
      expect((await failureOf(call())).error).toMatchObject({
        cause: { code: "08P01", message: expect.stringContaining("not allowed in statement pooling mode") },
      });
  },
);
