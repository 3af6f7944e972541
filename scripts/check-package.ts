/**
 * `npm run check:package`: builds and packs the package as it would be published, and has publint look at its
 * package.json and attw at its types, under every way of resolving modules.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const root = join(import.meta.dirname, "..");
const home = mkdtempSync(join(tmpdir(), "act-drizzle-package-"));

function run(command: string, ...args: string[]): boolean {
  return spawnSync(command, args, { cwd: root, stdio: "inherit" }).status === 0;
}
const node = (file: string, ...args: string[]) => run(process.execPath, join(root, file), ...args);

try {
  if (
    !node("scripts/build.ts") ||
    !run("npm", "pack", "--silent", "--ignore-scripts", "--pack-destination", home)
  )
    throw new Error("the package cannot be built");
  const [name = ""] = readdirSync(home);
  const tarball = join(home, name);
  const sound = [
    node("node_modules/publint/src/cli.js", "--strict", tarball),
    node("node_modules/@arethetypeswrong/cli/dist/index.js", "--no-emoji", tarball),
  ];
  if (sound.includes(false)) process.exitCode = 1;
} finally {
  rmSync(home, { recursive: true, force: true });
}
