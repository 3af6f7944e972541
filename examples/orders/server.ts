/**
 * The HTTP process: takes commands and answers reads; reacts to nothing. Any number of them may run. Needs
 * DATABASE_URL and a prepared database (database.ts); PORT is 3000 unless set, 0 for a free one.
 */
import type { Server } from "node:http";
import { serve } from "@hono/node-server";
import { ConsoleLogger, dispose, log, store } from "@rotorsoft/act";
import { buildApi } from "./api.ts";
import { createStore, openDatabase } from "./database.ts";
import { buildShop } from "./domain.ts";

/** How long requests under way may take once the process is asked to end. */
const SHUTDOWN_MS = 10_000;

const url = process.env.DATABASE_URL ?? "";
log(new ConsoleLogger({ level: "error" }));
store(createStore(url, { application_name: "orders-server" }));
const db = openDatabase(url);

let stopping = false;
const api = buildApi(buildShop(), db);
async function fetch(request: Request): Promise<Response> {
  const response = await api.fetch(request);
  // Node keeps a connection open behind an answer, and close() would wait for it.
  if (stopping) response.headers.set("Connection", "close");
  return response;
}
const server = serve({ fetch, hostname: "127.0.0.1", port: Number(process.env.PORT ?? 3000) }, ({ port }) =>
  console.log(`Orders on http://127.0.0.1:${port}`),
) as Server;

// SIGTERM and SIGINT are the framework's: it runs these, the latest first, then disposes of the store, which
// waits for what is being committed, and exits with 0.
dispose(() => db.end());
dispose(async () => {
  stopping = true;
  setTimeout(() => server.closeAllConnections(), SHUTDOWN_MS).unref();
  await new Promise((resolve) => server.close(resolve));
});
// Started by main.ts: does not outlive it.
process.once("disconnect", () => process.kill(process.pid, "SIGTERM"));
