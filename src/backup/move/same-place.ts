/** Refuses to move a log to the place where it already is: `again` would delete it first. */
import { randomInt } from "node:crypto";
import type { Context } from "../../context.ts";

/**
 * Advisory locks belong to one database. If one store holds a lock and the other is refused it, both are in one database,
 * whatever their host names are.
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
      "act-drizzle: the log is there already: move it to a store in another database or schema",
    );
}
