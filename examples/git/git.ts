/**
 * Reads a repository's history with git's own command line, as it is written: memory stays flat
 * whatever the size of the history, and git waits when the reader does.
 *
 * One line of history is read, from the root along the first parents. A merge counts once, as what
 * it changed on that line, so that every file has one linear history, as an event stream has.
 */
import { spawn } from "node:child_process";

/** What happened to one path in one commit. Binary files have no lines: both counts are 0. */
export type Change = {
  readonly kind: "added" | "changed" | "deleted" | "renamed";
  readonly path: string;
  /** The former path of a renamed file. */
  readonly from?: string;
  readonly added: number;
  readonly removed: number;
  readonly binary: boolean;
};

export type Commit = {
  readonly sha: string;
  readonly email: string;
  readonly name: string;
  readonly authored: Date;
  readonly changes: readonly Change[];
};

export type Repository = {
  readonly path: string;
  /** The commit to read up to: HEAD moves when somebody commits meanwhile. Undefined: no commits. */
  readonly tip?: string;
  /** On the first-parent line, up to the tip. */
  readonly commits: number;
  /** A clone with `--depth`: its oldest commit looks as if it had added everything. */
  readonly shallow: boolean;
};

/** Something to tell the user in one line, without a stack. */
export class GitError extends Error {
  override readonly name = "GitError";
}

// Whatever the user configured, and whatever hook this runs in, the same history is read.
const SETTINGS = ["log.showRoot=true", "log.showSignature=false", "log.mailmap=false"];
const { GIT_DIR: _, GIT_WORK_TREE: __, GIT_INDEX_FILE: ___, ...ENV } = process.env;

/** `git log` along the first parents, renames found and copies not; what to print is up to the caller. */
export const logArguments = (tip: string, ...print: string[]): string[] => [
  ...["log", tip, "--first-parent", "-m", "-M", "-z", "--encoding=UTF-8", "--no-color"],
  ...["--no-ext-diff", "--no-textconv", "--no-relative", "--ignore-submodules=none", ...print],
];

/** Runs git in a folder and yields its output as it comes. Leaving the loop early ends git. */
export async function* git(folder: string, args: string[]): AsyncGenerator<Buffer> {
  const settings = SETTINGS.flatMap((setting) => ["-c", setting]);
  const child = spawn("git", ["--no-pager", "--no-replace-objects", ...settings, ...args], {
    cwd: folder,
    env: { ...ENV, LC_ALL: "C", GIT_OPTIONAL_LOCKS: "0" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let errors = "";
  child.stderr.on("data", (chunk: Buffer) => {
    errors += chunk;
  });
  const ended = new Promise<number | null>((resolve) => {
    child.once("error", (error) => {
      errors = `Cannot run git in ${folder} (${error.message}). Is git installed, and is this a folder?`;
      resolve(-1);
    });
    child.once("close", resolve);
  });
  try {
    yield* child.stdout;
    const code = await ended;
    if (code !== 0) throw new GitError(errors.trim() || `git ${args[0]} ended with ${code ?? "a signal"}`);
  } finally {
    child.kill();
  }
}

async function ask(folder: string, ...args: string[]): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of git(folder, args)) chunks.push(chunk);
  return Buffer.concat(chunks).toString().trim();
}

/** Looks at a repository; `limit` keeps only its oldest commits. Throws GitError where there is none. */
export async function openRepository(path: string, limit = Number.POSITIVE_INFINITY): Promise<Repository> {
  const shallow = (await ask(path, "rev-parse", "--is-shallow-repository")) === "true";
  const head = await ask(path, "rev-parse", "--verify", "--quiet", "HEAD^{commit}").catch(() => undefined);
  if (!head) return { path, commits: 0, shallow };
  const all = Number(await ask(path, "rev-list", "--first-parent", "--count", head));
  const commits = Math.min(all, limit);
  const skip = `--skip=${all - commits}`;
  const tip = await ask(path, "rev-list", "--first-parent", "--max-count=1", skip, head);
  return { path, tip, commits, shallow };
}

/** The commits from the root to the tip, each with what it did to its files. */
export async function* readCommits(path: string, tip: string): AsyncGenerator<Commit> {
  const format = "--format=%x01%H%n%at%n%ae%n%an";
  const args = logArguments(tip, "--reverse", "--raw", "--abbrev=40", "--numstat", format);
  const tokens = splitNul(git(path, args));
  const nextPath = async () =>
    decodePath((await tokens.next()).value ?? fail("its output ends amid a commit"));

  // A commit is its header, a --raw entry per file (what happened), a --numstat entry per file (lines).
  let commit: (Commit & { changes: Change[] }) | undefined;
  let kinds = new Map<string, Change["kind"]>();
  for (let token = await tokens.next(); !token.done; token = await tokens.next()) {
    const entry = withoutLineFeed(token.value);
    if (entry[0] === 0x01) {
      if (commit) yield commit;
      commit = { ...parseHeader(entry.toString("utf8", 1)), changes: [] };
      kinds = new Map();
    } else if (entry[0] === 0x3a) {
      const kind = parseKind(entry.toString());
      const first = await nextPath();
      kinds.set(kind === "renamed" ? await nextPath() : first, kind);
    } else if (entry.length > 0) {
      const { path: named, ...lines } = parseNumstat(entry);
      const from = named === "" ? await nextPath() : undefined;
      const to = named || (await nextPath());
      const kind = kinds.get(to) ?? fail(`it counts lines of ${JSON.stringify(to)}, and lists no change`);
      commit?.changes.push({ kind, path: to, from, ...lines });
    }
  }
  if (commit) yield commit;
}

/** The paths that exist at a commit. */
export async function* listFiles(path: string, tip: string): AsyncGenerator<string> {
  const args = ["ls-tree", "-r", "-z", "--name-only", "--full-tree", tip];
  for await (const file of splitNul(git(path, args))) yield decodePath(file);
}

/** Cuts a stream into the pieces that end in NUL. */
export async function* splitNul(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer, undefined> {
  let rest: Buffer[] = [];
  for await (const chunk of chunks) {
    let start = 0;
    for (let end = chunk.indexOf(0); end >= 0; end = chunk.indexOf(0, start)) {
      const piece = chunk.subarray(start, end);
      yield rest.length > 0 ? Buffer.concat([...rest, piece]) : piece;
      rest = [];
      start = end + 1;
    }
    if (start < chunk.length) rest.push(chunk.subarray(start));
  }
  if (rest.length > 0) yield Buffer.concat(rest);
}

/** Git keeps bytes, PostgreSQL keeps UTF-8: a name in another encoding is written with \xNN escapes. */
export function decodePath(bytes: Buffer): string {
  const text = bytes.toString();
  if (!text.includes("\uFFFD") || Buffer.from(text).equals(bytes)) return text;
  return bytes.toString("latin1").replace(/[\x80-\xff]/g, (c) => `\\x${c.charCodeAt(0).toString(16)}`);
}

/** The lines and the path of a --numstat entry; the path is empty when two follow (a rename). */
export function parseNumstat(entry: Buffer) {
  const tab = entry.indexOf(0x09);
  const tab2 = entry.indexOf(0x09, tab + 1);
  const [added, removed] = [entry.toString("utf8", 0, tab), entry.toString("utf8", tab + 1, tab2)];
  const binary = added === "-";
  const path = decodePath(entry.subarray(tab2 + 1));
  return { path, added: binary ? 0 : Number(added), removed: binary ? 0 : Number(removed), binary };
}

/** With -z, git still writes a line feed between the header of a commit and its first entry. */
export const withoutLineFeed = (entry: Buffer): Buffer => (entry[0] === 0x0a ? entry.subarray(1) : entry);

function parseHeader(header: string): Omit<Commit, "changes"> {
  const [sha = "", seconds = "", email = "", name = ""] = header.split("\n");
  const authored = new Date(Number(seconds) * 1000);
  // Some old importers wrote dates that no calendar has.
  return { sha, email, name, authored: Number.isNaN(authored.getTime()) ? new Date(0) : authored };
}

const KINDS: Readonly<Record<string, Change["kind"]>> = {
  A: "added",
  D: "deleted",
  R: "renamed",
  M: "changed",
  T: "changed",
};

/** `:100644 100644 <old> <new> M`; a change of type (file to link) is a change, too. */
function parseKind(entry: string): Change["kind"] {
  const status = entry.split(" ")[4]?.[0] ?? "";
  return KINDS[status] ?? fail(`it reports the unknown status ${JSON.stringify(status)}`);
}

function fail(what: string): never {
  throw new GitError(`Cannot understand git log: ${what}`);
}
