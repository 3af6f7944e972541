/** The demo's chapters after the import: what is in the tables, in one stream, in a conflict. */
import { styleText } from "node:util";
import { cache, SNAP_EVENT } from "@rotorsoft/act";
import { count, desc, eq, sql } from "drizzle-orm";
import type { PgColumn } from "drizzle-orm/pg-core";
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
  shorten,
  title,
} from "./report.ts";
import { authorChurn, type Database, hotFiles, SCHEMA } from "./tables.ts";

const TOP = 10;

export async function showReadModels(db: Database): Promise<void> {
  const churn = desc(authorChurn.added);
  const authors = await db.select().from(authorChurn).orderBy(churn, authorChurn.email).limit(TOP);
  const total = (column: PgColumn) => sql<number>`coalesce(sum(${column}), 0)`.mapWith(Number);
  const { commits, changes, added, removed } = authorChurn;
  const [all] = await db
    .select({
      people: count(),
      commits: total(commits),
      changes: total(changes),
      added: total(added),
      removed: total(removed),
    })
    .from(authorChurn);
  if (!all) return;
  console.log(`${title("Who changed how much", `${SCHEMA}.author_churn`)}\n${authorsTable(authors, all)}`);
  const heat = desc(hotFiles.commits);
  const files = await db
    .select()
    .from(hotFiles)
    .orderBy(heat, desc(hotFiles.added), hotFiles.path)
    .limit(TOP);
  console.log(`${title("The files that changed most often", `${SCHEMA}.hot_files`)}\n${filesTable(files)}`);
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
  let snapshots = 0;
  const { count: all } = await app.query(
    { stream, stream_exact: true, after: -1, with_snaps: true },
    (event) => {
      latest.push(event);
      if (isSnapshot(event)) snapshots++;
      if (latest.length > TOP) latest.shift();
    },
  );
  const rows = `${counted(all - snapshots, "event")} and ${counted(snapshots, "snapshot")}`;
  const shown = all > TOP ? `${rows}, the latest ${TOP}` : rows;
  console.log(`${title(`One of the files as a stream (${shown})`)}\n${shorten(stream, 80, "end")}`);
  console.log(historyTable(latest));

  await cache().clear();
  const { state, replayed, snaps } = await app.load(File, stream);
  const from = snaps > 0 ? "the latest snapshot" : "the first event";
  const { commits, added, removed } = state;
  console.log(
    `Its state, loaded from ${from} on (${counted(replayed, "row")} read):\n` +
      `${counted(commits, "commit")}, +${number(added)} −${number(removed)} lines.`,
  );
  return file.path;
}

const isSnapshot = ({ name }: { readonly name: string }) => name === SNAP_EVENT;

export async function showConflict(app: Writer, path: string): Promise<void> {
  console.log(`${title("A conflict")}\n${conflictText(await provokeConflict(app, path))}`);
}

/** Compares the read models with what git says now. True when they agree. */
export async function checkReadModels(db: Database, path: string, tip: string): Promise<boolean> {
  const [fromGit, fromTables] = [await factsOfGit(path, tip), await factsOfTables(db)];
  const differences = compare(fromGit, fromTables);
  if (differences.length > 0) {
    const places = counted(differences.length, "place");
    console.log(`\n${styleText("red", `✗ The read models differ from git log --numstat in ${places}:`)}`);
    console.log(differencesText(differences));
    return false;
  }
  const [authors, files] = [counted(fromGit.authors.size, "author"), counted(fromGit.files.size, "file")];
  console.log(`\n${styleText("green", "✓ The read models agree with git log --numstat:")}`);
  console.log(`  ${authors}, ${files}, every number.`);
  return true;
}

/** `url`: the server that keeps the data; undefined where it is a temporary one. */
export function showWhereNext(url: string | undefined): void {
  if (url) {
    const shown = new URL(url);
    if (shown.password) shown.password = "***";
    console.log(`${title("What next: look around")}
The data stays, in schema ${SCHEMA}. With DATABASE_URL exported
(${shorten(shown.href, 76, "start")}):
  psql "$DATABASE_URL" -c 'table ${SCHEMA}.author_churn'
  npx act-drizzle console --schema ${SCHEMA}   # the log, streams and reactions
  npm run studio             # the tables in your browser
  npm run demo -- --check    # change a number in a read model, and see it fail`);
  } else {
    console.log(`${title("What next: look around")}
The temporary server ends now, and its data with it.
  npm run demo -- --console  # to look at it in the browser first
To keep the data:
  npm run postgres           # in another terminal; prints a DATABASE_URL
  DATABASE_URL=postgres://… npm run demo`);
  }
  console.log(`${title("What next: build your own", "README.md, First app")}
  mkdir ../my-app && cp examples/counter/counter.ts ../my-app/
  npm pack --pack-destination ../my-app && cd ../my-app
  npm init -y && npm pkg set type=module description="My app" author="Me"
  npm install ./act-drizzle-*.tgz @rotorsoft/act zod
  DATABASE_URL=postgres://… node counter.ts
More to start from: examples/README.md`);
}
