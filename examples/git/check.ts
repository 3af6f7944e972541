/**
 * Asks git a second time, in another way than the import did (newest first, --numstat only, sums
 * instead of events; the files that exist from the tree), and compares with the read models.
 */
import { decodePath, git, listFiles, logArguments, parseNumstat, splitNul, withoutLineFeed } from "./git.ts";
import { authorChurn, type Database, hotFiles } from "./tables.ts";

type Counts = Record<"commits" | "changes" | "added" | "removed", number>;
type FileCounts = Omit<Counts, "changes"> & { exists: boolean };

export type Facts = {
  readonly authors: Map<string, Counts>;
  readonly files: Map<string, FileCounts>;
};

export type Difference = {
  readonly what: string;
  readonly field: string;
  readonly git: unknown;
  readonly table: unknown;
};

export async function factsOfGit(path: string, tip: string): Promise<Facts> {
  const authors = new Map<string, Counts>();
  const files = new Map<string, FileCounts>();
  const author = (email: string) =>
    getOrAdd(authors, email, () => ({ commits: 0, changes: 0, added: 0, removed: 0 }));
  const file = (name: string) =>
    getOrAdd(files, name, () => ({ commits: 0, added: 0, removed: 0, exists: false }));

  let email = "";
  let first = false;
  const tokens = splitNul(git(path, logArguments(tip, "--numstat", "--format=%x01%ae")));
  const nextPath = async () => decodePath((await tokens.next()).value ?? Buffer.alloc(0));
  for (let token = await tokens.next(); !token.done; token = await tokens.next()) {
    const entry = withoutLineFeed(token.value);
    if (entry.length === 0) continue;
    if (entry[0] === 0x01) {
      email = entry.toString("utf8", 1);
      first = true;
      continue;
    }
    const { path: name, added, removed } = parseNumstat(entry);
    const by = author(email);
    if (first) by.commits++;
    first = false;
    const renamed = name === "";
    if (renamed) {
      file(await nextPath()).commits++;
      by.changes++;
    }
    const to = file(renamed ? await nextPath() : name);
    for (const counts of [by, to]) {
      counts.added += added;
      counts.removed += removed;
    }
    to.commits++;
    by.changes++;
  }
  for await (const name of listFiles(path, tip)) file(name).exists = true;
  return { authors, files };
}

export async function factsOfTables(db: Database): Promise<Facts> {
  const authors = await db.select().from(authorChurn);
  const files = await db.select().from(hotFiles);
  return {
    authors: new Map(authors.map(({ email, name: _, ...counts }) => [email, counts])),
    files: new Map(files.map(({ path, stream: _, ...counts }) => [path, counts])),
  };
}

/** One entry per number that differs, or per row that only one side has. */
export function compare(fromGit: Facts, fromTables: Facts): Difference[] {
  return [
    ...differences("author", fromGit.authors, fromTables.authors),
    ...differences("file", fromGit.files, fromTables.files),
  ];
}

function* differences<Row extends object>(
  kind: string,
  fromGit: Map<string, Row>,
  fromTables: Map<string, Row>,
): Generator<Difference> {
  for (const key of new Set([...fromGit.keys(), ...fromTables.keys()])) {
    const [git, table] = [fromGit.get(key), fromTables.get(key)];
    const what = `${kind} ${key}`;
    if (!git || !table) {
      yield { what, field: "row", git: git ? "there" : "missing", table: table ? "there" : "missing" };
      continue;
    }
    const other = new Map(Object.entries(table));
    for (const [field, value] of Object.entries(git)) {
      if (value !== other.get(field)) yield { what, field, git: value, table: other.get(field) };
    }
  }
}

function getOrAdd<Value>(map: Map<string, Value>, key: string, create: () => Value): Value {
  const found = map.get(key) ?? create();
  map.set(key, found);
  return found;
}
