/**
 * A git repository as an event store. See README.md here. In this repository: `npm run demo [-- <path>]`.
 *
 * Writes every commit of the repository as actions on its files, while a second process keeps two
 * read models; prints what it made; checks the read models against git; exits with 0 if they agree.
 */
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { ConsoleLogger, log, store } from "@rotorsoft/act";
import { PostgresStore } from "act-drizzle";
import { sql } from "drizzle-orm";
import { GitError, openRepository } from "./git.ts";
import { counted, shorten } from "./report.ts";
import { runSession, type Session, UserError } from "./session.ts";
import { checkReadModels, showConflict, showHistory, showReadModels, showWhereNext } from "./show.ts";
import { claimSchema, type Database, imports, openDatabase, recreateTables, SCHEMA } from "./tables.ts";
import { writeHistory } from "./write.ts";

const USAGE = `npm run demo [-- [<path to a git repository>] [--commits <n>] [--check] [--console]]

  --commits <n>  only the oldest n commits
  --check        only compare the tables that are there with git
  --console      then show it all in the browser, until Ctrl-C

With DATABASE_URL=postgres://… it uses that server, in its own schema ${SCHEMA},
and keeps the data. Without, npm run demo starts a temporary one.`;

log(new ConsoleLogger({ level: "error" }));
await runSession(demo, (error) => {
  if (error instanceof GitError) return `${error.message}\nAnother repository: npm run demo -- <path>`;
  if (error instanceof UserError) return reasons(error);
  return error instanceof Error ? `${reasons(error)}\n${error.stack}` : String(error);
});

/** An error's message, and those of what caused it. */
function reasons(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause === undefined ? error.message : `${error.message}: ${reasons(error.cause)}`;
}

async function demo(session: Session): Promise<number> {
  const { values, positionals } = readArguments();
  if (values.help) {
    console.log(USAGE);
    return 0;
  }
  const url = process.env.DATABASE_URL;
  if (!url) {
    const why = values.check ? "--check looks at what a run with DATABASE_URL has kept. " : "";
    throw new UserError(`${why}Set DATABASE_URL=postgres://user:password@host:port/database`);
  }
  if (values.check) return checkAgain(session, url);

  // npm runs scripts in the package's folder; a relative path is meant from where the user is.
  const path = resolve(process.env.INIT_CWD ?? ".", positionals[0] ?? process.cwd());
  const limit = values.commits === undefined ? undefined : Number(values.commits);
  if (limit !== undefined && !(Number.isInteger(limit) && limit > 0)) {
    throw new UserError(`--commits takes a number from 1 up\n\n${USAGE}`);
  }
  const repository = await openRepository(path, limit);
  const { tip } = repository;
  if (!tip) {
    console.log(`${path} has no commits yet: nothing to read. Another repository: npm run demo -- <path>`);
    return 0;
  }

  const commits = counted(repository.commits, "commit");
  console.log(`Repository  ${shorten(path, 68, "end")}: ${commits}`);
  if (repository.shallow) {
    console.log("            A shallow clone: its oldest commit stands for all before it");
    console.log("            (git fetch --unshallow gets them)");
  }

  // `npm run demo` has started a server for this run alone.
  const temporary = process.env.DATABASE_IS_TEMPORARY === "1";
  const db = await connect(session, url, temporary ? "temporary, fsync on" : `schema ${SCHEMA}`);
  store(new PostgresStore({ url, schema: SCHEMA, notify: true }));
  session.onEnd(() => store().dispose());
  await store().drop();
  await store().seed();
  await recreateTables(db);

  const app = await writeHistory(session, url, db, { ...repository, tip });
  await showReadModels(db);
  const hottest = await showHistory(app, db);
  if (hottest) await showConflict(app, hottest);
  const agrees = await checkReadModels(db, path, tip);
  // With --console the server goes on, and what there is to see is in the browser.
  if (process.env.CONSOLE_FOLLOWS !== "1") showWhereNext(temporary ? undefined : url);
  return agrees ? 0 : 1;
}

function readArguments() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        commits: { type: "string" },
        check: { type: "boolean" },
        help: { type: "boolean", short: "h" },
      },
    });
  } catch (error) {
    throw new UserError(`${error instanceof Error ? error.message : error}\n\n${USAGE}`);
  }
}

/** Compares what an earlier run left in the database with its repository, as that is now. */
async function checkAgain(session: Session, url: string): Promise<number> {
  const db = await connect(session, url, `schema ${SCHEMA}`);
  const [{ found } = { found: null }] = await db.execute<{ found: string | null }>(
    sql`select to_regclass(${`${SCHEMA}.imports`}) as found`,
  );
  const [last] = found ? await db.select().from(imports) : [];
  if (!last)
    throw new UserError(`No finished import in schema ${SCHEMA}: run the demo without --check first`);
  console.log(`Repository  ${shorten(last.path, 68, "end")}`);
  return (await checkReadModels(db, last.path, last.tip)) ? 0 : 1;
}

/** The database, once it has answered. Fails in one line when the server is down, the URL wrong, or another demo at work. */
async function connect(session: Session, url: string, what: string): Promise<Database> {
  // The URL's own error would print it, password and all.
  const parsed = URL.parse(url);
  if (!parsed) throw new UserError("DATABASE_URL is not a URL: postgres://user:password@host:port/database");
  const db = openDatabase(url, 1);
  session.onEnd(() => db.end());
  const server = `${parsed.hostname || "localhost"}:${parsed.port || 5432}`;
  const [row] = await db
    .execute<{ version: string }>(sql`select current_setting('server_version') as version`)
    .catch((error: unknown) => {
      throw new UserError(`No PostgreSQL answers at ${server} (${lastReason(error)}). Is it running?`);
    });
  session.signal.throwIfAborted();
  console.log(`PostgreSQL  ${row?.version.split(" ")[0]} at ${server}, ${what}`);
  if (!(await claimSchema(db))) throw new UserError("Another demo is using this database");
  return db;
}

/** What lies at the bottom of an error. Drizzle's own message is the statement. */
function lastReason(error: unknown): string {
  if (error instanceof AggregateError) return lastReason(error.errors[0]);
  if (!(error instanceof Error)) return String(error);
  return error.cause === undefined ? error.message : lastReason(error.cause);
}
