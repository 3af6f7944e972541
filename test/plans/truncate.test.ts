/**
 * Plans of a truncate with `before`, and of an archive, which delete under the append lock. The log has 200,000 events of four busy streams, and 2,000
 * quiet streams of five events, the fourth of which is a snapshot. From new statistics that show only a few busy
 * streams, the planner expects that each stream has a large part of the log.
 */
import { beforeAll, describe, expect, test } from "vitest";
import { Admin, type ArchiveTarget } from "../../src/admin/index.ts";
import type { PostgresStore } from "../../src/index.ts";
import { costOf, expectWithin } from "./cost.ts";
import { mayExplain, usePlans } from "./fixture.ts";

const TABLE = "log";
const BUSY = 200_000;
const QUIET = 2_000;
/** Quiet streams that one test of each statistics may use. */
const SHARE = 500;
/** Streams that are truncated one by one. */
const TRUNCATED = 8;
/** Targets of the long truncate. */
const MANY = 400;

const reason = (await mayExplain()) ? "" : " [skipped: auto_explain needs a superuser]";

/** Takes what is written, and gives it back. */
function inMemory(): ArchiveTarget {
  const files = new Map<string, Uint8Array[]>();
  return {
    write: async (name, content) => {
      const parts: Uint8Array[] = [];
      for await (const part of content) parts.push(part);
      files.set(name, parts);
    },
    read: async function* (name) {
      yield* files.get(name) ?? [];
    },
  };
}

describe.skipIf(reason !== "")(`events before a snapshot${reason}`, () => {
  const plans = usePlans();
  let store: PostgresStore;

  const into = () => `insert into ${plans.named(TABLE)} (stream, version, name, data, meta, created)`;
  const busy = (from: number, to: number) => `${into()}
    select 'busy-' || g % 4, g / 4, 'Booked', '{}', '{"correlation": "b", "causation": {}}', timestamptz '2026-01-01Z'
    from generate_series(${from}, ${to}) g`;
  const quiet = () => `${into()}
    select 'quiet-' || g % ${QUIET}, g / ${QUIET}, case g / ${QUIET} when 3 then '__snapshot__' else 'Booked' end,
      '{}', '{"correlation": "q", "causation": {}}', timestamptz '2026-01-01Z' + (g % ${QUIET} / ${SHARE}) * interval '1 day'
    from generate_series(0, ${QUIET * 5 - 1}) g`;

  beforeAll(async () => {
    store = await plans.filled(TABLE, [busy(0, 999)], [busy(1_000, BUSY - 1), quiet()]);
  });

  for (const [nth, statistics] of (["old", "none", "new"] as const).entries()) {
    describe(`${statistics} statistics`, () => {
      beforeAll(() => plans.have(statistics, store));
      const target = (n: number) => ({ stream: `quiet-${nth * SHARE + n}`, before: new Date() });

      test("a truncate of a quiet stream costs its own events, however busy others are", async () => {
        const costs = await plans.costs(store, async (n) => {
          const result = await store.truncate([target(MANY + n)]);
          expect(result.get(target(MANY + n).stream)?.deleted).toBe(3);
        });
        expectWithin(costs, { indexes: ["snapshot_ix", "stream_id_ix", "pkey"], rows: 12, pages: 80 });
      });

      test("a truncate of many streams costs their own events, each once", async () => {
        const [plan] = await plans.costsOf(store, async () => {
          const result = await store.truncate(Array.from({ length: MANY }, (_, n) => target(n)));
          expect(result.size).toBe(MANY);
        });
        // 1,200 events, in about twelve steps. A scan of all deleted events for each stream would handle 480,000 rows.
        expect(plan?.handled).toBeLessThan(20_000);
      });

      test("an archive of quiet streams reads their own events", async () => {
        const plan = await plans.tap.plansOf(async () => {
          const before = new Date(Date.UTC(2026, 0, 2 + nth));
          const { events } = await new Admin(store).archive({ target: inMemory(), before });
          expect(events).toBe(3 * (SHARE - MANY - TRUNCATED));
        });
        const most = (text: RegExp, statements: number) => {
          const costs = plan
            .filter((each) => text.test(each["Query Text"]))
            .map((each) => costOf(each, TABLE));
          expect(costs.length).toBeGreaterThanOrEqual(statements);
          expect(costs.flatMap(({ scanned }) => scanned.filter((name) => name === TABLE))).toEqual([]);
          return Math.max(...costs.map(({ rows }) => rows));
        };
        // The walk looks at each stream with a snapshot, at three events of it.
        expect(most(/^with recursive walk/, 1)).toBeLessThan(4 * QUIET);
        // What is awaited, the ids for the file, and the deletion, which looks up the cut of each stream too.
        expect(most(/from unnest.* as c\(stream, id/, 3)).toBeLessThan(2_000);
      });
    });
  }
});
