/** drop(): removes the store's own tables, and nothing else in the schema. */
import type { Context } from "../context.ts";
import { guard } from "../errors.ts";
import { forgetCheckpoints } from "../schema/checkpoints-seen.ts";
import { introspect } from "./introspect.ts";
import { withMigrationLock } from "./migration-lock.ts";
import { findStoreTables } from "./store-tables.ts";

/**
 * Deletes every event, subscription and checkpoint. Absent tables are no error. seed() creates the tables again.
 *
 * @throws StoreError, also if a table of another application has one of their names: that table stays.
 */
export function drop(context: Context): Promise<void> {
  const { names } = context;
  return guard("drop", () =>
    withMigrationLock(context, "drop", async (run) => {
      findStoreTables(names, await introspect(run, names));
      await run({ text: `drop table if exists ${names.events}, ${names.streams}, ${names.correlated}` });
      forgetCheckpoints(names);
    }),
  );
}
