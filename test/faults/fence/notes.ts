/**
 * Rows that were changed by a session without the append lock: triggers on an events table note them in a table
 * beside it, in the same transaction. What is undone leaves no note.
 */
import type postgres from "postgres";
import { lockText, type TableName } from "../../order/lock.ts";

type Names = Pick<TableName, "schema" | "table">;

export type LockNotes = {
  /** Each row that was inserted, updated or deleted without the lock, e.g. `INSERT 7: s@3`. */
  rowsWithoutLock(): Promise<string[]>;
};

/** Looks once per statement, after its rows: an append lock is held until the transaction ends. */
const functionText = (name: string, notes: string, lock: string) => `
  create function ${name}() returns trigger language plpgsql as $$
  begin
    -- pg_locks shows the two halves of a bigint key as oids.
    if exists (
      select from pg_locks l, (select hashtext('${lock}')::bigint) as k(key)
      where l.locktype = 'advisory' and l.pid = pg_backend_pid() and l.granted and l.mode = 'ExclusiveLock'
        and l.database = (select oid from pg_database where datname = current_database()) and l.objsubid = 1
        and l.classid = ((k.key >> 32) & 4294967295)::oid and l.objid = (k.key & 4294967295)::oid
    ) then return null; end if;
    insert into ${notes} (op, id, stream, version) select tg_op, id, stream, version from changed;
    return null;
  end $$`;

/** PostgreSQL gives each kind of statement a trigger of its own when the changed rows are asked for. */
const KINDS = { insert: "new", update: "new", delete: "old" } as const;

export async function noteRowsWithoutLock(sql: postgres.Sql, { schema, table }: Names): Promise<LockNotes> {
  const events = lockText({ schema, table });
  const notes = lockText({ schema, table: `${table}_unlocked` });
  const name = lockText({ schema, table: `${table}_note` });
  await sql.unsafe(`create table ${notes} (op text, id bigint, stream text, version bigint)`);
  await sql.unsafe(functionText(name, notes, events));
  for (const [kind, rows] of Object.entries(KINDS))
    await sql.unsafe(
      `create trigger ${table}_note_${kind} after ${kind} on ${events}
       referencing ${rows} table as changed for each statement execute function ${name}()`,
    );
  return {
    rowsWithoutLock: async () => {
      const rows = await sql.unsafe(
        `select op, n.id::text, stream, version from ${notes} n order by n.id, op`,
      );
      return rows.map(({ op, id, stream, version }) => `${op} ${id}: ${stream}@${version}`);
    },
  };
}
