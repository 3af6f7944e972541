/** Counts of the newest events of a filter: by stream, by who acted, by name. */
import type { EventView } from "../../api.ts";
import { get, type Query } from "./client.ts";

/** Counting ends with the page that reaches this number of events. */
export const SUMMARY_LIMIT = 5_000;
const PAGE = 500;
/** Counting also ends after this many pages: of a rare filter, a page may hold few events or none. */
const MOST_PAGES = 30;

export type Tally = readonly (readonly [name: string, count: number])[];

export type LogSummary = {
  readonly events: number;
  /** All that match were counted. */
  readonly complete: boolean;
  readonly streams: Tally;
  readonly actors: Tally;
  readonly names: Tally;
};

/** The most frequent first; among equals the one that was seen first. */
export function tally(values: Iterable<string>): Tally {
  const counts = new Map<string, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts].sort(([, a], [, b]) => b - a);
}

export async function summarize(query: Query, signal: AbortSignal): Promise<LogSummary> {
  const events: EventView[] = [];
  let before: number | undefined;
  let complete = false;
  for (let page = 0; page < MOST_PAGES && events.length < SUMMARY_LIMIT && !complete; page++) {
    const found = await get("GET /api/log", { ...query, before, limit: PAGE }, signal);
    events.push(...found.events);
    before = found.older;
    complete = before === undefined;
  }
  return {
    events: events.length,
    complete,
    streams: tally(events.map(({ stream }) => stream)),
    actors: tally(events.flatMap(({ actor }) => (actor === undefined ? [] : [actor]))),
    names: tally(events.map(({ name }) => name)),
  };
}
