/** What the statements of {@link ./page-query.ts} and {@link ./stream-page.ts} have in common. */
import type { Query as ActQuery } from "@rotorsoft/act";
import { Conditions } from "../postgres/conditions.ts";
import type { Pattern } from "../values/pattern.ts";
import { toTime } from "../values/time.ts";
import { toId } from "../values/validate.ts";

/** Ids, exclusive. `newest`: in a query backward, the highest id that was delivered; undefined before the first page. */
export type Range = { readonly after?: number; readonly before?: number; readonly newest?: number };

/** How many events a `by_…` step may find by an index, and sort. */
export const FEW = 300;
/**
 * Like {@link FEW}, for a correlation. There is no `more_by_…` step for it, because its index does not contain the
 * ids.
 */
export const FEW_CORRELATED = 1_000;
/** How many of the next events the probe reads. */
export const PROBE = 500;
/**
 * Page sizes that are part of the statement's text, beside the exact limit, which is a parameter. If the limit were only a
 * parameter, PostgreSQL would plan the statement again for every page.
 */
const SIZES = [16, 256] as const;
export const sizeOf = (limit: number): number =>
  SIZES.find((most) => limit <= most) ?? Math.max(limit, 2_000);
/**
 * How many of the next events `near` reads. If the matches end in the middle of a page, reading on until the page is full
 * would read to the end of the log: 1.5 s for the last page of a day in 2.25 million events.
 */
export const nearOf = (size: number): number => (size <= 16 ? 1_000 : size <= 256 ? 4_000 : 16_000);
/**
 * Whether `near` is likely to fill the page, if its events match as often as those of the probe (`hits` of 500). For a page of
 * up to 256 events `near` reads 4,000. The hits are dense enough if half of these events would fill the page.
 */
export const isDense = (size: number, hits: string, cap: string): string =>
  size <= 256 ? `4 * ${hits} >= ${cap}` : `${hits} >= ${PROBE / 8}`;

export const SNAPSHOT = "__snapshot__";

/** Bounds may be fractions, ids are whole: greater than 1.5 is greater than 1, less than 1.5 is less than 2. */
export const below = (id: number) => toId(Math.ceil(id));
export const above = (id: number) => toId(Math.floor(id));

/** The names to look for; undefined for all. Without `with_snaps` the snapshot's name is removed: the list may be empty. */
export function namesOf({ names, with_snaps }: ActQuery): string[] | undefined {
  if (!names) return undefined;
  const wanted = [...new Set(names)];
  return with_snaps ? wanted : wanted.filter((name) => name !== SNAPSHOT);
}

export const all = (...conditions: (string | undefined)[]) =>
  conditions.filter((c) => c !== undefined).join(" and ");

/**
 * The conditions as text to append to others (` and …`). They are hidden from every index, so that the planner uses the index
 * that has the order. It estimates
 * that half of the events match coalesce(). With a smaller estimate it would read and sort the whole log.
 */
export const unindexed = (...conditions: (string | undefined)[]) => {
  const text = all(...conditions);
  return text === "" ? "" : ` and coalesce(${text}, false)`;
};

/**
 * The first `most` rows of a select that has an ORDER BY, by the index that has this order. If the planner expects fewer rows
 * than the limit, it reads all of them by another index, and sorts. Without statistics it expects a range with two bounds to have
 * half a percent of the log, and one with a single bound a third. So it must expect the limit to be lower. It takes a limit
 * whose value it does not see for a tenth of the rows, and three of them, one around the other, for a thousandth.
 */
export function inOrder(select: string, most: number | string): string {
  const hidden = `limit (select ${most}::bigint)`;
  return `select * from (select * from (${select} ${hidden}) e ${hidden}) e ${hidden}`;
}

/** The parts of a query as conditions on `e`. */
export class Parts {
  readonly where = new Conditions();
  readonly #q: ActQuery;
  readonly #range: Range;

  constructor(q: ActQuery, range: Range) {
    this.#q = q;
    this.#range = range;
  }

  /**
   * A parameter whose value the planner does not see. With the value it would estimate a custom plan to be cheaper than the
   * generic one, and would plan again for every page.
   */
  hidden(value: string | number, type: string): string {
    return `(select ${this.where.param(value)}::${type})`;
  }

  /** The bounds of the ids of `alias`. */
  ids(): (alias: string) => string {
    const { after, before } = this.#range;
    const bounds: [string, string][] = [];
    if (after !== undefined) bounds.push([">", this.hidden(above(after), "bigint")]);
    if (before !== undefined) bounds.push(["<", this.hidden(below(before), "bigint")]);
    return (alias) => bounds.map(([than, id]) => ` and ${alias}.id ${than} ${id}`).join("");
  }

  /** The range of `created`. Stored microseconds are read as milliseconds, so later than .001 s means from .002 s on. */
  created(): string | undefined {
    const { created_after, created_before } = this.#q;
    const at = (ms: number) => `to_timestamp(${this.hidden(toTime(ms), "float8")} / 1000)`;
    const bounds: string[] = [];
    if (created_after) bounds.push(`e.created >= ${at(created_after.getTime() + 1)}`);
    if (created_before) bounds.push(`e.created < ${at(created_before.getTime())}`);
    return bounds.length === 0 ? undefined : bounds.join(" and ");
  }

  /** The parameter of the correlation; undefined without this filter. */
  correlation(): string | undefined {
    return this.#q.correlation ? this.hidden(this.#q.correlation, "text") : undefined;
  }

  /** The range of a pattern that begins with literal text. */
  prefix(pattern: Pattern | undefined): string | undefined {
    const text = pattern?.kind === "prefix" ? pattern.text : pattern?.kind === "regex" && pattern.prefix;
    if (!text) return undefined;
    const { from, to } = this.where.prefixRange(text);
    return [from("e.stream"), ...to("e.stream")].join(" and ");
  }

  /** The condition of a pattern, apart from its prefix. */
  match(pattern: Pattern | undefined): string | undefined {
    if (!pattern || pattern.kind === "prefix") return undefined;
    return this.where.pattern(
      "e.stream",
      pattern.kind === "regex" ? { kind: "regex", text: pattern.text } : pattern,
    );
  }
}
