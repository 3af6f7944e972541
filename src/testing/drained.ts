/** drained(): waits until the app has done everything that follows from the events of the log. */
import type { StreamPosition } from "@rotorsoft/act";
import { isRecord } from "../values/json-dates.ts";
import type { TestStore } from "./schema.ts";

/** What an app needs to be waited for. */
export type Drainable = {
  readonly registry: { readonly events: object };
  correlate(query?: { after?: number; limit?: number }): Promise<{ readonly last_id: number }>;
  on(event: "settled", listener: () => void): unknown;
  off(event: "settled", listener: () => void): unknown;
};

const PAGE = 1_000;
/** Longest wait for the app to settle, in ms. Nothing announces an expired lease or a due time, so the loop looks again soon. */
const SETTLE_LIMIT_MS = 25;

async function positionsOf(store: TestStore): Promise<{ head: number; positions: StreamPosition[] }> {
  const positions: StreamPosition[] = [];
  const { maxEventId } = await store.query_streams((position) => void positions.push(position), {
    limit: Number.MAX_SAFE_INTEGER,
  });
  return { head: maxEventId, positions };
}

const isBehind = ({ at, correlated_at, deferred_at }: StreamPosition) =>
  at < (correlated_at ?? -1) && (deferred_at ?? 0) <= Date.now();

const told = (positions: readonly StreamPosition[]) =>
  positions.map(({ stream, at, correlated_at }) => `"${stream}" is at ${at} of ${correlated_at}`).join(", ");

/** Whether the app has a reaction or a projection. */
const hasReactions = ({ registry }: Drainable) =>
  Object.values(registry.events).some(
    (register: unknown) =>
      isRecord(register) && register.reactions instanceof Map && register.reactions.size > 0,
  );

/** Resolves when the app has drained what it knows of, or after SETTLE_LIMIT_MS ms. */
function settled(app: Drainable, wake: () => void): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      app.off("settled", done);
      resolve();
    };
    const timer = setTimeout(done, SETTLE_LIMIT_MS);
    app.on("settled", done);
    wake();
  });
}

/**
 * Drains until no subscription is behind. It does not wait for work that is deferred to a later time.
 *
 * @throws Error if a subscription is blocked, with the error of its handler, and if it takes longer than `timeout` ms.
 */
export async function drained(app: Drainable, store: TestStore, timeout: number): Promise<void> {
  const names = Object.keys(app.registry.events);
  // Without reactions Act correlates nothing after a commit, and nothing follows from an event.
  const reacts = hasReactions(app);
  const deadline = performance.now() + timeout;
  for (;;) {
    store.wake(names);
    const { last_id } = await app.correlate({ limit: PAGE });
    await settled(app, () => store.wake(names));
    // Handlers append events too. So all is done only if the correlation has read the log up to its present head.
    const { head, positions } = await positionsOf(store);
    const blocked = positions.find((position) => position.blocked);
    if (blocked)
      throw new Error(
        `act-drizzle/testing: drained: "${blocked.stream}" is blocked after event ${blocked.at}: ${blocked.error || "its handler failed"}. Correct the handler, or expect the error in kit.positions().`,
      );
    const behind = positions.filter(isBehind);
    if ((!reacts || last_id >= head) && behind.length === 0) return;
    if (performance.now() > deadline)
      throw new Error(
        `act-drizzle/testing: drained: not done within ${timeout} ms: ${told(behind) || `only events up to ${last_id} of ${head} were correlated`}. Raise the timeout, or look for a handler that does not end.`,
      );
  }
}
