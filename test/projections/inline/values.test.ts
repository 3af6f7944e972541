/** Values that an inline handler sends and reads are what they are with Drizzle on node-postgres. */
import { type SQL, sql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/node-postgres";
import {
  bigint,
  boolean,
  customType,
  date,
  doublePrecision,
  integer,
  jsonb,
  numeric,
  type PgDatabase,
  pgEnum,
  pgTable,
  point,
  text,
  timestamp,
  uuid,
} from "drizzle-orm/pg-core";
import { beforeAll, expect, onTestFinished, test } from "vitest";
import { inline } from "../../../src/projections/index.ts";
import { nodePool } from "../../support/node-pool.ts";
import { tables } from "../fixture.ts";
import { deposited, events, meta, useModels } from "./fixture.ts";

const models = useModels();

const bytes = customType<{ data: Buffer }>({ dataType: () => "bytea" });
const mood = pgEnum("mood", ["sad", "ok"]);
const things = pgTable("things", {
  id: integer("id").primaryKey(),
  big: bigint("big", { mode: "bigint" }),
  exact: numeric("exact"),
  at: timestamp("at", { withTimezone: true }),
  local: timestamp("local"),
  day: date("day"),
  json: jsonb("json"),
  bytes: bytes("bytes"),
  mood: mood("mood"),
  point: point("point"),
  flags: boolean("flags").array(),
  texts: text("texts").array(),
  grid: integer("grid").array().array(),
  ratios: doublePrecision("ratios").array(),
  bigs: bigint("bigs", { mode: "bigint" }).array(),
  days: date("days").array(),
  times: timestamp("times").array(),
  documents: jsonb("documents").array(),
  moods: mood("moods").array(),
  ids: uuid("ids").array(),
});
const thing: typeof things.$inferInsert = {
  id: 1,
  big: 9_007_199_254_740_993n,
  exact: "1.20",
  at: new Date(1e12),
  local: new Date(1e12),
  day: "2024-01-02",
  json: { a: [1, "2"] },
  bytes: Buffer.from("00ff61", "hex"),
  mood: "ok",
  point: [1, 2],
  flags: [true, false],
  texts: ["", "a,b", "null", "NULL", 'q"\\', "{}", " ä\n"],
  grid: [
    [1, 2],
    [3, 4],
  ],
  ratios: [0.1, 2],
  bigs: [9_007_199_254_740_993n],
  days: ["2024-01-02"],
  times: [new Date(1e12)],
  documents: [{ a: '"' }, [1]],
  moods: ["ok"],
  ids: ["6f7a0e2c-7c5b-4b0e-9a53-4e0d1c1d7d10"],
};

const EXPRESSIONS: readonly SQL[] = [
  sql`array[1, null]`,
  sql`array['a,b', null, 'NULL', 'q"\\', '']`,
  sql`array[true, null, false]`,
  sql`'{}'::int[]`,
  sql`null::int[]`,
  sql`'{{1,2},{3,4}}'::int[]`,
  sql`'[0:1]={1,2}'::int[]`,
  sql`array[1.5, null]::numeric[]`,
  sql`array[1]::int8[]`,
  sql`array['NaN', '1.5']::float8[]`,
  sql`array['2024-01-02']::date[]`,
  sql`array['2024-01-02 00:00Z']::timestamptz[]`,
  sql`array['{"a":"\\""}', null]::jsonb[]`,
  sql`array['\\x00ff']::bytea[]`,
  sql`array['a']::char(3)[]`,
  sql`array['a']::name[]`,
  sql`array['ok']::mood[]`,
  sql`'2024-01-02'::date`,
  sql`'2024-01-02 00:00Z'::timestamptz`,
  sql`interval '1 day'`,
  sql`1.5::numeric`,
  sql`1::int8`,
  ...[[1, 2], [], ["a", 'b"\\'], [null, "NULL"], [true], [[1], [2]], [{ a: 1 }], [1n]].map(
    (list) => sql`${sql.param(list)}::text[]`,
  ),
  sql`${sql.param([Buffer.from("ff00", "hex")])}::bytea[]`,
  sql`${sql.param([new Date(1e12)])}::timestamptz[]`,
  sql`${sql.param({ a: 1 })}::jsonb`,
  sql`3 = any(${sql.param([3])})`,
];

// biome-ignore lint/suspicious/noExplicitAny: transactions of two drivers.
type Tx = Pick<PgDatabase<any>, "insert" | "select" | "delete">;

async function valuesOf(tx: Tx): Promise<unknown> {
  await tx.delete(things);
  const returned = await tx.insert(things).values(thing).returning();
  const read: unknown[] = [];
  for (const value of EXPRESSIONS)
    read.push(
      await tx
        .select({ value })
        .from(things)
        .then(([row]) => row?.value),
    );
  return { returned, selected: await tx.select().from(things), read };
}

beforeAll(async () => {
  for (const statement of await tables({ mood, things })) await models.fixture.sql.unsafe(statement);
});

test("the values of columns, expressions and parameters are those of node-postgres", async () => {
  const { host, port, user, password, database } = models.fixture.parts;
  const pool = nodePool({ host, port, user, password, database });
  onTestFinished(() => pool.end());
  const expected = await drizzle(pool).transaction(valuesOf);
  expect(expected).toMatchObject({ returned: [thing], selected: [thing] });

  let values: unknown;
  const store = await models.open({
    inline: inline({
      events,
      on: {
        Deposited: async (_, tx) => {
          values = await valuesOf(tx);
        },
      },
      timeout: 30_000,
    }),
  });
  await store.commit("s", [deposited(1)], meta);
  expect(values).toEqual(expected);
});
