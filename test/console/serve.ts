/**
 * For looking at the page: `node test/console/serve.ts [--events 1000000] [--port 4680]` starts a temporary PostgreSQL,
 * breaks a store on purpose, and serves the console on it, with writes. Ctrl-C ends it all.
 */
import { once } from "node:events";
import { join } from "node:path";
import { parseArgs } from "node:util";
import postgres from "postgres";
import { startPostgres } from "../../dev/postgres/index.ts";
import { Admin } from "../../src/admin/index.ts";
import { startConsole } from "../../src/console/start.ts";
import { PostgresStore } from "../../src/index.ts";
import { breakStore, fill, positionsOf } from "./broken-store.ts";

const { values } = parseArgs({
  options: {
    events: { type: "string", default: "0" },
    port: { type: "string", default: "4680" },
    token: { type: "string" },
  },
});

const server = await startPostgres({ prefer: "embedded" });
const { url } = server;
const sql = postgres(url, { max: 1, onnotice: () => {} });
for (const schema of ["public", "tenant_b"]) {
  const store = new PostgresStore({ url, schema, notify: true });
  await store.seed();
  const admin = new Admin(store);
  const { last } = await breakStore(store, (skip) => admin.skip(skip));
  if (schema === "public") await sql.unsafe(positionsOf(schema, last)).simple();
  await store.dispose();
}
if (Number(values.events) > 0)
  await sql.unsafe(`${fill("public.events", Number(values.events))}; analyze`).simple();
await sql.end();

const running = await startConsole({
  databases: [{ url, schema: "public", statement_timeout: 5_000, connectionTimeoutMillis: 3_000 }],
  ...{ write: true, user: "tester", port: Number(values.port), token: values.token },
  app: join(import.meta.dirname, "app.ts"),
});
console.log(running.url);
await Promise.race([once(process, "SIGINT"), once(process, "SIGTERM")]);
await running.close();
await server.stop();
process.exit(0);
