/**
 * `npm run studio [-- <path to a git repository>] [--port <n>]`: Drizzle Studio on the demo's data, on 127.0.0.1
 * only. Imports the oldest 200 commits into a temporary PostgreSQL; with DATABASE_URL it opens what the demo left on
 * that server, and imports only if there is nothing. Ctrl-C ends it all.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { sql } from "drizzle-orm";
import { startPostgres } from "../dev/postgres/index.ts";
import { runSession, type Session, UserError } from "../examples/git/session.ts";
import { events, openDatabase, SCHEMA } from "../examples/git/tables.ts";

const ROOT = join(import.meta.dirname, "..");
const COMMITS = "200";

await runSession(
  async (session) => {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: { port: { type: "string", default: "4983" } },
    });
    const starting = startPostgres({ url: process.env.DATABASE_URL || undefined, prefer: "embedded" });
    session.onEnd(async () => (await starting).stop());
    const { url } = await starting;
    session.signal.throwIfAborted();

    if (!(await hasEvents(url))) {
      console.log(`Importing the oldest ${COMMITS} commits …`);
      const demo = ["examples/git/demo.ts", ...positionals, "--commits", COMMITS];
      if ((await run(session, url, ROOT, demo, "ignore")) !== 0)
        throw new UserError("The import failed: see npm run demo");
    }
    console.log(`psql ${shown(url)} -c 'select * from ${SCHEMA}.events limit 9'`);
    console.log(
      "Studio's page is loaded from local.drizzle.studio; the rows go from here to your browser only.\n",
    );
    // Its default is all interfaces, without a password and with CORS for everyone.
    const address = ["--host", "127.0.0.1", "--port", values.port];
    const studio = ["node_modules/drizzle-kit/bin.cjs", "studio", ...address];
    // Where its config is, whose paths begin there.
    const code = await run(session, url, join(ROOT, "examples/git"), studio, "inherit");
    throw new UserError(`drizzle-kit studio ended by itself (${code}): is port ${values.port} free?`);
  },
  (error) => (error instanceof Error ? error.message : String(error)),
);

async function hasEvents(url: string): Promise<boolean> {
  const db = openDatabase(url, 1);
  try {
    const [log] = await db.execute(
      sql`select 1 from pg_tables where schemaname = ${SCHEMA} and tablename = 'events'`,
    );
    return log !== undefined && (await db.select({ id: events.id }).from(events).limit(1)).length > 0;
  } finally {
    await db.end();
  }
}

/** Yours without its password; a temporary server's password is of no use to anyone else. */
function shown(url: string): string {
  const parsed = new URL(url);
  if (process.env.DATABASE_URL && parsed.password) parsed.password = "***";
  return parsed.href;
}

/** Runs a script of this repository until it ends, or the session does. Gives its exit code. */
async function run(
  session: Session,
  url: string,
  cwd: string,
  [script = "", ...args]: string[],
  stdout: "inherit" | "ignore",
): Promise<number | null> {
  // In the environment, so that programs which it starts resolve `act-drizzle` as it does.
  const source = pathToFileURL(join(ROOT, "dev/source.ts")).href;
  const child: ChildProcess = spawn(process.execPath, [join(ROOT, script), ...args], {
    cwd,
    stdio: ["ignore", stdout, "inherit"],
    env: {
      ...process.env,
      DATABASE_URL: url,
      NODE_OPTIONS: `${process.env.NODE_OPTIONS ?? ""} --import ${source}`,
      // Relative paths are meant from where the user is, as in the demo.
      INIT_CWD: process.env.INIT_CWD ?? ROOT,
    },
  });
  const exit = once(child, "exit");
  session.onEnd(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGTERM");
    await exit;
  });
  const [code] = await exit;
  session.signal.throwIfAborted();
  return code;
}
