/** Tables and indexes as act-pg's current release lays them out, and its way of seeding them. */
import pg from "pg";

export type Names = { readonly schema: string; readonly table: string };

export type Layout = {
  readonly events: string;
  readonly streams: string;
  readonly correlated: string;
  readonly channel: string;
};

export const layoutOf = ({ schema, table }: Names): Layout => ({
  events: `"${schema}"."${table}"`,
  streams: `"${schema}"."${table}_streams"`,
  correlated: `"${schema}"."${table}_correlated"`,
  channel: `act_commit_${schema}_${table}`,
});

const ISO = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?$/;

/** Every key of every document passes through here: "a reviver called per JSON key". */
const revive = (_key: string, value: unknown) =>
  typeof value === "string" && ISO.test(value) ? new Date(value) : value;

const JSONB = 3802;

/** node-postgres with its defaults, a pool of 20, and ISO strings in jsonb revived as Dates. */
export function createPool(url: string, max: number): pg.Pool {
  return new pg.Pool({
    connectionString: url,
    max,
    types: {
      getTypeParser: ((oid: number, format?: "text" | "binary") =>
        oid === JSONB
          ? (text: string) => JSON.parse(text, revive)
          : pg.types.getTypeParser(oid, format)) as typeof pg.types.getTypeParser,
    },
  });
}

/** The ladder of `IF NOT EXISTS` that every boot climbs, one statement per round trip. */
export async function seed(pool: pg.Pool, names: Names): Promise<void> {
  const { events, streams, correlated } = layoutOf(names);
  const { schema, table } = names;
  const added = (column: string) => `ALTER TABLE ${streams} ADD COLUMN IF NOT EXISTS ${column}`;
  await transaction(pool, async (client) => {
    for (const statement of [
      `SELECT pg_advisory_xact_lock(hashtext('${schema}.${table}.seed'))`,
      `CREATE SCHEMA IF NOT EXISTS "${schema}"`,
      `CREATE TABLE IF NOT EXISTS ${events} (
        id serial PRIMARY KEY,
        name text NOT NULL,
        data jsonb,
        stream text NOT NULL,
        version int NOT NULL,
        created timestamptz NOT NULL DEFAULT now(),
        meta jsonb,
        pii jsonb
      )`,
      `ALTER TABLE ${events} ADD COLUMN IF NOT EXISTS pii jsonb`,
      `CREATE UNIQUE INDEX IF NOT EXISTS "${table}_stream_ix" ON ${events} (stream, version)`,
      `CREATE INDEX IF NOT EXISTS "${table}_name_ix" ON ${events} (name)`,
      `CREATE INDEX IF NOT EXISTS "${table}_created_id_ix" ON ${events} (created, id)`,
      `CREATE INDEX IF NOT EXISTS "${table}_correlation_ix" ON ${events} ((meta ->> 'correlation'))`,
      `CREATE TABLE IF NOT EXISTS ${streams} (
        stream text PRIMARY KEY,
        source text,
        at int NOT NULL DEFAULT -1,
        retry smallint NOT NULL DEFAULT -1,
        blocked boolean NOT NULL DEFAULT false,
        error text,
        leased_by text,
        leased_until timestamptz
      )`,
      added("priority int NOT NULL DEFAULT 0"),
      added("lane text NOT NULL DEFAULT 'default'"),
      added("deferred_at timestamptz"),
      added("correlated_at int"),
      `CREATE INDEX IF NOT EXISTS "${table}_streams_fetch_ix" ON ${streams} (blocked, at)`,
      // The claim index leads with the lane, so it serves no claim without one.
      `CREATE INDEX IF NOT EXISTS "${table}_streams_claim_ix"
        ON ${streams} (lane, priority DESC, at) WHERE blocked = false AND at < correlated_at`,
      `CREATE TABLE IF NOT EXISTS ${correlated} (
        key text PRIMARY KEY,
        at int NOT NULL DEFAULT -1,
        leased_by text,
        leased_until timestamptz
      )`,
      `INSERT INTO ${correlated} (key) VALUES ('') ON CONFLICT DO NOTHING`,
    ])
      await client.query(statement);
  });
}

/** BEGIN and COMMIT as round trips of their own, on a client of the pool. */
export async function transaction<T>(pool: pg.Pool, work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
  const client = await pool.connect();
  try {
    await client.query("BEGIN");
    const result = await work(client);
    await client.query("COMMIT");
    return result;
  } catch (error) {
    await client.query("ROLLBACK").catch(() => {});
    throw error;
  } finally {
    client.release();
  }
}
