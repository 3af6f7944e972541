/**
 * Takes over tables that act-pg made: 0.4.6 (smallint retry, uuid leases, varchar(100) names) and every later
 * layout, in any state of upgrade. Runs before the plan, which adds what is missing. Events stay as they
 * are: int4 ids are not widened here, and nothing rewrites the events table.
 */
import { literal, type Names } from "../names.ts";
import type { Run } from "./seed.ts";

type Types = ReadonlyMap<string, string>;

async function columnTypes(run: Run, schema: string, table: string): Promise<Types> {
  const rows = await run({
    text: `select attname as name, format_type(atttypid, atttypmod) as type from pg_attribute
  where attrelid = to_regclass(${literal(`"${schema}"."${table}"`)}) and attnum > 0 and not attisdropped`,
  });
  return new Map(rows.map((row) => [String(row.name), String(row.type)]));
}

/** What was done, in words. Nothing for tables of this store. */
export async function adopt(run: Run, names: Names): Promise<string[]> {
  const { schema, table } = names;
  const events = await columnTypes(run, schema, table);
  const streams = await columnTypes(run, schema, `${table}_streams`);
  const correlated = await columnTypes(run, schema, `${table}_correlated`);
  const done: string[] = [];
  const alter = async (name: string, what: string) => {
    await run({ text: `alter table "${schema}"."${name}" ${what}` });
    done.push(`"${name}" ${what}`);
  };
  // varchar to text needs no rewrite: only the limit goes.
  for (const column of ["name", "stream"])
    if (events.get(column)?.startsWith("character varying"))
      await alter(table, `alter column ${column} type text`);
  if (streams.size > 0) await adoptStreams(run, names, streams, events, alter);
  if (correlated.size > 0 && !correlated.has("key")) await adoptCheckpoint(run, names, correlated, alter);
  return done;
}

async function adoptStreams(
  run: Run,
  names: Names,
  streams: Types,
  events: Types,
  alter: (table: string, what: string) => Promise<void>,
): Promise<void> {
  const table = `${names.table}_streams`;
  for (const column of ["stream", "source", "error", "lane"])
    if (streams.get(column)?.startsWith("character varying"))
      await alter(table, `alter column ${column} type text`);
  if (streams.get("retry") === "smallint") {
    await alter(table, "alter column retry type integer");
    // There the counter rested at 0 and the first attempt was 0 too; here it rests at -1.
    if (!streams.has("correlated_at")) await run({ text: `update ${names.streams} set retry = retry - 1` });
  }
  if (streams.get("leased_by") === "uuid") await alter(table, "alter column leased_by type text");
  if (streams.has("retry"))
    await run({ text: `alter table ${names.streams} alter column retry set default -1` });
  // Which events resolve to a row without a mark is unknown. All of them is safe: at worst a fetch finds nothing.
  if (events.size === 0) return;
  if (!streams.has("correlated_at")) await alter(table, "add column correlated_at bigint");
  await run({
    text: `update ${names.streams} set correlated_at = coalesce((select max(id) from ${names.events}), -1) where correlated_at is null`,
  });
}

/** A checkpoint under a single id becomes the shared one, under the key ''. */
async function adoptCheckpoint(
  run: Run,
  names: Names,
  correlated: Types,
  alter: (table: string, what: string) => Promise<void>,
): Promise<void> {
  const table = `${names.table}_correlated`;
  const [constraint] = await run({
    text: `select conname as name from pg_constraint where conrelid = to_regclass(${literal(names.correlated)}) and contype = 'p'`,
  });
  if (constraint) await alter(table, `drop constraint "${String(constraint.name)}"`);
  await alter(table, "add column key text not null default ''");
  const position = ["at", "correlated_at"].find((column) => correlated.has(column));
  if (position && position !== "at") await alter(table, `rename column ${position} to at`);
  await alter(table, "add primary key (key)");
}
