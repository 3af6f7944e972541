/** No event data in any error, in whatever way it is printed, nor in the log. */
import { inspect } from "node:util";
import { ConcurrencyError, StoreError } from "@rotorsoft/act";
import { expect, test } from "vitest";
import type { PostgresStore, PostgresStoreOptions } from "../../src/index.ts";
import { until } from "../order/fence.ts";
import { failureOf, useDatabase } from "../postgres/fixture.ts";
import { TcpProxy } from "../postgres/proxy.ts";
import { recordOutput } from "../support/output.ts";
import { fill, outcomeOf } from "./log.ts";
import { everyVerb } from "./verbs.ts";

const fixture = useDatabase();
const SECRET = "s3cret-7f1d";

/** All that an error tells to whoever prints, serializes or walks it, hidden fields and causes included. */
function told(error: unknown, seen = new Set<unknown>()): string {
  if (typeof error !== "object" || error === null || seen.has(error)) return String(error);
  seen.add(error);
  const parts = [inspect(error, { depth: 20, showHidden: true, getters: true }), String(error)];
  for (const key of Reflect.ownKeys(error)) {
    const value: unknown = Reflect.get(error, key);
    parts.push(String(key), typeof value === "object" ? told(value, seen) : String(value));
  }
  // By Act's definition the conflict carries the caller's own events; what it says must not.
  if (error instanceof ConcurrencyError) return `${error.message} ${error.stack}`;
  return [...parts, JSON.stringify(error)].join("\n");
}

/** Everything that is logged or printed from now on. */
function captureOutput(): () => string {
  const calls = recordOutput();
  return () =>
    calls()
      .map((call) => told(call))
      .join("\n");
}

const tables = ({ config: { schema, table } }: PostgresStore) =>
  ["", "_streams", "_correlated"].map((suffix) => `"${schema}"."${table}${suffix}"`);

/** Every verb, on tables where whatever it writes or reads fails in the way given; how many failed. */
async function failing(sabotage: string[], options: PostgresStoreOptions = {}): Promise<number> {
  const store = await fixture.seeded(options);
  await fill(store);
  const [events = "", streams = ""] = tables(store);
  for (const statement of sabotage)
    await fixture.sql.unsafe(statement.replaceAll("EVENTS", events).replaceAll("STREAMS", streams));
  const output = captureOutput();
  let failures = 0;
  for (const [verb, call] of Object.entries(everyVerb(store, SECRET))) {
    const outcome = await outcomeOf(call);
    if (!("error" in outcome)) continue;
    failures++;
    expect(outcome.error, verb).toBeInstanceOf(StoreError);
    expect(told(outcome.error), verb).not.toContain(SECRET);
  }
  expect(output()).not.toContain(SECRET);
  return failures;
}

const trigger = (body: string) => [
  `create or replace function sabotage() returns trigger language plpgsql as $$ begin ${body} end $$`,
  "create trigger sabotage before insert or update on EVENTS for each row execute function sabotage()",
  "create trigger sabotage before insert or update on STREAMS for each row execute function sabotage()",
];

test("a check constraint that quotes the row tells none of it", async () => {
  const check = "check (data::text not like '%s3cret%')";
  expect(await failing([`alter table EVENTS add constraint no_secrets ${check} not valid`])).toBeGreaterThan(
    1,
  );
});

test("a unique index that quotes the row tells none of it", async () => {
  const store = await fixture.seeded();
  await fixture.sql.unsafe(`create unique index on ${tables(store)[0]} ((data::text))`);
  const commit = () =>
    store.commit("a", [{ name: "A", data: { SECRET } }], { correlation: "", causation: {} });
  await commit();
  const { error } = await failureOf(commit());
  expect(error).toMatchObject({ name: "ERR_STORE", cause: { code: "23505" } });
  expect(told(error)).not.toContain(SECRET);
});

test("a value that a column of the user's own refuses is not told", async () => {
  const column = "alter table EVENTS add column n int generated always as ((data ->> 'mark')::int) stored";
  expect(await failing(["delete from EVENTS", column])).toBeGreaterThan(1);
});

test.each([
  ["its default code", "raise exception 'refused %', to_jsonb(new)::text;"],
  ["a code of its own", "raise exception 'refused %', to_jsonb(new)::text using errcode = 'ZX042';"],
  [
    "a detail and a hint",
    "raise exception 'refused' using detail = to_jsonb(new)::text, hint = to_jsonb(new)::text;",
  ],
])("a trigger that raises what it was given with %s tells none of it", async (_, body) => {
  expect(await failing(trigger(body))).toBeGreaterThan(2);
});

test("a row that a policy refuses is not told", async (context) => {
  const owner = await fixture.seeded();
  const guest = await fixture.role();
  if (!guest) return context.skip("this server's user may not create roles");
  const [events = "", streams = "", correlated = ""] = tables(owner);
  await fixture.sql.unsafe(`grant all on ${events}, ${streams}, ${correlated} to ${guest.user}`);
  await fixture.sql.unsafe(`grant usage on sequence ${events.replace(/"$/, '_id_seq"')} to ${guest.user}`);
  await fixture.sql.unsafe(`alter table ${events} enable row level security`);
  const store = fixture.store({ table: owner.config.table, ...guest });
  const { error } = await failureOf(everyVerb(store, SECRET).commit?.() ?? Promise.resolve());
  expect(error).toMatchObject({ name: "ERR_STORE", cause: { code: "42501" } });
  expect(told(error)).not.toContain(SECRET);
});

test("missing tables, a wrong password and a disposed store tell nothing of what was to be written", async () => {
  const disposed = await fixture.seeded();
  await disposed.dispose();
  for (const store of [fixture.store(), fixture.store({ password: "wr0ng" }), disposed])
    for (const [verb, call] of Object.entries(everyVerb(store, SECRET))) {
      const { error } = await failureOf(call());
      expect(told(error), verb).not.toContain(SECRET);
      expect(told(error), verb).not.toContain("wr0ng");
    }
});

test("a connection that is lost under way tells nothing of what was under way", async () => {
  const { host, port } = fixture.parts;
  for (const end of ["cut", "reset"] as const) {
    const proxy = await TcpProxy.before({ host, port });
    // An outcome that nobody can tell is looked for until the commit's deadline.
    const limits = { connectionTimeoutMillis: 500, statement_timeout: 500, max: 30 };
    const store = await fixture.seeded({ host: "127.0.0.1", port: proxy.port, ...limits });
    await Promise.all(Array.from({ length: 15 }, () => store.query(() => {})));
    await store.commit("s", [{ name: "A", data: {} }], { correlation: "", causation: {} });
    proxy.freeze();
    const calls = Object.entries(everyVerb(store, SECRET)).map(
      ([verb, call]) => [verb, outcomeOf(call)] as const,
    );
    await until("everything is on its way", async () => proxy.swallowed > 1_000);
    proxy.mode = "refuse";
    proxy[end]();
    for (const [verb, outcome] of calls) expect(told(await outcome), verb).not.toContain(SECRET);
  }
});

test("a lock that is not granted in time tells nothing of who waited", async () => {
  const store = await fixture.seeded({ statement_timeout: 150 });
  await fixture.hold(store);
  for (const verb of ["commit", "truncate", "restore"]) {
    const { error } = await failureOf(everyVerb(store, SECRET)[verb]?.() ?? Promise.resolve());
    expect(error, verb).toMatchObject({ operation: verb, cause: { code: "57014" } });
    expect(told(error), verb).not.toContain(SECRET);
  }
});

test("a conflict tells the versions, not the events, in what it says", async () => {
  const store = await fixture.seeded();
  const event = { name: "A", data: { SECRET }, pii: { SECRET } };
  const { error } = await failureOf(store.commit("s", [event], { correlation: SECRET, causation: {} }, 7));
  expect(error).toBeInstanceOf(ConcurrencyError);
  expect(told(error)).not.toContain(SECRET);
});

test("what is refused for its text is not quoted, though its neighbours are named", async () => {
  const store = await fixture.seeded();
  const meta = { correlation: SECRET, causation: {} };
  const event = { name: "A", data: { [SECRET]: SECRET }, pii: { [SECRET]: SECRET } };
  for (const bad of [
    { data: { [SECRET]: "\0" } },
    { pii: { [`\ud800${SECRET}`]: SECRET } },
    { data: { n: 1n, SECRET } },
  ]) {
    const { error } = await failureOf(store.commit("s", [event, { ...event, name: "B", ...bad }], meta));
    expect(error).toMatchObject({ name: "ERR_VALIDATION", details: { stream: "s", events: ["A", "B"] } });
    expect(told(error)).not.toContain(SECRET);
  }
});

test("a key that cannot be had fails the verb that needs it, and writes nothing", async () => {
  const key = () => Promise.reject(new Error("the vault is sealed"));
  const store = await fixture.seeded({ pii_encryption: { key } });
  const calls = everyVerb(store, SECRET);
  for (const verb of ["commit", "restore"]) {
    const { error } = await failureOf(calls[verb]?.() ?? Promise.resolve());
    expect(error, verb).toMatchObject({ name: "ERR_STORE", operation: verb });
    expect(told(error), verb).toContain("the vault is sealed");
    expect(told(error), verb).not.toContain(SECRET);
  }
  expect(await fixture.rows(store)).toEqual([]);
});
