/** The schema in which a rebuild fills the shadows of a projection's tables, and notes how far they are. */
import { createHash } from "node:crypto";

const MAX_NAME = 30;

/** In it, with the columns `at` and `definition`. */
export const REBUILD_PROGRESS = "act_rebuild_progress";

/**
 * The same for every process, and another one for each table of positions.
 *
 * @param schema Of the table of positions; empty for `public`, as Drizzle has it.
 */
export function rebuildSchema(schema: string, table: string, projection: string): string {
  const hash = createHash("sha256").update(`${schema}.${table}.${projection}`).digest("hex").slice(0, 10);
  const told = projection
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, "_")
    .slice(0, MAX_NAME);
  return `act_rebuild_${told}_${hash}`;
}
