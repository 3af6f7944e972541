/** A process beside the faulty one, directly connected: it commits to the same log and notes how long each commit takes. */
import type postgres from "postgres";
import type { PostgresStore } from "../../../src/index.ts";
import { event, meta } from "../../postgres/fixture.ts";

/** Between two of its commits, in ms: without it a few that waited long would be lost among thousands. */
const PACE = 5;

/** Commits one event after the other, so many or until `over`; ms that each took, in their order. */
export async function timedCommits(
  store: PostgresStore,
  until: number | (() => boolean),
  stream = "bystander",
): Promise<number[]> {
  const took: number[] = [];
  const done = () => (typeof until === "number" ? took.length >= until : until());
  while (!done()) {
    const start = performance.now();
    await store.commit(stream, [event()], meta);
    took.push(performance.now() - start);
    // The pace of the load.
    await new Promise((resolve) => setTimeout(resolve, PACE));
  }
  return took;
}

/** What its commits take while `work` is under way, in ms. The last one may end after it. */
export async function commitsDuring(store: PostgresStore, work: Promise<unknown>): Promise<number[]> {
  let over = false;
  const end = () => {
    over = true;
  };
  work.then(end, end);
  return timedCommits(store, () => over);
}

/** The value that a share of all do not exceed; `of(values, 1)` is the greatest. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN;
}

export const median = (values: readonly number[]): number => percentile(values, 0.5);
export const slowest = (values: readonly number[]): number => percentile(values, 1);

export type Looks = { readonly all: number; readonly idleWithLock: number };

/**
 * Looks at a store's sessions until `over`, and counts the looks that found one idle in its transaction, with the
 * append lock. Between two messages of one write a session is idle for microseconds: that does not count.
 */
export async function lookAt(
  sql: postgres.Sql,
  { config }: PostgresStore,
  over: () => boolean,
): Promise<Looks> {
  let all = 0;
  let idleWithLock = 0;
  while (!over()) {
    const found = await sql`
      select from pg_stat_activity a join pg_locks l using (pid)
      where a.application_name = ${config.application_name} and a.state like 'idle in transaction%'
        and a.state_change < clock_timestamp() - interval '10 ms' and l.locktype = 'advisory' and l.granted`;
    all++;
    if (found.length > 0) idleWithLock++;
    // One look after the other would be load of its own.
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return { all, idleWithLock };
}
