/**
 * Searches the log for the events of patterns, for which there may be no index: in parts that grow, by turns, until a time
 * limit. So a pattern that finds nothing does not keep the others from their first events.
 */
import type { Count } from "./bounded.ts";

/** The next event, and how many there are. */
type Found<E> = { readonly next: E | undefined; readonly events: Count };

/** What is searched: the ids after `at`, up to `last`. */
export type Search = {
  readonly at: number;
  readonly last: number;
  /** Whether an index finds the events of the pattern. */
  readonly indexed: boolean;
};

/** Ids of the first part of a search. Each further part is four times as large. */
const FIRST_PART = 2_000;
/** Ids that one statement searches, over all its parts. A part that is larger has a statement of its own. */
const IDS_PER_STATEMENT = 32_000;

/** How far one search has come. `at`: up to where. */
type Progress<S extends Search, E> = {
  readonly search: S;
  at: number;
  size: number;
  next: E | undefined;
  count: number;
  exact: boolean;
  readable: boolean;
};

const isOpen = ({ search, at, exact, readable }: Progress<Search, unknown>) =>
  readable && exact && at < search.last;

/** The part that is searched next ends here. */
const endOf = ({ search, at, size }: Progress<Search, unknown>) =>
  search.indexed ? search.last : Math.min(search.last, at + size);

/** The first ones of `open`, at least one, whose parts fit into one statement. */
function fitting<S extends Search, E>(open: readonly Progress<S, E>[]): Progress<S, E>[] {
  let left = IDS_PER_STATEMENT;
  const count = open.findIndex((progress) => {
    left -= progress.search.indexed ? FIRST_PART : endOf(progress) - progress.at;
    return left < 0;
  });
  return open.slice(0, count < 0 ? open.length : Math.max(1, count));
}

/**
 * In the order of `searches`; undefined for what the server cannot match. `limit`: events that are counted at most. After
 * `end`, an instant of `performance.now()`, no further statement begins: then the count is not exact.
 */
export async function searchPatterns<S extends Search, E>(
  searches: readonly S[],
  {
    limit,
    end,
    lookUp,
  }: {
    readonly limit: number;
    readonly end: number;
    /** Looks up some parts in one statement. */
    readonly lookUp: (parts: readonly S[]) => Promise<readonly (Found<E> | undefined)[]>;
  },
): Promise<(Found<E> | undefined)[]> {
  const states = searches.map(
    (search): Progress<S, E> => ({
      ...{ search, at: search.at, size: FIRST_PART },
      ...{ next: undefined, count: 0, exact: true, readable: true },
    }),
  );
  for (let round = states.filter(isOpen); round.length > 0; round = states.filter(isOpen)) {
    for (let left = round; left.length > 0; ) {
      if (performance.now() > end) return states.map((progress) => answerOf(progress, limit));
      const some = fitting(left);
      left = left.slice(some.length);
      const found = await lookUp(
        some.map((progress) => ({ ...progress.search, at: progress.at, last: endOf(progress) })),
      );
      for (const [n, progress] of some.entries()) advance(progress, found[n], limit);
    }
  }
  return states.map((progress) => answerOf(progress, limit));
}

function advance<E>(progress: Progress<Search, E>, found: Found<E> | undefined, limit: number): void {
  progress.at = endOf(progress);
  progress.size *= 4;
  progress.readable = found !== undefined;
  if (!found) return;
  progress.next ??= found.next;
  progress.count += found.events.count;
  progress.exact = found.events.exact && progress.count <= limit;
}

const answerOf = <E>(progress: Progress<Search, E>, limit: number): Found<E> | undefined =>
  progress.readable
    ? {
        next: progress.next,
        events: {
          count: Math.min(progress.count, limit),
          exact: progress.exact && progress.at >= progress.search.last,
        },
      }
    : undefined;
