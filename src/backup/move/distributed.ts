/** Refuses to move a log that Citus distributes: a move needs triggers, and Citus has none on distributed tables. */
import type { Context } from "../../context.ts";
import { literal } from "../../schema/names.ts";
import { MoveError } from "./error.ts";

/** `which` names the store in the error. The catalog of Citus is read only if it exists. */
export async function refuseDistributed(
  { names, connections }: Context,
  which: "source" | "target",
): Promise<void> {
  const [citus] = await connections.read("move", {
    text: "select to_regclass('pg_catalog.pg_dist_partition') is not null as there",
  });
  if (citus?.there !== true) return;
  const [found] = await connections.read("move", {
    text: `select exists (select from pg_catalog.pg_dist_partition
  where logicalrelid = to_regclass(${literal(names.events)})) as distributed`,
  });
  if (found?.distributed !== true) return;
  throw new MoveError(
    `nothing was moved: Citus distributes the schema "${names.schema}" of the ${which}, and a move needs triggers, which Citus does not allow there. ` +
      `Undistribute it first (select citus_schema_undistribute('${names.schema}')), or use export() and import()`,
  );
}
