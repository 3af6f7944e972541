/** Refuses to move a log to where it is: `again` would delete it first. */
import { randomInt } from "node:crypto";
import type { Context } from "../../context.ts";

/**
 * Advisory locks are a database's own, so a lock that is held through one store, and refused through the other, means that
 * both are in one database, whatever their host names are.
 */
export async function refuseSamePlace(source: Context, target: Context): Promise<void> {
  if (source.names.events !== target.names.events) return;
  const key = randomInt(2 ** 47);
  const elsewhere = await source.connections.session("move", async (run) => {
    await run({ text: "select pg_advisory_xact_lock($1::bigint)", params: [key] });
    const [row] = await target.connections.read("move", {
      text: "select pg_try_advisory_xact_lock($1::bigint) as granted",
      params: [key],
    });
    return row?.granted === true;
  });
  if (!elsewhere)
    throw new Error(
      "act-drizzle: the log is there already: move it to a store of another database or schema",
    );
}
