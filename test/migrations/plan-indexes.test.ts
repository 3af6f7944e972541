/** Which definitions of indexes are the same, and how those that differ are replaced. Needs no server. */
import { describe, expect, test } from "vitest";
import { canonicalIndex, concurrently, hasDefinition } from "../../src/migrations/index-definition.ts";
import type { Relation } from "../../src/migrations/introspect.ts";
import { indexSteps } from "../../src/migrations/migration-steps.ts";
import { LARGE_BYTES, planIndex } from "../../src/migrations/plan-indexes.ts";
import { catalogOf, indexOf, names, table } from "./plan-catalog.ts";

const steps = indexSteps(names);
const [, streamId] = steps;
if (!streamId) throw new Error("there is a second index");

test("the store builds its second index under the name that the migration guide uses", () => {
  expect([streamId.name, streamId.next]).toEqual(["carts_stream_id_ix", "carts_next_ix_1"]);
});

test.each([
  ["stream_id_ix", "CREATE INDEX x ON shop.carts USING btree (stream text_pattern_ops, id)"],
  ["stream_ix", "CREATE UNIQUE INDEX x ON ONLY shop.carts USING btree (stream, version)"],
  [
    "snapshot_ix",
    "CREATE INDEX x ON carts USING btree (stream, id) WHERE ((name)::text = '__snapshot__'::text)",
  ],
  ["created_ix", `CREATE INDEX "X y" ON "Shop".carts USING brin (created) WITH (pages_per_range='32')`],
  ["correlation_ix", "CREATE INDEX x ON carts USING btree (((meta ->> 'correlation'::text)))"],
  [
    "streams_prio_ix",
    "CREATE INDEX x ON c USING btree (priority DESC, at) WHERE ((NOT blocked) AND (at < correlated_at) AND (deferred_at IS NULL) AND (priority >= '-2147483648'::integer))",
  ],
])("%s is known as PostgreSQL shows it", (suffix, shown) => {
  const sql = steps.find(({ name }) => name === `carts_${suffix}`)?.sql ?? "";
  expect(canonicalIndex(shown)).toBe(canonicalIndex(sql));
});

test.each([
  "CREATE INDEX x ON carts USING btree (stream, id)",
  "CREATE INDEX x ON carts USING btree (stream, id) WHERE (name <> '__snapshot__'::text)",
  "CREATE INDEX x ON carts USING btree (stream text_pattern_ops, id DESC)",
  "CREATE INDEX x ON carts USING btree (id, stream text_pattern_ops)",
  "CREATE UNIQUE INDEX x ON carts USING btree (stream text_pattern_ops, id)",
  "CREATE INDEX x ON carts USING btree (stream text_pattern_ops, id) INCLUDE (name)",
  `CREATE INDEX x ON carts USING btree (stream COLLATE "C" text_pattern_ops, id)`,
  "CREATE INDEX x ON carts USING brin (stream text_pattern_ops, id)",
])("another index is told from the store's: %s", (shown) => {
  expect(hasDefinition(shown, streamId.sql)).toBe(false);
});

test("what stands in quotes keeps its case", () => {
  const of = (text: string) => canonicalIndex(`CREATE INDEX x ON t USING btree (a) WHERE (name = '${text}')`);
  expect(of("A")).not.toBe(of("a"));
});

test("the statement that builds beside the table's work names schema, table and index", () => {
  expect(concurrently(streamId.sql, "shop", streamId.next)).toBe(
    `CREATE INDEX CONCURRENTLY "carts_next_ix_1" ON "shop"."carts" USING btree ("stream" text_pattern_ops,"id");`,
  );
});

describe("an index with another definition", () => {
  const index = (name: string, definition: string | null, on = "carts", valid = true) =>
    indexOf(on, name, { definition, valid });
  const wrong = "CREATE INDEX x ON shop.carts USING btree (stream, id)";
  const right = "CREATE INDEX x ON shop.carts USING btree (stream text_pattern_ops, id)";
  const plan = (bytes: number | null, relations: readonly Relation[], online = true) => {
    const catalog = catalogOf(table("carts", [], { bytes }), ...relations);
    const { changes, builds } = planIndex(names, catalog, streamId, online);
    return { sql: changes.map(({ sql }) => sql), builds: builds.map(({ done }) => done) };
  };
  const drop = 'drop index "shop"."carts_stream_id_ix"';
  const said = 'index "carts_stream_id_ix" had another definition and is rebuilt';

  test("of a small table is replaced by the transaction", () => {
    expect(plan(LARGE_BYTES - 1, [index(streamId.name, wrong)])).toEqual({
      sql: [drop, streamId.sql],
      builds: [],
    });
  });

  test("of a large table is replaced afterwards", () => {
    expect(plan(LARGE_BYTES, [index(streamId.name, wrong)])).toEqual({ sql: [], builds: [said] });
  });

  test("of a large table is replaced by the transaction where no session is kept, or the table is partitioned", () => {
    for (const found of [
      plan(LARGE_BYTES, [index(streamId.name, wrong)], false),
      plan(null, [index(streamId.name, wrong)]),
    ])
      expect(found).toEqual({ sql: [drop, streamId.sql], builds: [] });
  });

  test("is replaced by the one that was built beforehand, if that one is right", () => {
    const next = streamId.next;
    expect(plan(0, [index(streamId.name, wrong), index(next, right)]).sql).toEqual([
      drop,
      `alter index "shop"."${next}" rename to "${streamId.name}"`,
    ]);
    for (const spoilt of [index(next, wrong), index(next, right, "carts", false)])
      expect(plan(0, [index(streamId.name, wrong), spoilt]).sql).toEqual([
        `drop index "shop"."${next}"`,
        drop,
        streamId.sql,
      ]);
  });

  test("what a build left behind goes, though the index is right", () => {
    const left = [index(streamId.name, right), index(streamId.next, right), index(streamId.old, wrong)];
    expect(plan(0, left).sql).toEqual(
      [streamId.next, streamId.old].map((name) => `drop index "shop"."${name}"`),
    );
    expect(plan(LARGE_BYTES, left).builds).toEqual(['index "carts_stream_id_ix" is complete']);
  });

  test("whose definition could not be read counts as right", () => {
    expect(plan(LARGE_BYTES, [index(streamId.name, null)])).toEqual({ sql: [], builds: [] });
  });

  test("of another table is left alone, whichever of its names it has", () => {
    for (const name of [streamId.name, streamId.next, streamId.old])
      expect(() => plan(0, [index(name, right, "theirs")])).toThrow(/is not an index of "carts": rename it/);
  });
});
