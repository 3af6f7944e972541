/**
 * The second process: keeps the read models, woken by NOTIFY. Started by projector.ts with the database's
 * URL in the environment; ends when its parent does.
 */
import { inspect } from "node:util";
import { ConsoleLogger, log, store } from "@rotorsoft/act";
import { PostgresStore } from "act-drizzle";
import type { FromWorker } from "./projector.ts";
import { buildReader } from "./read-models.ts";
import { openDatabase, SCHEMA } from "./tables.ts";

// The framework's handlers end the process on Ctrl-C, which the terminal sends here, too. The parent decides.
for (const signal of ["SIGINT", "SIGTERM"] as const) process.removeAllListeners(signal).on(signal, () => {});

const url = process.env.DATABASE_URL ?? "";
const db = openDatabase(url);
log(new ConsoleLogger({ level: "error" }));
const postgres = new PostgresStore({ url, schema: SCHEMA, notify: true });
const listen = postgres.notify;
// Tells the parent that from now on it is notified of every commit.
const notify: typeof listen = async (handler) => {
  const dispose = await listen?.(handler);
  tell({ listening: true });
  return () => dispose?.();
};
store(Object.assign(postgres, { notify }));
const app = buildReader(db);

// A wake-up settles with the framework's defaults, 10 events at a time; behind a fast writer more is better.
// The framework keeps what one run has seen until its end: maxPasses bounds that.
const run = { debounceMs: 0, correlate: { after: -1, limit: 500 }, eventLimit: 500, maxPasses: 20 };
const settle = () => app.settle(run);
let woken = 0;
app.on("notified", () => {
  woken++;
  queueMicrotask(settle); // After the framework's own call, which this one replaces.
});
app.on("settled", ({ acked }) => {
  if (acked.length > 0) settle();
});
app.on("acked", (leases) => {
  tell({ woken, at: Object.fromEntries(leases.map(({ stream, at }) => [stream, at])) });
});
app.on("blocked", ([lease]) => tell({ failed: `${lease?.stream} is blocked: ${lease?.error}` }));
// A store that is down now may be back soon: news for the parent when nothing else comes.
app.on("error", ({ error }) => tell({ trouble: inspect(error) }));
settle();

// What was announced while the listener was reconnecting is found by a look now and then.
app.start_correlations({ limit: run.correlate.limit }, 2_000);
const look = setInterval(settle, 2_000);

process.once("disconnect", async () => {
  clearInterval(look);
  await app.shutdown();
  await store().dispose();
  await db.end();
  process.exit();
});

function tell(message: FromWorker): void {
  if (process.connected) process.send?.(message, undefined, undefined, () => {});
}
