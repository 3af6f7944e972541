/**
 * Records which events of a log are changed while it is copied: triggers write the id of each row that somebody updates,
 * deletes, or inserts among those that are copied already, into a table beside the log, in the same transaction.
 *
 * Creating a trigger waits for all transactions that have written to the log. So a later statement sees what they wrote,
 * and every transaction behind them is recorded.
 *
 * What cannot be recorded shows in {@link stateOf}: TRUNCATE and a rewrite change where the table is stored, a trigger may be
 * disabled or dropped, and a server that crashed, or was replaced by its standby, may have lost what was read from it. The
 * table of ids is unlogged, so it is empty then, without the row that {@link record} put into it.
 */
import type { Run } from "../../postgres/index.ts";
import { literal, type Names } from "../../schema/names.ts";

const CHANGED = "act_drizzle_changed";
const INSERTED = "act_drizzle_inserted";

/** The table of ids, and the function that writes them. */
const recorded = ({ schema, table }: Names): string => `"${schema}"."${table}_moving"`;

/** The log's table, and its partitions: those that hold rows. */
const tree = ({ events }: Names): string => `with recursive tree as (
  select ${literal(events)}::regclass::oid as oid
  union all select i.inhrelid from pg_inherits i join tree t on i.inhparent = t.oid
), parts as (select c.oid, c.relfilenode from tree join pg_class c using (oid) where c.relkind <> 'p')`;

/** `text`: where the rows are stored, and the triggers. `whole`: all triggers are there, and the server has not crashed. */
async function stateOf(run: Run, names: Names): Promise<{ readonly text: string; readonly whole: boolean }> {
  const [row] = await run({
    text: `${tree(names)}, found as (select p.*, (select count(*) from pg_trigger t where t.tgrelid = p.oid
    and t.tgname in ('${CHANGED}', '${INSERTED}') and t.tgenabled = 'A') as triggers from parts p)
select string_agg(concat_ws('/', oid, relfilenode, triggers), ' ' order by oid) as text,
  bool_and(triggers = 2) and exists (select from ${recorded(names)} where id is null) as whole
from found`,
  });
  return { text: String(row?.text), whole: row?.whole === true };
}

/** Ends the recording, also of an attempt that was killed. Locks the log against all others, if there is one to end. */
export async function stopRecording(run: Run, names: Names): Promise<void> {
  for (const name of [CHANGED, INSERTED])
    await run({ text: `drop trigger if exists ${name} on ${names.events}` });
  await run({ text: `drop function if exists ${recorded(names)}()` });
  await run({ text: `drop table if exists ${recorded(names)}` });
}

/** What {@link record} knows: the last id that the next copy may read, and what has to stay as it is. */
export type Recording = { readonly upTo: number; readonly state: string };

/**
 * Records from here on, whatever the log holds. Given what it returned before, it goes on with what the log holds by now;
 * undefined: not every change since then was recorded. The table's lock is held until the transaction of `run` ends: writers
 * wait for as long.
 */
export async function record(
  run: Run,
  names: Names,
  before: Recording | undefined,
): Promise<Recording | undefined> {
  const { events } = names;
  const table = recorded(names);
  await run({ text: `lock table ${events} in share row exclusive mode` });
  // Looked at before the triggers are made anew.
  if (before && !(await recordedAll(run, names, before))) return undefined;
  if (!before) {
    await stopRecording(run, names);
    await run({ text: `create unlogged table ${table} (id bigint)` });
    await run({ text: `insert into ${table} values (null)` });
    // Whoever writes to the log needs no right on that table.
    await run({
      text: `create function ${table}() returns trigger language plpgsql security definer
set search_path = pg_catalog, pg_temp as $$
begin
  if tg_op <> 'INSERT' then insert into ${table} values (old.id); end if;
  if tg_op <> 'DELETE' then insert into ${table} values (new.id); end if;
  return null;
end $$`,
    });
  }
  const [row] = await run({ text: `select coalesce(max(id), -1) as id from ${events}` });
  const upTo = Number(row?.id);
  await run({
    text: `create or replace trigger ${CHANGED} after update or delete on ${events} for each row execute function ${table}()`,
  });
  // New events have ids behind all others. An import or a restore may write one that is copied already.
  await run({
    text: `create or replace trigger ${INSERTED} after insert on ${events} for each row when (new.id <= ${upTo})
execute function ${table}()`,
  });
  // A subscriber of logical replication writes as a replica: triggers that are enabled as usual do not run then.
  const parts = await run({ text: `${tree(names)} select oid::regclass::text as name from parts` });
  for (const { name } of parts)
    for (const trigger of [CHANGED, INSERTED])
      await run({ text: `alter table ${String(name)} enable always trigger ${trigger}` });
  const { text, whole } = await stateOf(run, names);
  if (!whole) throw new Error(`act-drizzle: a table of ${events} would not record its changes`);
  return { upTo, state: text };
}

/** Whether every change since {@link record} was recorded. */
export async function recordedAll(run: Run, names: Names, { state }: Recording): Promise<boolean> {
  const { text, whole } = await stateOf(run, names);
  return whole && text === state;
}

const CHUNK = 10_000;

/** A query of the recorded ids that were not taken, in a statement that reads the log too. */
export const pendingQuery = (names: Names): string =>
  `select id from ${recorded(names)} where id is not null`;

/** `more`: there may be others. */
export type Changed = { readonly ids: readonly number[]; readonly more: boolean };

/**
 * Takes recorded ids, each once, ascending: of 10,000 records at most, and an event that was changed often has many. They come
 * back if the transaction of `run` is rolled back.
 */
export async function takeChanged(run: Run, names: Names): Promise<Changed> {
  const table = recorded(names);
  const rows = await run({
    text: `with taken as (
  delete from ${table} where ctid = any (array(select ctid from ${table} where id is not null limit ${CHUNK})) returning id
)
select distinct id, (select count(*)::int from taken) as records from taken order by id`,
  });
  return { ids: rows.map(({ id }) => Number(id)), more: Number(rows[0]?.records ?? 0) === CHUNK };
}
