/**
 * Rows that one caller alone changes. What each call was told is compared with the table right after it, and once
 * more before the next: a truncate or restore that failed has changed nothing, then or later.
 */
import type postgres from "postgres";
import { codeOf, type Ledger } from "../kit/ledger.ts";

export type Row = { readonly id: number; readonly stream: string; readonly version: number };

const textOf = (rows: readonly Row[]) => rows.map(({ id, stream, version }) => `${id}: ${stream}@${version}`);
const sorted = (rows: readonly Row[]) => rows.toSorted((a, b) => a.id - b.id);

function difference(expected: readonly Row[], found: readonly Row[]): string | undefined {
  const [wanted, there] = [textOf(sorted(expected)), textOf(sorted(found))];
  const missing = wanted.filter((text) => !there.includes(text));
  const extra = there.filter((text) => !wanted.includes(text));
  if (missing.length + extra.length === 0) return undefined;
  const few = (texts: readonly string[]) => `${texts.length} (${texts.slice(0, 3).join(", ")})`;
  return `${few(missing)} missing, ${few(extra)} extra`;
}

/** The rows of these streams, or of the whole table, over a plain connection. */
export function readRows(
  sql: postgres.Sql,
  { schema, table }: { readonly schema: string; readonly table: string },
  streams?: readonly string[],
): () => Promise<Row[]> {
  const wanted = streams ? sql`where stream in ${sql(streams)}` : sql``;
  return async () => {
    const rows = await sql`select id::text, stream, version from ${sql(schema)}.${sql(table)} ${wanted}`;
    return rows.map(({ id, stream, version }) => ({ id: Number(id), stream, version: Number(version) }));
  };
}

export class Book {
  /** Whatever the table holds that its caller was not told. */
  readonly wrong: string[] = [];
  /** Calls by what their callers were told. */
  readonly told = { done: 0, failed: 0, unknown: 0 };
  readonly #ledger: Ledger;
  readonly #read: () => Promise<Row[]>;
  #rows: readonly Row[] | undefined;

  constructor(ledger: Ledger, read: () => Promise<Row[]>) {
    this.#ledger = ledger;
    this.#read = read;
  }

  /** One call; `after` says which rows are there when it succeeds. True once it has. */
  async turn<T>(
    what: string,
    call: () => Promise<T>,
    after: (before: readonly Row[], value: T) => readonly Row[],
  ): Promise<boolean> {
    const before = await this.#read();
    this.#compare(`since the last call, before a ${what}`, this.#rows, before);
    let told: keyof Book["told"] = "failed";
    const done = await this.#ledger.attempt(async () => {
      try {
        return { value: await call() };
      } catch (error) {
        if (codeOf(error) === "OUTCOME_UNKNOWN") told = "unknown";
        throw error;
      }
    });
    if (done) told = "done";
    this.told[told]++;
    const found = await this.#read();
    if (done) this.#compare(`after a ${what} that succeeded`, after(before, done.value), found);
    else if (told === "failed") this.#compare(`after a ${what} that failed`, before, found);
    this.#rows = found;
    return done !== undefined;
  }

  /** Once all is over. */
  async close(): Promise<void> {
    this.#compare("since the last call", this.#rows, await this.#read());
  }

  #compare(when: string, expected: readonly Row[] | undefined, found: readonly Row[]): void {
    const text = expected && difference(expected, found);
    if (text) this.wrong.push(`${when}: ${text}`);
  }
}
