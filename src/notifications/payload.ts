/**
 * The payload of a notification, which is act-pg's: `{ stream, events: [{ id, name }], by }`. If it would be too long
 * for NOTIFY, `events` is empty, and `from` and `to` give the range of ids to look up. With `claimable: true` it has
 * neither: there is work to claim that no event announces.
 *
 * Every client that may connect to the database may send to the channel. So each field is checked, and a payload with an
 * invalid field is ignored.
 */
import { isRecord, refusedText } from "../values/json-dates.ts";

export type EventRef = { readonly id: number; readonly name: string };

export type NotifyPayload = {
  readonly stream: string;
  /** The store that committed; undefined if the payload does not say. */
  readonly by: string | undefined;
  /** Ascending by id. Empty if there is a range or claimable work, and never otherwise. */
  readonly events: EventRef[];
  readonly range: { readonly from: number; readonly to: number } | undefined;
  /** Some subscriptions may be claimable although no event was committed. */
  readonly claimable?: true;
};

/** An id that a log can have, and that JavaScript reads exactly. */
const isId = (value: unknown): value is number =>
  typeof value === "number" && Number.isSafeInteger(value) && value > 0;

/** Text that commit() would store: without U+0000 and lone surrogates, for which JSON has escapes. */
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

/**
 * Reads a payload of this store or of act-pg. Undefined for anything else, and for a payload that has no
 * events, no range and no `claimable`.
 */
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
  if (events.length === 0 && !range)
    return value.claimable === true
      ? { stream, by: by ?? undefined, events, range, claimable: true }
      : undefined;
  return { stream, by: by ?? undefined, events, range: events.length === 0 ? range : undefined };
}
