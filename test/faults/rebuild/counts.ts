/** What the test and its worker rebuild: counters of the deposits of each stream. */
import { sql } from "drizzle-orm";
import type { NodePgDatabase } from "drizzle-orm/node-postgres";
import { integer, pgTable, text } from "drizzle-orm/pg-core";
import type { PostgresStore } from "../../../src/index.ts";
import { rebuildable } from "../../../src/projections/index.ts";
import { Deposited } from "../../framework/account.ts";

/**
 * Where worker.ts dies, in the order in which it passes. `making`: the shadows, or the emptying of the tables. `closing`:
 * the swap, or the floor.
 */
export const STEPS = ["making", "applying", "applied", "closing", "committing"] as const;

export type RebuildWorkerOptions = {
  readonly log: { readonly url: string; readonly table: string };
  readonly readModels: string;
  readonly step: (typeof STEPS)[number];
  readonly inPlace: boolean;
};

export const counters = pgTable("counters", {
  stream: text("stream").primaryKey(),
  total: integer("total").notNull(),
  events: integer("events").notNull(),
});

/** A statement for each batch: with one for each event the rebuild does not overtake its load on a busy machine. */
export function counting<Schema extends Record<string, unknown>>(
  db: NodePgDatabase<Schema>,
  store: PostgresStore,
  applied: () => void = () => {},
) {
  const definition = rebuildable({
    db,
    projection: "counts",
    events: { Deposited },
    tables: { counters },
    apply: async (events, tx, tables) => {
      const sums = new Map<string, { stream: string; total: number; events: number }>();
      for (const { stream, data } of events) {
        const sum = sums.get(stream) ?? { stream, total: 0, events: 0 };
        sums.set(stream, { stream, total: sum.total + data.amount, events: sum.events + 1 });
      }
      await tx
        .insert(tables.counters)
        .values([...sums.values()])
        .onConflictDoUpdate({
          target: tables.counters.stream,
          set: {
            total: sql`${tables.counters.total} + excluded.total`,
            events: sql`${tables.counters.events} + excluded.events`,
          },
        });
      applied();
    },
  });
  return { ...definition, store };
}
