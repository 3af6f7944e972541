/**
 * restore(): wipes the store and writes the given events, in one transaction under the append lock. Ids
 * are assigned here, dense from 1, so that events go out in batches. DELETE, not TRUNCATE: readers see the
 * old log until the new one is complete, and a driver may read from this very store.
 */
import { type Committed, type Schemas, StoreError } from "@rotorsoft/act";
import type { Context } from "../context.ts";
import { DatabaseError, guard, outcomeUnknown, storeError } from "../errors.ts";
import type { Backend, Query, Row } from "../postgres/index.ts";
import { joinJson, numberArray, splitJson, textArray } from "../postgres/parameters.ts";
import { lockQuery } from "../schema/append-lock.ts";
import { idSequence } from "../schema/id-sequence.ts";
import { literal, type Names } from "../schema/names.ts";
import { toTime } from "../values/time.ts";
import { checkFunction, checkNumber, invalid, toInt } from "../values/validate.ts";
import { type EncodedEvent, encodeEvents } from "./encode-messages.ts";
import { firstEventOf, firstEventQuery, WAIT_FOR_STANDBY } from "./recover.ts";

type Event = Committed<Schemas, keyof Schemas>;
type Run = (query: Query) => Promise<readonly Row[]>;
/** Hands the events of the new log to `callback`, one after the other, which resolves to each one's new id. */
export type RestoreDriver = (callback: (event: Event) => Promise<number>) => Promise<void>;

const BATCH = 1_000;
const BATCH_TEXT = 4_000_000;

type Pending = EncodedEvent & {
  readonly id: number;
  readonly stream: string;
  readonly version: number;
  readonly created: number;
  readonly meta: string;
};

/**
 * From milliseconds, exactly, in any century: as one number of seconds or microseconds it would be rounded, and
 * every second event of the year 10000 came back a millisecond earlier. Sessions are in UTC: each day has 24 hours.
 */
const DAY = 86_400_000;
const CREATED = `timestamptz 'epoch' + floor(e.created / ${DAY}) * interval '1 day'
    + (e.created - floor(e.created / ${DAY}) * ${DAY}) * interval '1 millisecond'`;

function insertQuery(names: Names, batch: readonly Pending[]): Query {
  return {
    text: `insert into ${names.events} (id, stream, version, created, name, data, meta, pii, dates)
overriding system value
select e.id, e.stream, e.version, ${CREATED}, e.name, e.data::jsonb, e.meta::jsonb, e.pii::jsonb, e.dates::jsonb
from unnest($1::bigint[], $2::text[], $3::int[], $4::float8[], $5::text[],
  ${splitJson("$6")}, ${splitJson("$7")}, ${splitJson("$8")}, ${splitJson("$9")})
  as e(id, stream, version, created, name, data, meta, pii, dates)`,
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

/**
 * A subscribe that is under way ends first, and a later one waits, so that none carries a checkpoint from the old
 * log into the new one. Subscriptions are locked in the order in which the other verbs lock them: a bare DELETE
 * deadlocks with ack and subscribe.
 */
const wipe = ({ events, streams, correlated }: Names) => [
  `delete from ${events}`,
  `lock table ${correlated} in exclusive mode`,
  `delete from ${correlated}`,
  `with all_rows as materialized (select stream from ${streams} order by stream for update)
delete from ${streams} s using all_rows a where s.stream = a.stream`,
];

/** Here a duplicate is the input's fault, not another writer's. */
function explain(error: unknown): never {
  const cause = error instanceof StoreError ? error.cause : undefined;
  if (cause instanceof DatabaseError && cause.code === "23505")
    throw storeError(
      "restore",
      new DatabaseError(
        cause.code,
        "two events of the input have the same stream and version: leave one out (23505)",
      ),
    );
  throw error;
}

type Sequence = { readonly name: string; readonly owned: boolean };

/** Without it nobody could say where ids go on. */
async function findSequence(run: Run, names: Names): Promise<Sequence> {
  const [row] = await run({
    text: `select format('%I.%I', n.nspname, s.relname) as name, pg_has_role(s.relowner, 'usage') as owned
  from pg_class s join pg_namespace n on n.oid = s.relnamespace where s.oid = ${idSequence(names)}`,
  });
  if (row) return { name: String(row.name), owned: row.owned === true };
  throw storeError(
    "restore",
    new Error(
      `the ids of ${names.events} are drawn from no sequence that is known, so they could repeat after a restore: give its column "id" the default nextval('…'::regclass). Nothing was changed`,
    ),
  );
}

/** Ids go on behind the restored ones. ALTER SEQUENCE is undone by a rollback; setval is not. */
async function restartSequence(run: Run, { name, owned }: Sequence, next: number): Promise<void> {
  if (owned) await run({ text: `alter sequence ${name} restart with ${next}` });
  // Without ownership ids may jump, never repeat: the sequence is only ever moved forward.
  else
    await run({
      text: `select setval(${literal(name)}, greatest($1::bigint, last_value)) from ${name}`,
      params: [next - 1],
    });
}

/**
 * Calls `driver` once with a sink for events: `created` is kept to the millisecond, `version` as given,
 * the answer is the event's new id. Whatever `driver` throws leaves everything as it was and is rethrown.
 */
export async function restore({ names, connections, cipher }: Context, driver: RestoreDriver): Promise<void> {
  checkFunction("restore", "driver", driver);
  const key = cipher && (await guard("restore", () => cipher.key()));
  let firstEvent: string | undefined;
  const wasCommitted = async (backend: Backend | undefined) => {
    // Nothing was written by which an empty log could be told from the one before.
    if (firstEvent === undefined) throw outcomeUnknown();
    const lock = { text: lockQuery(names) };
    const [, , first] = await connections
      .recover(backend, [lock, WAIT_FOR_STANDBY, firstEventQuery(names)])
      .catch(() => Promise.reject(outcomeUnknown()));
    return firstEventOf(first?.[0]) === firstEvent;
  };
  const work = async (run: Run) => {
    await run({ text: lockQuery(names) });
    for (const text of wipe(names)) await run({ text });
    const sequence = await findSequence(run, names);
    let batch: Pending[] = [];
    let text = 0;
    let id = 0;
    const flush = async () => {
      const full = batch;
      batch = [];
      text = 0;
      if (full.length > 0) await run(insertQuery(names, full)).catch(explain);
    };
    let failure: unknown;
    let ended = false;
    // One flush after the other, also for a driver that does not wait.
    let flushing = Promise.resolve();
    const sink = async (event: Event) => {
      if (ended) throw storeError("restore", new Error("the restore has ended: nothing is written"));
      const pending = encode(event, id + 1, key);
      id++;
      batch.push(pending);
      text += pending.data.length + (pending.pii?.length ?? 0);
      if (batch.length >= BATCH || text >= BATCH_TEXT) {
        flushing = flushing.then(flush).catch((error: unknown) => {
          failure ??= error;
        });
        await flushing;
        if (failure !== undefined) throw failure;
      }
      return pending.id;
    };
    try {
      await driver(sink);
    } finally {
      ended = true;
    }
    await flushing;
    if (failure !== undefined) throw failure;
    await flush();
    await restartSequence(run, sequence, id + 1);
    firstEvent = firstEventOf((await run(firstEventQuery(names)))[0]);
  };
  await connections.session("restore", work, { wasCommitted });
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
