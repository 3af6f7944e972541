/**
 * The framework's own format (its class CsvFile): a header, then one line for each event. Events are numbered from 1.
 * The id of a cause is renumbered if the cause is in the file, and stays as it is otherwise. Times are to the
 * millisecond. There is no personal data, and nothing tells that a file was cut off.
 *
 * The output equals, byte by byte, what `app.restore(source, {}, new CsvFile({ path }))` writes if the source gives snapshots.
 * If the source is a store, the framework leaves its snapshots out. The framework's reader takes a line break inside a name
 * for the end of a line; this one does not.
 */
import * as z from "zod";
import { millisOf } from "../schema/event-rows.ts";
import { type EventLine, EventOrder, type EventReader, ImportError } from "./event-order.ts";
import { ExportError } from "./export-error.ts";

export type LinePage = readonly { readonly id: number; readonly line: string }[];

const COLUMNS = ["id", "name", "data", "stream", "version", "created", "meta"];

/** The row `e` as text. */
export const CSV_LINE = `jsonb_build_object('name', e.name, 'data', e.data, 'stream', e.stream, 'version', e.version,
  'created', ${millisOf("e.created")}, 'meta', e.meta)::text`;

const row = z.object({
  name: z.string(),
  data: z.unknown(),
  stream: z.string(),
  version: z.number(),
  created: z.number(),
  meta: z.unknown(),
});
const caused = z.looseObject({
  causation: z.looseObject({ event: z.looseObject({ id: z.number() }) }),
});

const escaped = (text: string): string => (/[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

/**
 * Maps old ids to new ones. In a run of ids without a gap, the difference between old and new ids is constant. So it stores
 * one pair per run, and a log of any length needs little memory.
 */
class NewIds {
  /** The first id of each run without a gap, and its new id. */
  readonly #firsts: number[] = [];
  readonly #news: number[] = [];
  #last = Number.NaN;
  #count = 0;

  add(id: number): number {
    const next = ++this.#count;
    if (id !== this.#last + 1) {
      this.#firsts.push(id);
      this.#news.push(next);
    }
    this.#last = id;
    return next;
  }

  get(id: number): number | undefined {
    if (!(id <= this.#last)) return undefined;
    let [low, high] = [0, this.#firsts.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#firsts[middle] ?? 0) <= id) low = middle + 1;
      else high = middle;
    }
    const run = low - 1;
    const found = (this.#news[run] ?? 0) + id - (this.#firsts[run] ?? 0);
    // An id after the end of its run is in a gap.
    return run >= 0 && found < (this.#news[run + 1] ?? this.#count + 1) ? found : undefined;
  }
}

function metaText(meta: unknown, ids: NewIds): string {
  const found = caused.safeParse(meta);
  const id = found.success ? ids.get(found.data.causation.event.id) : undefined;
  if (!found.success || id === undefined) return JSON.stringify(meta);
  const { causation } = found.data;
  return JSON.stringify({ ...found.data, causation: { ...causation, event: { ...causation.event, id } } });
}

/** @throws ExportError for `infinity`, and for the years after 275760, which JavaScript's Date does not have. */
function timeText(id: number, { created, stream, version }: z.infer<typeof row>): string {
  const time = new Date(created);
  if (!Number.isNaN(time.getTime())) return time.toISOString();
  const reason =
    'a CSV file cannot hold its time, such as infinity: export JSON lines, or correct "created" (docs/guides/reliability.md, "Events dated in the future")';
  throw new ExportError(reason, { id, stream, version });
}

/**
 * `onPage` gets the number of events so far, and the id that the page's last event has in the log.
 *
 * @throws ExportError
 */
export async function* csvOf(
  pages: AsyncIterable<LinePage>,
  onPage: (events: number, id: number) => unknown,
): AsyncGenerator<string, void> {
  const ids = new NewIds();
  let events = 0;
  yield `${COLUMNS.join(",")}\n`;
  for await (const page of pages) {
    let text = "";
    for (const { id, line } of page) {
      const event = row.parse(JSON.parse(line));
      const fields = [
        escaped(event.name),
        escaped(JSON.stringify(event.data)),
        escaped(event.stream),
        String(event.version),
        timeText(id, event),
        escaped(metaText(event.meta, ids)),
      ];
      events = ids.add(id);
      text += `${events},${fields.join(",")}\n`;
    }
    yield text;
    await onPage(events, page.at(-1)?.id ?? 0);
  }
}

/** The field that begins at `at`, and where it ends. Undefined if it is not well formed. */
function fieldAt(line: string, at: number): { readonly field: string; readonly end: number } | undefined {
  if (line[at] !== '"') {
    const comma = line.indexOf(",", at);
    const end = comma < 0 ? line.length : comma;
    const field = line.slice(at, end);
    return field.includes('"') ? undefined : { field, end };
  }
  let field = "";
  for (let from = at + 1; ; ) {
    const quote = line.indexOf('"', from);
    if (quote < 0) return undefined;
    field += line.slice(from, quote);
    if (line[quote + 1] !== '"') return { field, end: quote + 1 };
    field += '"';
    from = quote + 2;
  }
}

/** Undefined if the line is not well formed. */
function fieldsOf(line: string): string[] | undefined {
  const fields: string[] = [];
  for (let at = 0; ; at++) {
    const found = fieldAt(line, at);
    if (!found) return undefined;
    fields.push(found.field);
    at = found.end;
    if (at === line.length) return fields;
    if (line[at] !== ",") return undefined;
  }
}

const isJson = (text: string): boolean => {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
};

/** Most characters of a row. Longer rows are refused, so that a stray quote does not fill the memory. */
const LONGEST_ROW = 256_000_000;
const WHOLE = /^\d{1,15}$/;
const LARGEST_VERSION = 2_147_483_647;

export class CsvReader implements EventReader {
  readonly #order = new EventOrder();
  #line = 0;
  /** The lines of a row whose quoted field goes on in the next line. */
  #open: string | undefined;
  #header = false;

  get events(): number {
    return this.#order.events;
  }

  read(text: string): EventLine | undefined {
    const line = ++this.#line;
    const isOpen = (this.#open !== undefined) !== (text.split('"').length % 2 === 0);
    const whole = this.#open === undefined ? text : `${this.#open}\n${text}`;
    this.#open = isOpen ? whole : undefined;
    if (whole.length > LONGEST_ROW)
      throw new ImportError("a quoted field has no end, or the row is too long", { line });
    // A row is parsed only once it has ended. Parsed at each line, it would be copied each time: with one stray quote, 1 MB took
    // 4 s, and 2 MB four times as long.
    if (isOpen) return undefined;
    // A file that went through an editor may have lines that end with \r\n.
    const row = whole.replace(/\r$/, "");
    if (row.trim() === "") return undefined;
    const fields = fieldsOf(row);
    if (this.#header) return this.#event(fields, line);
    if (fields?.join() !== COLUMNS.join())
      throw new ImportError(`this is no CSV file of the framework: its header is ${COLUMNS.join()}`, {
        line,
      });
    this.#header = true;
    return undefined;
  }

  end(): void {
    const line = this.#line + 1;
    if (this.#open !== undefined)
      throw new ImportError("a quoted field has no end: the file was cut off", { line });
    if (!this.#header) throw new ImportError("the header is missing: the file is empty", { line });
  }

  #event(fields: string[] | undefined, line: number): EventLine {
    if (fields?.length !== COLUMNS.length)
      throw new ImportError(`there are ${fields?.length ?? "no"} fields where ${COLUMNS.length} are needed`, {
        line,
      });
    const [id = "", name = "", data = "", stream = "", version = "", created = "", meta = ""] = fields;
    const wrong = [
      !WHOLE.test(id) && "id",
      !(WHOLE.test(version) && Number(version) <= LARGEST_VERSION) && "version",
      Number.isNaN(Date.parse(created)) && "created",
      !isJson(data) && "data",
      !isJson(meta) && "meta",
    ].find((column) => column !== false);
    const at = { line, id: Number(id), stream, version: Number(version) };
    if (wrong) throw new ImportError(`${wrong} is missing or of a wrong type`, at);
    this.#order.add(at);
    // The JSON of the file is passed on as text, so that numbers that no double holds stay as they are.
    const head = JSON.stringify({ id: at.id, stream, version: at.version, created: new Date(created), name });
    return { ...at, text: `${head.slice(0, -1)},"data":${data},"meta":${meta}}` };
  }
}
