/** Claiming, acknowledging and marking, at 100 to 1,000,000 subscriptions. */
import type { Lease, Store } from "@rotorsoft/act";
import postgres from "postgres";
import { fillSubscriptions, LANES, pendingNames, setPending } from "../lib/data.ts";
import { closedLoop, loopMetrics, median, timed } from "../lib/measure.ts";
import { onStore, seeded } from "../lib/store.ts";
import type { Bench, Metrics, Row, Scenario, Subject } from "../lib/types.ts";
import { baseline } from "../subjects/index.ts";

const BY = "11111111-2222-4333-8444-555555555555";
/** The lane that every pending row is in, so that a claim finds them with and without it. */
const LANE = LANES[1];
const SIZES = [100, 10_000, 100_000] as const;
const LARGEST = 1_000_000;
const BATCH = 10;

const sizes = (bench: Bench): readonly number[] => (bench.full ? [...SIZES, LARGEST] : SIZES);
const count = (n: number) => n.toLocaleString("en-US");

const subscriptions = (bench: Bench, subject: Subject, size: number) =>
  seeded(bench, subject, `subscriptions-${size}`, (schema) => fillSubscriptions(bench.admin, schema, size));

/** As a drain asks by default: 5 lagging and 5 leading. Zero millis: the same rows are claimable again. */
async function expectClaim(store: Store, expected: number, lane?: string): Promise<void> {
  const leases = await store.claim(5, 5, BY, 0, lane);
  if (leases.length !== expected) throw new Error(`Expected ${expected} leases, got ${leases.length}`);
}

type Case = { readonly id: string; readonly label: string; readonly pending: number; readonly lane?: string };

const CASES: readonly Case[] = [
  { id: "idle", label: "nothing pending", pending: 0 },
  { id: "idle-lane", label: "nothing pending, one lane", pending: 0, lane: LANE },
  { id: "pending", label: "10 pending", pending: BATCH },
  { id: "pending-lane", label: "10 pending, one lane", pending: BATCH, lane: LANE },
];

const PUBLISHED: Readonly<Record<string, Readonly<Record<number, string>>>> = {
  idle: { 100: "1.6", 10000: "6.3", 100000: "48" },
  pending: { 100: "3.6", 10000: "5.1", 100000: "33" },
};

function claimRows(bench: Bench, { id, label }: Case): Row[] {
  return sizes(bench).flatMap((size) => {
    const row: Row = {
      id: `claim-${id}-${size}`,
      label: `claim, ${label}, ${count(size)} subscriptions`,
      metric: `at${size}`,
      unit: "ms",
      better: "less",
      published: PUBLISHED[id]?.[size],
      ...(size === SIZES[0]
        ? {}
        : { must: { own: `at${SIZES[0]}`, atMost: 1.5 }, goal: "≤ 1.5 × its own at 100" }),
    };
    if (id !== "pending" || size !== 100_000) return [row];
    const times: Row = { ...row, id: `${row.id}-times`, must: { times: 15 }, goal: "≥ 15 ×" };
    return [row, times];
  });
}

/** One UPDATE of ten rows by key, or one look that finds nothing: what the server takes for the least. */
async function claimFloor(bench: Bench, pending: number) {
  const schema = await subscriptions(bench, baseline, SIZES[0]);
  const sql = postgres(bench.url, { max: 1, fetch_types: false });
  const names = pendingNames(BATCH, SIZES[0]).join(",");
  const update = `update "${schema}".events_streams set retry = (retry + 1) % 100 where stream = any(string_to_array($1, ','))`;
  const look = `select 1 from "${schema}".events_streams where stream = $1`;
  const run = async (): Promise<Metrics> => {
    const op = () =>
      pending
        ? sql.unsafe(update, [names], { prepare: true })
        : sql.unsafe(look, ["none"], { prepare: true });
    return { [`at${SIZES[0]}`]: loopMetrics(await closedLoop(1, bench.millis / 2, op)).p50 };
  };
  return { run, close: () => sql.end() };
}

function claim(claimed: Case): Scenario {
  const { id, label, pending, lane } = claimed;
  return {
    name: `claim-${id}`,
    title: `Time of a claim, ${label}, by number of subscriptions`,
    rows: (bench) => claimRows(bench, claimed),
    prepare: async (bench, subject) => {
      const stores: { size: number; schema: string; store: Store; names: string[] }[] = [];
      for (const size of sizes(bench)) {
        const schema = await subscriptions(bench, subject, size);
        const store = await subject.open({ url: bench.url, schema });
        stores.push({ size, schema, store, names: pendingNames(BATCH, size) });
      }
      return {
        run: async () => {
          const metrics: Record<string, number> = {};
          for (const { size, schema, store, names } of stores) {
            await setPending(bench.admin, schema, names, pending > 0);
            const op = () => expectClaim(store, pending, lane);
            metrics[`at${size}`] = loopMetrics(await closedLoop(1, bench.millis / 2, op)).p50;
            await setPending(bench.admin, schema, names, false);
          }
          return metrics;
        },
        close: async () => {
          for (const { store } of stores) await store.dispose();
        },
      };
    },
    floor: lane
      ? undefined
      : {
          note: pending ? "one prepared UPDATE of ten rows by key" : "one prepared SELECT by key",
          prepare: (bench) => claimFloor(bench, pending),
        },
  };
}

const CYCLE_SIZE = 100_000;

const cycleRow = (id: string, label: string, metric: string, rest: Partial<Row>): Row => ({
  id,
  label: `${label} at ${count(CYCLE_SIZE)} subscriptions`,
  metric,
  unit: "ms",
  better: "less",
  ...rest,
});

/** The calls of one warm drain, in their order, so that each works on what the others left behind. */
const cycle: Scenario = {
  name: "cycle",
  title: `subscribe, claim and ack of ten, in turn, at ${count(CYCLE_SIZE)} subscriptions`,
  rows: () => [
    cycleRow("ack-10", "ack 10", "ack", { must: { times: 2 }, goal: "≤ ½", published: "2.2" }),
    cycleRow("subscribe-10", "subscribe 10 marks", "mark", {
      must: { times: 4 },
      goal: "≤ ¼",
      published: "11.3",
    }),
    cycleRow("subscribe-0", "subscribe []", "empty", {
      must: { times: 8 },
      goal: "≤ 1⁄8",
      published: "11.1",
    }),
    cycleRow("claim-cycle", "claim 10 in a cycle", "claim", { published: "59" }),
  ],
  prepare: async (bench, subject) => {
    const schema = await subscriptions(bench, subject, CYCLE_SIZE);
    const store = await subject.open({ url: bench.url, schema });
    let mark = 2 * LARGEST;
    return onStore(store, async () => {
      const took = {
        mark: [] as number[],
        empty: [] as number[],
        claim: [] as number[],
        ack: [] as number[],
      };
      const until = performance.now() + bench.millis * 2;
      for (let turn = 0; performance.now() < until; turn++) {
        // Other rows in every turn, as in life.
        const names = Array.from(
          { length: BATCH },
          (_, n) => `sub-${String((turn * 7_919 + n * 9_973) % CYCLE_SIZE).padStart(8, "0")}`,
        );
        mark++;
        const marks = names.map((stream) => ({ stream, lane: undefined, correlated_at: mark }));
        let leases: Lease[] = [];
        took.mark.push(await timed(() => store.subscribe(marks)));
        took.empty.push(await timed(() => store.subscribe([])));
        took.claim.push(
          await timed(async () => {
            leases = await store.claim(BATCH, BATCH, BY, 10_000);
          }),
        );
        if (leases.length !== BATCH) throw new Error(`Expected ${BATCH} leases, got ${leases.length}`);
        took.ack.push(await timed(() => store.ack(leases.map((lease) => ({ ...lease, at: mark })))));
      }
      return {
        mark: median(took.mark),
        empty: median(took.empty),
        claim: median(took.claim),
        ack: median(took.ack),
      };
    });
  },
  floor: {
    note: "one prepared UPDATE of ten rows by key",
    prepare: async (bench) => {
      const { run, close } = await claimFloor(bench, BATCH);
      return {
        run: async () => {
          const took = (await run())[`at${SIZES[0]}`] ?? Number.NaN;
          return { ack: took, mark: took };
        },
        close,
      };
    },
  },
};

export const subscriptionScenarios: readonly Scenario[] = [...CASES.map(claim), cycle];
