/** Tables that were copied without their keys: seed() adds these, or says why it cannot. */
import { describe, expect, test } from "vitest";
import { Admin } from "../../src/admin/index.ts";
import { planMigration } from "../../src/migrations/plan.ts";
import type { TableName } from "../order/lock.ts";
import { causeOf, MigrationFixture, meta, recordLog, tablesOf } from "./fixture.ts";
import { catalogOf, column, names, table } from "./plan-catalog.ts";

const fixture = new MigrationFixture();
const event = { name: "Kept", data: {} };

/** A store's tables with five events and a subscription, copied without keys and indexes. */
async function copied(): Promise<TableName> {
  const name = fixture.name();
  const store = await fixture.seeded(name);
  for (let n = 0; n < 5; n++) await store.commit(`s${n}`, [event], meta);
  await store.subscribe([{ stream: "t", source: "s1", correlated_at: 4 }], 4);
  await store.dispose();
  const { schema, table: log } = name;
  for (const [of, column] of [
    [log, "id"],
    [`${log}_streams`, "stream"],
    [`${log}_correlated`, "key"],
  ]) {
    await fixture.sql.unsafe(`alter table "${schema}"."${of}" rename to "${of}_old"`);
    await fixture.sql.unsafe(`create table "${schema}"."${of}" (like "${schema}"."${of}_old" including defaults);
      insert into "${schema}"."${of}" select * from "${schema}"."${of}_old" order by ${column};
      ${of === log ? `alter sequence "${schema}"."${log}_id_seq" owned by "${schema}"."${log}".id;` : ""}
      drop table "${schema}"."${of}_old"`);
  }
  return name;
}

const keysOf = async ({ schema, table: log }: TableName) => {
  const rows = await fixture.sql<
    { key: string }[]
  >`select i.indrelid::regclass || ' ' || pg_get_indexdef(x.oid, 1, true)
      || case when i.indisprimary then ' primary' else '' end as key
    from pg_index i join pg_class x on x.oid = i.indexrelid join pg_class t on t.oid = i.indrelid
    where t.relnamespace = ${schema}::regnamespace and t.relname like ${`${log}%`} and i.indisunique and i.indnkeyatts = 1
    order by 1`;
  return rows.map(({ key }) => key);
};

test("tables that were copied without keys get them, and every verb works", async () => {
  const name = await copied();
  const store = fixture.store(name);
  const lines = recordLog("info");
  await store.seed();
  for (const key of ["", "_streams", "_correlated"])
    expect(lines[0]).toContain(`key on "${name.table}${key}"`);
  expect(await keysOf(name)).toEqual([
    `${name.table} id primary`,
    `${name.table}_correlated key primary`,
    `${name.table}_streams stream primary`,
  ]);
  expect(await store.subscribe([{ stream: "u", source: "s2", correlated_at: 5 }], 5)).toMatchObject({
    subscribed: 1,
  });
  expect((await store.claim(5, 5, "w", 1_000)).map(({ stream }) => stream).toSorted()).toEqual(["t", "u"]);
  const done = lines.length;
  await store.seed();
  expect(lines.slice(done)).toEqual([]);
});

test("a store that lost a key after it was set up gets it at the next boot, and doctor tells before", async () => {
  const name = fixture.name();
  const store = await fixture.seeded(name);
  await fixture.sql.unsafe(
    `alter table ${tablesOf(name).streams} drop constraint "${name.table}_streams_pkey"`,
  );
  expect(await new Admin(store).doctor({ listen: false })).toContainEqual(
    expect.objectContaining({
      code: "schema-drift",
      found: expect.stringContaining(`key on "${name.table}_streams"."stream" added`),
    }),
  );
  await store.seed();
  expect(await keysOf(name)).toContain(`${name.table}_streams stream primary`);
});

test("a unique index serves as well, and nothing is added", async () => {
  const name = fixture.name();
  await fixture.seeded(name);
  const { events, streams, correlated } = tablesOf(name);
  await fixture.sql.unsafe(`alter table ${streams} drop constraint "${name.table}_streams_pkey";
    create unique index on ${streams} (stream);
    alter table ${correlated} drop constraint "${name.table}_correlated_pkey", add unique (key);
    alter table ${events} drop constraint "${name.table}_pkey"; create unique index on ${events} (id)`);
  const before = await keysOf(name);
  const lines = recordLog("info");
  const store = await fixture.seeded(name);
  expect(lines).toEqual([]);
  expect(await keysOf(name)).toEqual(before);
  expect(await store.subscribe([{ stream: "t", correlated_at: 1 }], 1)).toMatchObject({ subscribed: 1 });
});

test.each([
  ["on some rows only", (streams: string) => `create unique index on ${streams} (stream) where not blocked`],
  ["on more columns", (streams: string) => `create unique index on ${streams} (stream, lane)`],
])("a key that is %s is no key, and seed() adds one", async (_, make) => {
  const name = fixture.name();
  await fixture.seeded(name);
  const { streams } = tablesOf(name);
  await fixture.sql.unsafe(
    `alter table ${streams} drop constraint "${name.table}_streams_pkey"; ${make(streams)}`,
  );
  const store = await fixture.seeded(name);
  expect(await store.subscribe([{ stream: "t", correlated_at: 1 }], 1)).toMatchObject({ subscribed: 1 });
});

test.each([
  [
    "events",
    "id",
    "insert into % (id, name, data, stream, version, meta) values (1, 'E', '{}', 'x', 0, '{}')",
  ],
  ["streams", "stream", "insert into % (stream) values ('t')"],
  ["correlated", "key", "insert into % (key) values ('')"],
] as const)(
  "a duplicate in %s is refused with what to do, and nothing is changed",
  async (of, by, insert) => {
    const name = await copied();
    await fixture.sql.unsafe(insert.replace("%", tablesOf(name)[of]));
    const message = await causeOf(fixture.store(name).seed());
    expect(message).toContain(
      `${tablesOf(name)[of]} has no primary key, and cannot get one: 1 of its rows have no "${by}", or that of another row`,
    );
    expect(message).toMatch(/Correct them \(.+\), and call seed\(\) again\. Nothing was changed/);
    expect(await keysOf(name)).toEqual([]);
  },
);

test("a deferrable key is refused with what to do", async () => {
  const name = fixture.name();
  const store = await fixture.seeded(name);
  const { streams } = tablesOf(name);
  const drop = `alter table ${streams} drop constraint "${name.table}_streams_pkey"`;
  await fixture.sql.unsafe(`${drop}; alter table ${streams} add primary key (stream) deferrable`);
  expect(await causeOf(store.seed())).toBe(
    `the key of ${streams} is deferrable, and subscribe() fails with such a key: drop its constraint, and call seed() again. Nothing was changed`,
  );
  await fixture.sql.unsafe(drop);
  await store.seed();
  expect(await store.subscribe([{ stream: "t", correlated_at: 1 }], 1)).toMatchObject({ subscribed: 1 });
});

describe("a role that does not own the tables", () => {
  const tables = (lacking: string) => {
    const of = (name: string, first: string, ...rest: string[]) =>
      table(
        name,
        [first, ...rest].map((each) => column(each, "text")),
        {
          owned: false,
          ...(name === lacking ? { keys: [] } : {}),
        },
      );
    const log = of("carts", "id");
    const integers = (relation: typeof log, columns: Record<string, string>) => ({
      ...relation,
      columns: Object.entries(columns).map(([name, type]) => column(name, type)),
    });
    return catalogOf(
      integers(log, {
        ...{ id: "bigint", name: "text", data: "jsonb", stream: "text", version: "integer" },
        ...{ created: "timestamp with time zone", meta: "jsonb" },
      }),
      integers(of("carts_streams", "stream"), {
        ...{ stream: "text", at: "bigint", retry: "integer", blocked: "boolean", correlated_at: "bigint" },
      }),
      integers(of("carts_correlated", "key"), { key: "text", at: "bigint" }),
    );
  };

  test.each([
    ["carts_streams", "stream"],
    ["carts_correlated", "key"],
  ])("is told what the owner has to run for %s", (lacking, by) => {
    expect(() => planMigration(names, tables(lacking))).toThrow(
      `"shop"."${lacking}" has no primary key, without which subscribe() fails, and the role may not add it: as its owner run: alter table "shop"."${lacking}" add primary key ("${by}"). Nothing was changed`,
    );
  });

  test("may work on a log without one", () => {
    const changes = planMigration(names, tables("carts"))?.changes ?? [];
    expect(changes.filter(({ sql }) => sql.includes("primary key"))).toEqual([]);
  });
});
