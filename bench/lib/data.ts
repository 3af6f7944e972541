/** Data sets by set-based SQL, straight into the tables: the columns are the same in every layout. */
import type postgres from "postgres";

export type EventsPlan = {
  readonly schema: string;
  readonly streams: number;
  readonly perStream: number;
  /** Streams are named `<prefix><number of five digits>`. Default `s-`. */
  readonly prefix?: string;
  /** A row of a few nested fields (about 400 bytes) instead of a tiny one. */
  readonly rich?: boolean;
  /** Interleaved (default) as live traffic is, or one stream after the other. */
  readonly order?: "interleaved" | "sequential";
};

const TINY = `jsonb_build_object('amount', g % 100, 'note', 'event number ' || g)`;
const RICH = `jsonb_build_object(
  'orderId', 'order-' || g, 'currency', 'EUR', 'total', g % 10000, 'express', g % 2 = 0,
  'customer', jsonb_build_object('id', 'c-' || g % 977, 'name', 'Customer ' || g % 977, 'country', 'DE'),
  'items', jsonb_build_array(
    jsonb_build_object('sku', 'A-' || g % 31, 'quantity', 2, 'price', 19.9),
    jsonb_build_object('sku', 'B-' || g % 17, 'quantity', 1, 'price', 5)),
  'placedAt', '2026-03-01T10:15:30.123Z', 'note', 'leave at the door')`;
const META = `jsonb_build_object('correlation', 'c-' || g / 10, 'causation', jsonb_build_object('action',
  jsonb_build_object('name', 'place', 'stream', 'order-' || g, 'actor', jsonb_build_object('id', 'u1', 'name', 'Ann'))))`;

/** Appends events with dense versions from 0 per stream, and refreshes the planner's statistics. */
export async function fillEvents(sql: postgres.Sql, plan: EventsPlan): Promise<void> {
  const { schema, streams, perStream, prefix = "s-", rich = false, order = "interleaved" } = plan;
  const [stream, version] =
    order === "interleaved" ? [`g % ${streams}`, `g / ${streams}`] : [`g / ${perStream}`, `g % ${perStream}`];
  // As our own commit would have written them; act-pg's layout has no such column and revives by shape.
  const [own] = await sql`select 1 from information_schema.columns
    where table_schema = ${schema} and table_name = 'events' and column_name = 'dates'`;
  const dates = rich ? `'{"data":[["placedAt"]]}'::jsonb` : `'{}'::jsonb`;
  await sql.unsafe(`
    insert into "${schema}".events (name, data, stream, version, created, meta${own ? ", dates" : ""})
    select 'Incremented', ${rich ? RICH : TINY}, '${prefix}' || lpad((${stream})::text, 5, '0'), ${version},
      date_trunc('milliseconds', clock_timestamp()), ${META}${own ? `, ${dates}` : ""}
    from generate_series(0, ${streams * perStream - 1}) g`);
  await tidy(sql, `"${schema}".events`);
}

export const streamName = (n: number, prefix = "s-") => `${prefix}${String(n).padStart(5, "0")}`;

export const LANES = ["default", "mail", "search", "audit"] as const;

/**
 * Subscriptions that have caught up (at = mark), with distinct watermarks, over four lanes. Rows to be
 * made pending are `sub-00000000` and on; see `setPending`.
 */
export async function fillSubscriptions(sql: postgres.Sql, schema: string, count: number): Promise<void> {
  await sql.unsafe(`
    insert into "${schema}".events_streams (stream, source, at, retry, priority, lane, correlated_at)
    select 'sub-' || lpad(g::text, 8, '0'), 's-' || g, g + 10, -1, 0,
      (array['${LANES.join("','")}'])[g % ${LANES.length} + 1], g + 10
    from generate_series(0, ${count - 1}) g
    order by md5(g::text)`);
  // The log goes on behind these watermarks, as it would.
  await sql.unsafe(`select setval(pg_get_serial_sequence('"${schema}".events', 'id'), ${count + 1_000})`);
  await tidy(sql, `"${schema}".events_streams`);
}

/** Names of `count` subscriptions of one lane, spread over the whole table. */
export function pendingNames(count: number, of: number): string[] {
  const step = Math.max(LANES.length, Math.floor(of / count / LANES.length) * LANES.length);
  return Array.from({ length: count }, (_, i) => `sub-${String(1 + i * step).padStart(8, "0")}`);
}

/** Gives these subscriptions work, or takes it away again, and frees their leases. */
export async function setPending(sql: postgres.Sql, schema: string, names: string[], pending: boolean) {
  await sql.unsafe(
    `update "${schema}".events_streams set correlated_at = at + $2, leased_by = null, leased_until = null, retry = -1
     where stream = any(string_to_array($1, ','))`,
    [names.join(","), pending ? 1 : 0],
  );
}

/** Dead rows of the set-up must not weigh on the first measured round, nor autovacuum wake in it. */
export async function tidy(sql: postgres.Sql, table: string): Promise<void> {
  await sql.unsafe(`vacuum (analyze) ${table}`);
}
