/** Names of schema and table: plain identifiers, and none that PostgreSQL would have to cut. */
import { expect, onTestFinished, test } from "vitest";
import { PostgresStore } from "../../src/index.ts";
import { useDatabase } from "../postgres/fixture.ts";

const fixture = useDatabase();
const refuse = (options: { schema?: string; table?: string }) => expect(() => new PostgresStore(options));
/** Where the database is lent, nothing of these tests may stay in it. */
const dropLater = (schema: string) =>
  onTestFinished(async () => void (await fixture.sql`drop schema if exists ${fixture.sql(schema)} cascade`));
const bad = ["", " ", "1a", "a-b", "a b", 'a"b', "a.b", "a;b", "é", "a\nb", "a\n", "a'b", "$a", "a\0", "😀"];

test.each(bad)("%j is refused as schema and as table, by name, in the constructor and in ddl()", (name) => {
  refuse({ schema: name }).toThrow(/^act-drizzle: invalid schema .*identifier/);
  refuse({ table: name }).toThrow(/^act-drizzle: invalid table .*identifier/);
  refuse({ schema: name }).toThrow(JSON.stringify(name));
  refuse({ table: name }).toThrow(JSON.stringify(name));
  expect(() => PostgresStore.ddl({ schema: name })).toThrow("invalid schema");
  expect(() => PostgresStore.ddl({ table: name })).toThrow("invalid table");
});

test("a name whose derived names exceed 63 bytes is refused with the derived name", () => {
  refuse({ table: "t".repeat(63) }).toThrow(/"t{63}" is too long.*63 bytes/);
  refuse({ schema: "s".repeat(64) }).toThrow(/"s{64}" is too long/);
  refuse({ schema: "s".repeat(40), table: "t".repeat(20) }).toThrow(/too long.*act_commit_s{40}_t{20}/);
});

test("reserved words, upper case and the longest names work, in every verb that names an object", async () => {
  // As long as the index names allow, and with a schema as long as the channel then allows.
  const table = "T".repeat(63 - "_streams_lane_prio_ix".length);
  const schema = "S".repeat(63 - "act_commit__".length - table.length);
  for (const names of [
    { schema, table },
    { schema: "select", table: "user" },
    { schema: "Mixed_1", table: "_" },
  ]) {
    const store = await fixture.seeded({ ...names, notify: true });
    dropLater(names.schema);
    const other = fixture.store({ ...names, notify: true });
    const received: string[] = [];
    await store.notify?.(({ events }) => received.push(...events.map(({ name }) => name)));
    await other.commit("s", [{ name: "Told", data: {}, pii: { a: 1 } }], { correlation: "", causation: {} });
    await expect.poll(() => received, { timeout: 10_000 }).toEqual(["Told"]);
    await store.seed();
    await store.subscribe([{ stream: "t", correlated_at: 1 }]);
    expect(await store.claim(1, 1, "w", 10)).toHaveLength(1);
    expect(await store.truncate([{ stream: "s" }])).toHaveProperty("size", 1);
    await store.restore(async () => {});
    await store.drop();
    const left = await fixture.sql`select relname from pg_class c join pg_namespace n on n.oid = relnamespace
      where nspname = ${names.schema}`;
    expect(left).toEqual([]);
  }
});

test("nothing that seed() makes under the longest name was cut, so that no two names can meet", async () => {
  const table = "t".repeat(63 - "_streams_lane_prio_ix".length);
  await fixture.seeded({ schema: "cut", table });
  dropLater("cut");
  const made = await fixture.sql<{ name: string }[]>`
    select relname as name from pg_class where relname like ${`${table.slice(0, 20)}%`}
    union all select conname from pg_constraint where conname like ${`${table.slice(0, 20)}%`}`;
  expect(made.length).toBeGreaterThan(10);
  for (const { name } of made) expect(name.startsWith(table), name).toBe(true);
});

test("ddl() makes what seed() makes, and seed() then finds nothing to do", async () => {
  const store = fixture.store({ table: "by_hand" });
  await fixture.sql.unsafe(PostgresStore.ddl({ table: "by_hand", schema: store.config.schema }));
  const relations = () => fixture.sql`select relname from pg_class where relname like 'by_hand%' order by 1`;
  const before = await relations();
  await store.seed();
  expect(await relations()).toEqual(before);
  expect(await store.commit("s", [{ name: "A", data: {} }], { correlation: "", causation: {} })).toHaveLength(
    1,
  );
});
