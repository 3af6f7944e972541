/**
 * Moves a store's tables to another server, while processes work on them: the log with its ids, the subscriptions, the
 * checkpoints. The log is copied while it grows; then one transaction on the source locks the tables, copies what is
 * missing, compares both logs, and moves the tables out of the way. So every commit is either in the new log, or was refused.
 *
 * States: copying (the source is in use) → locked (calls to the source wait) → moved (the source refuses calls, the target has
 * everything); or as before, with a copy in the target that nobody uses.
 */
import type { Context } from "../context.ts";
import { codeOf } from "../errors.ts";
import { seed } from "../migrations/seed.ts";
import { type Database, type Query, RETRIABLE, type Row, type Run } from "../postgres/index.ts";
import { idSequence } from "../schema/id-sequence.ts";
import { literal, type Names, namesOf } from "../schema/names.ts";
import { tableNames } from "../schema/table-names.ts";
import { LINE } from "./event-lines.ts";
import { exportEvents, type Readable } from "./export.ts";
import { importEvents, moveSequence } from "./import.ts";

export type MoveOptions = {
  /** The schema, on the old server, that the old tables are moved to. Default: the store's with `_moved` behind it. */
  readonly keepIn?: string | undefined;
  /** The target has a copy of an earlier attempt, which may be deleted. Default false: it must be empty. */
  readonly again?: boolean | undefined;
  readonly onProgress?: ((progress: MoveProgress) => void) | undefined;
};

export type MoveProgress = { readonly state: "copying" | "locked" | "moved"; readonly events: number };

export type Moved = {
  readonly events: number;
  readonly subscriptions: number;
  /** ms for which calls to the source waited. */
  readonly lockedMs: number;
};

/** The log grows faster than it can be copied, or the two logs differ although nobody could write. Nothing was moved. */
export class MoveError extends Error {
  override readonly name = "MoveError";
}

/** When a pass of copying finds no more than `few` new events, the tables are locked. After as many passes it gives up. */
const LIMITS = { few: 1_000, passes: 10 };
const ATTEMPTS = 5;
const PAGE = 5_000;
/** Ids that one statement reads for the comparison. */
const DIGEST_PART = 500_000;
const MARK = "act-drizzle: moved to another server";

export async function move(
  source: Context,
  target: Context,
  options: MoveOptions = {},
  { few, passes } = LIMITS,
): Promise<Moved> {
  const keepIn = namesOf(options.keepIn ?? `${source.names.schema}_moved`, source.names.table);
  if (keepIn.schema === source.names.schema)
    throw new Error('act-drizzle: option "keepIn": another schema than that of the store');
  await removeMark(target);
  await seed(target);
  target.connections.sharedFacts?.forget();
  let events = 0;
  const tell = (state: MoveProgress["state"]) => options.onProgress?.({ state, events });
  let mode: "replace" | "empty" | "merge" = options.again ? "replace" : "empty";
  let lastId = -1;
  for (let pass = 1; ; pass++) {
    const copied = await importEvents(target, exportEvents(source, { after: lastId }), { mode });
    events += copied.events;
    lastId = copied.lastId ?? lastId;
    mode = "merge";
    tell("copying");
    if (copied.events <= few) break;
    // Calls would wait, under the lock, for what is missing still: nobody could say how long.
    if (pass === passes)
      throw new MoveError(
        `nothing was moved: the log grew by ${copied.events} events while the ones before were copied, ${passes} times. ` +
          "Move it when fewer events come, or stop its writers first, with `again: true`",
      );
  }
  for (let attempt = 1; ; attempt++) {
    try {
      const moved = await cutOver(source, target, { lastId, keepIn, onLocked: () => tell("locked") });
      events = moved.events;
      tell("moved");
      return moved;
    } catch (error) {
      // It lost a deadlock with a verb that had locked the tables in another order.
      if (attempt === ATTEMPTS || !(error instanceof Error) || !RETRIABLE.has(codeOf(error.cause)))
        throw error;
      lastId = await lastIdOf(target);
    }
  }
}

type CutOver = {
  readonly lastId: number;
  readonly keepIn: Names;
  readonly onLocked: () => void;
};

/** All in one transaction of the source, in which nobody else can read or write its tables. */
async function cutOver(
  source: Context,
  target: Context,
  { lastId, keepIn, onLocked }: CutOver,
): Promise<Moved> {
  const { names, connections } = source;
  let began = 0;
  const work = async (run: Run) => {
    await run({ text: "set local statement_timeout = 0" });
    await run({
      text: `lock table ${names.events}, ${names.streams}, ${names.correlated} in access exclusive mode`,
    });
    began = performance.now();
    const locked = within(names, run);
    await importEvents(target, exportEvents(locked, { after: lastId }), { mode: "merge" });
    onLocked();
    let digest = await digestOf(locked);
    // A truncate or forget_pii during the copy has changed events that had been copied.
    if (digest.text !== (await digestOf(target)).text) {
      await importEvents(target, exportEvents(locked), { mode: "replace" });
      digest = await digestOf(locked);
      if (digest.text !== (await digestOf(target)).text)
        throw new MoveError("the copied log differs from the log: nothing was moved");
    }
    const subscriptions = await copySubscriptions(run, names, target);
    await alignSequence(run, names, target);
    await moveAway(run, names, keepIn);
    return { events: digest.events, subscriptions };
  };
  const moved = await connections.session("move", work, {
    // Its server process is ended first, or it might commit after the answer.
    wasCommitted: async (backend) => marked((await connections.recover(backend, [markQuery(names)]))[0]),
  });
  return { ...moved, lockedMs: performance.now() - began };
}

/** The tables as the transaction sees them that has locked them. */
const within = (names: Names, run: Run): Readable => ({
  names,
  connections: { read: (_operation, query) => run(query) } as Pick<Database, "read">,
});

async function lastIdOf({ names, connections }: Readable): Promise<number> {
  const [row] = await connections.read("move", {
    text: `select coalesce(max(id), -1) as id from ${names.events}`,
  });
  return Number(row?.id);
}

/** The number of events, and a sum over each row's text. Part by part, for a statement has a time limit. */
async function digestOf(log: Readable): Promise<{ text: string; events: number }> {
  const last = await lastIdOf(log);
  let [events, digest] = [0, 0n];
  for (let low = -1; low < last; low += DIGEST_PART) {
    // $1 and $2 bounds of the ids
    const [row] = await log.connections.read("move", {
      text: `select count(*) as events,
  coalesce(sum(('x' || left(md5(${LINE}), 16))::bit(64)::bigint), 0)::text as digest
from ${log.names.events} e where e.id > $1::bigint and e.id <= $2::bigint`,
      params: [low, low + DIGEST_PART],
    });
    events += Number(row?.events);
    digest += BigInt(String(row?.digest));
  }
  return { text: `${events} ${digest}`, events };
}

/** Subscriptions and checkpoints as they stand, but for leases: their holders work on the old server. */
async function copySubscriptions(run: Run, names: Names, target: Context): Promise<number> {
  const { streams, correlated } = target.names;
  let count = 0;
  await target.connections.session("move", async (write) => {
    await write({ text: `delete from ${streams}` });
    await write({ text: `delete from ${correlated}` });
    const copy = async (from: string, to: string, key: string) => {
      for (let after: unknown = ""; ; ) {
        const rows = await run({
          text: `select ${key} as key, to_jsonb(r)::text as line from ${from} r
  where ${key} ${after === "" ? ">=" : ">"} $1::text collate "C" order by ${key} collate "C" limit ${PAGE}`,
          params: [String(after)],
        });
        if (rows.length === 0) return;
        after = rows.at(-1)?.key;
        if (to === streams) count += rows.length;
        await write({
          text: `insert into ${to} select r.* from jsonb_array_elements($1::jsonb) j(line)
  cross join jsonb_populate_record(null::${to}, j.line - 'leased_by' - 'leased_until') r`,
          params: [`[${rows.map(({ line }) => line).join(",")}]`],
        });
        if (rows.length < PAGE) return;
      }
    };
    await copy(names.streams, streams, "stream");
    await copy(names.correlated, correlated, "key");
  });
  return count;
}

/** Ids go on behind all that were given out, those of events that no longer exist too. */
async function alignSequence(run: Run, names: Names, target: Context): Promise<void> {
  const [row] = await run({ text: `select pg_sequence_last_value(${idSequence(names)}) as last` });
  const last = Number(row?.last ?? 0);
  if (last > 0) await target.connections.session("move", (write) => moveSequence(write, target.names, last));
}

/** A view stands in the log's place: no verb can use it, and seed() refuses to make a new log beside it. */
async function moveAway(run: Run, names: Names, keepIn: Names): Promise<void> {
  await run({ text: `create schema if not exists "${keepIn.schema}"` });
  for (const table of [names.events, names.streams, names.correlated])
    await run({ text: `alter table ${table} set schema "${keepIn.schema}"` });
  await run({ text: `create view ${names.events} as select ${literal(MARK)}::text as moved` });
  await run({ text: `comment on view ${names.events} is ${literal(MARK)}` });
}

const markQuery = ({ schema, table }: Names): Query => ({
  text: `select exists (select 1 from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where n.nspname = ${literal(schema)} and c.relname = ${literal(tableNames(table).events)} and c.relkind = 'v'
    and obj_description(c.oid, 'pg_class') = ${literal(MARK)}) as marked`,
});

const marked = (rows: readonly Row[] | undefined): boolean => rows?.[0]?.marked === true;

/** A store that comes back to where it was. */
async function removeMark(target: Context): Promise<void> {
  if (!marked(await target.connections.read("move", markQuery(target.names)))) return;
  await target.connections.session("move", (run) => run({ text: `drop view ${target.names.events}` }));
}
