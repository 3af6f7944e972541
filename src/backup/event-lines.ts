/**
 * The format of an export: JSON lines. A header, then one line for each event in order of id, then a footer with their
 * number and SHA-256.
 *
 * A line is the row as the server writes it: numbers of any length, timestamps to the microsecond, and personal data as
 * it is stored, encrypted or not, so that an export and an import leave every byte as it was.
 */
import { createHash, type Hash } from "node:crypto";
import { z } from "zod";

const FORMAT = 1;

const header = z.object({ "act-drizzle": z.literal("events"), format: z.literal(FORMAT) });
const footer = z.object({ events: z.number().int().min(0), sha256: z.string().regex(/^[0-9a-f]{64}$/) });
const eventLine = z.object({
  id: z.number().int().min(0).max(Number.MAX_SAFE_INTEGER),
  stream: z.string(),
  version: z.number().int().min(0).max(2_147_483_647),
  created: z.string(),
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

/** A line of the input is wrong. The error names the line, and never shows the event's content. */
export class ImportError extends Error {
  override readonly name = "ImportError";
  /** 1 is the first line. */
  readonly line: number;
  readonly stream: string | undefined;
  readonly version: number | undefined;

  constructor(
    reason: string,
    at: { line: number; stream?: string | undefined; version?: number | undefined },
  ) {
    const where =
      at.stream === undefined ? "" : ` (stream ${JSON.stringify(at.stream)}, version ${at.version})`;
    super(`line ${at.line}${where}: ${reason}. Nothing was imported.`);
    this.line = at.line;
    this.stream = at.stream;
    this.version = at.version;
  }
}

export type EventLine = {
  readonly line: number;
  readonly text: string;
  readonly id: number;
  readonly stream: string;
  readonly version: number;
};

function parse(text: string, line: number): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new ImportError("not JSON", { line });
  }
}

/** Reads lines in their order, and checks them against header and footer: order of ids, number and checksum. */
export class LineReader {
  readonly #hash = createHash("sha256");
  readonly #versions = new Map<string, number>();
  #line = 0;
  #events = 0;
  #lastId = -1;
  #ended = false;

  get events(): number {
    return this.#events;
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
    if (this.#ended) throw new ImportError("there is something behind the footer", { line });
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
    if (events !== this.#events)
      throw new ImportError(`the footer counts ${events} events, there are ${this.#events}`, { line });
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
    const at = { line, stream, version };
    if (id <= this.#lastId) throw new ImportError("ids must ascend, and this one does not", at);
    const before = this.#versions.get(stream);
    if (before !== undefined && version <= before)
      throw new ImportError(
        version === before
          ? "this version was there before"
          : "versions of a stream must ascend, and this one does not",
        at,
      );
    this.#lastId = id;
    this.#versions.set(stream, version);
    this.#events++;
    this.#hash.update(text).update("\n");
    return { line, text, id, stream, version };
  }
}

function placeOf(value: unknown): { stream?: string; version?: number } {
  const place = z.object({ stream: z.string(), version: z.number() }).safeParse(value);
  return place.success ? place.data : {};
}
