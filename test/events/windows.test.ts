/** Large pages of a prefix or a created window, where matches are dense, end, and come again far behind. */
import type { Query } from "@rotorsoft/act";
import { afterAll, beforeAll, expect, test } from "vitest";
import { PostgresStore } from "../../src/index.ts";
import { useDatabase } from "../postgres/fixture.ts";

const fixture = useDatabase();
/** More than a large page reads in the log before it asks the filter's index. */
const GAP = 17_000;
/** Ids of what matches: dense, every fifth, and dense again behind a gap. */
const PARTS = { dense: [1, 1_500], thin: [1_501, 4_000], again: [4_001 + GAP, 5_000 + GAP] } as const;
const LAST = 5_000 + GAP + 700;

let store: PostgresStore;
let wanted: number[];

beforeAll(async () => {
  store = new PostgresStore({ ...fixture.parts, table: "windows" });
  await store.seed();
  const { table } = store.config;
  await fixture.sql.unsafe(`insert into ${table} (stream, version, name, data, meta, dates, created)
    select case when hit then 'in-' else 'out-' end || n, 0, case n % 3 when 0 then 'A' when 1 then 'B' else '__snapshot__' end,
      '{}', '{"correlation":"","causation":{}}', '{}',
      case when hit then timestamptz '2026-03-01Z' else timestamptz '2026-01-01Z' end + n * interval '1 ms'
    from (
      select n, n between ${PARTS.dense.join(" and ")} or (n between ${PARTS.thin.join(" and ")} and n % 5 = 0)
        or n between ${PARTS.again.join(" and ")} as hit
      from generate_series(1, ${LAST}) n
    ) s order by n`);
  const rows = await fixture.sql.unsafe(`select id from ${table} where stream like 'in-%' order by id`);
  wanted = rows.map(({ id }) => Number(id));
});

afterAll(() => store.dispose());

const filters: Record<string, Query> = {
  "a prefix": { stream: "^in-" },
  "a prefix and a pattern": { stream: "^in-\\d+$" },
  "a created window": { created_after: new Date("2026-02-01T00:00:00Z") },
};

const idsOf = async (query: Query): Promise<number[]> => {
  const found: number[] = [];
  await store.query(({ id }) => void found.push(id), { ...query, with_snaps: true });
  return found;
};

test.each(Object.keys(filters))(
  "%s gives every event once, in both directions, from any id, at any limit",
  async (of) => {
    const filter = filters[of] ?? {};
    for (const after of [undefined, 700, 1_499, 1_500, 3_990, 4_000, 4_000 + GAP, LAST - 900, LAST]) {
      const rest = wanted.filter((id) => id > (after ?? 0));
      for (const limit of [undefined, 1, 256, 257, 1_000, 3_000]) {
        const query = { ...filter, ...(after !== undefined && { after }), ...(limit && { limit }) };
        expect(await idsOf(query), `after ${after}, limit ${limit}`).toEqual(rest.slice(0, limit));
        expect(await idsOf({ ...query, backward: true })).toEqual([...rest].reverse().slice(0, limit));
      }
    }
  },
);

test("with names, and without snapshots", async () => {
  const rows = await fixture.sql.unsafe(
    `select id from ${store.config.table} where stream like 'in-%' and name = any('{A,B}') order by id`,
  );
  const named = rows.map(({ id }) => Number(id));
  for (const filter of Object.values(filters)) {
    expect(await idsOf({ ...filter, names: ["A", "B"] })).toEqual(named);
    const found: number[] = [];
    await store.query(({ id }) => void found.push(id), filter);
    expect(found).toEqual(named);
  }
});
