/**
 * Creates the shadows of a projection's tables, records how far they are filled, and swaps them in. A table in their schema
 * holds the record, so that a rebuild that was killed can go on.
 */
import { createHash } from "node:crypto";
import { type SQL, sql } from "drizzle-orm";
import { getTableConfig, type PgTable } from "drizzle-orm/pg-core";
import { REBUILD_PROGRESS, rebuildSchema } from "../values/rebuild-schema.ts";
import { ProjectionError, rebuildRuns, sqlStateOf } from "./errors.ts";
import { isLocked, LIMIT_LOCKS } from "./lock-timeout.ts";
import { EMPTY, type Filling } from "./log-mark.ts";
import {
  createShadows,
  factsOf,
  isFacts,
  lockTables,
  quoteName,
  swapShadows,
  type TableFacts,
} from "./shadow-ddl.ts";
import { inSchema } from "./shadow-table.ts";
import type { Transactions } from "./transactions.ts";

const UNDEFINED_TABLE = "42P01";

/** The schema of a projection's shadows: see {@link rebuildSchema}. */
export function shadowSchema({ projection, positions }: Transactions<unknown>): string {
  const { schema = "", name } = getTableConfig(positions);
  return rebuildSchema(schema, name, projection);
}

export class Shadow<Tx, Tables extends Readonly<Record<string, PgTable>>> {
  readonly schema: string;
  readonly #transactions: Transactions<Tx>;
  readonly #tables: Tables;
  #facts: readonly TableFacts[] = [];
  #names: readonly string[] = [];

  constructor(transactions: Transactions<Tx>, tables: Tables) {
    this.#transactions = transactions;
    this.#tables = tables;
    this.schema = shadowSchema(transactions);
  }

  get #progress(): SQL {
    return sql.raw(`${quoteName(this.schema)}.${quoteName(REBUILD_PROGRESS)}`);
  }

  /** The tables as `apply` gets them. */
  tables(): Tables {
    const moved = Object.entries(this.#tables).map(([key, table]) => [key, inSchema(table, this.schema)]);
    return Object.fromEntries(moved) as Tables;
  }

  /**
   * The first statement of each transaction on the shadows, but for the one that limits the waits for locks. From then on
   * the transaction sees what earlier rebuilds have left, and no other rebuild drops, swaps or fills the shadows until it
   * ends. Between two of these transactions another rebuild may do so, and {@link advance} finds that.
   *
   * @throws ProjectionError `REBUILD_RUNS` if another rebuild holds the lock for longer than this transaction may wait.
   */
  async lockOutRebuilds(tx: Tx): Promise<void> {
    try {
      await this.#transactions.execute(
        tx,
        sql`select pg_advisory_xact_lock(hashtextextended(${this.schema}::text, 0)) is null as locked`,
      );
    } catch (error) {
      if (isLocked(error)) throw rebuildRuns(this.#transactions.projection, error);
      throw error;
    }
  }

  /**
   * Creates the shadows, or finds those of an interrupted rebuild, and returns how far they are filled.
   *
   * @throws ProjectionError `CANNOT_SWAP` if a table cannot be replaced. Nothing is written then.
   */
  async open(names: readonly string[], restart: boolean): Promise<Filling> {
    let filling = EMPTY;
    await this.#transactions.run("the shadow tables could not be made", async (tx) => {
      const run = (text: string) => this.#transactions.execute(tx, sql.raw(text));
      await this.#transactions.execute(tx, LIMIT_LOCKS);
      await this.lockOutRebuilds(tx);
      this.#facts = await this.#lookUp(tx);
      this.#names = names;
      const definition = this.#definition(this.#facts);
      const [known] = await this.#transactions.execute(
        tx,
        sql`select to_regclass(${`${quoteName(this.schema)}.${quoteName(REBUILD_PROGRESS)}`}) is not null as there`,
      );
      if (known?.there === true && !restart) {
        const [row] = await this.#transactions.execute(tx, sql`select * from ${this.#progress} for update`);
        if (row?.definition === definition) {
          filling = { at: Number(row.at), mark: typeof row.mark === "string" ? row.mark : undefined };
          return;
        }
      }
      filling = EMPTY;
      await run(`drop schema if exists ${quoteName(this.schema)} cascade`);
      await run(`create schema ${quoteName(this.schema)}`);
      for (const statement of createShadows(this.#facts, this.schema)) await run(statement);
      await this.#transactions.execute(
        tx,
        sql`create table ${this.#progress} (at bigint not null, definition text not null, mark text)`,
      );
      await this.#transactions.execute(tx, sql`insert into ${this.#progress} values (-1, ${definition})`);
    });
    return filling;
  }

  /**
   * A digest of the event names and of the tables' definitions. If it changes, the shadows no longer fit. The 2 is
   * the version of the record's format.
   */
  #definition(facts: readonly TableFacts[]): string {
    const tables = facts.map(({ oid, own, obstacles, ...rest }) => rest);
    return createHash("sha256")
      .update(JSON.stringify([2, [...this.#names].sort(), tables]))
      .digest("hex");
  }

  /** Leaves only pg_catalog in the search path. Callers that use other names afterwards set it back. */
  async #lookUp(tx: Tx): Promise<TableFacts[]> {
    const oids: number[] = [];
    for (const table of Object.values(this.#tables)) {
      const { schema, name } = getTableConfig(table);
      const full = schema ? `${quoteName(schema)}.${quoteName(name)}` : quoteName(name);
      // to_regclass() alone may still name a table that another session has replaced. A query that reads pg_class sees the
      // new one.
      const [row] = await this.#transactions.execute(
        tx,
        sql`select c.oid::bigint as oid from pg_catalog.pg_class c where c.oid = to_regclass(${full})`,
      );
      if (!row?.oid)
        throw new ProjectionError(
          "CANNOT_SWAP",
          `rebuild: the table ${full} does not exist: push or migrate your schema first. Nothing was written.`,
        );
      oids.push(Number(row.oid));
    }
    // So that the catalog names everything with its schema.
    await this.#transactions.execute(tx, sql`set local search_path = pg_catalog`);
    const facts: TableFacts[] = [];
    for (const oid of oids) {
      const [row] = await this.#transactions.execute(tx, factsOf(oid, oids));
      if (!isFacts(row?.facts))
        throw new ProjectionError(
          "CANNOT_SWAP",
          "rebuild: another process has just replaced or dropped one of the tables: run the rebuild again. Nothing was written.",
        );
      facts.push(row.facts);
    }
    const reasons = facts.flatMap(({ name, obstacles }) => obstacles.map((why) => `table ${name}: ${why}`));
    const twice = facts.find(({ name }, n) => facts.findIndex((other) => other.name === name) !== n);
    if (twice) reasons.push(`two of the tables have the name ${twice.name}`);
    if (reasons.length > 0)
      throw new ProjectionError(
        "CANNOT_SWAP",
        `rebuild: a shadow cannot take the place of the table: ${reasons.join("; ")}. Remove these obstacles, or rebuild with inPlace: true. Nothing was written.`,
      );
    return facts;
  }

  /**
   * Records that the shadows hold every event up to `at`; `mark` is that of the last one. False if another process has moved
   * the record from `from`, or has swapped the shadows.
   */
  async advance(tx: Tx, from: number, { at, mark }: Filling): Promise<boolean> {
    try {
      const moved = await this.#transactions.execute(
        tx,
        sql`update ${this.#progress} set at = ${at}::bigint, mark = ${mark ?? null}::text
          where at = ${from}::bigint and definition = ${this.#definition(this.#facts)} returning at`,
      );
      return moved.length > 0;
    } catch (error) {
      if (sqlStateOf(error) === UNDEFINED_TABLE) return false;
      throw error;
    }
  }

  /**
   * How many locks this transaction has on the live tables, which `apply` must not use. Each statement that reads or
   * changes them takes one, and keeps it. The server's counts of rows read and written would not show it on Citus, where the
   * rows are on another server.
   */
  async liveUses(tx: Tx): Promise<number> {
    const oids = sql.raw(`'{${this.#facts.map(({ oid }) => Number(oid)).join(",")}}'::oid[]`);
    const [row] = await this.#transactions.execute(
      tx,
      sql`select count(*) as uses from pg_locks
        where locktype = 'relation' and pid = pg_backend_pid() and relation = any(${oids})
          and database = (select oid from pg_database where datname = current_database())`,
    );
    return Number(row?.uses ?? 0);
  }

  /** Collects statistics of the shadows, as the planner has of the originals. `filling`: how far they must be filled. */
  async analyze(filling: Filling): Promise<void> {
    await this.#transactions.run("the shadow tables could not be analyzed", async (tx) => {
      await this.lockOutRebuilds(tx);
      if (!(await this.advance(tx, filling.at, filling))) throw rebuildRuns(this.#transactions.projection);
      for (const { name } of this.#facts)
        await this.#transactions.execute(tx, sql.raw(`analyze ${quoteName(this.schema)}.${quoteName(name)}`));
    });
  }

  /**
   * Keeps other sessions from changing the tables; readers go on. If the inline projection of a running
   * commit has already written, this waits for the commit. If not, its first write waits for this lock: the rebuild does
   * not see the event, and the handler writes to the new table.
   */
  async lockOutWriters(tx: Tx): Promise<void> {
    await this.#transactions.execute(tx, sql.raw(lockTables(this.#facts, "exclusive")));
  }

  /**
   * Swaps the tables in the transaction that applies the last events: readers see the old tables before it commits, and the
   * new ones after.
   *
   * @throws ProjectionError `CANNOT_SWAP` if the originals were altered meanwhile, because the shadows would undo that.
   */
  async swap(tx: Tx): Promise<void> {
    const run = (text: string) => this.#transactions.execute(tx, sql.raw(text));
    await run(lockTables(this.#facts, "access exclusive"));
    const [path] = await run("select current_setting('search_path') as path");
    const facts = await this.#lookUp(tx);
    if (this.#definition(facts) !== this.#definition(this.#facts))
      throw new ProjectionError(
        "CANNOT_SWAP",
        "rebuild: the tables have been changed while their shadows were filled. Nothing was swapped: run the rebuild again, and it begins anew.",
      );
    for (const statement of swapShadows(facts, this.schema)) await run(statement);
    // Callers may need the search path to find the positions.
    await this.#transactions.execute(tx, sql`select set_config('search_path', ${String(path?.path)}, true)`);
  }
}
