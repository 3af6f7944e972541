/**
 * The INSERTs of a batch: one, or several with Citus, which does not take the recursive statement for streams that occur
 * more than once. So the first commit to each stream goes first, then the second to each, all in the same transaction.
 */
import type { Query, Row } from "../postgres/index.ts";
import {
  type Append,
  type Appended,
  type AppendMode,
  type InsertTexts,
  insertQuery,
  type Outcome,
  readAppended,
} from "./append.ts";

export type Inserts = {
  readonly queries: readonly Query[];
  /** Takes the first row of each statement. */
  read(rows: readonly (Row | undefined)[]): Appended;
};

/** The commits of each round, as their places in the batch. */
function roundsOf(batch: readonly Append[]): number[][] {
  const seen = new Map<string, number>();
  const rounds: number[][] = [];
  batch.forEach(({ stream }, i) => {
    const round = seen.get(stream) ?? 0;
    seen.set(stream, round + 1);
    const places = rounds[round];
    if (places) places.push(i);
    else rounds.push([i]);
  });
  return rounds;
}

export function insertsOf(
  texts: InsertTexts,
  batch: readonly Append[],
  { sequence, citus }: AppendMode,
): Inserts {
  if (!citus)
    return {
      queries: [insertQuery(texts, batch, sequence)],
      read: ([row]) => readAppended(batch, row),
    };
  const rounds = roundsOf(batch).map((places) => ({
    places,
    appends: places.flatMap((i) => batch[i] ?? []),
  }));
  return {
    // The sequence's last value is known on the coordinator only, and heads are looked for elsewhere.
    queries: rounds.map(({ appends }) => insertQuery(texts, appends, null)),
    read: (rows) => {
      const outcomes: Outcome[] = [];
      let created = new Date(0);
      rounds.forEach(({ places, appends }, round) => {
        const read = readAppended(appends, rows[round]);
        created = read.created;
        read.outcomes.forEach((outcome, nth) => {
          const place = places[nth];
          if (place !== undefined) outcomes[place] = { ...outcome, created };
        });
      });
      return { created, outcomes };
    },
  };
}
