/** Encodes messages for the INSERT: JSON text, paths of Dates, encrypted pii. Refuses what cannot be stored. */
import { type EventMeta, type Message, type Schemas, ValidationError } from "@rotorsoft/act";
import { type DatePaths, datePaths, type Path, refusedJson, refusedText } from "../values/json-dates.ts";
import { encrypt } from "../values/pii-encryption.ts";

export type EncodedEvent = {
  readonly name: string;
  readonly data: string;
  readonly pii: string | null;
  readonly dates: string;
};

type Refuse = (part: string, reason: string) => ValidationError;

type Encoded = { readonly text: string; readonly dates: readonly Path[] | undefined };

/** A value as JSON, and the paths of its Dates. */
function toJson(value: unknown, part: string, refuse: Refuse): Encoded {
  let text: string | undefined;
  let dates: readonly Path[] | undefined;
  try {
    text = JSON.stringify(value);
    // JSON.stringify comes first, because it refuses circular values, on which datePaths would never end.
    dates = datePaths(value);
  } catch {
    throw refuse(part, "cannot be written as JSON (a BigInt, a circular reference, or nested too deep)");
  }
  // `undefined` and functions have no JSON. If one is the whole payload of an event, it is stored as null.
  if (text === undefined) return { text: "null", dates };
  const refused = refusedJson(text);
  if (refused) throw refuse(part, refused);
  return { text, dates };
}

/**
 * Encodes the messages of one commit. Throws a ValidationError whose details name the stream and the
 * events, never their data.
 */
export function encodeEvents(
  stream: unknown,
  msgs: readonly Message<Schemas, keyof Schemas>[],
  meta: EventMeta,
  key: Uint8Array | undefined,
): { events: EncodedEvent[]; meta: string } {
  const refuse: Refuse = (part, reason) => {
    const names = msgs.map((m) => (typeof m?.name === "string" ? m.name : "?"));
    const shown = typeof stream === "string" ? stream : typeof stream;
    return new ValidationError(
      "event",
      { stream: shown, events: names },
      {
        stream: shown,
        events: names,
        reason: `${part} ${reason}`,
      },
    );
  };
  if (typeof stream !== "string") throw refuse("the stream", "must be a string");
  const refusedStream = refusedText(stream);
  if (refusedStream) throw refuse("the stream's name", refusedStream);
  if (meta !== undefined && meta !== null && (typeof meta !== "object" || Array.isArray(meta)))
    throw refuse("meta", "must be an object");
  const encodedMeta = toJson(meta ?? { correlation: "", causation: {} }, "meta", refuse);
  const events = msgs.map((msg) => {
    if (typeof msg?.name !== "string") throw refuse("an event's name", "must be a string");
    const refusedName = refusedText(msg.name);
    if (refusedName) throw refuse("an event's name", refusedName);
    const data = toJson(msg.data, "data", refuse);
    let pii: string | null = null;
    let piiDates: DatePaths["pii"];
    if (msg.pii !== null && msg.pii !== undefined) {
      const { text, dates } = toJson(msg.pii, "pii", refuse);
      // Keys may be personal too. So the paths of Dates in encrypted pii are encrypted as well.
      piiDates = key && dates ? encrypt(key, JSON.stringify(dates)) : dates;
      pii = key ? JSON.stringify(encrypt(key, text)) : text;
    }
    // Paths need no check of their own: their keys are part of the JSON that was checked above.
    const dates: DatePaths = { data: data.dates, meta: encodedMeta.dates, pii: piiDates };
    return { name: msg.name, data: data.text, pii, dates: JSON.stringify(dates) };
  });
  return { events, meta: encodedMeta.text };
}
