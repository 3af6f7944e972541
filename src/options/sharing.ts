/** The options of a PostgresDatabase that no store has: how its connections are shared. */
import * as z from "zod";
import { isRecord } from "../values/json-dates.ts";

export type Sharing = {
  /** How many of the `max` connections are for commits. Each serves one store at a time. Default: half of them. */
  readonly writers?: number | undefined;
  /** How many statements each connection keeps prepared: each takes some 40 kB of the server's memory. Default `256`. */
  readonly maxPrepared?: number | undefined;
  /**
   * A connection that has served more stores than this is closed, and another one opened, because its server process caches
   * the catalog entries of their tables: some 30 kB for each store. Default `250`.
   */
  readonly maxStores?: number | undefined;
};

const count = z.number().int().min(1).max(100_000);
const schema = z.object({
  writers: count.optional(),
  maxPrepared: count.default(256),
  maxStores: count.default(250),
});
type Resolved = z.output<typeof schema>;

/** Separates these options from the others. Throws one Error that names each wrong one. */
export function resolveSharing(options: unknown): { sharing: Resolved; others: unknown } {
  if (!isRecord(options)) return { sharing: schema.parse({}), others: options };
  const { writers, maxPrepared, maxStores, ...others } = options;
  const result = schema.safeParse({ writers, maxPrepared, maxStores });
  if (result.success) return { sharing: result.data, others };
  const names = result.error.issues.map(
    ({ path }) => `option "${path.join(".")}": a whole number from 1 to 100000`,
  );
  throw new Error(`act-drizzle: ${names.join("; ")}`);
}
