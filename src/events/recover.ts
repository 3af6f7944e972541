/**
 * A batch whose connection was lost after it was sent: was it committed? Once its server process has ended, and under
 * the append lock, the log itself is asked for the commits' tokens.
 *
 * A row that is visible on the primary may not have reached the synchronous standby yet: a COMMIT whose backend is
 * ended while it waits is on the primary only. So the question itself is a transaction that writes, and its COMMIT
 * waits for the standby as the lost one did. A standby that was asked by mistake refuses it.
 *
 * A token that is not found was not committed, unless its stream has been truncated since, or the log restored.
 */

import type { Backend, Query, Row } from "../postgres/index.ts";
import { numberArray, parseNumbers, textArray } from "../postgres/parameters.ts";
import type { Names } from "../schema/names.ts";
import type { Append, Outcome } from "./append.ts";

/** A transaction of which nobody knows whether it was committed. */
export type InDoubtTransaction = {
  /** The server process that was to run it; undefined behind a pooler. */
  readonly backend: Backend | undefined;
  /** Its events have higher ids than this. */
  readonly after: number;
  /** What {@link firstEventOf} said before: another answer now means that the log may have been restored. */
  readonly firstEvent: string | undefined;
  /** Not carried out if it reaches the server later than this, in ms of its clock; undefined: its process has ended. */
  readonly until: number | undefined;
};

/** A commit that was stored. */
export type Stored = { readonly outcome: Outcome; readonly created: Date };
/** `absent`: certainly not in the log, and it may be sent again. `pending`: it may still arrive. */
export type RecoveredOutcome = "absent" | "pending" | "unknown" | Stored;

/** The row version of the log's first event. A restore writes it anew. */
export const firstEventQuery = ({ events }: Names): Query => ({
  text: `select id || ' ' || xmin as first_event, token is not null as by_commit from ${events} order by id limit 1`,
});

/** Undefined for an empty log. */
export const firstEventOf = (row: Row | undefined): string | undefined =>
  typeof row?.first_event === "string" ? row.first_event : undefined;

/** Something to write, so that this transaction's COMMIT waits for whom the lost one's waited. */
export const WAIT_FOR_STANDBY: Query = {
  text: "select pg_logical_emit_message(true, 'act-drizzle', 'recover')::text",
};

/** For each commit: its first event, the ids of all of them, and whether its stream begins with a newer seed. */
function tokensQuery({ events }: Names, appends: readonly Append[], after: number): Query {
  return {
    text: `select first.version - 1 as head, first.created, rest.ids,
    exists (select from (
        select e.id, e.name from ${events} e where e.stream = c.stream order by e.version limit 1) oldest
      where oldest.id > $4::bigint and oldest.name in ('__snapshot__', '__tombstone__')) as truncated,
    extract(epoch from clock_timestamp()) * 1000 as clock
  from unnest($1::text[], $2::uuid[], $3::int[]) with ordinality as c(stream, token, size, ord)
  left join lateral (
    select e.version, (extract(epoch from e.created) * 1000)::float8 as created from ${events} e
    where e.stream = c.stream and e.id > $4::bigint and e.token = c.token) first on true
  left join lateral (
    select array_agg(e.id order by e.version)::text as ids from ${events} e
    where e.stream = c.stream and e.version between first.version and first.version + c.size - 1) rest on true
  order by c.ord`,
    params: [
      textArray(appends.map((a) => a.stream)),
      textArray(appends.map((a) => a.token)),
      numberArray(appends.map((a) => a.events.length)),
      after,
    ],
  };
}

/** What to ask about a batch, in one transaction, `lock` first. */
export const recoveryQueries = (
  names: Names,
  lock: Query,
  appends: readonly Append[],
  { after }: InDoubtTransaction,
): readonly Query[] => [lock, WAIT_FOR_STANDBY, tokensQuery(names, appends, after), firstEventQuery(names)];

/** The outcome of each commit, from the answers to the {@link recoveryQueries}. */
export function inferOutcomes(
  appends: readonly Append[],
  { firstEvent, until }: InDoubtTransaction,
  [, , rows = [], first = []]: readonly (readonly Row[])[],
): readonly RecoveredOutcome[] {
  const restored = mayBeRestored(firstEvent, first[0]);
  return appends.map((append, i) => {
    const row = rows[i];
    const stored = row && readStored(append, row);
    if (stored) return stored;
    // A first event without the others: some have been truncated.
    if (!row || restored || row.truncated === true || typeof row.head === "number") return "unknown";
    return until !== undefined && Number(row.clock) <= until ? "pending" : "absent";
  });
}

/** An empty log has no first event to compare: what is there now was committed, if it has a token. */
function mayBeRestored(before: string | undefined, now: Row | undefined): boolean {
  if (before === undefined) return now !== undefined && now.by_commit !== true;
  return firstEventOf(now) !== before;
}

function readStored({ events }: Append, row: Row): Stored | undefined {
  const ids = parseNumbers(row.ids);
  if (typeof row.head !== "number" || ids.length !== events.length) return undefined;
  return { outcome: { accepted: true, head: row.head, ids }, created: new Date(Number(row.created)) };
}
