/** What the demo prints: at most 80 columns wide, in colour where the terminal has it (`NO_COLOR` is honoured). */
import { styleText } from "node:util";
import { SNAP_EVENT } from "@rotorsoft/act";
import Table from "cli-table3";
import type { Difference } from "./check.ts";
import type { Conflict } from "./conflict.ts";
import { actorOf } from "./read-models.ts";
import type { authorChurn, hotFiles } from "./tables.ts";

export const number = (value: number): string => Math.round(value).toLocaleString("en-US");

/** `1 file`, `2,000 files`. */
export const counted = (value: number, thing: string): string =>
  `${number(value)} ${thing}${value === 1 ? "" : "s"}`;

/** Names and paths may hold anything: control characters would steer the terminal. */
export const printable = (text: string): string =>
  text.replace(/\p{Cc}|\p{Cf}/gu, (c) => `\\u{${c.codePointAt(0)?.toString(16)}}`);

/** Columns that a terminal gives a text: two to what is written wide, none to a mark on another character. */
export function widthOf(text: string): number {
  let width = 0;
  for (const character of text) {
    if (/\p{Mn}|\p{Me}|\p{Cf}/u.test(character)) continue;
    width += WIDE.test(character) ? 2 : 1;
  }
  return width;
}

const WIDE =
  /[\p{Script=Han}\p{Script=Hangul}\p{Script=Hiragana}\p{Script=Katakana}\p{Emoji_Presentation}\u3000-\u303e\uff01-\uff60\uffe0-\uffe6]/u;

/** At most so wide, with … for what is left out. A path is known by its end, a person by the beginning. */
export function shorten(text: string, width: number, keep: "start" | "end"): string {
  const shown = printable(text);
  if (widthOf(shown) <= width) return shown;
  const characters = [...shown];
  if (keep === "end") characters.reverse();
  let left = width - 1;
  const kept = characters.slice(
    0,
    characters.findIndex((character) => {
      left -= widthOf(character);
      return left < 0;
    }),
  );
  return keep === "end" ? `…${kept.reverse().join("")}` : `${kept.join("")}…`;
}

/** What a table may take: the terminal, if it is wider than 80 columns; and no more than can be read at a glance. */
const room = () => Math.max(80, Math.min(process.stdout.columns ?? 80, 120));

/** A column; the one that has `keep` takes what room the others leave, and is cut there. */
type Column = { readonly head: string; readonly align?: "right"; readonly keep?: "start" | "end" };

export function table(columns: readonly Column[], rows: readonly (readonly string[])[]): string {
  const natural = columns.map(({ head }, i) =>
    Math.max(...[head, ...rows.map((row) => row[i] ?? "")].map(widthOf)),
  );
  // Each column has a line and two blanks, and the table a line at its end.
  const taken = columns.reduce(
    (sum, { keep }, i) => sum + (keep ? 0 : (natural[i] ?? 0)),
    1 + 3 * columns.length,
  );
  const flexible = columns.filter(({ keep }) => keep).length;
  const share = Math.floor((room() - taken) / Math.max(1, flexible));
  const grid = new Table({
    head: columns.map(({ head }) => head),
    colAligns: columns.map(({ align }) => align ?? "left"),
    style: { head: [], border: [], compact: true },
  });
  for (const row of rows)
    grid.push(row.map((text, i) => (columns[i]?.keep ? shorten(text, share, columns[i].keep) : text)));
  return grid.toString();
}

/** A part of the output: what it is, and where it comes from. */
export const title = (what: string, source = ""): string =>
  `\n${styleText("bold", what)}${source && `  ${styleText("dim", source)}`}`;

type Totals = Record<"people" | "commits" | "changes" | "added" | "removed", number>;

/** The last row counts everyone, the authors who are not shown too, so that it equals what was written above. */
export const authorsTable = (rows: readonly (typeof authorChurn.$inferSelect)[], all: Totals): string =>
  table(
    [
      { head: "Author", keep: "start" },
      ...["Commits", "Events", "Lines +", "Lines −"].map((head) => ({ head, align: "right" }) as const),
    ],
    [
      ...rows.map(({ name, email, ...counts }) => [`${name} <${email}>`, ...countsOf(counts)]),
      [`= ${counted(all.people, "author")}`, ...countsOf(all)],
    ],
  );

type Churn = Omit<Totals, "people">;
const countsOf = ({ commits, changes, added, removed }: Churn) =>
  [commits, changes, added, removed].map(number);

export const filesTable = (rows: readonly (typeof hotFiles.$inferSelect)[]): string =>
  table(
    [
      { head: "File", keep: "end" },
      ...["Commits", "Lines +", "Lines −"].map((head) => ({ head, align: "right" }) as const),
      { head: "Now" },
    ],
    rows.map(({ path, commits, added, removed, exists }) => [
      path,
      ...[commits, added, removed].map(number),
      exists ? "there" : "gone",
    ]),
  );

/** An event as the log keeps it; loose, because snapshots are read, too. */
type Logged = {
  readonly name: string;
  readonly version: number;
  readonly data: Record<string, unknown>;
  readonly meta: Parameters<typeof actorOf>[0]["meta"];
};

export const historyTable = (events: readonly Logged[]): string =>
  table(
    [
      { head: "Version", align: "right" },
      { head: "Event" },
      { head: "Authored" },
      { head: "By", keep: "start" },
      { head: "+", align: "right" },
      { head: "−", align: "right" },
      { head: "Commit" },
    ],
    events.map(({ version, name, data, meta }) => {
      if (name === SNAP_EVENT) return [String(version), "(snapshot)", "", "", "", "", ""];
      const authored = data.authored instanceof Date ? data.authored.toISOString().slice(0, 10) : "";
      const [added = "", removed = ""] = data.binary ? ["binary"] : [data.added, data.removed].map(String);
      return [
        String(version),
        name,
        authored,
        actorOf({ meta }).name,
        added,
        removed,
        String(data.commit).slice(0, 9),
      ];
    }),
  );

export const conflictText = ({ stream, winner, loser, expected, actual, retried }: Conflict): string =>
  [
    `Two writers read version ${expected} of this stream and wrote at the same time:`,
    `  ${shorten(stream, 76, "end")}`,
    `${winner} got version ${expected + 1}. ${loser} got a ConcurrencyError`,
    `(expected ${expected}, found ${actual}), read again, and got version ${retried}.`,
  ].join("\n");

const MOST = 20;

export function differencesText(differences: readonly Difference[]): string {
  const grid = table(
    [
      { head: "What", keep: "end" },
      { head: "Field" },
      { head: "git log", align: "right" },
      { head: "Read model", align: "right" },
    ],
    differences
      .slice(0, MOST)
      .map(({ what, field, git, table: stored }) => [what, field, String(git), String(stored)]),
  );
  const more = differences.length > MOST ? `\n… and ${number(differences.length - MOST)} more` : "";
  return `${grid}${more}`;
}
