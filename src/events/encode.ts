/** Messages on their way in: JSON text, noted dates, encrypted pii. Refuses what cannot be stored. */
import { type EventMeta, type Message, type Schemas, ValidationError } from "@rotorsoft/act";
import { encrypt } from "../codec/encryption.ts";
import { type DatePaths, datePaths, type Path, refusedJson, refusedText } from "../codec/json.ts";

export type EncodedEvent = {
  readonly name: string;
  readonly data: string;
  readonly pii: string | null;
  readonly dates: string;
};

type Refuse = (part: string, reason: string) => ValidationError;

function toJson(value: unknown, part: string, refuse: Refuse): string {
  let text: string | undefined;
  try {
    text = JSON.stringify(value);
  } catch {
    throw refuse(part, "cannot be written as JSON (a BigInt, a circular reference, or nested too deep)");
  }
  // `undefined` and functions have no JSON: as an event's whole payload they are stored as null.
  if (text === undefined) return "null";
  const refused = refusedJson(text);
  if (refused) throw refuse(part, refused);
  return text;
}

/** After {@link toJson} has seen the value: what is circular has been refused. */
function datesOf(value: unknown, part: string, refuse: Refuse): readonly Path[] | undefined {
  try {
    return datePaths(value);
  } catch (error) {
    if (error instanceof RangeError) throw refuse(part, "is nested too deep");
    throw error;
  }
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
  const metaText = toJson(meta ?? { correlation: "", causation: {} }, "meta", refuse);
  const metaDates = datesOf(meta, "meta", refuse);
  const events = msgs.map((msg) => {
    if (typeof msg?.name !== "string") throw refuse("an event's name", "must be a string");
    const refusedName = refusedText(msg.name);
    if (refusedName) throw refuse("an event's name", refusedName);
    const dates: { data?: DatePaths["data"]; meta?: DatePaths["meta"]; pii?: DatePaths["pii"] } = {};
    const data = toJson(msg.data, "data", refuse);
    const dataDates = datesOf(msg.data, "data", refuse);
    if (dataDates) dates.data = dataDates;
    if (metaDates) dates.meta = metaDates;
    let pii: string | null = null;
    if (msg.pii !== null && msg.pii !== undefined) {
      pii = toJson(msg.pii, "pii", refuse);
      const paths = datesOf(msg.pii, "pii", refuse);
      // Keys may be personal too: the way to a Date in encrypted pii is encrypted with it.
      if (paths) dates.pii = key ? encrypt(key, JSON.stringify(paths)) : paths;
      if (key) pii = JSON.stringify(encrypt(key, pii));
    }
    const noted = dataDates || metaDates || dates.pii ? toJson(dates, "a key", refuse) : "{}";
    return { name: msg.name, data, pii, dates: noted };
  });
  return { events, meta: metaText };
}
