/**
 * A process that appends as act-pg does, on node-postgres: a probe for the head outside the lock, then
 * one autocommitted INSERT that takes the lock in a CTE. Both must be able to work on one table (M5).
 */
import pg from "pg";
import { type AppenderOptions, appendAll, report } from "./appenders.ts";
import { lockText } from "./lock.ts";

const options: AppenderOptions = JSON.parse(process.argv[2] ?? "{}");
const { url, schema, table, writer, kind, inFlight } = options;
const name = lockText({ schema, table });
const pool = new pg.Pool({ connectionString: url, max: Math.min(20, inFlight) });
const meta = JSON.stringify({ correlation: `writer-${writer}`, causation: {} });

const probe = `SELECT version FROM ${name} WHERE stream = $1 ORDER BY version DESC LIMIT 1`;
const lock = kind === "reckless" ? "SELECT $7::text" : "SELECT pg_advisory_xact_lock(hashtext($7))";
const insert = `
  WITH l AS (${lock}),
  ins AS (
    INSERT INTO ${name} (name, data, stream, version, meta, pii)
    SELECT e.name, e.data, $3, $4::int + e.k::int, $5::jsonb, e.pii
    FROM l, unnest($1::text[], $2::jsonb[], $6::jsonb[]) WITH ORDINALITY AS e(name, data, pii, k)
    RETURNING *
  )
  SELECT * FROM ins ORDER BY id`;

const appended = await appendAll(options, async (stream, events, expected) => {
  const found = await pool.query<{ version: number }>(probe, [stream]);
  const head = found.rows[0]?.version ?? -1;
  if (expected !== undefined && expected !== head) return { head };
  const names = Array.from({ length: events }, () => "Appended");
  const data = names.map((_, k) => JSON.stringify({ writer, k }));
  const pii = names.map(() => null);
  try {
    const { rows } = await pool.query(insert, [names, data, stream, head, meta, pii, name]);
    return rows.map(({ id }) => Number(id));
  } catch (error) {
    // unique_violation: somebody appended between the probe and the lock.
    if (error instanceof pg.DatabaseError && error.code === "23505") return { head };
    throw error;
  }
});
await pool.end();
report(appended);
