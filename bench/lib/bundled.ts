/** Runs a script of this benchmark as users run the package: bundled, in a process of its own. */
import { fork } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { rm } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

/** Bundles a script into a file, which the caller removes. */
export async function bundle(script: string): Promise<string> {
  const entry = fileURLToPath(new URL(`../${script}`, import.meta.url));
  // Beside the script, so that it finds the packages.
  const file = `${entry}.${process.pid}.${randomUUID().slice(0, 8)}.mjs`;
  await build({
    entryPoints: [entry],
    outfile: file,
    bundle: true,
    packages: "external",
    format: "esm",
    platform: "node",
    target: "node22",
    logLevel: "error",
  });
  return file;
}

/** Sends `params` to the script, and resolves to its first message. */
export async function runBundled<T>(script: string, params: object): Promise<T> {
  const file = await bundle(script);
  try {
    const child = fork(file, { env: { ...process.env, LOG_LEVEL: "fatal" } });
    const exit = once(child, "exit");
    child.send(params);
    const [result] = await Promise.race([
      once(child, "message"),
      exit.then(() => Promise.reject(new Error(`${script} ended without a result`))),
    ]);
    await exit;
    return result;
  } finally {
    await rm(file, { force: true });
  }
}
