/** A release from the repository's history, unpacked to run beside the sources of today. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

/** Release 0.1.0: schema 2. */
export const PREVIOUS_RELEASE = "474eab03ef04486e1989a44a8b2b8f33c37d3ba9";

const root = join(import.meta.dirname, "../..");

/** The sources that stand here. */
export const thisRelease = pathToFileURL(join(root, "src/index.ts")).href;

/** False in a shallow clone, or in sources without their repository. */
export function hasCommit(commit: string): boolean {
  try {
    execFileSync("git", ["cat-file", "-e", `${commit}^{commit}`], { cwd: root, stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

export type Release = { /** URL of its module. */ readonly url: string; remove(): void };

/** Node runs the unpacked TypeScript as it is. Its packages are the ones of today. */
export function unpack(commit: string): Release {
  const folder = mkdtempSync(join(tmpdir(), "act-drizzle-release-"));
  const archive = execFileSync("git", ["archive", commit, "src", "package.json"], {
    cwd: root,
    maxBuffer: 64 * 2 ** 20,
  });
  execFileSync("tar", ["-x", "-f", "-", "-C", folder], { input: archive });
  symlinkSync(join(root, "node_modules"), join(folder, "node_modules"), "junction");
  return {
    url: pathToFileURL(join(folder, "src/index.ts")).href,
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}
