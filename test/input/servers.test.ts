/** Servers that are not there, do not answer, or refuse: each verb says so in time, and says what to do. */
import { StoreError } from "@rotorsoft/act";
import { describe, expect, test } from "vitest";
import { ConnectionError, DatabaseError, type PostgresStore } from "../../src/index.ts";
import { failureOf, useDatabase } from "../postgres/fixture.ts";
import { deadPort, TcpProxy } from "../postgres/proxy.ts";
import { contents, fill } from "./log.ts";
import { everyVerb } from "./verbs.ts";

const fixture = useDatabase();

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
    const store = fixture.store({ host: "127.0.0.1", port, notify: true });
    const advice = new RegExp(`127\\.0\\.0\\.1:${port}.*(running|host|port|start|reach|check)`, "is");
    await eachFails(
      { ...everyVerb(store), ...lifecycle(store) },
      { code: "ECONNREFUSED", advice, within: 3_000 },
    );
  });

  test("say that a host name is unknown", async () => {
    const store = fixture.store({ host: "nowhere.invalid", notify: true });
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
    const store = fixture.store({ password: "wr0ng", notify: true });
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
    const store = fixture.store({ database: "no_such_database", notify: true });
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
    const store = await fixture.seeded({ notify: true });
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
  const store = fixture.store();
  await eachFails(everyVerb(store), { code: "42P01", advice: /call seed\(\)/, within: 3_000 });
  await store.drop();
  await store.seed();
  for (const [verb, call] of Object.entries(everyVerb(store)))
    expect(await call().then(() => "answered"), verb).toBe("answered");
});

test("every verb says that the schema is missing, and that seed() makes it", async () => {
  const store = fixture.store({ schema: "not_there_yet" });
  await eachFails(everyVerb(store), { code: "42P01", advice: /call seed\(\)/, within: 3_000 });
});

test("every verb says that a column is missing, and that seed() adds it", async () => {
  const store = await fixture.seeded();
  const { schema, table } = store.config;
  await fixture.sql`alter table ${fixture.sql(schema)}.${fixture.sql(table)} drop column pii`;
  const { commit, query } = everyVerb(store);
  const calls = { commit, query } as Record<string, () => Promise<unknown>>;
  await eachFails(calls, { code: "42703", advice: /call seed\(\)/, within: 3_000 });
});

test("every verb says which privilege a role lacks", async (context) => {
  const owner = await fixture.seeded();
  await fill(owner);
  const before = await contents(fixture, owner);
  const guest = await fixture.role();
  if (!guest) return context.skip("this server's user may not create roles");
  const store = fixture.store({ table: owner.config.table, ...guest });
  await eachFails(everyVerb(store), { code: "42501", advice: /lacks a privilege/, within: 3_000 });
  expect(await contents(fixture, owner)).toBe(before);
});

describe("a server that accepts and never answers", () => {
  test("is given up by every verb after connectionTimeoutMillis", async () => {
    const { host, port } = fixture.parts;
    const proxy = await TcpProxy.before({ host, port });
    proxy.mode = "silent";
    const limits = { connectionTimeoutMillis: 400, statement_timeout: 300, max: 30, notify: true };
    const store = fixture.store({ host: "127.0.0.1", port: proxy.port, ...limits });
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
    const { host, port } = fixture.parts;
    const proxy = await TcpProxy.before({ host, port });
    proxy.mode = "silent";
    const store = fixture.store({ host: "127.0.0.1", port: proxy.port, connectionTimeoutMillis: 200 });
    const { commit, restore, claim, query } = everyVerb(store);
    const calls = { commit, restore, claim, query } as Record<string, () => Promise<unknown>>;
    await eachFails(calls, { code: "CONNECT_TIMEOUT", advice: /127\.0\.0\.1/, within: 4_000 });
  });

  test("is used as soon as it answers again", async () => {
    const { host, port } = fixture.parts;
    const proxy = await TcpProxy.before({ host, port });
    proxy.mode = "silent";
    const store = fixture.store({ host: "127.0.0.1", port: proxy.port, connectionTimeoutMillis: 300 });
    await failureOf(store.seed());
    proxy.mode = "forward";
    await store.seed();
    for (const [verb, call] of Object.entries(everyVerb(store)))
      expect(await call().then(() => "answered"), verb).toBe("answered");
  });
});

test("a server that closes every connection at once is told as such, not as one of another kind", async () => {
  const { host, port } = fixture.parts;
  const proxy = await TcpProxy.before({ host, port });
  proxy.mode = "refuse";
  const store = fixture.store({ host: "127.0.0.1", port: proxy.port, notify: true });
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
  const owner = await fixture.seeded();
  const { table, schema } = owner.config;
  const single = await fixture.role("connection limit 1");
  if (!single) return context.skip("this server's user may not create roles");
  await fixture.sql.unsafe(`grant all on all tables in schema "${schema}" to ${single.user}`);
  const store = fixture.store({ table, ...single });
  const results = await Promise.allSettled(Array.from({ length: 8 }, () => store.query(() => {})));
  expect(results.filter(({ status }) => status === "rejected")).toEqual([]);
});
