/** Follows the log: reads new events after a NOTIFY, if the store notifies, and once a second. */
import { setTimeout as delay } from "node:timers/promises";
import type { Context } from "../context.ts";
import { checkGiven, type Rules, required, SIGNAL } from "../values/rules.ts";
import { EVENT_RULES, type EventFilter, type EventView, events } from "./events.ts";
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

/** Yields pages of events in order of id, until `signal` aborts. No event is left out, and none comes twice. */
export async function* follow(
  context: Context,
  options: FollowOptions,
): AsyncGenerator<readonly EventView[], void> {
  checkGiven("follow", options, RULES);
  const { signal, after, ...filter } = options;
  let wake = Promise.withResolvers<void>();
  const listener = await watch(context, () => wake.resolve());
  try {
    let position = after ?? (await lastId(context));
    while (!signal.aborted) {
      wake = Promise.withResolvers<void>();
      const page = await events(context, { ...filter, after: position, forward: true, limit: PAGE });
      if (page.length > 0) {
        position = page.at(-1)?.id ?? position;
        yield page;
      }
      if (page.length === PAGE) continue;
      const pause = new AbortController();
      await Promise.race([
        wake.promise,
        delay(POLL_MS, undefined, { signal: AbortSignal.any([signal, pause.signal]) }).catch(() => {}),
      ]);
      pause.abort();
    }
  } finally {
    await listener?.stop();
  }
}

async function lastId({ names, connections }: Context): Promise<number> {
  const [row] = await connections.read("admin", {
    text: `select coalesce(max(id), 0) as id from ${names.events}`,
  });
  return Number(row?.id);
}
