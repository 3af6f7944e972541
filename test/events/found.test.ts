/** What a page finds does not depend on how it is found: compared with a filter in JavaScript, at the sizes where a page changes its way. */
import type { Query } from "@rotorsoft/act";
import { beforeAll, describe, expect, test } from "vitest";
import { PostgresStore } from "../../src/index.ts";
import { useDatabase } from "../postgres/fixture.ts";

const fixture = useDatabase();
const COUNT = 44_000;
const HALF = COUNT / 2;
const START = Date.UTC(2026, 0, 1);
const at = (n: number) => new Date(START + n * 1_000);

type Row = { id: number; stream: string; name: string; correlation: string; created: number };

/**
 * The first half has `old:` in blocks and a name of its own, the second has neither. Each hundredth event was made an
 * hour earlier than its place in the log says, as an import may bring it.
 */
const row = (id: number): Row => ({
  id,
  stream: id <= HALF ? `old:${id % 7}${id % 2 ? "" : "x"}` : `new-${id % 5}`,
  name: id <= HALF ? (id % 3 === 0 ? "Gone" : "Placed") : id % 500 === 0 ? "Rare" : "Paid",
  correlation: id <= 1_002 ? "many" : `c-${Math.floor(id / 300)}`,
  created: START + (id % 100 === 0 ? id - 3_600 : id) * 1_000,
});
const rows = Array.from({ length: COUNT }, (_, i) => row(i + 1));

let store: PostgresStore;
beforeAll(async () => {
  store = new PostgresStore({ ...fixture.parts, table: "found" });
  await store.seed();
  const { schema, table } = store.config;
  await fixture.sql.unsafe(
    `insert into "${schema}"."${table}" (id, stream, version, name, data, meta, created)
     select id, stream, id, name, '{}', jsonb_build_object('correlation', correlation), to_timestamp(created / 1000)
     from jsonb_to_recordset($1::jsonb) as x(id int, stream text, name text, correlation text, created float8)`,
    [rows as never],
  );
  return () => store.dispose();
});

function expected(query: Query): number[] {
  const pattern = query.stream ? new RegExp(query.stream) : undefined;
  const found = rows.filter(
    (r) =>
      (!pattern || pattern.test(r.stream)) &&
      (!query.names || query.names.includes(r.name)) &&
      (!query.correlation || r.correlation === query.correlation) &&
      (query.after === undefined || r.id > query.after) &&
      (query.before === undefined || r.id < query.before) &&
      (!query.created_after || r.created > query.created_after.getTime()) &&
      (!query.created_before || r.created < query.created_before.getTime()),
  );
  const ids = found.map(({ id }) => id);
  return (query.backward ? ids.toReversed() : ids).slice(0, query.limit);
}

const filters: readonly (readonly [string, Query])[] = [
  ["nothing", {}],
  ["a prefix of more than can be sorted", { stream: "^old:" }],
  ["a prefix of thousands", { stream: "^old:1" }],
  ["a prefix with an ending", { stream: "^old:.x$" }],
  ["a prefix of none", { stream: "^none" }],
  ["a name that is no longer used", { names: ["Gone"] }],
  ["a rare name among others", { names: ["Rare", "Gone", "Absent", "Rare"] }],
  ["a name in a prefix", { stream: "^new-", names: ["Rare"] }],
  ["a correlation of more than are read", { correlation: "many" }],
  ["a correlation of few", { correlation: "c-100" }],
  ["a correlation in a prefix, by name", { correlation: "many", stream: "^old:2", names: ["Gone"] }],
  ["a window of few", { created_after: at(30_000), created_before: at(30_200) }],
  ["a window of thousands", { created_after: at(10_000), created_before: at(19_000) }],
  ["a window without an end", { created_after: at(15_000) }],
  ["a window without a beginning", { created_before: at(5_000) }],
  ["a window of a prefix, by names", { created_after: at(100), stream: "^old:3", names: ["Gone", "Placed"] }],
  ["a window of a rare name", { created_after: at(20_000), names: ["Rare"] }],
];

describe.each(filters)("%s", (_, filter) => {
  test.each([
    ["with a limit", { limit: 10 }],
    ["with a limit of hundreds", { limit: 300 }],
    ["from the middle", { after: HALF - 100, limit: 20 }],
    ["between two ids", { after: 5_000, before: 23_000, limit: 17 }],
    ["of all", {}],
  ])("%s, forward and backward", async (_, bounds) => {
    for (const backward of [false, true]) {
      const query = { ...filter, ...bounds, backward };
      const ids: number[] = [];
      await store.query(({ id }) => void ids.push(id), query);
      expect(ids).toEqual(expected(query));
    }
  });
});
