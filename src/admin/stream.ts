/** One stream: its head, its snapshots, its latest events, and the subscriptions that read it. */
import { z } from "zod";
import type { Context } from "../context.ts";
import type { Names } from "../schema/names.ts";
import { checkArgument, checkGiven, NAME, type Rules } from "../values/rules.ts";
import { boundedCount, type Count, countOf, optionalText } from "./bounded.ts";
import { EVENT_RULES, type EventFilter, type EventView, events } from "./events.ts";

/** A subscription that reads a stream. `at` is its watermark, `correlatedAt` the id up to which it has work. */
export type StreamReader = {
  readonly stream: string;
  readonly source: string | undefined;
  readonly lane: string;
  readonly at: number;
  readonly correlatedAt: number | undefined;
  readonly blocked: boolean;
};

/** One stream. `history` holds its latest events, newest first. */
export type StreamView = {
  readonly stream: string;
  /** Undefined for a stream without events. */
  readonly head: { readonly id: number; readonly version: number } | undefined;
  readonly events: Count;
  /** The newest snapshot's id and version. */
  readonly snapshot: { readonly id: number; readonly version: number } | undefined;
  /** Version of its first event; above 0 if what lay behind a snapshot was truncated. */
  readonly firstVersion: number | undefined;
  /** It was closed: its last event is a tombstone. */
  readonly closed: boolean;
  readonly history: readonly EventView[];
  /**
   * Subscriptions that name it as their source or are named like it. Those that read it by a pattern are not found
   * this way.
   */
  readonly readers: readonly StreamReader[];
};

const place = z.object({ id: z.number(), version: z.number() }).nullable();
const summary = z.object({
  head: place,
  last_name: optionalText,
  snapshot: place,
  first_version: z.number().nullable(),
  events: boundedCount(),
  readers: z.array(
    z.object({
      stream: z.string(),
      source: optionalText,
      lane: z.string(),
      at: z.number(),
      correlated_at: z.number().nullable(),
      blocked: z.boolean(),
    }),
  ),
});

/** $1 the stream */
export const streamText = ({ events: log, streams }: Names): string => {
  const own = `from ${log} e where e.stream = $1::text`;
  const at = `jsonb_build_object('id', e.id, 'version', e.version)`;
  return `select
  (select ${at} ${own} order by e.version desc limit 1) as head,
  (select e.name ${own} order by e.version desc limit 1) as last_name,
  (select ${at} ${own} and e.name = '__snapshot__' order by e.id desc limit 1) as snapshot,
  (select e.version ${own} order by e.version limit 1) as first_version,
  ${countOf(own)} as events,
  (select coalesce(jsonb_agg(to_jsonb(r) order by r.stream), '[]') from (
    select s.stream, s.source, s.lane, s.at, s.correlated_at, s.blocked from ${streams} s
    where s.stream = $1::text or s.source = $1::text limit 100) r) as readers`;
};

type HistoryFilter = Pick<EventFilter, "limit" | "before" | "payload">;

const { limit, before, payload } = EVENT_RULES;
const RULES: Rules<HistoryFilter> = { limit, before, payload };

/** `history` holds the latest events, newest first, as `filter` asks. */
export async function stream(
  context: Context,
  name: string,
  filter: HistoryFilter = {},
): Promise<StreamView> {
  checkArgument("stream", "name", name, NAME);
  checkGiven("stream", filter, RULES);
  const { connections, names } = context;
  const [row] = await connections.read("admin", { text: streamText(names), params: [name] });
  const found = summary.parse(row);
  const history = await events(context, { ...filter, stream: name, streamExact: true });
  return {
    stream: name,
    head: found.head ?? undefined,
    events: found.events,
    snapshot: found.snapshot ?? undefined,
    firstVersion: found.first_version ?? undefined,
    closed: found.last_name === "__tombstone__",
    history,
    readers: found.readers.map(({ correlated_at, ...reader }) => ({
      ...reader,
      correlatedAt: correlated_at ?? undefined,
    })),
  };
}
