/** One file with all that a worker needs: it starts in a fraction of the time, which the many starts are worth. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { onTestFinished } from "vitest";

/** Returns its path. It is deleted when the test ends. */
export async function bundled(worker: URL): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), "act-drizzle-worker-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const outfile = join(folder, "worker.mjs");
  const require = `import { createRequire as requireOf } from "node:module"; const require = requireOf(import.meta.url);`;
  await build({
    entryPoints: [fileURLToPath(worker)],
    outfile,
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node22",
    external: ["pg-native"],
    banner: { js: require },
  });
  return outfile;
}
