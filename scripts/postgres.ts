/** `npm run postgres`: a PostgreSQL from npm for trying things out, until Ctrl-C. Its data are then deleted. */
import { startPostgres } from "../dev/postgres/index.ts";

const server = await startPostgres({ prefer: "embedded" });
console.log(`DATABASE_URL=${server.url}`);
console.log("Ctrl-C stops the server and deletes its data.");

// A pending timer keeps the process alive; nothing else of it runs.
const waiting = setInterval(() => {}, 2 ** 30);
for (const signal of ["SIGINT", "SIGTERM"] as const)
  process.once(signal, async () => {
    clearInterval(waiting);
    await server.stop();
  });
