/** Gauges. They are read when metrics are collected: from the process, or at most every `pollMs` from the database. */
import type { Attributes, BatchObservableCallback, Meter, Observable } from "@opentelemetry/api";
import { boundedCount, countOf } from "../admin/bounded.ts";
import { appendLock } from "../admin/connections.ts";
import { lag } from "../admin/lag.ts";
import type { Context } from "../context.ts";
import { METRICS } from "./metrics.ts";

/** How many of the lowest watermarks are read for the lag. */
const LAGGING = 200;

type Gauge = (typeof METRICS)[keyof typeof METRICS] & { readonly kind: "gauge" };

function observe(meter: Meter, gauges: Observable[], callback: BatchObservableCallback): () => void {
  meter.addBatchObservableCallback(callback, gauges);
  return () => meter.removeBatchObservableCallback(callback, gauges);
}

/** `flush` records all deferred records, so that they are collected too. */
export function observeProcess(
  meter: Meter,
  context: Context,
  common: Attributes,
  flush: () => void,
): () => void {
  const gauge = (metric: Gauge) => meter.createObservableGauge(metric.name, metric);
  const count = gauge(METRICS.connections);
  const max = gauge(METRICS.connectionsMax);
  const pending = gauge(METRICS.pending);
  const queue = gauge(METRICS.queue);
  const listening = gauge(METRICS.listening);
  const pool = { ...common, "db.client.connection.pool.name": "act-drizzle" };
  const up = gauge(METRICS.replicaUp);
  const behind = gauge(METRICS.replicaLag);
  return observe(meter, [count, max, pending, queue, listening, up, behind], (result) => {
    flush();
    const { connections, signals } = context;
    const counts = connections.counts;
    result.observe(count, counts.busy, { ...pool, "db.client.connection.state": "used" });
    result.observe(count, counts.idle, { ...pool, "db.client.connection.state": "idle" });
    result.observe(max, counts.max, pool);
    result.observe(pending, counts.waiting, pool);
    result.observe(queue, signals.commitsWaiting(), common);
    const { listenerState } = connections;
    for (const replica of connections.replicas?.states ?? []) {
      const of = { ...common, "act.replica": replica.address };
      result.observe(up, replica.up ? 1 : 0, of);
      if (replica.lagMs !== undefined) result.observe(behind, replica.lagMs / 1_000, of);
    }
    if (listenerState !== "off") result.observe(listening, listenerState === "listening" ? 1 : 0, common);
  });
}

type Work = {
  readonly lanes: ReadonlyMap<string, number>;
  readonly blocked: number;
  readonly waiting: number;
  readonly heldMs: number;
};

async function look(context: Context): Promise<Work> {
  const { names, connections } = context;
  const [behind, lock, [row]] = await Promise.all([
    lag(context, { limit: LAGGING }),
    appendLock(context),
    connections.read("telemetry", {
      text: `select ${countOf(`from ${names.streams} s where s.blocked`)} as blocked`,
    }),
  ]);
  const lanes = new Map<string, number>([["default", 0]]);
  for (const { lane, lagMs = 0 } of behind) lanes.set(lane, Math.max(lagMs, lanes.get(lane) ?? 0));
  return {
    lanes,
    blocked: boundedCount().parse(row?.blocked).count,
    waiting: lock.waiting.length,
    heldMs: lock.holder?.transactionMs ?? 0,
  };
}

/** These gauges are absent while the database does not answer, because an old value would look healthy. */
export function observeWork(meter: Meter, context: Context, common: Attributes, pollMs: number): () => void {
  const gauge = (metric: Gauge) => meter.createObservableGauge(metric.name, metric);
  const lagging = gauge(METRICS.lag);
  const blocked = gauge(METRICS.blocked);
  const waiting = gauge(METRICS.lockWaiting);
  const held = gauge(METRICS.lockHeld);
  let last: { readonly at: number; readonly work: Promise<Work | undefined> } | undefined;
  return observe(meter, [lagging, blocked, waiting, held], async (result) => {
    if (!last || performance.now() - last.at >= pollMs)
      last = { at: performance.now(), work: look(context).catch(() => undefined) };
    const work = await last.work;
    if (!work) return;
    for (const [lane, ms] of work.lanes) result.observe(lagging, ms / 1_000, { ...common, "act.lane": lane });
    result.observe(blocked, work.blocked, common);
    result.observe(waiting, work.waiting, common);
    result.observe(held, work.heldMs / 1_000, common);
  });
}
