/** A process that rebuilds the counters, and dies by SIGKILL at the step that it is told. */
import { drizzle } from "drizzle-orm/node-postgres";
import pg from "pg";
import { PostgresStore } from "../../../src/index.ts";
import { rebuild } from "../../../src/projections/index.ts";
import { counting, type RebuildWorkerOptions } from "./counts.ts";

const { log, readModels, step, inPlace }: RebuildWorkerOptions = JSON.parse(process.argv[2] ?? "{}");
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
  ...counting(drizzle(pool), store, () => {
    if (step === "applying") die();
  }),
  inPlace,
  batchSize: 500,
  // Else it goes on, and makes nothing.
  restart: step === "making",
  onProgress: () => {
    if (step === "applied") die();
  },
});
await store.dispose();
await pool.end();
