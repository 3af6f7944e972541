/**
 * `npm run demo [-- <path>]`: a git repository as an event store. See README.md here.
 *
 * Writes every commit of the repository as actions on its files, while a second process keeps two
 * read models; prints what it made; checks the read models against git; exits with 0 if they agree.
 */
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { ConsoleLogger, log, store } from "@rotorsoft/act";
import { startPostgres } from "../../dev/postgres/index.ts";
import { PostgresStore } from "../../src/index.ts";
import { GitError, openRepository } from "./git.ts";
import { counted, printable } from "./report.ts";
import { runSession, type Session, UserError } from "./session.ts";
import { checkReadModels, showConflict, showHistory, showReadModels, showWhereNext } from "./show.ts";
import { claimSchema, imports, openDatabase, recreateTables, SCHEMA } from "./tables.ts";
import { writeHistory } from "./write.ts";

const USAGE = `npm run demo [-- [<path to a git repository>] [--commits <n>] [--check]]

  --commits <n>  only the oldest n commits
  --check        only compare the tables that are there with git (needs DATABASE_URL)

With DATABASE_URL=postgres://… it uses that server, in its own schema ${SCHEMA}, and keeps the data.`;

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
  const url = process.env.DATABASE_URL || undefined;
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

  console.log(
    `Repository  ${printable(path)}: ${counted(repository.commits, "commit")} up to ${tip.slice(0, 9)}`,
  );
  if (repository.shallow) {
    console.log(
      "            A shallow clone: its oldest commit stands for all before (git fetch --unshallow)",
    );
  }

  const { server, db } = await openServer(session, url);
  store(new PostgresStore({ url: server.url, schema: SCHEMA, notify: true }));
  session.onEnd(() => store().dispose());
  await store().drop();
  await store().seed();
  await recreateTables(db);

  const app = await writeHistory(session, server.url, db, { ...repository, tip });
  await showReadModels(db);
  const hottest = await showHistory(app, db);
  if (hottest) await showConflict(app, hottest);
  const agrees = await checkReadModels(db, path, tip);
  showWhereNext(url);
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
async function checkAgain(session: Session, url: string | undefined): Promise<number> {
  if (!url) throw new UserError("--check needs DATABASE_URL: without it, nothing is kept to be checked");
  const db = openDatabase(url, 1);
  session.onEnd(() => db.end());
  const [last] = await db
    .select()
    .from(imports)
    .catch(() => []);
  if (!last)
    throw new UserError(`No finished import in schema ${SCHEMA}: run the demo without --check first`);
  console.log(`Repository  ${printable(last.path)} up to ${last.tip.slice(0, 9)}`);
  return (await checkReadModels(db, last.path, last.tip)) ? 0 : 1;
}

async function openServer(session: Session, url: string | undefined) {
  // Registered before it has started: Ctrl-C may come meanwhile.
  const starting = startPostgres({ url, prefer: "embedded", durable: true });
  session.onEnd(() =>
    starting.then(
      (server) => server.stop(),
      () => {},
    ),
  );
  const server = await starting.catch((cause) => {
    throw new UserError("The demo needs a PostgreSQL server", { cause });
  });
  session.signal.throwIfAborted();
  const db = openDatabase(server.url, 1);
  session.onEnd(() => db.end());
  const kept = url
    ? `at ${server.host}:${server.port}, schema ${SCHEMA}`
    : "embedded and temporary, fsync on";
  console.log(`PostgreSQL  ${server.version}, ${kept}`);
  if (!(await claimSchema(db))) throw new UserError("Another demo is using this database");
  return { server, db };
}
