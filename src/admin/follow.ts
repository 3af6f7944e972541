/** Follows the log: reads new events after a NOTIFY, if the store notifies, and once a second. */
import { setTimeout as delay } from "node:timers/promises";
import type { Context } from "../context.ts";
import { checkGiven, type Rules, required, SIGNAL } from "../values/rules.ts";
import { EVENT_RULES, type EventFilter, type EventView, events } from "./events.ts";
import { lastId } from "./next-events.ts";
import { watch } from "./watch.ts";

/** Which new events to follow, from where, and until when. */
export type FollowOptions = Omit<EventFilter, "forward" | "before" | "createdAfter" | "createdBefore"> & {
  /** Begin after this id. Default: with the events that are committed from now on. */
  readonly after?: number | undefined;
  /** Following ends when it aborts. */
  readonly signal: AbortSignal;
};

const {
  forward: _forward,
  before: _before,
  createdAfter: _after,
  createdBefore: _until,
  ...rules
} = EVENT_RULES;
const RULES: Rules<FollowOptions> = { ...rules, signal: required(SIGNAL) };

/** ms between two reads without a notification. */
const POLL_MS = 1_000;
const PAGE = 500;

/**
 * Yields pages of events in order of id, until `signal` aborts. No event is left out, and none comes twice. Each read ends at
 * the log's end, and the next one begins there, so that a rare filter does not search the same events again and again.
 */
export async function* follow(
  context: Context,
  options: FollowOptions,
): AsyncGenerator<readonly EventView[], void> {
  checkGiven("follow", options, RULES);
  const { signal, after, ...filter } = options;
  let wake = Promise.withResolvers<void>();
  const listener = await watch(context, () => wake.resolve());
  // A generator that nobody asks for the next page does not see the signal, and the listener keeps the process alive.
  const stop = () => void listener?.stop();
  signal.addEventListener("abort", stop, { once: true });
  try {
    let end = await lastId(context);
    let position = after ?? end;
    while (!signal.aborted) {
      wake = Promise.withResolvers<void>();
      const last = await lastId(context);
      // The log's end was deleted, or the log was restored with ids from 1: go on from the present end.
      if (last < end) position = Math.min(position, last);
      end = last;
      if (position < end) {
        const before = Math.min(end, Number.MAX_SAFE_INTEGER - 1) + 1;
        const page = await events(context, {
          ...filter,
          after: position,
          before,
          forward: true,
          limit: PAGE,
        });
        const full = page.length === PAGE;
        position = full ? (page.at(-1)?.id ?? position) : end;
        if (page.length > 0) yield page;
        if (full) continue;
      }
      const pause = new AbortController();
      await Promise.race([
        wake.promise,
        delay(POLL_MS, undefined, { signal: AbortSignal.any([signal, pause.signal]) }).catch(() => {}),
      ]);
      pause.abort();
    }
  } finally {
    signal.removeEventListener("abort", stop);
    await listener?.stop();
  }
}
