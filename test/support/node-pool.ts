/** A pool of node-postgres whose clients may be ended by the server after the pool was. */
import pg from "pg";

/**
 * `pool.end()` resolves before its sockets have closed. If the database is dropped then, the server ends the sessions, and
 * node-postgres throws in the process what a client reports and nobody listens for.
 */
export function nodePool(options: pg.PoolConfig): pg.Pool {
  const pool = new pg.Pool(options);
  pool.on("error", () => {});
  pool.on("connect", (client) => {
    client.on("error", () => {});
  });
  return pool;
}
