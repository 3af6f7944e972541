/**
 * What a command prints: tables and paragraphs for people, which are made to fit the terminal, and JSON for programs. A
 * name or a word that does not fit is still printed whole.
 */
import { once } from "node:events";
import { stripVTControlCharacters, styleText } from "node:util";
import Table from "cli-table3";

type Style = Parameters<typeof styleText>[0];

const NARROW = 80;
/** A column that holds text is not squeezed below this. */
const SMALLEST = 6;
const GAP = 2;

export type Column<Row> = {
  readonly title: string;
  readonly value: (row: Row) => string | number | undefined;
  readonly right?: boolean;
  /** Holds names that people copy: if a name is cut, a line below the row shows the whole name. */
  readonly whole?: boolean;
  readonly style?: (row: Row) => Style | undefined;
};

/** The width of each column, so that all columns fit. The widest column is shortened first. */
export function fitWidths(natural: readonly number[], available: number): number[] {
  const widths = [...natural];
  const total = () => widths.reduce((sum, width) => sum + width, 0) + GAP * Math.max(0, widths.length - 1);
  while (total() > available) {
    const widest = Math.max(...widths);
    if (widest <= SMALLEST) break;
    widths[widths.indexOf(widest)] = widest - 1;
  }
  return widths;
}

/** Control characters of stored names must not reach the terminal. */
export const printable = (text: string): string => text.replaceAll(/\p{Cc}/gu, "\ufffd");

export class Output {
  readonly json: boolean;
  readonly #stream: NodeJS.WriteStream;

  constructor({ json, stream = process.stdout }: { json: boolean; stream?: NodeJS.WriteStream }) {
    this.json = json;
    this.#stream = stream;
  }

  get width(): number {
    return this.#stream.isTTY ? (this.#stream.columns ?? NARROW) : NARROW;
  }

  style(style: Style | undefined, text: string): string {
    return style === undefined ? text : styleText(style, text, { stream: this.#stream });
  }

  /** Resolves once the stream takes more. */
  async write(text: string): Promise<void> {
    if (!this.#stream.write(text)) await once(this.#stream, "drain");
  }

  line(text = ""): void {
    this.#stream.write(`${text}\n`);
  }

  /** Text that is wrapped between words. A word is never cut, because it may be a name. `first`: what is before the text. */
  paragraph(text: string, indent = "", first = indent): void {
    let line = first;
    for (const word of text.split(" ")) {
      if (
        line !== indent &&
        line !== first &&
        stripVTControlCharacters(line).length + 1 + word.length > this.width
      ) {
        this.line(line);
        line = indent;
      }
      line += line === indent || line === first ? word : ` ${word}`;
    }
    this.line(line);
  }

  /** One document, whose form is stable; dates are ISO strings. */
  document(value: unknown): void {
    this.line(JSON.stringify(value, undefined, 2));
  }

  /** JSON lines, for output without an end. */
  jsonLine(value: unknown): void {
    this.line(JSON.stringify(value));
  }

  table<Row>(columns: readonly Column<Row>[], rows: readonly Row[], { header = true } = {}): void {
    const cells = rows.map((row) => columns.map(({ value }) => printable(String(value(row) ?? ""))));
    const natural = columns.map(({ title }, i) =>
      Math.max(header ? title.length : 0, ...cells.map((row) => row[i]?.length ?? 0)),
    );
    const widths = fitWidths(natural, this.width);
    const table = new Table({
      chars: NO_LINES,
      style: { "padding-left": 0, "padding-right": GAP, head: [], border: [] },
      // The last column needs no gap after it, but the table adds one: trimEnd() below removes it.
      colWidths: widths.map((width) => width + GAP),
      colAligns: columns.map(({ right }) => (right ? "right" : "left")),
    });
    if (header) table.push(columns.map(({ title }) => this.style("bold", title)));
    rows.forEach((row, r) => {
      table.push(columns.map(({ style }, c) => this.style(style?.(row), cells[r]?.[c] ?? "")));
    });
    table
      .toString()
      .split("\n")
      .forEach((line, at) => {
        this.line(line.trimEnd());
        const row = cells[header ? at - 1 : at] ?? [];
        columns.forEach(({ title, whole }, c) => {
          const cell = row[c] ?? "";
          if (whole && !line.includes(cell)) this.line(`    ${title}: ${cell}`);
        });
      });
  }

  /** Names and values, one pair per line; a long value is wrapped. */
  facts(pairs: readonly (readonly [string, string])[]): void {
    const width = Math.max(...pairs.map(([name]) => name.length)) + GAP;
    for (const [name, value] of pairs)
      this.paragraph(
        printable(value),
        " ".repeat(width),
        this.style("bold", name) + " ".repeat(width - name.length),
      );
  }
}

const NO_LINES = Object.fromEntries(
  ["top", "top-mid", "top-left", "top-right", "bottom", "bottom-mid", "bottom-left", "bottom-right"]
    .concat(["left", "left-mid", "mid", "mid-mid", "right", "right-mid", "middle"])
    .map((name) => [name, ""]),
);
