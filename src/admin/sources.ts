/** Which events a subscription reads, as the framework fetches them. */

/** A source without these characters is the name of one stream, with them a pattern. The framework's rule. */
export const METACHARACTERS = /[\^$.*+?()[\]{}|\\]/;

/** What a subscription reads: every stream, one stream, or the streams that match a pattern. */
export type SourceKind = "all" | "stream" | "pattern";

export const sourceKind = (source: string | undefined): SourceKind => {
  if (source === undefined) return "all";
  return METACHARACTERS.test(source) ? "pattern" : "stream";
};
