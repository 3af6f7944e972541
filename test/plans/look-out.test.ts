/**
 * Plans of the look-out's statement on 100,000 subscriptions and 100,000 events: with nothing to do, with ten pending,
 * with all pending, and with all deferred and due; without statistics, with those of small tables, and with new ones.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { PostgresStore } from "../../src/index.ts";
import { claimableQuery, toFound } from "../../src/notifications/claimable.ts";
import { resolveOptions } from "../../src/options/resolve.ts";
import { StoreConnections } from "../../src/postgres/index.ts";
import { namesOf } from "../../src/schema/names.ts";
import { expectWithin } from "./cost.ts";
import { mayExplain, usePlans } from "./fixture.ts";

const COUNT = 100_000;
const cases = ["nothing", "ten pending", "all pending", "all due"] as const;
type Case = (typeof cases)[number];

const LANES = ["a", "b", "c", "default"];
const indexes = [
  "correlated_pkey",
  "streams_due_ix",
  "streams_lane_due_ix",
  "streams_lane_fair_ix",
  "name_id_ix",
  "pkey",
];
/** Names of events, of which one is no longer emitted. */
const NAMES = ["Closed", "Opened", "Retired"];

const reason = (await mayExplain()) ? "" : " [skipped: auto_explain needs a superuser]";

describe.skipIf(reason !== "")(`the look-out${reason}`, () => {
  const plans = usePlans();
  const stores = new Map<Case, PostgresStore>();
  let connections: StoreConnections | undefined;

  const insert = (table: string, from: number, count: number, work: Case) => `
    insert into ${plans.named(`${table}_streams`)} (stream, source, at, priority, lane, correlated_at, deferred_at)
    select 'sub-' || lpad(n::text, 6, '0'), 'src-' || n, n, n % 3, (array['default', 'a', 'b', 'c'])[n % 4 + 1],
      n + case '${work}' when 'nothing' then 0 when 'ten pending' then case when n % 10007 = 3 then 5 else 0 end else 5 end,
      case '${work}' when 'all due' then now() - interval '1 second' end
    from (select ${from} + g * 7919 % ${count} as n from generate_series(0, ${count - 1}) g) numbers`;

  beforeAll(async () => {
    const { host: _, port: __, ...parts } = plans.parts;
    connections = new StoreConnections(
      resolveOptions({ ...parts, host: "127.0.0.1", port: plans.tap.port, max: 2 }),
    );
    for (const [n, work] of cases.entries()) {
      const table = `look${n}`;
      const log = `
        insert into ${plans.named(table)} (stream, version, name, data, meta)
        select 's' || g % 1000, g, case when g < 10 then 'Retired' when g % 2 = 0 then 'Opened' else 'Closed' end, '{}', '{}'
        from generate_series(1, ${COUNT}) g`;
      const checkpoint = `
        insert into ${plans.named(`${table}_correlated`)} (key, at) values ('', ${COUNT}) on conflict do nothing`;
      const before = [insert(table, COUNT, 100, "nothing")];
      stores.set(work, await plans.filled(table, before, [log, checkpoint, insert(table, 0, COUNT, work)]));
    }
  });
  afterAll(() => connections?.close());

  const look = async (work: Case, position: number) => {
    const { schema, table } = stores.get(work)?.config ?? { schema: "", table: "" };
    const query = claimableQuery(namesOf(schema, table), { lanesToSkip: [], upTo: position });
    return toFound((await connections?.read("notify", query)) ?? []);
  };

  /** As on tables that were never analyzed, which a bulk load or a restore leaves. */
  const forget = async ({ config: { schema, table } }: PostgresStore) => {
    const { sql } = plans;
    const tables = sql`(select c.oid from pg_class c join pg_namespace n on n.oid = c.relnamespace
      where n.nspname = ${schema} and starts_with(c.relname, ${table}))`;
    await sql`delete from pg_statistic where starelid in ${tables}`;
    await sql`update pg_class set reltuples = -1, relpages = 0, relallvisible = 0 where oid in ${tables}`;
  };

  for (const statistics of ["old", "no", "new"] as const) {
    describe(`${statistics} statistics`, () => {
      beforeAll(async () => {
        for (const store of stores.values()) {
          if (statistics === "no") await forget(store);
          if (statistics === "new") await plans.analyze(store);
        }
      });

      for (const work of cases)
        test(`with ${work}`, async () => {
          const store = stores.get(work);
          if (!store) throw new Error("There is no such store");
          const found = await look(work, COUNT);
          expect(found.waiting.map(({ lane }) => lane).sort()).toEqual(work === "nothing" ? [] : LANES);
          const names = found.waiting.flatMap(({ events }) => events.map(({ name }) => name));
          expect([...new Set(names)].sort()).toEqual(work === "nothing" ? [] : NAMES);
          const bounds = work === "nothing" ? { rows: 2, pages: 20 } : { rows: 150, pages: 400 };
          const costs = await plans.costs(store, () => look(work, COUNT));
          expectWithin(costs, { ...bounds, indexes });
        });

      test("with events that no correlator has seen", async () => {
        const store = stores.get("nothing");
        if (!store) throw new Error("There is no such store");
        await plans.sql`update ${plans.sql(`${store.config.table}_correlated`)} set at = ${COUNT - 10}`;
        const found = await look("nothing", COUNT);
        expect(found.waiting).toMatchObject([
          { lane: undefined, events: [{ name: "Closed" }, { name: "Opened" }] },
        ]);
        expectWithin(await plans.costs(store, () => look("nothing", COUNT)), {
          rows: 20,
          pages: 60,
          indexes,
        });
        await plans.sql`update ${plans.sql(`${store.config.table}_correlated`)} set at = ${COUNT}`;
      });
    });
  }
});
