/**
 * A batch whose connection was lost after it was sent: was it committed?
 *
 * Invariant: a commit is never stored twice, and never told to be absent while it can still be stored. So before the log
 * is asked for a commit's token, its message has ended, or can no longer begin:
 *
 * - Where its server process is known, that process has been ended, by the server that is then asked.
 * - Where it is not (behind a pooler), a message first takes a lock of its own, then reads the clock, and is refused
 *   unless that is before `until`. A recovery takes the same lock, then reads the clock, and keeps the lock to its end.
 *   A message that took it first has ended by then, and the log shows what it did. One that takes it later reads a later
 *   clock. So once the recovery has read a clock beyond `until`, nothing is stored any more; before, what is not found
 *   is pending, and asked for again. A clock read after the append lock was granted would not do: a message that began in
 *   time may be waiting behind that lock.
 *
 * The log is asked under the append lock, so that no restore or truncate is half done.
 *
 * A row that is visible on the primary may not have reached the synchronous standby yet: a COMMIT whose backend is
 * ended while it waits is on the primary only. So the question itself is a transaction that writes, and its COMMIT
 * waits for the standby as the lost one did. A standby that was asked by mistake refuses it.
 *
 * A token that is not found was not committed, unless its stream has been truncated since, or the log restored.
 */

import type { Backend, Query, Row } from "../postgres/index.ts";
import { numberArray, parseNumbers, textArray } from "../postgres/parameters.ts";
import { holdMessage } from "../schema/append-lock.ts";
import type { Names } from "../schema/names.ts";
import type { Append, Outcome } from "./append.ts";

/** A transaction of which nobody knows whether it was committed. */
export type InDoubtTransaction = {
  /** The server process that was to run it; undefined where it is not known, as behind a pooler. */
  readonly backend: Backend | undefined;
  /** Its events have higher ids than this. */
  readonly after: number;
  /** What {@link firstEventOf} said before: another answer now means that the log may have been restored. */
  readonly firstEvent: string | undefined;
  /** A commit that was stored before: as long as its token is there, the log has not been restored. */
  readonly known: KnownCommit | undefined;
  /** Not carried out if it begins later than this, in ms of the server's clock; undefined: its process is ended. */
  readonly until: number | undefined;
};

/** A commit's first event. */
export type KnownCommit = { readonly id: number; readonly token: string };

/** The clock may be set back by as much between a recovery and a message that comes after it. */
export const CLOCK_MARGIN_MS = 1_000;

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
      where oldest.id > $4::bigint and oldest.name in ('__snapshot__', '__tombstone__')) as truncated
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

/** Whether the log still has a commit. A restore writes no tokens. */
const knownQuery = ({ events }: Names, known: KnownCommit | undefined): Query => ({
  text: `select exists (select from ${events} where id = $1::bigint and token = $2::uuid) as known`,
  params: [known?.id ?? null, known?.token ?? null],
});

/** The token by which a message of `lockAppendsUntil` is known. */
export const messageToken = (appends: readonly Append[]): string => appends[0]?.token ?? "";

/** What to ask about a batch, in one transaction. `lock` takes the append lock. */
export const recoveryQueries = (
  names: Names,
  lock: Query,
  appends: readonly Append[],
  { after, known, until }: InDoubtTransaction,
): readonly Query[] => [
  ...(until === undefined ? [] : [holdMessage(messageToken(appends))]),
  lock,
  WAIT_FOR_STANDBY,
  tokensQuery(names, appends, after),
  firstEventQuery(names),
  knownQuery(names, known),
];

/** The outcome of each commit, from the answers to the {@link recoveryQueries}. */
export function inferOutcomes(
  appends: readonly Append[],
  { firstEvent, until }: InDoubtTransaction,
  answers: readonly (readonly Row[])[],
): readonly RecoveredOutcome[] {
  const [clock] = until === undefined ? [] : (answers[0] ?? []);
  const [, , rows = [], first = [], known = []] = until === undefined ? answers : answers.slice(1);
  const restored = known[0]?.known !== true && mayBeRestored(firstEvent, first[0]);
  const over = until === undefined || Number(clock?.clock) > until + CLOCK_MARGIN_MS;
  return appends.map((append, i) => {
    const row = rows[i];
    const stored = row && readStored(append, row);
    if (stored) return stored;
    // A first event without the others: some have been truncated.
    if (!row || restored || row.truncated === true || typeof row.head === "number") return "unknown";
    return over ? "absent" : "pending";
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
