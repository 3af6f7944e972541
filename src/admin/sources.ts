/** Which events a subscription reads, as the framework fetches them. */
import type { Conditions } from "../postgres/conditions.ts";

/** A source without these characters is the name of one stream, with them a pattern. The framework's rule. */
export const METACHARACTERS = /[\^$.*+?()[\]{}|\\]/;

/** What a subscription reads: every stream, one stream, or the streams that match a pattern. */
export type SourceKind = "all" | "stream" | "pattern";

export const sourceKind = (source: string | undefined): SourceKind => {
  if (source === undefined) return "all";
  return METACHARACTERS.test(source) ? "pattern" : "stream";
};

/**
 * Conditions on `e`, an alias of the events table, for the events that a subscription with this source gets.
 * Snapshots are never fetched.
 */
export function sourceConditions(where: Conditions, source: string | undefined): void {
  where.add("e.name <> '__snapshot__'");
  if (source !== undefined)
    where.match("source", "e.stream", source, sourceKind(source) === "stream" ? true : undefined);
}
