/** An export of streams by name: the ids are looked up stream by stream, some at a time. */
import { expect, test } from "vitest";
import { Admin } from "../../src/admin/index.ts";
import type { PostgresStore } from "../../src/index.ts";
import { useDatabase } from "../postgres/fixture.ts";
import { exportedIds } from "./exported.ts";

const fixture = useDatabase();
/** More than the ids that are looked up of one stream at once. */
const LONG = 2_345;

/** Two long streams and a hundred short ones, mixed with events of others. */
async function filled(): Promise<PostgresStore> {
  const store = await fixture.seeded();
  await fixture.sql.unsafe(`insert into ${store.config.table} (stream, version, name, data, meta, dates)
    select stream, row_number() over (partition by stream order by n) - 1, 'Happened', '{}', '{"correlation":"","causation":{}}', '{}'
    from (
      select n, case n % 4 when 0 then 'first' when 1 then 'second' when 2 then 'short-' || n % 100 else 'other-' || n % 50 end as stream
      from generate_series(0, ${4 * LONG - 1}) n
    ) s order by n`);
  return store;
}

const idsOf = async (store: PostgresStore, condition: string) =>
  (await fixture.sql.unsafe(`select id from ${store.config.table} where ${condition} order by id`)).map(
    ({ id }) => Number(id),
  );

test("long ones and short ones come whole, in order of id, each event once", async () => {
  const store = await filled();
  const streams = [
    "first",
    "second",
    "first",
    "none",
    ...Array.from({ length: 100 }, (_, n) => `short-${n}`),
  ];
  const found = await exportedIds(new Admin(store).export({ streams }));
  expect(found).toEqual(await idsOf(store, "stream not like 'other-%'"));
  expect(found.length).toBe(3 * LONG);
});

test("one stream by its exact name, between two ids", async () => {
  const store = await filled();
  const filter = { stream: "first", streamExact: true, after: 4, before: 9_001 };
  expect(await exportedIds(new Admin(store).export(filter))).toEqual(
    await idsOf(store, "stream = 'first' and id > 4 and id < 9001"),
  );
});

test("events that are deleted meanwhile do not end it: what follows them comes", async () => {
  const store = await filled();
  const pages = new Admin(store).export({ streams: ["first", "second"] });
  const header = await pages.next();
  const first = await pages.next();
  await fixture.sql.unsafe(`delete from ${store.config.table} where stream = 'second'`);
  const rest = async function* () {
    yield String(header.value);
    yield String(first.value);
    yield* pages;
  };
  const found = await exportedIds(rest());
  expect(found.filter((id) => id > 2_000)).toEqual(await idsOf(store, "stream = 'first' and id > 2000"));
});
