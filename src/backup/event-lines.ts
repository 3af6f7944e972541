/**
 * The format of an export: JSON lines. A header, then one line for each event in order of id, then a footer with their
 * number and SHA-256.
 *
 * A line is the row as the server writes it: numbers of any length, timestamps to the microsecond, and personal data as
 * it is stored, encrypted or not, so that an export and an import leave every byte as it was.
 */
import { createHash, type Hash } from "node:crypto";
import * as z from "zod";
import { type EventLine, EventOrder, type EventReader, ImportError } from "./event-order.ts";

const FORMAT = 1;

const header = z.object({ "act-drizzle": z.literal("events"), format: z.literal(FORMAT) });
const footer = z.object({ events: z.number().int().min(0), sha256: z.string().regex(/^[0-9a-f]{64}$/) });
const eventLine = z.object({
  id: z.number().int().min(0).max(Number.MAX_SAFE_INTEGER),
  stream: z.string(),
  version: z.number().int().min(0).max(2_147_483_647),
  // A date, not `infinity`: a new event is never dated before the last one, so all later events would get `infinity` too.
  created: z.string().regex(/^\d{4,6}-\d\d-\d\d[ T]/),
  name: z.string(),
  data: z.unknown(),
  meta: z.unknown(),
  pii: z.unknown().optional(),
  dates: z.unknown().optional(),
  token: z.uuid().optional(),
});

export const HEADER = JSON.stringify({ "act-drizzle": "events", format: FORMAT });
export const footerOf = (events: number, hash: Hash): string =>
  JSON.stringify({ events, sha256: hash.copy().digest("hex") });

/** The row `e` as the text of a line. */
export const LINE = `(jsonb_build_object('id', e.id, 'stream', e.stream, 'version', e.version, 'created', e.created::text,
    'name', e.name, 'data', e.data, 'meta', e.meta)
  || case when e.pii is null then '{}' else jsonb_build_object('pii', e.pii) end
  || case when e.dates is null then '{}' else jsonb_build_object('dates', e.dates) end
  || case when e.token is null then '{}' else jsonb_build_object('token', e.token) end)::text`;

function parse(text: string, line: number): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new ImportError("not JSON", { line });
  }
}

/** Reads lines in their order, and checks them against header and footer: order of ids, number and checksum. */
export class LineReader implements EventReader {
  readonly #hash = createHash("sha256");
  readonly #order = new EventOrder();
  #line = 0;
  #ended = false;

  get events(): number {
    return this.#order.events;
  }

  /** The event of a line; undefined for header and footer. */
  read(text: string): EventLine | undefined {
    const line = ++this.#line;
    const value = parse(text, line);
    if (line === 1) {
      if (!header.safeParse(value).success)
        throw new ImportError("this is no export of act-drizzle, or one of a newer release", { line });
      return undefined;
    }
    if (this.#ended) throw new ImportError("there is something after the footer", { line });
    const end = footer.safeParse(value);
    if (end.success) return this.#end(end.data, line);
    return this.#event(value, text, line);
  }

  /** Called after the last line. */
  end(): void {
    if (!this.#ended)
      throw new ImportError("the footer is missing: the export was cut off", { line: this.#line + 1 });
  }

  #end({ events, sha256 }: z.infer<typeof footer>, line: number): undefined {
    this.#ended = true;
    if (events !== this.events)
      throw new ImportError(`the footer counts ${events} events, there are ${this.events}`, { line });
    if (sha256 !== this.#hash.digest("hex"))
      throw new ImportError("the checksum does not match: the file was changed", { line });
  }

  #event(value: unknown, text: string, line: number): EventLine {
    const found = eventLine.safeParse(value);
    if (!found.success) {
      const path = found.error.issues[0]?.path.join(".") || "the event";
      throw new ImportError(`${path} is missing or of a wrong type`, { line, ...placeOf(value) });
    }
    const { id, stream, version } = found.data;
    this.#order.add({ line, id, stream, version });
    this.#hash.update(text).update("\n");
    return { line, text, id, stream, version };
  }
}

function placeOf(value: unknown): { stream?: string; version?: number } {
  const place = z.object({ stream: z.string(), version: z.number() }).safeParse(value);
  return place.success ? place.data : {};
}
