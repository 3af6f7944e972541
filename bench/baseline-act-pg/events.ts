/** The event verbs of act-pg's protocol. Correct enough to be measured and drained on; not a product. */
import {
  type Committed,
  ConcurrencyError,
  type EventMeta,
  type Message,
  type Query,
  type QueryStatsOptions,
  type Schema,
  type Schemas,
  SNAP_EVENT,
  type StreamStats,
  TOMBSTONE_EVENT,
} from "@rotorsoft/act";
import type pg from "pg";
import { type Layout, transaction } from "./layout.ts";

type Event = Committed<Schemas, string>;

/**
 * A probe for the head, then an INSERT that takes the global lock in a CTE, autocommitted: two round
 * trips, and the lock is held until the WAL is flushed.
 */
export async function commit(
  pool: pg.Pool,
  { events, channel }: Layout,
  by: string | undefined,
  stream: string,
  msgs: Message<Schemas, string>[],
  meta: EventMeta,
  expectedVersion?: number,
): Promise<Event[]> {
  if (msgs.length === 0) return [];
  const probe = await pool.query<{ version: number }>(
    `SELECT version FROM ${events} WHERE stream = $1 ORDER BY version DESC LIMIT 1`,
    [stream],
  );
  const last = probe.rows[0]?.version ?? -1;
  if (expectedVersion !== undefined && last !== expectedVersion)
    throw new ConcurrencyError(stream, last, msgs, expectedVersion);
  try {
    const { rows } = await pool.query<Event>(
      `WITH l AS (SELECT pg_advisory_xact_lock(hashtext($7))),
        ins AS (
          INSERT INTO ${events} (name, data, stream, version, meta, pii)
          SELECT e.name, e.data, $1, $2::int + e.ord::int, $3, e.pii
          FROM l, unnest($4::text[], $5::jsonb[], $6::jsonb[]) WITH ORDINALITY e(name, data, pii, ord)
          ORDER BY e.ord
          RETURNING *)
      SELECT * FROM ins ORDER BY id`,
      [
        stream,
        last,
        JSON.stringify(meta),
        msgs.map(({ name }) => name),
        msgs.map(({ data }) => JSON.stringify(data)),
        msgs.map(({ pii }) => (pii == null ? null : JSON.stringify(pii))),
        events,
      ],
    );
    if (by !== undefined) {
      const payload = JSON.stringify({ stream, events: rows.map(({ id, name }) => ({ id, name })), by });
      await pool.query("SELECT pg_notify($1, $2)", [channel, payload]);
    }
    return rows;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "23505")
      throw new ConcurrencyError(stream, last, msgs, expectedVersion ?? -1);
    throw error;
  }
}

/** One SELECT whose whole result is held in memory; patterns are regular expressions on the server. */
export async function query(
  pool: pg.Pool,
  { events }: Layout,
  callback: (event: Committed<Schemas, string>) => unknown,
  query?: Query,
): Promise<number> {
  const values: unknown[] = [];
  const where: string[] = [];
  const add = (condition: string, value: unknown) => {
    values.push(value);
    where.push(condition.replace("?", `$${values.length}`));
  };
  if (query) {
    const { stream, stream_exact, with_snaps, after, before } = query;
    if (stream) add(stream_exact ? "stream = ?" : "stream ~ ?", stream);
    if (query.names) add("name = ANY(?)", query.names);
    if (after !== undefined) add("id > ?", after);
    else if (with_snaps && stream && stream_exact)
      add(
        `id >= COALESCE((SELECT id FROM ${events} WHERE stream = ? AND name = '${SNAP_EVENT}' ORDER BY id DESC LIMIT 1), 0)`,
        stream,
      );
    if (before !== undefined) add("id < ?", before);
    if (query.created_after) add("created > ?", query.created_after);
    if (query.created_before) add("created < ?", query.created_before);
    if (query.correlation) add("meta ->> 'correlation' = ?", query.correlation);
    if (!with_snaps) where.push(`name <> '${SNAP_EVENT}'`);
  }
  let text = `SELECT * FROM ${events}`;
  if (where.length) text += ` WHERE ${where.join(" AND ")}`;
  text += ` ORDER BY id ${query?.backward ? "DESC" : "ASC"}`;
  if (query?.limit) {
    values.push(query.limit);
    text += ` LIMIT $${values.length}`;
  }
  const { rows } = await pool.query<Event>(text, values);
  for (const row of rows) await callback(row);
  return rows.length;
}

/** Heads by DISTINCT ON; counts and names by grouping every event of every stream in scope. */
export async function query_stats<E extends Schemas>(
  pool: pg.Pool,
  { events }: Layout,
  input: string[] | { stream?: string; stream_exact?: boolean },
  options: QueryStatsOptions<E> = {},
): Promise<Map<string, StreamStats<E>>> {
  const values: unknown[] = [];
  const where: string[] = ["true"];
  const add = (condition: string, value: unknown) => {
    values.push(value);
    where.push(`${condition}$${values.length}`);
  };
  if (Array.isArray(input)) where.push(`stream = ANY($${values.push(input)})`);
  else if (input.stream) add(input.stream_exact ? "stream = " : "stream ~ ", input.stream);
  if (options.exclude?.length) where.push(`name <> ALL($${values.push(options.exclude)})`);
  if (options.before !== undefined) add("id < ", options.before);
  if (options.after !== undefined) add("stream > ", options.after);
  const limit = options.limit === undefined ? "" : `LIMIT $${values.push(options.limit)}`;
  const scope = `FROM ${events} WHERE ${where.join(" AND ")}`;
  const heads = `SELECT DISTINCT ON (stream) id, name, data, stream, version, created, meta ${scope} ORDER BY stream, id DESC`;
  if (!options.count && !options.names) {
    const { rows } = await pool.query(`${heads} ${limit}`, values);
    return new Map(rows.map((head) => [head.stream, { head }]));
  }
  const { rows } = await pool.query(
    `WITH scoped AS (SELECT stream, name, id ${scope}),
      named AS (SELECT stream, name, count(*) AS n FROM scoped GROUP BY stream, name),
      counted AS (
        SELECT stream, sum(n)::int AS count, jsonb_object_agg(name, n) AS names FROM named GROUP BY stream),
      heads AS (${heads})
    SELECT h.*, c.count AS "totalCount", c.names AS "totalNames"
    FROM heads h JOIN counted c USING (stream) ORDER BY h.stream ${limit}`,
    values,
  );
  return new Map(
    rows.map(({ totalCount: count, totalNames: names, ...head }) => [head.stream, { head, count, names }]),
  );
}

/** Stream by stream, DELETE and INSERT, under the append lock from the first to the last. */
export async function truncate(
  pool: pg.Pool,
  { events }: Layout,
  targets: Array<{ stream: string; snapshot?: Schema; meta?: EventMeta }>,
) {
  const result = new Map<string, { deleted: number; committed: Event }>();
  await transaction(pool, async (client) => {
    await client.query("SELECT pg_advisory_xact_lock(hashtext($1))", [events]);
    for (const { stream, snapshot, meta } of targets) {
      const { rowCount } = await client.query(`DELETE FROM ${events} WHERE stream = $1`, [stream]);
      const { rows } = await client.query<Event>(
        `INSERT INTO ${events} (name, data, stream, version, meta) VALUES ($1, $2, $3, 0, $4) RETURNING *`,
        [
          snapshot ? SNAP_EVENT : TOMBSTONE_EVENT,
          snapshot ?? {},
          stream,
          meta ?? { correlation: "", causation: {} },
        ],
      );
      const committed = rows[0];
      if (committed) result.set(stream, { deleted: rowCount ?? 0, committed });
    }
  });
  return result;
}

/** One INSERT, one round trip, per event. */
export async function restore(
  pool: pg.Pool,
  { events, streams, correlated }: Layout,
  driver: (callback: (event: Committed<Schemas, keyof Schemas>) => Promise<number>) => Promise<void>,
): Promise<void> {
  await transaction(pool, async (client) => {
    await client.query(`TRUNCATE ${events}, ${streams}, ${correlated} RESTART IDENTITY`);
    await driver(async ({ name, data, stream, version, created, meta }) => {
      const { rows } = await client.query<{ id: number }>(
        `INSERT INTO ${events} (name, data, stream, version, created, meta)
         VALUES ($1, $2, $3, $4, $5, $6) RETURNING id`,
        [name, data, stream, version, created, meta],
      );
      return rows[0]?.id ?? -1;
    });
  });
}
