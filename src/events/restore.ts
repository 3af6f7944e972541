/**
 * restore(): replaces the whole log by the given events, and deletes all subscriptions, in one transaction under the
 * append lock. Ids are assigned here, from 1 without gaps, so that events can be inserted in batches. DELETE, not TRUNCATE,
 * removes the old log: readers see it until the new one is complete, and a driver may read from this very store.
 */
import { type Committed, type Schemas, StoreError } from "@rotorsoft/act";
import type { Context } from "../context.ts";
import { DatabaseError, guard, outcomeUnknown, storeError } from "../errors.ts";
import type { Backend, Query, Row, Run } from "../postgres/index.ts";
import { joinJson, numberArray, splitJson, textArray } from "../postgres/parameters.ts";
import { lockQuery } from "../schema/append-lock.ts";
import { forgetCheckpoints } from "../schema/checkpoints-seen.ts";
import { idSequence } from "../schema/id-sequence.ts";
import { literal, type Names } from "../schema/names.ts";
import { toTime } from "../values/time.ts";
import { checkFunction, checkNumber, invalid, toInt } from "../values/validate.ts";
import { type EncodedEvent, encodeEvents } from "./encode-messages.ts";
import { firstEventOf, firstEventQuery, waitForStandby } from "./recover.ts";

type Event = Committed<Schemas, keyof Schemas>;
/** Calls `callback` with each event of the new log, one after the other. The callback resolves to the event's new id. */
export type RestoreDriver = (callback: (event: Event) => Promise<number>) => Promise<void>;

/** Events of one INSERT, and the characters of JSON after which it is sent early. */
const BATCH = 1_000;
const BATCH_TEXT = 4_000_000;

type Pending = EncodedEvent & {
  readonly id: number;
  readonly stream: string;
  readonly version: number;
  readonly created: number;
  readonly meta: string;
};

const DAY = 86_400_000;
/**
 * `created` in ms since 2000-01-01, the day from which PostgreSQL counts. An interval of hours holds at most 292,277 years, so
 * it reaches the last timestamp, in 294276, from that day, but not from 1970.
 */
const SINCE_2000 = `(e.created - ${Date.UTC(2000, 0)})`;
/**
 * `created` from milliseconds, exactly in every century. One number of seconds or microseconds would be rounded: every
 * second event of the year 10000 came back a millisecond earlier. A day is written as 24 hours, because it has 23 or 25 in
 * some time zones: with Citus the statement may run in a session of another node, and not in the store's.
 */
const CREATED = `timestamptz '2000-01-01 00:00:00+00' + floor(${SINCE_2000} / ${DAY}) * interval '24 hours'
    + (${SINCE_2000} - floor(${SINCE_2000} / ${DAY}) * ${DAY}) * interval '1 millisecond'`;

/**
 * $1 ids, $2 streams, $3 versions, $4 created in ms, $5 names, and the JSON documents $6 data, $7 meta, $8 pii, $9 dates:
 * one element per event
 */
function insertQuery(names: Names, batch: readonly Pending[]): Query {
  return {
    ...counted(`insert into ${names.events} (id, stream, version, created, name, data, meta, pii, dates)
overriding system value
select e.id, e.stream, e.version, ${CREATED}, e.name, e.data::jsonb, e.meta::jsonb, e.pii::jsonb, e.dates::jsonb
from unnest($1::bigint[], $2::text[], $3::int[], $4::float8[], $5::text[],
  ${splitJson("$6")}, ${splitJson("$7")}, ${splitJson("$8")}, ${splitJson("$9")})
  as e(id, stream, version, created, name, data, meta, pii, dates)`),
    params: [
      numberArray(batch.map((e) => e.id)),
      textArray(batch.map((e) => e.stream)),
      numberArray(batch.map((e) => e.version)),
      numberArray(batch.map((e) => e.created)),
      textArray(batch.map((e) => e.name)),
      joinJson(batch.map((e) => e.data)),
      joinJson(batch.map((e) => e.meta)),
      joinJson(batch.map((e) => e.pii)),
      joinJson(batch.map((e) => e.dates)),
    ],
  };
}

const UNDONE = "fix or drop the trigger, if there is one, and try again. Nothing was changed";

/**
 * An INSERT that answers with the number of its rows, and the sum of their ids. Citus takes no INSERT in a CTE, so there it
 * returns the rows' ids. {@link insertedBy} reads both answers.
 */
export const counted = (insert: string): Pick<Query, "text" | "citus"> => ({
  text: `with inserted as (${insert} returning id) select count(*)::int as count, sum(id)::text as ids from inserted`,
  citus: () => `${insert} returning id`,
});

/** How many rows an INSERT of {@link counted} has inserted. */
export const insertedBy = (rows: readonly Row[]): number => Number(rows[0]?.count ?? rows.length);

/**
 * @throws if fewer events were inserted than were sent, or if a trigger gave them other ids. Then the caller would know wrong
 * ids, and the sequence would be moved to a wrong one. `rows`: the answer to the INSERT.
 */
export function assertAllInserted(
  { events }: Names,
  rows: readonly Row[],
  sent: readonly { readonly id: number }[],
): void {
  const left = sent.length - insertedBy(rows);
  if (left !== 0)
    throw new Error(`a trigger on ${events} left out ${left} of ${sent.length} events: ${UNDONE}`);
  const sums = rows.flatMap(({ ids }) => (typeof ids === "string" ? [BigInt(ids)] : []));
  const expected = sent.reduce((sum, { id }) => sum + BigInt(id), 0n);
  if (sums.some((sum) => sum !== expected))
    throw new Error(`a trigger on ${events} gave events other ids: ${UNDONE}`);
}

/** Rows of one DELETE. */
const WIPED = 20_000;

/**
 * Deletes all rows, page by page in order of `key`, with one statement per page, so that no statement reaches a time limit,
 * however long the log is. `lock`: first locks the rows in that order, as all verbs lock subscriptions. A DELETE without an
 * order deadlocks with ack and subscribe.
 */
async function empty(run: Run, table: string, key: string, lock = ""): Promise<void> {
  let after: string | undefined;
  for (;;) {
    const type = key === "id" ? "bigint" : "text";
    const behind = after === undefined ? "" : `t.${key} > $2::${type} and `;
    const [row] = await run({
      text: `with page as materialized (
  select t.${key} as key from ${table} t where ${behind}true order by t.${key} limit $1::bigint${lock}
), deleted as (delete from ${table} t where ${behind}t.${key} <= (select max(key) from page) returning t.${key})
select count(*)::int as found, max(key)::text as last, (select count(*)::int from deleted) as deleted from page`,
      params: [WIPED, ...(after === undefined ? [] : [after])],
    });
    if (Number(row?.deleted) < Number(row?.found))
      throw new Error(
        `rows of ${table} were not deleted, because a trigger kept them, or another writer deleted them at the same time: ${UNDONE}`,
      );
    if (Number(row?.found) < WIPED) return;
    after = String(row?.last);
  }
}

/**
 * Empties the tables, in the transaction of `run`, which holds the append lock. The lock on the checkpoints waits for
 * running calls of subscribe, and makes later ones wait. They find that their checkpoint is gone, and write none of the old
 * log into the new one (checkpoints-seen.ts). So the caller clears this process's memory of them (`forgetCheckpoints`)
 * only after COMMIT: without it a call of the same store could not tell that its checkpoint is of the old log. From here on
 * statement_timeout is off. The client's own limit for each answer (`StoreConnections.deadline`) still holds, so the rows are
 * deleted in pages.
 */
export async function wipe(run: Run, names: Names): Promise<void> {
  const { events, streams, correlated } = names;
  await run({ text: "set local statement_timeout = 0" });
  await empty(run, events, "id");
  await run({ text: `lock table ${correlated} in exclusive mode` });
  await run({ text: `delete from ${correlated}` });
  await empty(run, streams, "stream", " for update");
}

/** The unique indexes on stream and version, with those of partitions. Citus does not say which one refused a row: null. */
async function findVersionIndexes(run: Run, { events }: Names): Promise<ReadonlySet<unknown>> {
  const log = `to_regclass(${literal(events)})`;
  const rows = await run({
    text: `select c.relname as name from pg_index i join pg_class c on c.oid = i.indexrelid
join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0] and a.attname = 'stream'
join pg_attribute b on b.attrelid = i.indrelid and b.attnum = i.indkey[1] and b.attname = 'version'
where i.indisunique and i.indnkeyatts >= 2 and i.indrelid = any(array(select ${log}::oid union all select relid::oid from pg_partition_tree(${log})))`,
    citus: () => "select null as name",
  });
  return new Set(rows.map(({ name }) => name));
}

/**
 * Explains the violation of one of these indexes. The restore holds the append lock, so the duplicate must be in its
 * input. If another unique index or a trigger has refused an event, the error stays as it is.
 */
function explainDuplicate(error: unknown, versionIndexes: ReadonlySet<unknown>): unknown {
  const cause = error instanceof StoreError ? error.cause : undefined;
  if (!(cause instanceof DatabaseError) || cause.code !== "23505") return error;
  const { code, constraint, table } = cause;
  if (!versionIndexes.has(constraint ?? null)) return error;
  const orYours = constraint === undefined ? ", or look at unique indexes of yours" : "";
  const text = `two events of the input have the same stream and version: leave one out${orYours} (${code})`;
  return storeError("restore", new DatabaseError(code, text, constraint, table));
}

/** `owned`: the role may alter it. Citus refuses that for the sequence of a distributed table. */
type Sequence = { readonly name: string; readonly owned: boolean };

/** New ids have to follow the restored ones, so the sequence has to be known. */
async function findSequence(run: Run, names: Names): Promise<Sequence> {
  const [row] = await run({
    text: `select format('%I.%I', n.nspname, s.relname) as name,
    pg_has_role(s.relowner, 'usage') and not exists (select 1 from pg_extension where extname = 'citus') as owned
  from pg_class s join pg_namespace n on n.oid = s.relnamespace where s.oid = ${idSequence(names)}`,
  });
  if (row) return { name: String(row.name), owned: row.owned === true };
  throw storeError(
    "restore",
    new Error(
      `the sequence of the ids of ${names.events} cannot be found, so ids could repeat after a restore: give its column "id" the default nextval('…'::regclass). Nothing was changed`,
    ),
  );
}

/**
 * Makes new ids follow the restored ones. A rollback undoes ALTER SEQUENCE, and with it what setval then does to the same
 * sequence, but not a setval alone. RESTART WITH the last id alone would give that id out again; setval marks it as
 * given out. RESTART WITH the id after it would leave the sequence without a last value, which seed() takes for behind.
 */
async function restartSequence(run: Run, { name, owned }: Sequence, last: number): Promise<void> {
  if (owned) {
    await run({ text: `alter sequence ${name} restart with ${Math.max(1, last)}` });
    if (last > 0) await run({ text: `select setval(${literal(name)}, $1::bigint)`, params: [last] });
  }
  // A role that does not own the sequence can only use setval, and only moves it forward ($1: the last id): after a rollback
  // ids have a gap, but none repeats.
  else
    await run({
      text: `select setval(${literal(name)}, greatest($1::bigint, last_value)) from ${name}`,
      params: [last],
    });
}

/**
 * Calls `driver` once, with a function that takes an event and returns its new id. `created` is kept to the
 * millisecond, `version` as given. If `driver` throws, the store stays as it was, and the error is thrown again.
 */
export async function restore(
  { names, connections, piiKeys }: Context,
  driver: RestoreDriver,
): Promise<void> {
  checkFunction("restore", "driver", driver);
  const shared =
    piiKeys && !piiKeys.perStream ? await guard("restore", () => piiKeys.current("")) : undefined;
  let firstEvent: string | undefined;
  const wasCommitted = async (backend: Backend | undefined) => {
    // The new log has no events, or the server has Citus, where a restored event has no token. So nothing can prove that this
    // restore was committed.
    if (firstEvent === undefined) throw outcomeUnknown();
    const lock = lockQuery(names);
    const [, , first] = await connections
      .recover(backend, [lock, waitForStandby(names), firstEventQuery(names)])
      .catch(() => Promise.reject(outcomeUnknown()));
    return firstEventOf(first?.[0]) === firstEvent;
  };
  const work = async (run: Run) => {
    await run(lockQuery(names));
    await guard("restore", () => wipe(run, names));
    const sequence = await findSequence(run, names);
    const versionIndexes = await findVersionIndexes(run, names);
    let batch: Pending[] = [];
    let batchText = 0;
    let id = 0;
    const flush = async () => {
      const full = batch;
      batch = [];
      batchText = 0;
      if (full.length === 0) return;
      const rows = await run(insertQuery(names, full)).catch((error: unknown) => {
        throw explainDuplicate(error, versionIndexes);
      });
      await guard("restore", async () => assertAllInserted(names, rows, full));
    };
    let failure: unknown;
    let ended = false;
    // Batches are sent one after the other, even if the driver does not await the ids.
    let flushing = Promise.resolve();
    const put = async (event: Event, key: Uint8Array | undefined) => {
      if (ended) throw storeError("restore", new Error("the restore has ended: nothing is written"));
      const pending = encode(event, id + 1, key);
      id++;
      batch.push(pending);
      batchText += pending.data.length + (pending.pii?.length ?? 0);
      if (batch.length >= BATCH || batchText >= BATCH_TEXT) {
        flushing = flushing.then(flush).catch((error: unknown) => {
          failure ??= error;
        });
        await flushing;
        if (failure !== undefined) throw failure;
      }
      return pending.id;
    };
    // With a key per stream each event may wait for its key. Events keep their order, even if the driver does not await ids.
    let previous: Promise<unknown> = Promise.resolve();
    const sink = (event: Event) => {
      if (!piiKeys?.perStream) return put(event, shared);
      const personal = event?.pii !== null && event?.pii !== undefined;
      const written = previous.then(async () =>
        put(event, personal ? await guard("restore", () => piiKeys.current(event.stream)) : undefined),
      );
      previous = written.catch((error: unknown) => {
        failure ??= error;
      });
      return written;
    };
    try {
      await driver(sink);
      await previous;
    } finally {
      ended = true;
    }
    await flushing;
    if (failure !== undefined) throw failure;
    await flush();
    await restartSequence(run, sequence, id);
    firstEvent = firstEventOf((await run(firstEventQuery(names)))[0]);
  };
  await connections.session("restore", work, { wasCommitted });
  forgetCheckpoints(names);
}

function encode(event: Event, id: number, key: Uint8Array | undefined): Pending {
  if (!(event?.created instanceof Date) || !Number.isFinite(event.created.getTime()))
    throw invalid("restore", `created of event ${id} must be a valid Date`);
  if (toTime(event.created.getTime()) !== event.created.getTime())
    throw invalid("restore", `created of event ${id} is beyond what PostgreSQL holds (4713 BC to 294276 AD)`);
  checkNumber("restore", "version", event.version);
  if (toInt(event.version) !== event.version)
    throw invalid("restore", `version of event ${id} must be a whole number that a PostgreSQL integer holds`);
  const { events, meta } = encodeEvents(event.stream, [event], event.meta, key);
  const [encoded] = events;
  if (!encoded) throw invalid("restore", "an event is missing");
  return {
    ...encoded,
    id,
    stream: event.stream,
    version: event.version,
    created: event.created.getTime(),
    meta,
  };
}
