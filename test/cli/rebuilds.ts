/** What a user exports for `act-drizzle rebuild`: two projections of one log, on the database at DATABASE_URL. */
import { sql } from "drizzle-orm";
import { drizzle, type NodePgDatabase } from "drizzle-orm/node-postgres";
import { integer, pgSchema, text } from "drizzle-orm/pg-core";
import { drizzle as drizzleJs } from "drizzle-orm/postgres-js";
import pg from "pg";
import postgres from "postgres";
import { z } from "zod";
import { actPositions, rebuildable } from "../../src/projections/index.ts";

const schema = process.env.READ_MODELS ?? "read_models";
/** How often apply has to run before it goes wrong: by an error, or by Ctrl+C. */
const { THROWS, STOPS, DRIVER, DATABASE_URL = "" } = process.env;

export const counters = pgSchema(schema).table("counters", {
  stream: text("stream").primaryKey(),
  placed: integer("placed").notNull(),
});
export const totals = pgSchema(schema).table("totals", {
  stream: text("stream").primaryKey(),
  total: integer("total").notNull(),
});
export const positions = actPositions({ schema });

// Both drivers run the same statements; this is the type of one of them.
const db =
  DRIVER === "postgres.js"
    ? (drizzleJs(postgres(DATABASE_URL, { max: 2, onnotice: () => {} })) as unknown as NodePgDatabase)
    : drizzle(new pg.Pool({ connectionString: DATABASE_URL, max: 2 }));
const events = { Placed: z.object({ total: z.number() }) };

let batches = 0;
export const countersRebuild = rebuildable({
  db,
  projection: "counters",
  positions,
  events,
  tables: { counters },
  batchSize: 1,
  apply: async (placed, tx, shadow) => {
    batches++;
    if (String(batches) === THROWS) throw new Error("out of ink");
    if (String(batches) === STOPS) process.kill(process.pid, "SIGINT");
    for (const { stream } of placed)
      await tx
        .insert(shadow.counters)
        .values({ stream, placed: 1 })
        .onConflictDoUpdate({
          target: shadow.counters.stream,
          set: { placed: sql`${shadow.counters.placed} + 1` },
        });
  },
});

export const totalsRebuild = rebuildable({
  db,
  projection: "totals",
  positions,
  events,
  tables: { totals },
  apply: async (placed, tx, shadow) => {
    for (const { stream, data } of placed)
      await tx
        .insert(shadow.totals)
        .values({ stream, total: data.total })
        .onConflictDoUpdate({
          target: shadow.totals.stream,
          set: { total: sql`${shadow.totals.total} + excluded.total` },
        });
  },
});
