/** The subscription verbs of act-pg's protocol: explicit transactions, three to seven round trips each. */
import type {
  BlockedLease,
  Lease,
  QueryStreams,
  QueryStreamsResult,
  StreamPosition,
  SubscribeInput,
  SubscribeResult,
} from "@rotorsoft/act";
import type pg from "pg";
import { type Layout, transaction } from "./layout.ts";

type Correlator = { key: string; by: string; millis: number };

/** Insert, update, checkpoint, lease, and a scan for max(at): four to seven round trips. */
export async function subscribe(
  pool: pg.Pool,
  { streams, correlated }: Layout,
  input: SubscribeInput[],
  correlated_at?: number,
  correlator?: Correlator,
): Promise<SubscribeResult> {
  return transaction(pool, async (client) => {
    let subscribed = 0;
    if (input.length) {
      const batch = JSON.stringify(input);
      const columns = `jsonb_to_recordset($1) AS i(stream text, source text, priority int, lane text, correlated_at int)`;
      const inserted = await client.query(
        `INSERT INTO ${streams} (stream, source, priority, lane, correlated_at)
         SELECT stream, source, COALESCE(priority, 0), COALESCE(lane, 'default'), correlated_at FROM ${columns}
         ON CONFLICT (stream) DO NOTHING`,
        [batch],
      );
      subscribed = inserted.rowCount ?? 0;
      await client.query(
        `UPDATE ${streams} s SET
          lane = CASE WHEN COALESCE(i.priority, 0) >= s.priority THEN COALESCE(i.lane, 'default') ELSE s.lane END,
          priority = GREATEST(s.priority, COALESCE(i.priority, 0)),
          correlated_at = GREATEST(s.correlated_at, i.correlated_at)
         FROM ${columns}
         WHERE s.stream = i.stream AND (
          s.priority < COALESCE(i.priority, 0) OR i.correlated_at > COALESCE(s.correlated_at, -2))`,
        [batch],
      );
    }
    const { rows: max } = await client.query<{ at: number }>(
      `SELECT COALESCE(max(at), -1) AS at FROM ${streams}`,
    );
    const { rows: shared } = await client.query<{ at: number }>(
      `INSERT INTO ${correlated} (key, at) VALUES ('', $1)
       ON CONFLICT (key) DO UPDATE SET at = GREATEST(${correlated}.at, EXCLUDED.at) RETURNING at`,
      [correlated_at ?? -1],
    );
    const result = { subscribed, watermark: max[0]?.at ?? -1, correlated_at: shared[0]?.at ?? -1 };
    if (!correlator) return result;
    const { key, by, millis } = correlator;
    const { rows: keyed } = await client.query<{ at: number; leased_by: string | null }>(
      `INSERT INTO ${correlated} AS c (key, at, leased_by, leased_until)
       VALUES ($1, $2, $3, now() + $4::int * interval '1 ms')
       ON CONFLICT (key) DO UPDATE SET at = GREATEST(c.at, EXCLUDED.at),
        leased_by = CASE WHEN c.leased_by = $3 OR c.leased_until IS NULL OR c.leased_until <= now()
          THEN EXCLUDED.leased_by ELSE c.leased_by END,
        leased_until = CASE WHEN c.leased_by = $3 OR c.leased_until IS NULL OR c.leased_until <= now()
          THEN EXCLUDED.leased_until ELSE c.leased_until END
       RETURNING at, leased_by`,
      [key, correlated_at ?? -1, by, millis],
    );
    return {
      ...result,
      correlated_at: keyed[0]?.at ?? result.correlated_at,
      correlating: keyed[0]?.leased_by === by,
    };
  });
}

/**
 * BEGIN; one statement that picks, locks (SKIP LOCKED) and leases; COMMIT. With a lane the partial index
 * serves each arm; without one the arms walk `(blocked, at)` through every caught-up row.
 */
export async function claim(
  pool: pg.Pool,
  { streams }: Layout,
  lagging: number,
  leading: number,
  by: string,
  millis: number,
  lane?: string,
): Promise<Lease[]> {
  const fair = lagging >= 2 ? Math.max(1, Math.floor(lagging / 4)) : 0;
  const open = `blocked = false AND at < correlated_at
    AND (leased_until IS NULL OR leased_until <= now()) AND (deferred_at IS NULL OR deferred_at <= now())`;
  const all = `SELECT stream, at, priority FROM ${streams} WHERE ${open}`;
  // Materialised, the set of one lane comes from the partial index: the faster reading of the description.
  const [head, source] =
    lane === undefined
      ? ["WITH", `(${all}) a`]
      : [`WITH available AS MATERIALIZED (${all} AND lane = $6),`, "available"];
  const arm = (order: string, limit: string) =>
    `(SELECT stream FROM ${source} ORDER BY ${order} LIMIT ${limit})`;
  const { rows } = await transaction(pool, (client) =>
    client.query(
      `${head} first AS ${arm("priority DESC, at ASC", "$1")},
        fair AS (SELECT stream FROM ${arm("at ASC", "$1::int + $2::int")} o
          WHERE stream NOT IN (SELECT stream FROM first) LIMIT $2),
        lag AS (SELECT stream, true AS lagging FROM first UNION ALL SELECT stream, true FROM fair),
        lead AS ${arm("at DESC", "$3")},
        picked AS (SELECT stream, bool_or(lagging) AS lagging
          FROM (SELECT * FROM lag UNION ALL SELECT stream, false FROM lead) p GROUP BY stream),
        locked AS (SELECT s.stream, p.lagging FROM ${streams} s JOIN picked p USING (stream)
          WHERE ${open} FOR UPDATE OF s SKIP LOCKED)
      UPDATE ${streams} s SET retry = s.retry + 1, leased_by = $4,
        leased_until = now() + $5::int * interval '1 ms'
      FROM locked l WHERE s.stream = l.stream
      RETURNING s.stream, s.source, s.at, s.retry, l.lagging, s.lane`,
      [lagging - fair, fair, leading, by, millis, ...(lane === undefined ? [] : [lane])],
    ),
  );
  return rows.map((row) => ({ ...row, source: row.source ?? undefined, by }));
}

const LEASES = "jsonb_to_recordset($1) AS i(stream text, by text, at int, retry int, due bigint, error text)";

export async function ack(pool: pg.Pool, { streams }: Layout, leases: Lease[]): Promise<Lease[]> {
  // Whether act-pg spares the empty call is not described: the baseline gets the benefit of the doubt.
  if (leases.length === 0) return [];
  const { rows } = await transaction(pool, (client) =>
    client.query(
      `UPDATE ${streams} s SET at = i.at, leased_by = NULL, leased_until = NULL,
        retry = CASE WHEN i.due IS NULL THEN -1 ELSE i.retry END,
        deferred_at = to_timestamp(i.due / 1000.0)
       FROM ${LEASES} WHERE s.stream = i.stream AND s.leased_by = i.by
       RETURNING s.stream, s.source, s.at, s.retry, s.lane, i.by, i.due`,
      [JSON.stringify(leases)],
    ),
  );
  return rows
    .filter(({ due }) => due === null)
    .map(({ due: _, ...row }) => ({ ...row, source: row.source ?? undefined, lagging: true }));
}

export async function block(
  pool: pg.Pool,
  { streams }: Layout,
  leases: BlockedLease[],
): Promise<BlockedLease[]> {
  if (leases.length === 0) return [];
  const { rows } = await transaction(pool, (client) =>
    client.query(
      `UPDATE ${streams} s SET blocked = true, error = i.error, deferred_at = NULL
       FROM ${LEASES} WHERE s.stream = i.stream AND s.leased_by = i.by AND s.blocked = false
       RETURNING s.stream, s.source, s.at, s.retry, s.lane, s.error, i.by`,
      [JSON.stringify(leases)],
    ),
  );
  return rows.map((row) => ({ ...row, source: row.source ?? undefined, lagging: true }));
}

export async function query_streams(
  pool: pg.Pool,
  { events, streams }: Layout,
  callback: (position: StreamPosition) => void,
  { after, limit = 100 }: QueryStreams = {},
): Promise<QueryStreamsResult> {
  const { rows: head } = await pool.query<{ id: number }>(
    `SELECT COALESCE(max(id), -1) AS id FROM ${events}`,
  );
  const { rows } = await pool.query(
    `SELECT * FROM ${streams} WHERE $1::text IS NULL OR stream > $1 ORDER BY stream LIMIT $2`,
    [after ?? null, limit],
  );
  for (const row of rows)
    callback({
      ...row,
      source: row.source ?? undefined,
      error: row.error ?? "",
      deferred_at: row.deferred_at?.getTime(),
      correlated_at: row.correlated_at ?? undefined,
    });
  return { maxEventId: head[0]?.id ?? -1, count: rows.length };
}
