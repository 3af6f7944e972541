/**
 * Records which events of a log change while it is copied. Triggers write the id of each row that is updated or deleted, or
 * that is inserted among those already copied, into a table beside the log, in the same transaction.
 *
 * Creating a trigger waits for all transactions that have written to the log. So a later statement sees what they wrote, and
 * every later transaction is recorded.
 *
 * {@link stateOf} detects what triggers cannot record. TRUNCATE and a rewrite change the file of a table. A trigger may be
 * disabled or dropped. A server that crashed, or was replaced by its standby, may have lost events that were already copied:
 * the table of ids is unlogged, so it is empty then and lacks the row that {@link record} inserted.
 */
import type { Run } from "../../postgres/index.ts";
import { literal, type Names } from "../../schema/names.ts";

export const CHANGED = "act_drizzle_changed";
export const INSERTED = "act_drizzle_inserted";

/** The name of the table of ids, and of the function that writes them. */
export const recordingName = ({ schema, table }: Names): string => `"${schema}"."${table}_moving"`;

/** The log's table and its partitions; `parts` are those that hold rows. */
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
  bool_and(triggers = 2) and exists (select from ${recordingName(names)} where id is null) as whole
from found`,
  });
  return { text: String(row?.text), whole: row?.whole === true };
}

/**
 * Ends the recording, including that of an attempt that was killed. It takes an ACCESS EXCLUSIVE lock on the log only if
 * there is a trigger to drop.
 */
export async function stopRecording(run: Run, names: Names): Promise<void> {
  for (const name of [CHANGED, INSERTED])
    await run({ text: `drop trigger if exists ${name} on ${names.events}` });
  await run({ text: `drop function if exists ${recordingName(names)}()` });
  await run({ text: `drop table if exists ${recordingName(names)}` });
}

/** What {@link record} returns: the last id that the next copy may read, and the state that must not change. */
export type Recording = { readonly upTo: number; readonly state: string };

/**
 * Starts to record changes of all events that the log has now. With `before`, what an earlier call returned, it extends the
 * recording to the events added since, and returns undefined if a change since then was not recorded. It locks the table
 * until the transaction of `run` ends, and writers wait that long.
 */
export async function record(
  run: Run,
  names: Names,
  before: Recording | undefined,
): Promise<Recording | undefined> {
  const { events } = names;
  const table = recordingName(names);
  await run({ text: `lock table ${events} in share row exclusive mode` });
  // Checked before the triggers are replaced.
  if (before && !(await recordedAll(run, names, before))) return undefined;
  if (!before) {
    await stopRecording(run, names);
    await run({ text: `create unlogged table ${table} (id bigint)` });
    await run({ text: `insert into ${table} values (null)` });
    // SECURITY DEFINER: roles that write to the log need no privilege on that table.
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
  // New events have ids above all others. But an import or a restore may insert an id that is already in the copied range.
  await run({
    text: `create or replace trigger ${INSERTED} after insert on ${events} for each row when (new.id <= ${upTo})
execute function ${table}()`,
  });
  // A logical replication worker runs with session_replication_role = replica, under which ordinary triggers do not fire.
  const parts = await run({ text: `${tree(names)} select oid::regclass::text as name from parts` });
  for (const { name } of parts)
    for (const trigger of [CHANGED, INSERTED])
      await run({ text: `alter table ${String(name)} enable always trigger ${trigger}` });
  const { text, whole } = await stateOf(run, names);
  if (!whole)
    throw new Error(`act-drizzle: a partition of ${events} has no trigger that records its changes`);
  return { upTo, state: text };
}

/** Whether every change since {@link record} was recorded. */
export async function recordedAll(run: Run, names: Names, { state }: Recording): Promise<boolean> {
  const { text, whole } = await stateOf(run, names);
  return whole && text === state;
}

const CHUNK = 10_000;

/** A query of the recorded ids that were not taken yet, to be part of a statement that also reads the log. */
export const pendingQuery = (names: Names): string =>
  `select id from ${recordingName(names)} where id is not null`;

/** `more`: further ids may be recorded. */
export type Changed = { readonly ids: readonly number[]; readonly more: boolean };

/**
 * Takes the ids of up to 10,000 records: each id once, ascending. An event that changed often has many records. If the
 * transaction of `run` is rolled back, the ids are recorded again.
 */
export async function takeChanged(run: Run, names: Names): Promise<Changed> {
  const table = recordingName(names);
  const rows = await run({
    text: `with taken as (
  delete from ${table} where ctid = any (array(select ctid from ${table} where id is not null limit ${CHUNK})) returning id
)
select distinct id, (select count(*)::int from taken) as records from taken order by id`,
  });
  return { ids: rows.map(({ id }) => Number(id)), more: Number(rows[0]?.records ?? 0) === CHUNK };
}
