/** Empties the tables of a projection and fills them in place. Handlers are held from the beginning to the end. */
import { sql } from "drizzle-orm";
import type { PgTable } from "drizzle-orm/pg-core";
import { clearAndHold } from "./clear-and-hold.ts";
import { floorOf, lockPositions, makeFloor } from "./floor.ts";
import { LIMIT_LOCKS } from "./lock-timeout.ts";
import { EMPTY, type Filling } from "./log-mark.ts";
import type { Transactions } from "./transactions.ts";

export class InPlace<Tx, Tables extends Readonly<Record<string, PgTable>>> {
  readonly #transactions: Transactions<Tx>;
  readonly #tables: Tables;

  constructor(transactions: Transactions<Tx>, tables: Tables) {
    this.#transactions = transactions;
    this.#tables = tables;
  }

  tables(): Tables {
    return this.#tables;
  }

  /**
   * Empties tables and positions in one transaction, unless it goes on with a rebuild that was interrupted. Returns how far
   * they are filled.
   */
  async open(_names: readonly string[], restart: boolean): Promise<Filling> {
    const { positions, projection } = this.#transactions;
    let filling = EMPTY;
    await this.#transactions.run("the tables could not be emptied", async (tx) => {
      await this.#transactions.execute(tx, LIMIT_LOCKS);
      await this.#transactions.query(tx, lockPositions(positions));
      await this.#transactions.query(tx, makeFloor(positions, projection));
      const [floor] = await this.#transactions.query(tx, floorOf(positions, projection));
      const [, mark] = Array.isArray(floor?.handlers) ? floor.handlers : [];
      filling =
        floor?.handlers && !restart
          ? { at: Number(floor.at), mark: typeof mark === "string" ? mark : undefined }
          : EMPTY;
      if (filling.at < 0) await clearAndHold(this.#transactions, tx, Object.values(this.#tables));
    });
    return filling;
  }

  /**
   * Does nothing: {@link open} and the last transaction of a rebuild lock the table of positions, and {@link advance}
   * locks the projection's row with the empty target.
   */
  async lockOutRebuilds(): Promise<void> {}

  /** Keeps the mark in the column `handlers`, after the word `rebuilding`. */
  async advance(tx: Tx, from: number, { at, mark }: Filling): Promise<boolean> {
    const { positions, projection } = this.#transactions;
    const handlers = sql.join(
      ["rebuilding", ...(mark === undefined ? [] : [mark])].map((text) => sql`${text}::text`),
      sql`, `,
    );
    const moved = await this.#transactions.query(
      tx,
      sql`update ${positions} set at = ${at}::bigint, handlers = array[${handlers}]
        where projection = ${projection} and target = '' and at = ${from}::bigint and handlers is not null returning at`,
    );
    return moved.length > 0;
  }

  /** Always 0: in place, `apply` is supposed to read and write the live tables. See {@link Shadow.liveUses}. */
  async liveUses(): Promise<number> {
    return 0;
  }

  async analyze(): Promise<void> {}

  /** Does nothing: handlers have been held since the beginning. */
  async lockOutWriters(): Promise<void> {}

  /** Does nothing: the tables were filled in place. */
  async swap(): Promise<void> {}
}
