/** Runs transactions on the user's Drizzle database, with its driver, and statements on the positions in them. */
import { getTableName, type SQL, sql } from "drizzle-orm";
import { isRecord } from "../values/json-dates.ts";
import { badInput, ProjectionError, positionsError, sqlStateOf, withoutValues } from "./errors.ts";
import type { ActPositions } from "./positions.ts";

/** A Drizzle database on PostgreSQL. The type is structural, because the generics of `PgDatabase` differ by version. */
export type Database = { transaction(work: Work["run"]): Promise<unknown> };

/** A method, because TypeScript compares a method's parameters bivariantly: each driver has its own transaction type. */
interface Work {
  run(tx: unknown): Promise<unknown>;
}

type Executes = { execute(query: SQL): PromiseLike<unknown> };

const executes = (tx: unknown): tx is Executes =>
  isRecord(tx) && "execute" in tx && typeof tx.execute === "function";

/** serialization_failure and deadlock_detected: the server has rolled the transaction back, and it may be repeated. */
const AGAIN = new Set(["40001", "40P01"]);
const ATTEMPTS = 4;
/** in_failed_sql_transaction */
const FAILED = "25P02";

/** A column of the answer to a handler's first statement. */
export const ISOLATION = sql.raw("current_setting('transaction_isolation') as isolation");

export type Row = Readonly<Record<string, unknown>>;

/** The rows of `execute`: an array with postgres.js, `{ rows }` with other drivers. */
function rowsOf(result: unknown): readonly Row[] {
  const rows = isRecord(result) && "rows" in result ? result.rows : result;
  return Array.isArray(rows) ? rows : [];
}

export class Transactions<Tx> {
  readonly positions: ActPositions;
  readonly projection: string;
  readonly #db: Database;

  constructor(db: Database, positions: ActPositions, projection: string) {
    this.#db = db;
    this.positions = positions;
    this.projection = projection;
  }

  /** Runs `work` in a transaction, and repeats it if the server rolled it back. `doing`: how a failed query is described. */
  async run(doing: string, work: (tx: Tx) => Promise<void>): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        await this.#db.transaction(work);
        return;
      } catch (error) {
        if (attempt < ATTEMPTS && AGAIN.has(sqlStateOf(error) ?? "")) continue;
        throw withoutValues(error, doing);
      }
    }
  }

  /**
   * Fails if a query of a handler has failed and the handler went on. The server then answers COMMIT with a rollback, and
   * most drivers do not report that: the event would be acknowledged, and nothing would be written.
   */
  async assertAlive(tx: Tx): Promise<void> {
    await this.query(tx, sql`select`);
  }

  /** Checks the isolation level. `row`: the answer of a statement on the positions, with {@link ISOLATION}. */
  assertReadCommitted(row: Row | undefined): void {
    if (row === undefined || row.isolation === "read committed") return;
    throw badInput(
      `projection ${JSON.stringify(this.projection)}: transactions of db are ${String(row.isolation).toUpperCase()} and must be READ COMMITTED, PostgreSQL's default: otherwise they would not see a rebuild that ends meanwhile. Do not change default_transaction_isolation for this connection.`,
    );
  }

  /** Runs a statement that does not use the positions. */
  async execute(tx: Tx, statement: SQL): Promise<readonly Row[]> {
    if (!executes(tx)) throw new Error("act-drizzle: the transaction of db cannot execute SQL.");
    return rowsOf(await tx.execute(statement));
  }

  /** Runs a statement on the positions. */
  async query(tx: Tx, statement: SQL): Promise<readonly Row[]> {
    try {
      return await this.execute(tx, statement);
    } catch (error) {
      if (sqlStateOf(error) === FAILED)
        throw new ProjectionError(
          "HANDLER_FAILED",
          `projection ${JSON.stringify(this.projection)}: a query of a handler failed, and the handler went on. PostgreSQL has rolled the transaction back, and nothing was written: do not catch the error, or catch it around tx.transaction(), a savepoint.`,
        );
      throw positionsError(error, getTableName(this.positions));
    }
  }
}
