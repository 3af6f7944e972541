/**
 * A process of an app on some release of the store: it seeds, then commits, reads, claims and acks until it is told to
 * stop, and reports what it was told.
 */
import { setTimeout as delay } from "node:timers/promises";
import { ConcurrencyError, type Schemas } from "@rotorsoft/act";
import type { FromWorker, Report, WorkerOptions } from "./workers.ts";

const { release, url, schema, table, worker }: WorkerOptions = JSON.parse(process.argv[2] ?? "{}");
const { PostgresStore }: typeof import("../../src/index.ts") = await import(release);
const store = new PostgresStore({ url, schema, table, max: 6 });
const report: Report = { acknowledged: [], refused: [], failures: [], handled: [], tail: [] };
let stopped = false;
let commits = 0;
let owned = 0;

process.once("message", () => {
  stopped = true;
});
try {
  await store.seed();
  tell({ kind: "seeded" });
  await Promise.all([own(), own(), unguarded(), contended(), contended(), react(), statistics(), tail()]);
  await store.dispose();
  tell({ kind: "report", report }, () => process.disconnect());
} catch (error) {
  await store.dispose();
  tell({ kind: "failed", why: explain(error) }, () => process.disconnect());
}

function tell(message: FromWorker, sent = () => {}): void {
  process.send?.(message, sent);
}

function explain(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause ? `${error.message}: ${explain(error.cause)}` : error.message;
}

/** The head of the stream afterwards, whoever moved it. A failure that is no lost race is noted. */
async function commit(stream: string, size: number, expected?: number): Promise<number> {
  const token = `${worker}-${commits++}`;
  const events = Array.from({ length: size }, (_, part) => ({ name: "Noted", data: { token, part } }));
  try {
    const committed = await store.commit(stream, events, { correlation: token, causation: {} }, expected);
    const placed = committed.map(({ id, version }) => ({ id, version }));
    report.acknowledged.push([token, { stream, size, placed }]);
    tell({ kind: "committed" });
    return placed.at(-1)?.version ?? -1;
  } catch (error) {
    report.refused.push([token, { stream, size, placed: [] }]);
    if (error instanceof ConcurrencyError) return error.lastVersion;
    report.failures.push(`commit to ${stream}: ${explain(error)}`);
    return expected ?? -1;
  }
}

/** Any call but a commit: nothing is a reason for it to fail. */
async function attempt<T>(what: string, call: () => Promise<T>): Promise<T | undefined> {
  try {
    return await call();
  } catch (error) {
    report.failures.push(`${what}: ${explain(error)}`);
    return undefined;
  }
}

/** A stream of its own, guarded: a commit that is told it lost a race lost it to itself. */
async function own(): Promise<void> {
  const stream = `own-${worker}-${owned++}`;
  for (let head = -1, k = 0; !stopped; k++) {
    const size = 1 + (k % 3);
    const next = await commit(stream, size, head);
    if (next !== head + size) report.failures.push(`${stream}: at ${next} instead of ${head + size}`);
    head = next;
  }
}

/** Streams that all processes write to. */
async function unguarded(): Promise<void> {
  for (let k = 0; !stopped; k++) await commit(`any-${k % 3}`, 1 + (k % 2));
}

async function contended(): Promise<void> {
  for (let head = -1; !stopped; ) head = await commit("shared", 2, head);
}

/** Subscriptions that all processes share, each on one of the streams above. */
async function react(): Promise<void> {
  const targets = [0, 1, 2].map((k) => ({
    stream: `reaction-${k}`,
    source: `any-${k}`,
    // Always marked: what they find is what is there.
    correlated_at: Number.MAX_SAFE_INTEGER,
  }));
  await attempt("subscribe", () => store.subscribe(targets));
  while (!stopped) {
    const leases = await attempt("claim", () => store.claim(1, 1, worker, 60_000));
    for (const lease of leases ?? []) {
      const { stream, source, at } = lease;
      let to = at;
      const filter = { stream: source, stream_exact: true, after: at, limit: 10 };
      const note = ({ id }: { readonly id: number }) => {
        to = id;
      };
      await attempt("fetch", () => store.query<Schemas>(note, filter));
      const acked = await attempt("ack", () => store.ack([{ ...lease, at: to }]));
      if (acked?.length !== 1) report.failures.push(`ack of ${stream}: the lease was lost`);
      else if (to > at) report.handled.push({ stream, from: at, to });
    }
    // A worker that polls: nothing tells it of work here.
    await delay(5);
  }
}

async function statistics(): Promise<void> {
  while (!stopped) {
    await attempt("query_stats", () => store.query_stats(["shared"], { count: true }));
    await attempt("query_streams", () => store.query_streams(() => {}));
    // The pace of the load.
    await delay(5);
  }
}

/** Reads on from the last id seen, as a projection does, until it has seen all that this process committed. */
async function tail(): Promise<void> {
  for (;;) {
    const last = stopped;
    const after = report.tail.at(-1) ?? -1;
    const note = ({ id }: { readonly id: number }) => void report.tail.push(id);
    const found = await attempt("tail", () => store.query<Schemas>(note, { after, limit: 500 }));
    if (last && !found) return;
    // Until the next look: nothing is listened to here.
    if (!found) await delay(5);
  }
}
