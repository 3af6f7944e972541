/** The demo's chapters after the import: what is in the tables, in one stream, in a conflict. */
import { cache } from "@rotorsoft/act";
import { desc, eq } from "drizzle-orm";
import { compare, factsOfGit, factsOfTables } from "./check.ts";
import { provokeConflict } from "./conflict.ts";
import { File, streamOf, type Writer } from "./domain.ts";
import {
  authorsTable,
  conflictText,
  counted,
  differencesText,
  filesTable,
  historyTable,
  number,
  printable,
} from "./report.ts";
import { authorChurn, type Database, hotFiles, SCHEMA } from "./tables.ts";

const TOP = 10;

export async function showReadModels(db: Database): Promise<void> {
  const churn = desc(authorChurn.added);
  const authors = await db.select().from(authorChurn).orderBy(churn, authorChurn.email).limit(TOP);
  console.log(`\nChurn per author (${SCHEMA}.author_churn)\n${authorsTable(authors)}`);
  const heat = desc(hotFiles.commits);
  const files = await db
    .select()
    .from(hotFiles)
    .orderBy(heat, desc(hotFiles.added), hotFiles.path)
    .limit(TOP);
  console.log(`\nHot files (${SCHEMA}.hot_files)\n${filesTable(files)}`);
}

/** The latest events of the hottest file that still exists, and its state. Gives back its path. */
export async function showHistory(app: Writer, db: Database): Promise<string | undefined> {
  const [file] = await db
    .select({ path: hotFiles.path })
    .from(hotFiles)
    .where(eq(hotFiles.exists, true))
    .orderBy(desc(hotFiles.commits), desc(hotFiles.added), hotFiles.path)
    .limit(1);
  if (!file) return undefined;

  const stream = streamOf(file.path);
  const latest: Parameters<typeof historyTable>[0][number][] = [];
  // `after` asks for the whole stream; without it, reading with snapshots begins at the latest of them.
  const { count } = await app.query({ stream, stream_exact: true, after: -1, with_snaps: true }, (event) => {
    latest.push(event);
    if (latest.length > TOP) latest.shift();
  });
  const shown = count > TOP ? `the latest ${TOP} of ${counted(count, "event")}` : counted(count, "event");
  console.log(`\nOne stream: ${printable(stream)} (${shown})\n${historyTable(latest)}`);

  await cache().clear();
  const { state, replayed, snaps } = await app.load(File, stream);
  const from = snaps > 0 ? "its latest snapshot" : "its first event";
  const { commits, added, removed } = state;
  console.log(
    `Loaded again from ${from}, ${counted(replayed, "row")} read: ` +
      `${counted(commits, "commit")}, +${number(added)} −${number(removed)} lines.`,
  );
  return file.path;
}

export async function showConflict(app: Writer, path: string): Promise<void> {
  console.log(`\nA conflict\n${conflictText(await provokeConflict(app, path))}`);
}

/** Compares the read models with what git says now. True when they agree. */
export async function checkReadModels(db: Database, path: string, tip: string): Promise<boolean> {
  const [fromGit, fromTables] = [await factsOfGit(path, tip), await factsOfTables(db)];
  const differences = compare(fromGit, fromTables);
  if (differences.length > 0) {
    console.log(
      `\n✗ The read models differ from git log --numstat in ${counted(differences.length, "place")}:`,
    );
    console.log(differencesText(differences));
    return false;
  }
  console.log(
    `\n✓ The read models agree with git log --numstat: ${counted(fromGit.authors.size, "author")}, ` +
      `${counted(fromGit.files.size, "file")}, every number.`,
  );
  return true;
}

export function showWhereNext(url: string | undefined): void {
  if (!url) {
    console.log(`
The server is a temporary one: it ends now, and its data with it. To keep the data and look around:
  DATABASE_URL=postgres://user:password@host:5432/database npm run demo`);
    return;
  }
  const shown = new URL(url);
  if (shown.password) shown.password = "***";
  console.log(`
The data stays, in schema ${SCHEMA}. With DATABASE_URL (${shown.href}) exported:
  psql "$DATABASE_URL" -c 'table ${SCHEMA}.author_churn' -c 'select * from ${SCHEMA}.events limit 9'
  npx drizzle-kit studio --host 127.0.0.1 --config examples/git/drizzle.config.ts
  npm run demo -- --check    # change a number in a read model, and see it fail`);
}
