/** A process that rebuilds the counters, and dies by SIGKILL at the step that it is told. */
import { sql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/node-postgres";
import { integer, pgTable, text } from "drizzle-orm/pg-core";
import pg from "pg";
import { PostgresStore } from "../../../src/index.ts";
import { rebuild } from "../../../src/projections/index.ts";
import { Deposited } from "../../framework/account.ts";

/** In the order in which it passes. `making`: the shadows, or the emptying of the tables. `closing`: the swap, or the floor. */
export const STEPS = ["making", "applying", "applied", "closing", "committing"] as const;
export type RebuildWorkerOptions = {
  readonly log: { readonly url: string; readonly table: string };
  readonly readModels: string;
  readonly step: (typeof STEPS)[number];
  readonly inPlace: boolean;
};

const { log, readModels, step, inPlace }: RebuildWorkerOptions = JSON.parse(process.argv[2] ?? "{}");
const counters = pgTable("counters", {
  stream: text("stream").primaryKey(),
  total: integer("total").notNull(),
  events: integer("events").notNull(),
});
const die = () => process.kill(process.pid, "SIGKILL");

const pool = new pg.Pool({ connectionString: readModels, max: 2 });
pool.on("connect", (client) => {
  const query = client.query;
  let closing = false;
  const watched = (...args: unknown[]) => {
    const [text] = args;
    const answer: unknown = Reflect.apply(query, client, args);
    const said = typeof text === "object" && text !== null && "text" in text ? text.text : text;
    if (typeof said !== "string") return answer;
    if (step === "making" && said.startsWith(inPlace ? "truncate" : "create table")) setImmediate(die);
    if (inPlace ? said.includes("handlers = null where") : said.startsWith("drop table")) closing = true;
    if (closing && step === "closing") setImmediate(die);
    // On its way: whether the server has it is open.
    if (closing && said === "commit" && step === "committing") setImmediate(die);
    return answer;
  };
  Object.assign(client, { query: watched });
});

const store = new PostgresStore({ ...log, max: 4 });
await rebuild({
  db: drizzle(pool),
  store,
  projection: "counts",
  events: { Deposited },
  tables: { counters },
  inPlace,
  batchSize: 500,
  // Else it goes on, and makes nothing.
  restart: step === "making",
  apply: async (events, tx, tables) => {
    for (const { stream, data } of events)
      await tx
        .insert(tables.counters)
        .values({ stream, total: data.amount, events: 1 })
        .onConflictDoUpdate({
          target: tables.counters.stream,
          set: {
            total: sql`${tables.counters.total} + excluded.total`,
            events: sql`${tables.counters.events} + 1`,
          },
        });
    if (step === "applying") die();
  },
  onProgress: () => {
    if (step === "applied") die();
  },
});
await store.dispose();
await pool.end();
