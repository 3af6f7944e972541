/** An export of streams by a pattern: the ids are looked up first, by the index of streams or part by part of the log. */
import { expect, test } from "vitest";
import { Admin } from "../../src/admin/index.ts";
import type { PostgresStore } from "../../src/index.ts";
import { useDatabase } from "../postgres/fixture.ts";
import { exportedIds } from "./exported.ts";

const fixture = useDatabase();

/** Streams of three kinds, in a log with a large gap. */
async function filled(): Promise<PostgresStore> {
  const store = await fixture.seeded();
  const { table } = store.config;
  await fixture.sql.unsafe(`insert into ${table} (id, stream, version, name, data, meta, dates)
    select case when n > 6000 then n + 5000000 else n end, stream, row_number() over (partition by stream order by n) - 1, 'Happened', '{}', '{"correlation":"","causation":{}}', '{}'
    from (
      select n, case when n % 3000 = 7 then 'rare-' || n when n % 2 = 0 then 'order-' || n % 300 else 'cart-' || n % 7 end as stream
      from generate_series(1, 30000) n
    ) s order by n`);
  await fixture.sql.unsafe(`select setval('${table}_id_seq', 6000000)`);
  return store;
}

test("every event comes once, in order of id, whatever the pattern", async () => {
  const store = await filled();
  const all = await fixture.sql.unsafe(`select id, stream from ${store.config.table} order by id`);
  const admin = new Admin(store);
  for (const stream of [
    "^rare-",
    "^rare-7$",
    "^order-1",
    "are",
    "r-1\\d$",
    "^order-(1|2)0$",
    ".*",
    "^none",
    "none",
  ]) {
    const expected = all.filter((row) => new RegExp(stream).test(row.stream)).map(({ id }) => Number(id));
    expect(await exportedIds(admin.export({ stream })), stream).toEqual(expected);
    const inside = expected.filter((id) => id > 3_000 && id < 5_020_000);
    expect(await exportedIds(admin.export({ stream, after: 3_000, before: 5_020_000 })), stream).toEqual(
      inside,
    );
  }
  expect(await exportedIds(admin.export({ stream: "^rare-", streamExact: true }))).toEqual([]);
});
