/** What a migration plans for each state of the catalog. Needs no server. */
import { describe, expect, test } from "vitest";
import type { Catalog, ColumnInfo, Relation } from "../../src/migrations/introspect.ts";
import { migrationSteps } from "../../src/migrations/migration-steps.ts";
import { type Plan, planMigration } from "../../src/migrations/plan.ts";
import { withRecord } from "../../src/migrations/record.ts";
import { planSequence, type SequenceInfo } from "../../src/migrations/sequence.ts";
import { migrations } from "../../src/migrations/sql.generated.ts";
import { catalogOf, column, EMPTY, indexOf, names, table } from "./plan-catalog.ts";

/** PostgreSQL's name of a type that a migration gives to a column, and the column's default. */
function asColumn({ name, definition }: { name: string; definition: string }): ColumnInfo {
  const [type = ""] = definition.split(/ (?=NOT NULL|PRIMARY|DEFAULT)/);
  const [, value = null] = /DEFAULT ('?[^ ]+)/.exec(definition) ?? [];
  return column(name, type.replace("bigserial", "bigint"), value);
}

/** The relations that the first `count` migrations leave behind, as the catalog shows them. */
function migrated(count = migrations.length): Map<string, Relation> {
  const relations = new Map<string, Relation>();
  const tags = migrations.slice(0, count).reduce((sum, { statements }) => sum + statements.length, 0);
  for (const step of migrationSteps(names).slice(0, tags)) {
    const found = relations.get(step.name);
    if (step.kind === "index")
      relations.set(step.name, indexOf(step.table, step.name, { unique: step.unique }));
    else if (step.kind === "storage") {
      const options = step.options.map(({ name, value }) => `${name}=${value}`);
      if (found) relations.set(step.name, { ...found, options: [...found.options, ...options] });
    } else
      relations.set(
        step.name,
        table(step.name, [...(found?.columns ?? []), ...step.columns.map(asColumn)], {
          options: found?.options ?? [],
        }),
      );
  }
  return relations;
}

/** The tables of this release, with some relations in another state. */
function current(changed: Record<string, Partial<Relation> | undefined> = {}): Catalog {
  const relations = migrated();
  for (const [name, change] of Object.entries(changed)) {
    const found = relations.get(name);
    if (change === undefined) relations.delete(name);
    else if (found) relations.set(name, { ...found, ...change });
  }
  return catalogOf(...relations.values());
}

const columnsOf = (name: string) => migrated().get(name)?.columns ?? [];
const without = (name: string, ...left: string[]) => ({
  columns: columnsOf(name).filter((found) => !left.includes(found.name)),
});

function planOf(catalog: Catalog): Plan {
  const plan = planMigration(names, catalog);
  if (!plan) throw new Error("The tables count as up to date");
  return plan;
}
const doneBy = (catalog: Catalog) => planOf(catalog).changes.flatMap(({ done }) => done ?? []);
const sqlOf = (catalog: Catalog) => planOf(catalog).changes.map(({ sql }) => sql);

const RECORD = withRecord(undefined);
const COMMENT = `comment on table "shop"."carts" is '${RECORD}'`;
const SEARCH_PATH = 'set local search_path = "shop"';
const recorded = { comment: RECORD };

describe("an empty database", () => {
  test("gets the schema, every table and every index, and the record at the end", () => {
    const catalog = { ...EMPTY, schemaExists: false };
    const steps = migrationSteps(names);
    expect(planOf(catalog).locks).toEqual([]);
    expect(sqlOf(catalog).slice(0, 2)).toEqual(['create schema "shop"', SEARCH_PATH]);
    expect(sqlOf(catalog).at(-1)).toBe(COMMENT);
    expect(sqlOf(catalog)).toHaveLength(steps.length + 3);
    const indexes = steps.filter(({ kind }) => kind === "index");
    expect(doneBy(catalog)).toEqual(
      expect.arrayContaining([
        'schema "shop" created',
        'table "carts" created',
        'table "carts_streams" created',
        'table "carts_correlated" created',
        ...indexes.map(({ name }) => `index "${name}" created`),
      ]),
    );
  });

  test("gets no schema that it has", () => {
    expect(sqlOf(EMPTY)[0]).toBe(SEARCH_PATH);
  });
});

describe("tables of this release", () => {
  test("need nothing", () => {
    expect(planMigration(names, current({ carts: recorded }))).toBeUndefined();
  });

  test("that were made by drizzle-kit push are only recorded", () => {
    expect(sqlOf(current())).toEqual([SEARCH_PATH, COMMENT]);
  });

  test("keep what a user wrote into the comment", () => {
    expect(sqlOf(current({ carts: { comment: "It's ours." } })).at(-1)).toBe(
      `comment on table "shop"."carts" is 'It''s ours. ${RECORD}'`,
    );
  });

  test("get back a column that push dropped, although the record says that it is there", () => {
    const catalog = current({ carts: { ...recorded, ...without("carts", "token") } });
    expect(sqlOf(catalog)).toContain('alter table "shop"."carts" add column "token" uuid');
    expect(doneBy(catalog)).toEqual(['column "carts"."token" added']);
  });

  test("are not recorded by a role that does not own them, and need nothing from it", () => {
    expect(sqlOf(current({ carts: { owned: false } }))).toEqual([]);
  });

  test("get no storage options from a role that does not own them", () => {
    const foreign = { owned: false, options: [] };
    expect(sqlOf(current({ carts: foreign, carts_streams: foreign }))).toEqual([]);
  });

  test("keep the storage options that somebody chose", () => {
    const [set = ""] = sqlOf(current({ carts_streams: { options: ["fillfactor=70"] } })).filter((sql) =>
      sql.includes(" set ("),
    );
    expect(set).toMatch(/^alter table "shop"\."carts_streams" set \(.*autovacuum/);
    expect(set).not.toContain("fillfactor");
  });
});

test("tables of release 0.1.0 get the new columns and indexes, and nothing else", () => {
  const relations = migrated(2);
  const events = relations.get("carts");
  if (!events) throw new Error("The first migration creates the events table");
  relations.set("carts", { ...events, comment: "[act-drizzle schema 2]" });
  expect(doneBy(catalogOf(...relations.values()))).toEqual([
    'column "carts"."token" added',
    ...["created_id_ix", "streams_lane_due_ix", "streams_blocked_ix"].map(
      (ix) => `index "carts_${ix}" created`,
    ),
    'column "carts_streams"."skipped" added',
    'index "carts_streams_skipped_ix" created',
  ]);
});

test("tables that only a newer release can work on are refused", () => {
  const newer = current({ carts: { comment: "[act-drizzle schema 99]" } });
  expect(() => planMigration(names, newer)).toThrow(/was made by a newer act-drizzle \(schema 99, /);
});

test("tables that a newer release migrated, and that this one can work on, need nothing", () => {
  const newer = { comment: "[act-drizzle schema 2] [act-drizzle migrated 99]" };
  expect(planMigration(names, current({ carts: newer }))).toBeUndefined();
});

describe("an index", () => {
  const stream = "carts_stream_ix";

  test("that is missing is created, and the tables are analyzed", () => {
    expect(doneBy(current({ [stream]: undefined }))).toEqual([`index "${stream}" created`]);
    expect(sqlOf(current({ [stream]: undefined }))).toContain(
      'analyze "shop"."carts", "shop"."carts_streams"',
    );
  });

  test("that is invalid is dropped and created again", () => {
    const invalid = current({
      [stream]: { index: { table: "carts", unique: true, valid: false, definition: null } },
    });
    expect(sqlOf(invalid).slice(1, 3)).toEqual([
      `drop index "shop"."${stream}"`,
      expect.stringMatching(/^CREATE UNIQUE INDEX .*"carts_stream_ix" ON "carts"/),
    ]);
    expect(doneBy(invalid)).toEqual([`index "${stream}" was invalid and is rebuilt`]);
  });

  test("that should be unique and is not is refused", () => {
    const repeating = current({
      [stream]: { index: { table: "carts", unique: false, valid: true, definition: null } },
    });
    expect(() => planMigration(names, repeating)).toThrow(/the index .* is not unique: drop it/);
  });

  test.each([
    ["of another table", indexOf("orders", stream, { unique: true })],
    ["that is a sequence", table(stream, [], { kind: "S" })],
  ])("%s is not touched", (_, relation) => {
    expect(() => planMigration(names, current({ [stream]: relation }))).toThrow(
      /"carts_stream_ix" is not an index of "carts": rename it/,
    );
  });
});

test.each([
  ["a table of another application", "carts", table("carts", [column("id", "uuid")]), /column "id" is uuid/],
  ["a table without the columns", "carts", table("carts", [column("id", "bigint")]), /has no column "name"/],
  [
    "another table where the subscriptions belong",
    "carts_streams",
    table("carts_streams", [column("stream", "text"), column("url", "text")]),
    /it has no column "at"/,
  ],
  [
    "another table where the checkpoints belong",
    "carts_correlated",
    table("carts_correlated", [column("key", "text"), column("at", "date")]),
    /its column "at" is date/,
  ],
  ["a view", "carts_correlated", table("carts_correlated", [], { kind: "v" }), /it is not a table/],
])("%s is in the way, and is left alone", (_, name, relation, reason) => {
  const refused = () => planMigration(names, catalogOf(relation));
  expect(refused).toThrow(`"shop"."${name}" does not belong to this store, `);
  expect(refused).toThrow(reason);
});

describe("tables of act-pg", () => {
  const events = (type: string) =>
    table("carts", [
      column("id", "integer", "nextval('carts_id_seq'::regclass)"),
      column("name", type),
      column("data", "jsonb"),
      column("stream", type),
      column("version", "integer"),
      column("created", "timestamp with time zone", "now()"),
      column("meta", "jsonb"),
    ]);
  const streams = (...columns: readonly ColumnInfo[]) =>
    table("carts_streams", [
      column("stream", "text"),
      column("at", "integer", "'-1'::integer"),
      column("blocked", "boolean", "false"),
      ...columns,
    ]);
  const retry = column("retry", "integer", "'-1'::integer");
  const marked = column("correlated_at", "integer");
  const alterStreams = (what: string) => `alter table "shop"."carts_streams" ${what}`;
  const alterCorrelated = (what: string) => `alter table "shop"."carts_correlated" ${what}`;
  const adoption = (...relations: readonly Relation[]) =>
    sqlOf(catalogOf(...relations)).filter((sql) =>
      /^(alter table .* (alter|rename|drop|add [a-z]+ [(a-z])|insert|with)/.test(sql),
    );

  test("0.4.6: its counter of retries is moved down by one, its uuids and varchars become text", () => {
    const found = [
      events("character varying(100)"),
      table("carts_streams", [
        column("stream", "character varying(100)"),
        column("at", "integer", "'-1'::integer"),
        column("retry", "smallint", "0"),
        column("blocked", "boolean", "false"),
        column("leased_at", "integer"),
        column("leased_by", "uuid"),
        column("leased_until", "timestamp with time zone"),
      ]),
    ];
    expect(adoption(...found)).toEqual([
      'alter table "shop"."carts" alter column name type text',
      'alter table "shop"."carts" alter column stream type text',
      alterStreams("alter column stream type text"),
      alterStreams("alter column leased_by type text"),
      alterStreams("alter column retry type integer using retry - 1"),
      alterStreams("alter column retry set default -1"),
      alterStreams("add column correlated_at integer"),
      expect.stringContaining("set correlated_at = head.id"),
    ]);
    expect(planOf(catalogOf(...found)).locks.map(({ sql }) => sql)).toEqual([
      'lock table "shop"."carts" in access exclusive mode',
      'lock table "shop"."carts_streams" in access exclusive mode',
    ]);
  });

  test("later ones: a smallint counter is widened and keeps its values", () => {
    expect(adoption(events("text"), streams(column("retry", "smallint", "'-1'::integer"), marked))).toEqual([
      alterStreams("alter column retry type integer"),
      expect.stringContaining("set correlated_at"),
    ]);
  });

  test("a default of 0 becomes -1, with which new subscriptions start", () => {
    expect(adoption(events("text"), streams(column("retry", "integer", "0"), marked))[0]).toBe(
      alterStreams("alter column retry set default -1"),
    );
  });

  test("a defer in milliseconds becomes a point in time", () => {
    const found = [events("text"), streams(retry, marked, column("deferred_at", "bigint"))];
    expect(adoption(...found)[0]).toBe(
      alterStreams(
        "alter column deferred_at type timestamp with time zone using to_timestamp(deferred_at / 1000.0)",
      ),
    );
    expect(doneBy(catalogOf(...found))[0]).toBe(
      '"carts_streams"."deferred_at" bigint -> timestamp with time zone',
    );
  });

  test("a layout that lacks nothing but columns is completed without exclusive locks", () => {
    const found = catalogOf(events("text"), streams(retry, marked));
    expect(planOf(found).locks).toEqual([]);
    expect(doneBy(found)).toEqual(
      expect.arrayContaining([
        'column "carts"."pii" added',
        'column "carts_streams"."lane" added',
        'table "carts_correlated" created',
      ]),
    );
  });

  test("new columns that hold ids are as narrow as the ids of the log", () => {
    const sql = sqlOf(catalogOf(events("text"), streams(retry, marked)));
    expect(sql.find((text) => text.includes('"carts_correlated" ('))).toContain(`"at" integer DEFAULT`);
  });

  test("one checkpoint in a row with an id becomes the shared one", () => {
    const correlated = table(
      "carts_correlated",
      [column("id", "integer", "1"), column("at", "integer", "-1")],
      {
        primaryKey: "carts_correlated_pkey",
      },
    );
    expect(adoption(correlated)).toEqual([
      expect.stringMatching(/^insert into "shop"\."carts_correlated" \(at\) select -1 where not exists/),
      alterCorrelated('drop constraint "carts_correlated_pkey"'),
      alterCorrelated("alter column id drop not null, alter column id drop default"),
      alterCorrelated("add unique (id)"),
      alterCorrelated("add column key text not null default ''"),
      alterCorrelated("add primary key (key)"),
    ]);
    const done = doneBy(catalogOf(correlated));
    expect(done).toContain('column "carts_correlated"."leased_by" added');
    expect(done).not.toContain('column "carts_correlated"."key" added');
  });

  test("the checkpoint's older name is changed first", () => {
    const correlated = table("carts_correlated", [
      column("id", "integer"),
      column("correlated_at", "integer"),
    ]);
    expect(adoption(correlated)[0]).toBe(alterCorrelated("rename column correlated_at to at"));
  });

  test("checkpoints by key only lose the limit of their texts", () => {
    const correlated = table("carts_correlated", [
      column("key", "character varying(100)"),
      column("at", "integer"),
    ]);
    expect(adoption(correlated)).toEqual([alterCorrelated("alter column key type text")]);
  });

  test("a view that shows a column whose type has to change is named", () => {
    const found = events("character varying(100)");
    const columns = found.columns.map((c) =>
      c.name === "stream" ? { ...c, users: ["view shop.report"] } : c,
    );
    expect(() => planMigration(names, catalogOf({ ...found, columns }))).toThrow(
      'the type of "shop"."carts"."stream" has to change, but the column is used by view shop.report: drop what uses it',
    );
  });

  test("a view that shows a column whose type stays is no obstacle", () => {
    const found = events("text");
    const columns = found.columns.map((c) => ({ ...c, users: ["view shop.report"] }));
    expect(doneBy(catalogOf({ ...found, columns }))).toContain('column "carts"."pii" added');
  });
});

describe("the sequence of the ids", () => {
  const sequence: SequenceInfo = {
    name: "shop.carts_id_seq",
    owned: true,
    cache: 1,
    increment: 1,
    cycles: false,
    unbounded: false,
    unlogged: false,
    behind: false,
  };
  const statements = (over: Partial<SequenceInfo>) =>
    planSequence({ ...sequence, ...over }).map(({ sql }) => sql);

  test.each<[string, Partial<SequenceInfo>, string]>([
    ["caches", { cache: 50 }, "cache 1"],
    ["begins again after its maximum", { cycles: true }, "no cycle"],
    ["is set back by a crash", { unlogged: true }, "set logged"],
    ["goes beyond what a JavaScript number holds", { unbounded: true }, "maxvalue 9007199254740991"],
  ])("that %s is altered", (_, over, change) => {
    expect(statements(over)).toEqual([`alter sequence shop.carts_id_seq ${change}`]);
  });

  test("is left alone if it is in order, or only too long and another role's", () => {
    expect([...statements({}), ...statements({ increment: 5 })]).toEqual([]);
    expect(statements({ unbounded: true, owned: false })).toEqual([]);
  });
});
