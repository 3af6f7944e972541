/** Servers that are not there, do not answer, or refuse: each verb says so in time, and says what to do. */
import { StoreError } from "@rotorsoft/act";
import { describe, expect, test } from "vitest";
import { ConnectionError, DatabaseError, type PostgresStore } from "../../src/index.ts";
import { failureOf, useScene } from "../postgres/fixture.ts";
import { deadPort, TcpProxy } from "../postgres/proxy.ts";
import { contents, fill } from "./log.ts";
import { everyVerb } from "./verbs.ts";

const scene = useScene();

const lifecycle = (store: PostgresStore) => ({
  seed: () => store.seed(),
  drop: () => store.drop(),
  notify: async () => store.notify?.(() => {}),
});

type Expected = { readonly code: string; readonly advice: RegExp; readonly within: number };

/** One after the other: what a failed connection leaves behind must not change the next one's answer. */
async function eachFails(calls: Record<string, () => Promise<unknown>>, { code, advice, within }: Expected) {
  for (const [verb, call] of Object.entries(calls)) {
    const { error, millis } = await failureOf(call());
    expect(error, verb).toBeInstanceOf(StoreError);
    if (!(error instanceof StoreError)) continue;
    const { cause } = error;
    expect(cause instanceof ConnectionError || cause instanceof DatabaseError, verb).toBe(true);
    expect(error, verb).toMatchObject({ operation: verb, cause: { code } });
    expect(error.cause, verb).toMatchObject({ message: expect.stringMatching(advice) });
    expect(millis, verb).toBeLessThan(within);
  }
}

describe("every verb, seed, drop and notify", () => {
  test("say that nobody listens at a host and port, and what to check", async () => {
    const port = await deadPort();
    const store = scene.store({ host: "127.0.0.1", port, notify: true });
    const advice = new RegExp(`127\\.0\\.0\\.1:${port}.*(running|host|port|start|reach|check)`, "is");
    await eachFails(
      { ...everyVerb(store), ...lifecycle(store) },
      { code: "ECONNREFUSED", advice, within: 3_000 },
    );
  });

  test("say that a host name is unknown", async () => {
    const store = scene.store({ host: "nowhere.invalid", notify: true });
    const advice = /nowhere\.invalid.*(host|name|check|DNS)/is;
    await eachFails(
      { ...everyVerb(store), ...lifecycle(store) },
      {
        code: expect.stringMatching(/ENOTFOUND|EAI_AGAIN/) as never,
        advice,
        within: 10_000,
      },
    );
  });

  test("say that the password is wrong", async () => {
    const store = scene.store({ password: "wr0ng", notify: true });
    await eachFails(
      { ...everyVerb(store), ...lifecycle(store) },
      {
        code: "28P01",
        advice: /check user and password/,
        within: 3_000,
      },
    );
  });

  test("say that the database is missing", async () => {
    const store = scene.store({ database: "no_such_database", notify: true });
    await eachFails(
      { ...everyVerb(store), ...lifecycle(store) },
      {
        code: "3D000",
        advice: /"no_such_database".*create it/s,
        within: 3_000,
      },
    );
  });

  test("say that the store is disposed", async () => {
    const store = await scene.seeded({ notify: true });
    await store.dispose();
    await eachFails(
      { ...everyVerb(store), ...lifecycle(store) },
      {
        code: "STORE_CLOSED",
        advice: /create a new PostgresStore/,
        within: 500,
      },
    );
  });
});

test("every verb says that the tables are missing, and that seed() makes them", async () => {
  const store = scene.store();
  await eachFails(everyVerb(store), { code: "42P01", advice: /call seed\(\)/, within: 3_000 });
  await store.drop();
  await store.seed();
  for (const [verb, call] of Object.entries(everyVerb(store)))
    expect(await call().then(() => "answered"), verb).toBe("answered");
});

test("every verb says that the schema is missing, and that seed() makes it", async () => {
  const store = scene.store({ schema: "not_there_yet" });
  await eachFails(everyVerb(store), { code: "42P01", advice: /call seed\(\)/, within: 3_000 });
});

test("every verb says that a column is missing, and that seed() adds it", async () => {
  const store = await scene.seeded();
  const { schema, table } = store.config;
  await scene.sql`alter table ${scene.sql(schema)}.${scene.sql(table)} drop column pii`;
  const { commit, query } = everyVerb(store);
  const calls = { commit, query } as Record<string, () => Promise<unknown>>;
  await eachFails(calls, { code: "42703", advice: /call seed\(\)/, within: 3_000 });
});

test("every verb says which privilege a role lacks", async (context) => {
  const owner = await scene.seeded();
  await fill(owner);
  const before = await contents(scene, owner);
  const guest = await scene.role();
  if (!guest) return context.skip("this server's user may not create roles");
  const store = scene.store({ table: owner.config.table, ...guest });
  await eachFails(everyVerb(store), { code: "42501", advice: /lacks a privilege/, within: 3_000 });
  expect(await contents(scene, owner)).toBe(before);
});

describe("a server that accepts and never answers", () => {
  test("is given up by every verb after connectionTimeoutMillis", async () => {
    const { host, port } = scene.parts;
    const proxy = await TcpProxy.before({ host, port });
    proxy.mode = "silent";
    const limits = { connectionTimeoutMillis: 400, statement_timeout: 300, max: 30, notify: true };
    const store = scene.store({ host: "127.0.0.1", port: proxy.port, ...limits });
    const calls = Object.entries({ ...everyVerb(store), ...lifecycle(store) });
    const failures = await Promise.all(calls.map(([, call]) => failureOf(call())));
    failures.forEach(({ error, millis }, k) => {
      const operation = calls[k]?.[0] ?? "";
      expect(error, operation).toMatchObject({
        name: "ERR_STORE",
        operation,
        cause: { name: "ConnectionError" },
      });
      expect(error, operation).toMatchObject({
        cause: { message: expect.stringMatching(new RegExp(`127\\.0\\.0\\.1:${proxy.port}`)) },
      });
      expect(millis, operation).toBeGreaterThan(350);
      expect(millis, operation).toBeLessThan(5_000);
    });
  });

  test("is given up by verbs one after the other, each with the same answer", async () => {
    const { host, port } = scene.parts;
    const proxy = await TcpProxy.before({ host, port });
    proxy.mode = "silent";
    const store = scene.store({ host: "127.0.0.1", port: proxy.port, connectionTimeoutMillis: 200 });
    const { commit, restore, claim, query } = everyVerb(store);
    const calls = { commit, restore, claim, query } as Record<string, () => Promise<unknown>>;
    await eachFails(calls, { code: "CONNECT_TIMEOUT", advice: /127\.0\.0\.1/, within: 4_000 });
  });

  test("is used as soon as it answers again", async () => {
    const { host, port } = scene.parts;
    const proxy = await TcpProxy.before({ host, port });
    proxy.mode = "silent";
    const store = scene.store({ host: "127.0.0.1", port: proxy.port, connectionTimeoutMillis: 300 });
    await failureOf(store.seed());
    proxy.mode = "forward";
    await store.seed();
    for (const [verb, call] of Object.entries(everyVerb(store)))
      expect(await call().then(() => "answered"), verb).toBe("answered");
  });
});

test("a server that closes every connection at once is told as such, not as one of another kind", async () => {
  const { host, port } = scene.parts;
  const proxy = await TcpProxy.before({ host, port });
  proxy.mode = "refuse";
  const store = scene.store({ host: "127.0.0.1", port: proxy.port, notify: true });
  for (const [operation, call] of Object.entries({ ...everyVerb(store), ...lifecycle(store) })) {
    const { error, millis } = await failureOf(call());
    expect(error, operation).toMatchObject({
      name: "ERR_STORE",
      operation,
      cause: { name: "ConnectionError", message: expect.stringMatching(/clos|lost/) },
    });
    expect(millis, operation).toBeLessThan(5_000);
  }
});

test("a server that turns away all but one connection answers every call on that one", async (context) => {
  const owner = await scene.seeded();
  const { table, schema } = owner.config;
  const single = await scene.role("connection limit 1");
  if (!single) return context.skip("this server's user may not create roles");
  await scene.sql.unsafe(`grant all on all tables in schema "${schema}" to ${single.user}`);
  const store = scene.store({ table, ...single });
  const results = await Promise.allSettled(Array.from({ length: 8 }, () => store.query(() => {})));
  expect(results.filter(({ status }) => status === "rejected")).toEqual([]);
});
