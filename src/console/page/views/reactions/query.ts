/** The reactions' filter and order, as they stand in the address. */
import type { ReactionSort, ReactionState, Selection, SourceKind } from "../../../api.ts";

export const STATES: readonly (readonly [ReactionState, string])[] = [
  ["all", "All"],
  ["blocked", "Blocked"],
  ["behind", "Behind"],
  ["leased", "Leased"],
  ["deferred", "Deferred"],
  ["skipped", "Skipped"],
];
export const KINDS: readonly (readonly [SourceKind, string])[] = [
  ["all", "The whole log"],
  ["stream", "One stream"],
  ["pattern", "A pattern"],
];
export const SORTS: readonly ReactionSort[] = ["stream", "at", "priority", "lane", "source", "attempts"];

export type ReactionsFilter = {
  readonly state: ReactionState;
  readonly lane: string;
  readonly kind: SourceKind | "";
  readonly q: string;
  readonly sort: ReactionSort;
  readonly desc: boolean;
};

const oneOf = <Name extends string>(names: readonly Name[], text: string | null): Name | undefined =>
  names.find((name) => name === text);

export const filterOf = (params: URLSearchParams): ReactionsFilter => ({
  state:
    oneOf(
      STATES.map(([state]) => state),
      params.get("state"),
    ) ?? "all",
  lane: params.get("lane") ?? "",
  kind:
    oneOf(
      KINDS.map(([kind]) => kind),
      params.get("kind"),
    ) ?? "",
  q: params.get("q") ?? "",
  sort: oneOf(SORTS, params.get("sort")) ?? "stream",
  desc: params.get("desc") === "1",
});

/** The filter as a selection for an action; undefined if the server cannot express it, so that names are needed. */
export function everyMatch({ state, lane, kind, q }: ReactionsFilter): Selection | undefined {
  if (q !== "" || kind !== "" || (state !== "all" && state !== "blocked")) return undefined;
  return { filter: { ...(lane !== "" && { lane }), ...(state === "blocked" && { blocked: true }) } };
}
