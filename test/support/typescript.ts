/** The compilers that users have: the one of this repository, and 5.9, which attw brings (see `overrides`). */
import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

const own = new URL("../../package.json", import.meta.url);
const attw = createRequire(own).resolve("@arethetypeswrong/core");
const tscFrom = (file: string | URL) => createRequire(file).resolve("typescript/package.json");

export const COMPILERS = (
  [
    ["7", tscFrom(own)],
    ["5.9", tscFrom(attw)],
  ] as const
).map(([version, manifest]) => ({ version, manifest }));

/** What `tsc -p <config>` complains of: nothing when all is well. */
export function compile(manifest: string, config: string, cwd: string): string {
  const tsc = fileURLToPath(new URL("bin/tsc", `file://${manifest}`));
  const { stdout, stderr, error } = spawnSync(process.execPath, [tsc, "-p", config], {
    cwd,
    encoding: "utf8",
  });
  if (error) throw error;
  return `${stdout}${stderr}`;
}
