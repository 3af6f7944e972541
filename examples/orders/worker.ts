/**
 * A worker process: keeps the read models and refunds what was cancelled, woken by NOTIFY. Any number of them
 * may run; each order's reactions run in one at a time. Needs DATABASE_URL and a prepared database.
 */
import { ConsoleLogger, dispose, log, store } from "@rotorsoft/act";
import { createStore, openDatabase } from "./database.ts";
import { buildWorker } from "./reactions.ts";

/** What no notification told of is correlated this often, in milliseconds, and handled with the next event. */
const LOOK = 5_000;

const url = process.env.DATABASE_URL ?? "";
const name = process.argv[2] ?? `${process.pid}`;
log(new ConsoleLogger({ level: "error" }));
store(createStore(url, { application_name: `orders-worker-${name}` }));
const db = openDatabase(url);
// Before the app is built: at the end the app stops reacting first.
dispose(() => db.end());

const app = buildWorker(db);
app.on("acked", (leases) =>
  console.log(`Worker ${name} reacted: ${leases.map(({ stream }) => stream).join(" ")}`),
);
app.on("blocked", (leases) => {
  for (const { stream, error } of leases) console.error(`Worker ${name}: ${stream} is blocked: ${error}`);
});

// What happened while no worker ran; from now on the framework settles at each notification.
app.settle();
app.start_correlations({ limit: 100 }, LOOK);
const looking = setInterval(() => app.settle(), LOOK);
dispose(async () => clearInterval(looking));
process.once("disconnect", () => process.kill(process.pid, "SIGTERM"));
console.log(`Worker ${name} started`);
