/** Commits have a connection of their own: what they wait for, nobody else does. */
import { StoreError } from "@rotorsoft/act";
import { expect, onTestFinished, test } from "vitest";
import { DatabaseError } from "../../src/index.ts";
import { until } from "../order/fence.ts";
import { connect } from "../support/database.ts";
import { event, failureOf, meta, useDatabase } from "./fixture.ts";
import { TcpProxy } from "./proxy.ts";

const fixture = useDatabase();

test("reads and claims are answered while commits wait for a foreign transaction", async () => {
  const store = await fixture.seeded({ max: 2 });
  await store.commit("s", [event()], meta);
  await store.subscribe([{ stream: "t", correlated_at: 9 }]);
  const held = await fixture.hold(store);
  const commits = Promise.all([1, 2, 3].map(() => store.commit("s", [event()], meta)));
  await until("the commits wait", async () => (await fixture.lockWaiters()).length === 1);
  expect(await store.query(() => {})).toBe(1);
  expect(await store.claim(1, 0, "w", 1_000)).toHaveLength(1);
  expect(await store.query_stats(["s"])).toHaveProperty("size", 1);
  await held.release();
  expect((await commits).flat().map(({ version }) => version)).toEqual([1, 2, 3]);
});

test("a foreign transaction that keeps the append lock fails the commit at statement_timeout, and says what to look for", async () => {
  const store = await fixture.seeded({ statement_timeout: 300 });
  await store.commit("s", [event()], meta);
  const held = await fixture.hold(store);
  const { error, millis } = await failureOf(store.commit("s", [event("Late")], meta, 0));
  expect(error).toBeInstanceOf(StoreError);
  expect(error).toMatchObject({
    operation: "commit",
    cause: { code: "57014", message: expect.stringMatching(/statement_timeout.*append lock/) },
  });
  expect(error instanceof StoreError && error.cause).toBeInstanceOf(DatabaseError);
  expect(millis).toBeGreaterThanOrEqual(290);
  expect(millis).toBeLessThan(5_000);
  await held.release();
  expect(await store.commit("s", [event("Next")], meta, 0)).toMatchObject([{ version: 1, name: "Next" }]);
  expect((await fixture.rows(store)).map(({ name }) => name)).toEqual(["Happened", "Next"]);
});

test("the longest statement_timeout that PostgreSQL takes is as patient as that", async () => {
  const store = await fixture.seeded({ statement_timeout: 2_147_483_647 });
  const held = await fixture.hold(store);
  const commit = store.commit("s", [event()], meta);
  await until("the commit waits", async () => (await fixture.lockWaiters()).length === 1);
  const behind = store.commit("s", [event()], meta);
  expect(await store.query(() => {})).toBe(0);
  await held.release();
  expect([...(await commit), ...(await behind)].map(({ version }) => version)).toEqual([0, 1]);
});

test("commits that waited behind a kept lock all settle, and what failed is not in the log", async () => {
  const store = await fixture.seeded({ statement_timeout: 250 });
  const held = await fixture.hold(store);
  const commits = Array.from({ length: 20 }, (_, n) => store.commit(`s-${n}`, [event()], meta, -1));
  const results = await Promise.allSettled(commits);
  for (const result of results) expect(result).toMatchObject({ reason: { name: "ERR_STORE" } });
  await held.release();
  expect(await fixture.rows(store)).toEqual([]);
  expect(await store.commit("s-0", [event()], meta, -1)).toHaveLength(1);
});

test("a truncate and a restore behind a kept lock fail in the same way, and change nothing", async () => {
  const store = await fixture.seeded({ statement_timeout: 250 });
  await store.commit("s", [event("Kept")], meta);
  const held = await fixture.hold(store);
  const calls = {
    truncate: () => store.truncate([{ stream: "s" }]),
    restore: () => store.restore(async () => {}),
  };
  for (const [operation, call] of Object.entries(calls)) {
    const { error } = await failureOf(call());
    expect(error, operation).toMatchObject({ name: "ERR_STORE", operation, cause: { code: "57014" } });
  }
  await held.release();
  expect((await fixture.rows(store)).map(({ name }) => name)).toEqual(["Kept"]);
  expect(await store.truncate([{ stream: "s" }])).toHaveProperty("size", 1);
});

test("a writer that is killed while it waits is replaced, and its commit is not applied twice", async () => {
  const store = await fixture.seeded();
  await store.commit("s", [event("First")], meta);
  const held = await fixture.hold(store);
  const commit = store.commit("s", [event("Second")], meta, 0).catch((error: unknown) => error);
  await until("the commit waits", async () => (await fixture.lockWaiters()).length === 1);
  for (const pid of await fixture.lockWaiters()) await fixture.sql`select pg_terminate_backend(${pid})`;
  await until("the writer is gone", async () => (await fixture.lockWaiters()).length === 0);
  await held.release();
  const outcome = await commit;
  const rows = await fixture.rows(store);
  if (outcome instanceof Error) expect(outcome).toMatchObject({ name: "ERR_STORE", operation: "commit" });
  else expect(rows.map(({ name }) => name)).toEqual(["First", "Second"]);
  expect(rows.filter(({ name }) => name === "Second").length).toBeLessThanOrEqual(1);
  expect(await store.commit("s", [event("Third")], meta)).toMatchObject([{ version: rows.length }]);
});

test("a writer that was killed while idle is replaced, and its commit is made once", async () => {
  const store = await fixture.seeded();
  for (const version of [0, 1, 2]) {
    expect(await store.commit("s", [event()], meta, version - 1)).toMatchObject([{ version }]);
    // Nothing but the writer: the others are for finding out.
    const killed = await fixture.sql`select pg_terminate_backend(pid) from pg_stat_activity
      where application_name = ${store.config.application_name} and query ~ 'insert into|as first_event'`;
    expect(killed.length).toBeGreaterThan(0);
  }
  expect((await fixture.rows(store)).map(({ version }) => version)).toEqual([0, 1, 2]);
});

test("a commit is made once though its connection and every other one are dead, and nobody knows it yet", async () => {
  const { host, port } = fixture.parts;
  const proxy = await TcpProxy.before({ host, port });
  const store = await fixture.seeded({ host: "127.0.0.1", port: proxy.port });
  await store.commit("s", [event("First")], meta);
  await Promise.all([1, 2, 3, 4, 5].map(() => store.query(() => {})));
  proxy.trap();
  // Looked up in the log, on a connection that is alive.
  expect(await store.commit("s", [event("Second")], meta, 0)).toMatchObject([{ version: 1 }]);
  expect((await fixture.rows(store)).map(({ name }) => name)).toEqual(["First", "Second"]);
});

test.each(["cut", "reset"] as const)(
  "a commit whose acknowledgement is lost (%s) is found in the log and acknowledged, once",
  async (how) => {
    const { host, port } = fixture.parts;
    const proxy = await TcpProxy.before({ host, port });
    const store = await fixture.seeded({ host: "127.0.0.1", port: proxy.port });
    await store.commit("s", [event("First")], meta);
    const landed = async () => (await fixture.rows(store)).filter(({ name }) => name === "Second").length;
    // The append lock is granted, its answer arrives, and the INSERT waits in a trigger.
    const gate = connect(fixture.url);
    onTestFinished(() => gate.end());
    await gate`select pg_advisory_lock(201)`;
    await fixture.sql.unsafe(`create or replace function pause() returns trigger language plpgsql as $$
      begin perform pg_advisory_xact_lock(201); return new; end $$;
      create trigger pause before insert on ${store.config.schema}.${store.config.table}
      for each row execute function pause()`);
    const commit = store.commit("s", [event("Second")], meta, 0);
    await until("the INSERT waits", async () => (await fixture.lockWaiters()).length === 1);
    // The answers of INSERT and COMMIT get lost on the way.
    proxy.freeze();
    await gate`select pg_advisory_unlock(201)`;
    await until("the commit has landed", async () => (await landed()) === 1);
    proxy.mode = "forward";
    if (how === "cut") proxy.cut();
    else proxy.reset();
    expect(await commit).toMatchObject([{ version: 1, name: "Second" }]);
    expect(await landed()).toBe(1);
  },
);

test("a commit whose connection is reset before it got anywhere is applied, or certainly is not", async () => {
  const { host, port } = fixture.parts;
  const proxy = await TcpProxy.before({ host, port });
  const store = await fixture.seeded({ host: "127.0.0.1", port: proxy.port });
  await store.commit("s", [event("First")], meta);
  proxy.freeze();
  const commit = store.commit("s", [event("Second")], meta, 0).catch((error: unknown) => error);
  await until("the commit is on its way", async () => proxy.swallowed > 0);
  proxy.mode = "forward";
  proxy.reset();
  const outcome = await commit;
  const landed = (await fixture.rows(store)).filter(({ name }) => name === "Second").length;
  if (outcome instanceof Error)
    expect(outcome).toMatchObject({
      name: "ERR_STORE",
      cause: { code: "OUTCOME_UNKNOWN", message: expect.stringContaining("load the stream") },
    });
  else expect(landed).toBe(1);
});

test("a read whose idle connection was reset meanwhile is answered on another", async () => {
  const { host, port } = fixture.parts;
  const proxy = await TcpProxy.before({ host, port });
  const store = await fixture.seeded({ host: "127.0.0.1", port: proxy.port });
  await store.query(() => {});
  proxy.freeze();
  const read = store.query(() => {});
  await until("the query is on its way", async () => proxy.swallowed > 0);
  proxy.mode = "forward";
  proxy.reset();
  expect(await read).toBe(0);
});
