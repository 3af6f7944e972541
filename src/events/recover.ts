/**
 * Finds out whether a batch was committed, if its connection was lost after the batch was sent.
 *
 * Invariant: a commit is never stored twice, and never reported as absent while it can still be stored. So before the
 * recovery searches the log for a commit's token, the transaction must have ended, or must no longer be able to begin:
 *
 * - If the server process is known, it has been ended, and the same server is asked.
 * - Behind a pooler it is not known. There a batch first takes a lock by its token, then reads the server's clock, and
 *   fails if the clock is past `until`. The recovery takes the same lock, then reads the clock, and keeps the lock until
 *   it ends. If the batch had the lock first, it has ended by now, and the log shows its events. If the batch takes the
 *   lock later, it reads a later clock. So once the recovery has read a clock past `until`, the batch cannot be stored any
 *   more. Before that, a commit that is not found is `pending`, and the recovery asks again. (The batch reads the
 *   clock before it asks for the append lock. Otherwise a batch that arrived in time, and then waited for that lock, would
 *   fail.)
 *
 * The recovery holds the append lock, so that it never sees a restore or truncate that is half done.
 *
 * A row that is visible on the primary may not have reached the synchronous standby yet: if a backend is ended while its
 * COMMIT waits for the standby, the commit is on the primary only. So the recovery is a transaction that writes, and its
 * COMMIT waits for the standby as the lost COMMIT did. If the recovery reaches a standby by mistake, its write fails.
 *
 * On Citus the log may be on another node, where a transaction may end later than on the coordinator. The append lock is
 * held there as well, so the recovery waits until both have ended. A row version (xmin) proves nothing there, because it
 * changes when the log moves to another node: only tokens decide.
 *
 * A commit whose token is not found was not committed, unless its stream was truncated since, or the log restored.
 */

import type { Backend, Query, Row } from "../postgres/index.ts";
import { numberArray, parseNumbers, textArray } from "../postgres/parameters.ts";
import { holdMessage } from "../schema/append-lock.ts";
import { besideLog } from "../schema/citus.ts";
import { millisOf } from "../schema/event-rows.ts";
import type { Names } from "../schema/names.ts";
import type { Append, Outcome } from "./append.ts";

/** A transaction that may or may not have been committed. */
export type InDoubtTransaction = {
  /** The server process that was to run it; undefined where it is not known, as behind a pooler. */
  readonly backend: Backend | undefined;
  /** Its events have higher ids than this. */
  readonly after: number;
  /** The result of {@link firstEventOf} before the batch. If it differs now, the log may have been restored. */
  readonly firstEvent: string | undefined;
  /** A commit that was stored before: as long as its token is there, the log has not been restored. */
  readonly known: KnownCommit | undefined;
  /** The batch fails if it begins later than this, in ms of the server's clock. Undefined if `backend` is known. */
  readonly until: number | undefined;
};

/** A commit's first event. */
export type KnownCommit = { readonly id: number; readonly token: string };

/** How far the server's clock may be set back between a recovery and a batch that arrives after it, in ms. */
export const CLOCK_MARGIN_MS = 1_000;

/** A commit that was stored. */
export type Stored = { readonly outcome: Outcome; readonly created: Date };
/** `absent`: certainly not in the log, and it may be sent again. `pending`: it may still arrive. */
export type RecoveredOutcome = "absent" | "pending" | "unknown" | Stored;

/**
 * The id and row version (xmin) of the log's first event. A restore inserts that row again, so its xmin changes. On Citus
 * the id and the token, or nothing if the event has no token: an id alone proves nothing.
 */
export const firstEventQuery = ({ events }: Names): Query => {
  const text = (version: string) =>
    `select id || ' ' || ${version} as first_event, token is not null as by_commit from ${events} order by id limit 1`;
  return { text: text("xmin"), citus: () => text("token"), once: true, ignoresSettings: true };
};

/** Undefined for an empty log; on Citus also for a first event without a token. */
export const firstEventOf = (row: Row | undefined): string | undefined =>
  typeof row?.first_event === "string" ? row.first_event : undefined;

const EMIT = "select pg_logical_emit_message(true, 'act-drizzle', 'recover')::text";

/**
 * A write without effect on the log's node, so that this transaction's COMMIT waits for the same standbys as the lost one.
 */
export const waitForStandby = (names: Names): Query => ({
  text: EMIT,
  citus: () => `${EMIT} from ${besideLog(names)}`,
});

/**
 * For each commit: its first event, the ids of all its events, and whether its stream begins with a newer snapshot or
 * tombstone.
 *
 * $1 streams, $2 tokens, $3 numbers of events: one element per commit. $4 id after which to search
 */
function tokensQuery({ events }: Names, appends: readonly Append[], after: number): Query {
  return {
    text: `select first.version - 1 as head, first.created, rest.ids, rest.dates,
    exists (select 1 from (
        select e.id, e.name from ${events} e where e.stream = c.stream order by e.version limit 1) oldest
      where oldest.id > $4::bigint and oldest.name in ('__snapshot__', '__tombstone__')) as truncated
  from unnest($1::text[], $2::uuid[], $3::int[]) with ordinality as c(stream, token, size, ord)
  left join lateral (
    select e.version, ${millisOf("e.created")} as created from ${events} e
    where e.stream = c.stream and e.id > $4::bigint and e.token = c.token) first on true
  left join lateral (
    select array_agg(e.id order by e.version)::text as ids,
      array_agg(${millisOf("e.created")} order by e.version)::text as dates from ${events} e
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

/** Whether the log still has a known commit. A restore writes no tokens. $1 id of its first event, $2 token */
const knownQuery = ({ events }: Names, known: KnownCommit | undefined): Query => ({
  text: `select exists (select 1 from ${events} where id = $1::bigint and token = $2::uuid) as known`,
  params: [known?.id ?? null, known?.token ?? null],
});

/** The token by which `lockAppendsUntil` locks a batch: that of its first commit. */
export const messageToken = (appends: readonly Append[]): string => appends[0]?.token ?? "";

/** The statements of a recovery, for one transaction. `lock` takes the append lock. */
export const recoveryQueries = (
  names: Names,
  lock: Query,
  appends: readonly Append[],
  { after, known, until }: InDoubtTransaction,
): readonly Query[] => [
  ...(until === undefined ? [] : [holdMessage(messageToken(appends))]),
  lock,
  waitForStandby(names),
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
    // If the log has the first event but not all others, some have been truncated.
    if (!row || restored || row.truncated === true || typeof row.head === "number") return "unknown";
    return over ? "absent" : "pending";
  });
}

/** If the log was empty before, there is no first event to compare. A first event with a token was not restored. */
function mayBeRestored(before: string | undefined, now: Row | undefined): boolean {
  if (before === undefined) return now !== undefined && now.by_commit !== true;
  return firstEventOf(now) !== before;
}

function readStored({ events }: Append, row: Row): Stored | undefined {
  const ids = parseNumbers(row.ids);
  if (typeof row.head !== "number" || ids.length !== events.length) return undefined;
  const dates = parseNumbers(row.dates);
  const created = Number(row.created);
  const outcome: Outcome = { accepted: true, head: row.head, ids };
  return {
    outcome: dates.some((date) => date !== created) ? { ...outcome, dates } : outcome,
    created: new Date(created),
  };
}
