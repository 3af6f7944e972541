/**
 * Every backend of the stores is terminated again and again while commits, claims, queries and restores run.
 * postgres.js 3.4.9 loses queries, continues transactions on a new connection and crashes the process when
 * backends die; whether the layer before it keeps the promises all the same is what this looks at. A server
 * that dies as a whole, with what it had not written, is in crash.test.ts.
 */
import type { Committed, Schemas } from "@rotorsoft/act";
import { expect, test } from "vitest";
import { useDatabase } from "../postgres/fixture.ts";
import { connect } from "../support/database.ts";
import { load, loadOf } from "./kit/clients.ts";
import { backToNormal, FaultRun } from "./kit/fault-run.ts";
import { scale, TIMEOUT } from "./kit/scale.ts";

const fixture = useDatabase();
const STORM = scale(3_000, 60_000);
/** Between two blows, in ms. */
const CALM = 50;
const MAX = 5;
const LIMITS = { max: MAX, statement_timeout: 3_000, connectionTimeoutMillis: 3_000 };
/** Longer than all of these together, and a call has hung. */
const DEADLINE = 40_000;

/** `calm`: what is waited for after so many blows. */
async function killUntil(
  over: () => boolean,
  calm = (_: number) => CALM,
): Promise<{ kills: number; peaks: Map<string, number> }> {
  const sql = connect(fixture.url);
  const peaks = new Map<string, number>();
  let kills = 0;
  let blows = 0;
  while (!over()) {
    const killed = await sql<{ application: string }[]>`
      select application_name as application, pg_terminate_backend(pid) from pg_stat_activity
      where application_name like ${fixture.application("t%")}`;
    kills += killed.length;
    for (const [application, rows] of Map.groupBy(killed, (row) => row.application))
      peaks.set(application, Math.max(peaks.get(application) ?? 0, rows.length));
    // The time between two strikes.
    await new Promise((resolve) => setTimeout(resolve, calm(blows++) * (0.5 + Math.random())));
  }
  await sql.end();
  return { kills, peaks };
}

test("killed backends lose no acknowledged commit, and apply none that failed", {
  timeout: TIMEOUT,
}, async () => {
  const faultRun = new FaultRun({
    item: 1,
    fault: `every backend ended each ${CALM} ms`,
    deadline: DEADLINE,
  });
  const options = { ...LIMITS, table: "storm", notify: true };
  const stores = [await fixture.seeded(options), await fixture.seeded(options)];
  const received: string[] = [];
  await stores[0]?.notify?.(({ stream }) => received.push(stream));
  const end = performance.now() + STORM;
  const over = () => performance.now() > end;
  const [{ kills, peaks }] = await Promise.all([killUntil(over), load(faultRun.ledger, stores, over)]);

  await backToNormal(fixture.url, stores);
  await faultRun.conclude(fixture.url, { load: loadOf(stores), injected: kills });
  expect(kills).toBeGreaterThan(10);
  // The listener's connection comes on top of `max`.
  for (const [application, peak] of peaks) expect(peak, application).toBeLessThanOrEqual(MAX + 1);
  await expect.poll(() => received, { timeout: 15_000 }).toContain("normal");
});

type Event = Committed<Schemas, keyof Schemas>;

test("a restore whose backend is killed leaves a whole log, the old or the new", {
  timeout: TIMEOUT,
}, async () => {
  const faultRun = new FaultRun({ item: 1, fault: "every backend ended under restores", deadline: DEADLINE });
  const { ledger } = faultRun;
  const source = await fixture.seeded({ ...LIMITS, table: "source" });
  for (let k = 0; k < 100; k++) await ledger.commit(source, `s${k % 7}`, undefined, 4);
  const events: Event[] = [];
  await source.query<Schemas>((event) => events.push(event));
  const target = await fixture.seeded({ ...LIMITS, table: "target" });
  const restore = (size: number) =>
    target.restore(async (insert) => {
      for (const event of events.slice(0, size)) await insert(event);
    });
  // Of a length that tells which restore it was; a query of fewer events than a page is of one log.
  const sizes = [events.length, events.length / 2];
  await restore(events.length);
  const end = performance.now() + STORM / 2;
  let restored = 0;
  const over = () => performance.now() > end && restored > 0;
  const seen = new Set<number>();
  const restoring = async () => {
    while (!over()) {
      const size = sizes[restored % 2] ?? 0;
      if (await ledger.attempt(() => restore(size).then(() => true))) restored++;
    }
  };
  const reading = async () => {
    while (!over()) {
      const count = await ledger.attempt(() => target.query(() => {}));
      if (count !== undefined) seen.add(count);
    }
  };
  // A restore takes several round trips on a connection that is new: some calms are long enough on any machine.
  const calm = (blows: number) => CALM * 2 ** (blows % 6);
  const [{ kills }] = await Promise.all([killUntil(over, calm), restoring(), reading()]);

  await backToNormal(fixture.url, [source]);
  await faultRun.conclude(fixture.url, { load: "one restore after another, a reader", injected: kills });
  expect(kills).toBeGreaterThan(0);
  seen.add(await target.query(() => {}));
  expect([...seen].filter((size) => !sizes.includes(size))).toEqual([]);
});
