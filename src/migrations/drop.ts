/** drop(): removes the store's own tables, and nothing else in the schema. */
import type { Context } from "../context.ts";
import { guard } from "../errors.ts";
import { introspectTables } from "./introspect.ts";
import { withMigrationLock } from "./migration-lock.ts";

/**
 * Deletes every event, subscription and checkpoint. Absent tables are fine; seed() makes them anew.
 *
 * @throws StoreError, also when a table of another application stands in their place: it stays.
 */
export function drop({ names, connections }: Context): Promise<void> {
  return guard("drop", () =>
    withMigrationLock(connections, "drop", async (run) => {
      await introspectTables(run, names);
      await run({ text: `drop table if exists ${names.events}, ${names.streams}, ${names.correlated}` });
    }),
  );
}
