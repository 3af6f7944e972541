/** One stream: its head, its snapshots, its latest events, and the subscriptions that read it. */
import * as z from "zod";
import type { Context } from "../context.ts";
import type { Names } from "../schema/names.ts";
import { checkArgument, checkGiven, FLAG, NAME, type Rules } from "../values/rules.ts";
import { boundedCount, type Count, countOf, optionalText } from "./bounded.ts";
import { EVENT_RULES, type EventFilter, type EventView, events } from "./events.ts";
import { readersOf, type StreamReader, toReader } from "./readers.ts";

/** One stream. `history` holds its latest events, newest first. */
export type StreamView = {
  readonly stream: string;
  /** Undefined for a stream without events. */
  readonly head: { readonly id: number; readonly version: number } | undefined;
  readonly events: Count;
  /** The newest snapshot's id and version. */
  readonly snapshot: { readonly id: number; readonly version: number } | undefined;
  /** Version of its first event; above 0 if the events before a snapshot were truncated. */
  readonly firstVersion: number | undefined;
  /** It was closed: its last event is a tombstone. */
  readonly closed: boolean;
  readonly history: readonly EventView[];
  /** The first page of `readers()`: subscriptions that read it by name, by a pattern, or because they read every stream. */
  readonly readers: readonly StreamReader[];
  /** There are more than 100 readers, or the time was up and there may be more. `readers()` has the next page. */
  readonly readersCut: boolean;
};

/** Which of the stream's events to show, and whether to look for its readers. */
export type StreamOptions = Pick<EventFilter, "limit" | "before" | "payload"> & {
  /** False: `readers` is empty. To find them takes up to two seconds if there are very many subscriptions. Default true. */
  readonly readers?: boolean | undefined;
};

const place = z.object({ id: z.number(), version: z.number() }).nullable();
const summary = z.object({
  head: place,
  last_name: optionalText,
  snapshot: place,
  first_version: z.number().nullable(),
  events: boundedCount(),
});

/** $1 the stream */
export const streamText = ({ events: log }: Names): string => {
  const own = `from ${log} e where e.stream = $1::text`;
  const at = `jsonb_build_object('id', e.id, 'version', e.version)`;
  return `select
  (select ${at} ${own} order by e.version desc limit 1) as head,
  (select e.name ${own} order by e.version desc limit 1) as last_name,
  (select ${at} ${own} and e.name = '__snapshot__' order by e.id desc limit 1) as snapshot,
  (select e.version ${own} order by e.version limit 1) as first_version,
  ${countOf(own)} as events`;
};

const { limit, before, payload } = EVENT_RULES;
const RULES: Rules<StreamOptions> = { limit, before, payload, readers: FLAG };

/** `history` holds the latest events, newest first, as `options` ask. */
export async function stream(
  context: Context,
  name: string,
  options: StreamOptions = {},
): Promise<StreamView> {
  checkArgument("stream", "name", name, NAME);
  checkGiven("stream", options, RULES);
  const { readers = true, ...filter } = options;
  const { connections, names } = context;
  const [row] = await connections.read("admin", { text: streamText(names), params: [name] });
  const found = summary.parse(row);
  const history = await events(context, { ...filter, stream: name, streamExact: true });
  const { rows, next } = readers ? await readersOf(context, name) : { rows: [], next: undefined };
  return {
    stream: name,
    head: found.head ?? undefined,
    events: found.events,
    snapshot: found.snapshot ?? undefined,
    firstVersion: found.first_version ?? undefined,
    closed: found.last_name === "__tombstone__",
    history,
    readers: rows.map(toReader),
    readersCut: next !== undefined,
  };
}
