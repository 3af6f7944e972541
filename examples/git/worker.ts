/**
 * The second process: keeps the read models. It never polls while commits are announced; NOTIFY wakes
 * it. Started by projector.ts with the database's URL in the environment; ends when its parent does.
 */
import {
  ConsoleLogger,
  cache,
  log,
  type NotifyDisposer,
  type StoreNotification,
  store,
} from "@rotorsoft/act";
import { PostgresStore } from "../../src/index.ts";
import { newCache } from "./domain.ts";
import type { FromWorker } from "./projector.ts";
import { buildReader } from "./read-models.ts";
import { openDatabase, SCHEMA } from "./tables.ts";

/** Announces when it listens: a commit after that wakes this process. */
class ListeningStore extends PostgresStore {
  override async notify(handler: (notification: StoreNotification) => void): Promise<NotifyDisposer> {
    const dispose = await super.notify(handler);
    tell({ listening: true });
    return dispose;
  }
}

// The framework's handlers end the process on Ctrl-C, which the terminal sends here, too. The parent decides.
for (const signal of ["SIGINT", "SIGTERM"] as const) process.removeAllListeners(signal).on(signal, () => {});

const url = process.env.DATABASE_URL ?? "";
const db = openDatabase(url);
log(new ConsoleLogger({ level: "error" }));
cache(newCache());
store(new ListeningStore({ url, schema: SCHEMA, notify: true }));
const app = buildReader(db);

// A wake-up settles with the framework's defaults, 10 events at a time. Behind a fast writer more is better.
const options = { debounceMs: 0, correlate: { after: -1, limit: 500 }, eventLimit: 500, maxPasses: 20 };
let woken = 0;
app.on("notified", () => {
  woken++;
  queueMicrotask(() => app.settle(options));
});
app.on("acked", (leases) => {
  tell({ woken, at: Object.fromEntries(leases.map(({ stream, at }) => [stream, at])) });
});
app.on("settled", ({ acked }) => {
  if (acked.length > 0) app.settle(options); // maxPasses bounds what one run keeps in memory
});
app.on("blocked", ([lease]) => tell({ failed: `${lease?.stream} is blocked: ${lease?.error}` }));
app.on("error", ({ error }) => tell({ failed: error instanceof Error ? error.message : String(error) }));
app.settle(options);

// What was announced while the listener was reconnecting is found by a look now and then.
app.start_correlations({ limit: options.correlate.limit }, 2_000);
const look = setInterval(() => app.settle(options), 2_000);

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
