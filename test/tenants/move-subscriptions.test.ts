/** A move of very many subscriptions. */
import { expect, test } from "vitest";
import { SubscriptionsCopy } from "../../src/backup/move/copy-subscriptions.ts";
import { contextOf } from "../../src/context.ts";
import type { Run } from "../../src/postgres/index.ts";
import { useDatabase } from "../postgres/fixture.ts";

const fixture = useDatabase();
const COUNT = 12_345;
const PAGE = 5_000;

test("what was deleted meanwhile is found page by page: no statement returns all names", async () => {
  const [source, target] = [await fixture.seeded(), await fixture.seeded()];
  const [from, to] = [`${source.config.table}_streams`, `${target.config.table}_streams`];
  await fixture.sql.unsafe(
    `insert into ${from} (stream, source) select md5(n::text) || '-Ä' || n, 's' from generate_series(1, ${COUNT}) n`,
  );
  const { connections, names } = contextOf(source);
  const copy = new SubscriptionsCopy(names, contextOf(target));
  let most = 0;
  const counting =
    (run: Run): Run =>
    async (query) => {
      const rows = await run(query);
      most = Math.max(most, rows.length);
      return rows;
    };
  await connections.session("test", (run) => copy.copy(counting(run)));
  // The first ones, the last ones, and some in between.
  await fixture.sql.unsafe(`delete from ${from} where stream < '01' or stream > 'fe' or stream like '7%'`);
  const left = await connections.session("test", (run) => copy.finish(counting(run)));
  const rows = async (table: string) =>
    (await fixture.sql.unsafe(`select to_jsonb(s)::text as row from ${table} s order by stream`)).map(
      ({ row }) => row,
    );
  const arrived = await rows(to);
  expect(arrived).toEqual(await rows(from));
  expect([left, arrived.length < COUNT]).toEqual([arrived.length, true]);
  expect(most).toBeLessThanOrEqual(PAGE);
});
