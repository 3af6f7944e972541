/** The schema in which a rebuild fills the shadows of a projection's tables, and records its progress. */
import { createHash } from "node:crypto";

const MAX_NAME = 30;

/** The table in that schema that records the progress, with the columns `at`, `definition` and `mark`. */
export const REBUILD_PROGRESS = "act_rebuild_progress";

/**
 * The name of the schema. It is the same in every process, and differs for each projection and table of positions.
 *
 * @param schema Schema of the table of positions; empty for `public`, as in Drizzle.
 */
export function rebuildSchema(schema: string, table: string, projection: string): string {
  const hash = createHash("sha256").update(`${schema}.${table}.${projection}`).digest("hex").slice(0, 10);
  const readable = projection
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, "_")
    .slice(0, MAX_NAME);
  return `act_rebuild_${readable}_${hash}`;
}
