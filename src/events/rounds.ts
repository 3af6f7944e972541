/**
 * The statements that append a batch. On PostgreSQL this is one INSERT. Citus refuses the recursive statement for streams
 * that occur more than once. There the batch is sent in rounds, all in one transaction: the first commit to each stream,
 * then the second to each, and so on. Each round is an INSERT and a SELECT of the stored events.
 */
import type { Query, Row } from "../postgres/index.ts";
import { numberArray, textArray } from "../postgres/parameters.ts";
import {
  type Append,
  type Appended,
  type InsertTexts,
  insertQuery,
  type Outcome,
  readAppended,
} from "./append.ts";
import type { CitusTexts } from "./append-citus.ts";
import { oneCommitQuery } from "./append-one.ts";
import type { LatestIds } from "./latest-ids.ts";

export type Inserts = {
  readonly queries: readonly Query[];
  /** `rows`: the first row of each statement's answer. */
  read(rows: readonly (Row | undefined)[]): Appended;
};

/** The commits of each round, as indexes of the batch. */
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

export const insertsOf = (
  texts: InsertTexts,
  batch: readonly Append[],
  sequence: number | null,
  latestIds: LatestIds,
): Inserts => ({
  queries: [insertQuery(texts, batch, sequence, latestIds)],
  read: ([row]) => readAppended(batch, row),
});

export const insertOfOne = (
  text: string,
  commit: Append,
  sequence: number | null,
  latestIds: LatestIds,
): Inserts => ({
  queries: [oneCommitQuery(text, commit, sequence, latestIds)],
  read: ([row]) => readAppended([commit], row),
});

/** Selects the stored events of commits to distinct streams. */
const storedQuery = ({ stored }: CitusTexts, appends: readonly Append[]): Query => ({
  text: stored,
  params: [
    textArray(appends.map((a) => a.stream)),
    `{${appends.map((a) => a.token).join(",")}}`,
    numberArray(appends.map((a) => a.events.length)),
  ],
});

export function roundsOfInserts(texts: CitusTexts, batch: readonly Append[], latestIds: LatestIds): Inserts {
  const rounds = roundsOf(batch).map((places) => ({
    places,
    appends: places.flatMap((i) => batch[i] ?? []),
  }));
  return {
    // No sequence (null): only the coordinator knows its last value, and the heads are looked up on the log's node. So
    // the search for a head has no upper bound.
    queries: rounds.flatMap(({ appends }) => [
      insertQuery({ distinct: texts.insert, repeated: texts.insert }, appends, null, latestIds),
      storedQuery(texts, appends),
    ]),
    read: (rows) => {
      const outcomes: Outcome[] = [];
      let created = new Date(0);
      rounds.forEach(({ places, appends }, round) => {
        const read = readAppended(appends, rows[2 * round + 1]);
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
