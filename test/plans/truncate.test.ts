/**
 * Plans of a truncate with `before`, which holds the append lock. The log has 200,000 events of four busy streams, and 2,000
 * quiet streams of five events, the fourth of which is a snapshot. From new statistics that show only a few busy
 * streams, the planner expects that each stream has a large part of the log.
 */
import { beforeAll, describe, expect, test } from "vitest";
import type { PostgresStore } from "../../src/index.ts";
import { expectWithin } from "./cost.ts";
import { mayExplain, usePlans } from "./fixture.ts";

const TABLE = "log";
const BUSY = 200_000;
const QUIET = 2_000;
/** Quiet streams that one test of each statistics may use. */
const SHARE = 500;
/** Targets of the long truncate. */
const MANY = 400;

const reason = (await mayExplain()) ? "" : " [skipped: auto_explain needs a superuser]";

describe.skipIf(reason !== "")(`truncate with before${reason}`, () => {
  const plans = usePlans();
  let store: PostgresStore;

  const into = () => `insert into ${plans.named(TABLE)} (stream, version, name, data, meta, created)`;
  const busy = (from: number, to: number) => `${into()}
    select 'busy-' || g % 4, g / 4, 'Booked', '{}', '{"correlation": "b", "causation": {}}', timestamptz '2026-01-01Z'
    from generate_series(${from}, ${to}) g`;
  const quiet = () => `${into()}
    select 'quiet-' || g % ${QUIET}, g / ${QUIET}, case g / ${QUIET} when 3 then '__snapshot__' else 'Booked' end,
      '{}', '{"correlation": "q", "causation": {}}', timestamptz '2026-01-01Z'
    from generate_series(0, ${QUIET * 5 - 1}) g`;

  beforeAll(async () => {
    store = await plans.filled(TABLE, [busy(0, 999)], [busy(1_000, BUSY - 1), quiet()]);
  });

  for (const [nth, statistics] of (["old", "none", "new"] as const).entries()) {
    describe(`${statistics} statistics`, () => {
      beforeAll(() => plans.have(statistics, store));
      const target = (n: number) => ({ stream: `quiet-${nth * SHARE + n}`, before: new Date() });

      test("a quiet stream costs its own events, however busy others are", async () => {
        const costs = await plans.costs(store, async (n) => {
          const result = await store.truncate([target(MANY + n)]);
          expect(result.get(target(MANY + n).stream)?.deleted).toBe(3);
        });
        expectWithin(costs, { indexes: ["snapshot_ix", "stream_id_ix", "pkey"], rows: 12, pages: 80 });
      });

      test("many streams cost their own events, each once", async () => {
        const [plan] = await plans.costsOf(store, async () => {
          const result = await store.truncate(Array.from({ length: MANY }, (_, n) => target(n)));
          expect(result.size).toBe(MANY);
        });
        // 1,200 events, in about twelve steps. A scan of all deleted events for each stream would handle 480,000 rows.
        expect(plan?.handled).toBeLessThan(20_000);
      });
    });
  }
});
