/** The database after a fault, compared with what clients were told: over a plain connection, not the store's. */
import type postgres from "postgres";
import { lockText, type TableName } from "../../order/lock.ts";
import { connect } from "../../support/database.ts";
import type { Entry } from "./entry.ts";
import type { Grants } from "./grants.ts";

/** What the clients were told: a ledger. */
export type Told = {
  readonly acknowledged: ReadonlyMap<string, Entry>;
  readonly failed: ReadonlyMap<string, Entry>;
  readonly unknown: ReadonlyMap<string, Entry>;
  readonly untyped: readonly unknown[];
  readonly grants: Grants;
  readonly tails: readonly number[][];
};

export type Verdict = {
  /** Tokens that were acknowledged and are not in the log, or not whole. */
  readonly lost: string[];
  /** Tokens of which an event is in the log more than once. */
  readonly duplicated: string[];
  /** All that is wrong, in words; the two above included. Empty, or the store has broken a promise. */
  readonly damage: string[];
  /** Commits whose outcome the store did not know, and that were stored. */
  readonly landed: number;
  readonly rows: number;
};

type Row = {
  readonly id: string;
  readonly stream: string;
  readonly version: number;
  readonly name: string;
  readonly token: string | null;
  readonly part: number | null;
};
type Names = Pick<TableName, "schema" | "table">;

/** A windowed truncate leaves a stream that begins with a snapshot, whatever its version; any other begins at 0. */
const beforeFirst = ({ name, version }: Row) => (name === "__snapshot__" ? version - 1 : -1);

/** What the log holds: the rows of each token, and each stream's last version. */
class Log {
  readonly tokens = new Map<string, Row[]>();
  readonly ids: number[] = [];
  readonly broken: string[] = [];
  readonly #heads = new Map<string, number>();

  add(row: Row): void {
    const head = this.#heads.get(row.stream) ?? beforeFirst(row);
    if (row.version !== head + 1)
      this.broken.push(`${row.stream}: version ${row.version} at id ${row.id} follows ${head}`);
    this.#heads.set(row.stream, row.version);
    this.ids.push(Number(row.id));
    if (row.token === null) return;
    const known = this.tokens.get(row.token);
    if (known) known.push(row);
    else this.tokens.set(row.token, [row]);
  }
}

async function readLog(sql: postgres.Sql, names: Names): Promise<Log> {
  const log = new Log();
  const rows = sql.unsafe<Row[]>(
    `select e.id::text as id, stream, version, name, data ->> 'token' as token,
       case when data ->> 'part' ~ '^[0-9]{1,6}$' then (data ->> 'part')::int end as part
     from ${lockText(names)} e order by e.id`,
  );
  // Hundreds of thousands after a long fault.
  for await (const page of rows.cursor(5_000)) for (const row of page) log.add(row);
  return log;
}

/** Watermarks and checkpoints ahead of the log: events would be passed over. */
async function aheadOf(sql: postgres.Sql, { schema, table }: Names): Promise<string[]> {
  const events = lockText({ schema, table });
  const rows = await sql.unsafe(
    `select 'watermark of ' || stream as name, at::text from ${lockText({ schema, table: `${table}_streams` })}
     where at > coalesce((select max(id) from ${events}), -1)
     union all
     select 'checkpoint ' || key, at::text from ${lockText({ schema, table: `${table}_correlated` })}
     where at > coalesce((select max(id) from ${events}), -1)`,
  );
  return rows.map(({ name, at }) => `${name} is at ${at}, beyond the log`);
}

const isWhole = (rows: readonly Row[], { size }: Entry) =>
  new Set(rows.map(({ part }) => part ?? 0)).size === size;

/** The events stand where the caller was told, and behind one another. */
function isPlaced(rows: readonly Row[], { placed, stream }: Entry): boolean {
  const sorted = rows.toSorted((a, b) => (a.part ?? 0) - (b.part ?? 0));
  return sorted.every(
    (row, k) =>
      row.stream === stream &&
      Number(row.id) === placed[k]?.id &&
      row.version === placed[k]?.version &&
      row.version === (sorted[0]?.version ?? 0) + k,
  );
}

export async function verify(url: string, ledger: Told, tables: readonly Names[]): Promise<Verdict> {
  const sql = connect(url);
  const logs: Log[] = [];
  const damage: string[] = [];
  try {
    for (const names of tables) {
      logs.push(await readLog(sql, names));
      damage.push(...(await aheadOf(sql, names)));
    }
  } finally {
    await sql.end();
  }
  const rowsOf = (token: string) => logs.flatMap((log) => log.tokens.get(token) ?? []);
  const lost: string[] = [];
  const duplicated: string[] = [];
  let landed = 0;
  const all = { acknowledged: ledger.acknowledged, failed: ledger.failed, unknown: ledger.unknown };
  for (const [told, entries] of Object.entries(all))
    for (const [token, entry] of entries) {
      const rows = rowsOf(token);
      if (rows.length > entry.size) duplicated.push(token);
      else if (rows.length > 0 && !isWhole(rows, entry))
        damage.push(`half: ${told} commit ${token} has ${rows.length} of ${entry.size} events`);
      if (told === "acknowledged" && !isWhole(rows, entry)) lost.push(token);
      else if (told === "acknowledged" && rows.length === entry.size && !isPlaced(rows, entry))
        damage.push(`misplaced: ${token} is not where its caller was told`);
      if (told === "failed" && rows.length > 0) damage.push(`present: ${token}, which failed`);
      if (told === "unknown" && rows.length > 0) landed++;
    }
  damage.push(...lost.map((token) => `lost: ${token}, which was acknowledged`));
  damage.push(...duplicated.map((token) => `twice: ${token}`));
  damage.push(...logs.flatMap((log) => log.broken.map((text) => `versions: ${text}`)));
  damage.push(...ledger.grants.twice.map((text) => `held twice: ${text}`));
  damage.push(...overtaken(ledger.tails, logs));
  damage.push(
    ...ledger.untyped.map((error) => `unexpected: ${error instanceof Error ? error.stack : error}`),
  );
  const rows = logs.reduce((sum, { ids }) => sum + ids.length, 0);
  return { lost, duplicated, damage: damage.slice(0, 50), landed, rows };
}

/** What a tailing reader lacks of the log up to the last id it saw appeared behind its back. */
function overtaken(tails: readonly (readonly number[])[], logs: readonly Log[]): string[] {
  return tails.flatMap((seen) => {
    const known = new Set(seen);
    const last = seen.at(-1) ?? -1;
    const disordered = seen.filter((id, k) => id <= (seen[k - 1] ?? -1));
    // Tails are of one log: with several tables it is the one that has the ids.
    const missing = logs.map(({ ids }) => ids.filter((id) => id <= last && !known.has(id)));
    const least = missing.toSorted((a, b) => a.length - b.length)[0] ?? [];
    return [
      ...disordered.map((id) => `order: a reader saw ${id} late`),
      ...least.slice(0, 10).map((id) => `order: ${id} appeared behind a reader that was at ${last}`),
    ];
  });
}
