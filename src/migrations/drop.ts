/** drop(): removes the store's own tables, and nothing else in the schema. */
import type { Context } from "../context.ts";

/** Deletes every event, subscription and checkpoint. Absent tables are fine; seed() makes them anew. */
export async function drop({ names, connections }: Context): Promise<void> {
  await connections.transaction("drop", [
    { text: "select pg_advisory_xact_lock(hashtext('act-drizzle:seed'))" },
    { text: `drop table if exists ${names.events}, ${names.streams}, ${names.correlated}` },
  ]);
}
