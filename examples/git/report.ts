/** What the demo prints. */
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

/** A path is known by its end, a person by the beginning. */
function shorten(text: string, length: number, keep: "start" | "end"): string {
  const characters = [...printable(text)];
  if (characters.length <= length) return characters.join("");
  if (keep === "end") return `…${characters.slice(1 - length).join("")}`;
  return `${characters.slice(0, length - 1).join("")}…`;
}

type Align = "left" | "right";

function table(head: string[], aligns: Align[], rows: string[][]): string {
  const style = { head: [], border: [], compact: true };
  const grid = new Table({ head, colAligns: aligns, style });
  grid.push(...rows);
  return grid.toString();
}

export const authorsTable = (rows: readonly (typeof authorChurn.$inferSelect)[]): string =>
  table(
    ["Author", "Commits", "Events", "Lines +", "Lines −"],
    ["left", "right", "right", "right", "right"],
    rows.map(({ name, email, commits, changes, added, removed }) => [
      shorten(`${name} <${email}>`, 48, "start"),
      ...[commits, changes, added, removed].map(number),
    ]),
  );

export const filesTable = (rows: readonly (typeof hotFiles.$inferSelect)[]): string =>
  table(
    ["File", "Commits", "Lines +", "Lines −", "Now"],
    ["left", "right", "right", "right", "left"],
    rows.map(({ path, commits, added, removed, exists }) => [
      shorten(path, 48, "end"),
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
    ["Version", "Event", "Authored", "By", "+", "−", "Commit"],
    ["right", "left", "left", "left", "right", "right", "left"],
    events.map(({ version, name, data, meta }) => {
      if (name === SNAP_EVENT) return [String(version), "(snapshot)", "", "", "", "", ""];
      const authored = data.authored instanceof Date ? data.authored.toISOString().slice(0, 10) : "";
      const [added, removed] = data.binary ? ["binary", ""] : [data.added, data.removed].map(String);
      const by = shorten(actorOf({ meta }).name, 24, "start");
      return [
        String(version),
        name,
        authored,
        by,
        added ?? "",
        removed ?? "",
        String(data.commit).slice(0, 9),
      ];
    }),
  );

export const conflictText = ({ stream, winner, loser, expected, actual, retried }: Conflict): string =>
  [
    `Two writers read version ${expected} of ${printable(stream)} and wrote at the same time.`,
    `${winner} got version ${expected + 1}. ${loser} got a ConcurrencyError (expected ${expected}, found ${actual}),`,
    `read again, and got version ${retried}.`,
  ].join("\n");

const MOST = 20;

export function differencesText(differences: readonly Difference[]): string {
  const rows = differences
    .slice(0, MOST)
    .map(({ what, field, git, table: stored }) => [
      shorten(what, 60, "end"),
      field,
      String(git),
      String(stored),
    ]);
  const grid = table(["What", "Field", "git log", "Read model"], ["left", "left", "right", "right"], rows);
  const more = differences.length > MOST ? `\n… and ${number(differences.length - MOST)} more` : "";
  return `${grid}${more}`;
}
