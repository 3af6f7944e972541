/**
 * A connection that stores share. Its statements with parameters bypass the driver, which keeps each text prepared for as
 * long as the connection lives: with a thousand schemas every verb has a thousand texts. So each is sent as a transaction
 * of one statement, and the least recently used prepared statements are closed (statement-cache.ts).
 */
import { ConnectionError } from "../errors.ts";
import { Connection, type ConnectionOptions, type Page } from "./connection.ts";
import { paramsOf, type Query, type Row } from "./exchange.ts";
import { TransactionFailure } from "./transaction.ts";

export class SharedConnection extends Connection {
  override async run(query: Query, deadline: number): Promise<readonly Row[]> {
    if (!this.#bypassesDriver(query)) return super.run(query, deadline);
    const rows: Row[] = [];
    await this.#alone({ ...query, onRow: (row) => void rows.push(row) }, deadline);
    return rows;
  }

  override async read(query: Query, deadline: number, budget: number, limit: number): Promise<Page> {
    if (!this.#bypassesDriver(query)) return super.read(query, deadline, budget, limit);
    const rows: Row[] = [];
    let total = 0;
    let cut = false;
    const onRow = (row: Row, bytes: number) => {
      if (cut) return;
      rows.push(row);
      total += bytes;
      cut = total > budget && rows.length < limit;
      if (cut) this.destroy(new ConnectionError("BUDGET", "read budget reached", true));
    };
    await this.#alone({ ...query, onRow }, deadline).catch((error: unknown) => {
      if (!cut) throw error;
    });
    return { rows, cut, bytes: total };
  }

  /** Whether to send the statement past the driver, which would keep it prepared: with parameters, in a session of its own. */
  #bypassesDriver(query: Query): boolean {
    return this.ownsSession && paramsOf(query).length > 0;
  }

  async #alone(query: Query, deadline: number): Promise<void> {
    await this.transact([query], deadline).catch((error: unknown) => {
      throw error instanceof TransactionFailure ? error.cause : error;
    });
  }
}

/** A connection for a pool: one that stores share, or one of a single store. */
export const newConnection = (
  options: ConnectionOptions,
  onClose?: (closed: Connection) => void,
): Connection =>
  options.maxPrepared === undefined
    ? new Connection(options, onClose)
    : new SharedConnection(options, onClose);
