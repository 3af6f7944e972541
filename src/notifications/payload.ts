/**
 * The payload of a notification: `{ stream, events: [{ id, name }], by }`, which is act-pg's. Where that is too
 * long for NOTIFY, `events` is empty and `from`, `to` say which ids to look up. Whoever may connect to the
 * database may send to the channel, so each field is checked, and a payload with one bad field is none.
 */
import { isRecord, refusedText } from "../values/json-dates.ts";

export type EventRef = { readonly id: number; readonly name: string };

export type NotifyPayload = {
  readonly stream: string;
  /** The store that committed; undefined if the sender does not say. */
  readonly by: string | undefined;
  /** Ascending by id. Empty if, and only if, there is a range. */
  readonly events: EventRef[];
  readonly range: { readonly from: number; readonly to: number } | undefined;
};

/** An id that a log can hold, and that a number and a bigint parameter hold exactly. */
const isId = (value: unknown): value is number =>
  typeof value === "number" && Number.isSafeInteger(value) && value > 0;

/** What commit() would store: no U+0000 and no lone surrogate, which JSON can spell in a payload. */
const isText = (value: unknown): value is string =>
  typeof value === "string" && refusedText(value) === undefined;

const isAbsent = (value: unknown): value is null | undefined => value === null || value === undefined;

function readEvents(value: unknown): EventRef[] | undefined {
  if (!Array.isArray(value)) return undefined;
  const events: EventRef[] = [];
  let last = 0;
  for (const event of value) {
    if (!isRecord(event) || !isId(event.id) || event.id <= last || !isText(event.name)) return undefined;
    last = event.id;
    events.push({ id: event.id, name: event.name });
  }
  return events;
}

/** A payload in our form or act-pg's; undefined for anything else, and for one that tells of no event. */
export function parsePayload(text: string): NotifyPayload | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!isRecord(value) || !isText(value.stream)) return undefined;
  const { stream, by, from, to } = value;
  if (!isAbsent(by) && typeof by !== "string") return undefined;
  const events = readEvents(value.events);
  if (!events) return undefined;
  const range = isId(from) && isId(to) && from <= to ? { from, to } : undefined;
  if (!range && !(isAbsent(from) && isAbsent(to))) return undefined;
  if (events.length === 0 && !range) return undefined;
  return { stream, by: by ?? undefined, events, range: events.length === 0 ? range : undefined };
}
