/** The package as npm would install it: built from a copy, packed, and installed into a project of its own. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { cp, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { inject } from "vitest";
import { oncePerRun } from "../support/once-per-run.ts";

export const root = fileURLToPath(new URL("../..", import.meta.url));
const programs = fileURLToPath(new URL("programs", import.meta.url));

/** What npm would install beside it: its dependencies, and the peers that the app has. */
export const PACKAGES = ["@opentelemetry/api", "@rotorsoft/act", "drizzle-orm", "postgres", "zod"];

type Options = { readonly cwd: string; readonly env?: Readonly<Record<string, string>> };

export function start(command: string, args: readonly string[], { cwd, env = {} }: Options): ChildProcess {
  const inherited = { ...process.env, LOG_LEVEL: "error", NODE_ENV: "production" };
  return spawn(command, args, { cwd, env: { ...inherited, ...env }, stdio: ["ignore", "pipe", "pipe"] });
}

/** What the program printed; fails with what it complained of. */
export async function run(command: string, args: readonly string[], options: Options): Promise<string> {
  const child = start(command, args, options);
  let output = "";
  let complaints = "";
  child.stdout?.on("data", (text) => {
    output += text;
  });
  child.stderr?.on("data", (text) => {
    complaints += text;
  });
  const [code] = await once(child, "close");
  if (code !== 0)
    throw new Error(`${command} ${args.join(" ")} ended with ${code}\n${output}\n${complaints}`);
  return output;
}

/** A project's node_modules: the installed package, and links to the packages of this repository. */
export async function link(project: string, packages: readonly string[]): Promise<void> {
  for (const name of packages) {
    const path = join(project, "node_modules", name);
    await mkdir(dirname(path), { recursive: true });
    await symlink(join(root, "node_modules", name), path, "junction");
  }
}

/** Builds the package from a copy of its parts, so that runs beside this one do not build into the same folder. */
async function pack(home: string): Promise<void> {
  const source = join(home, "source");
  await mkdir(source);
  const parts = ["src", "scripts", "drizzle", "docs", "README.md", "LICENSE", "CHANGELOG.md", "package.json"];
  for (const part of [...parts, "tsconfig.json", "tsconfig.build.json"])
    if (existsSync(join(root, part))) await cp(join(root, part), join(source, part), { recursive: true });
  await symlink(join(root, "node_modules"), join(source, "node_modules"), "junction");
  await run(process.execPath, ["scripts/build.ts"], { cwd: source });
  await run("npm", ["pack", "--ignore-scripts", "--pack-destination", home], { cwd: source });
}

/** A project that has the package and what it needs, and nothing else. */
export async function installPackage() {
  const packed = await oncePerRun(inject("runFolder"), "package", pack);
  const tarball = (await readdir(packed)).find((name) => name.endsWith(".tgz"));
  if (!tarball) throw new Error("npm pack has made no tarball");
  const home = await mkdtemp(join(tmpdir(), "act-drizzle-"));
  const project = join(home, "project");
  const installed = join(project, "node_modules/act-drizzle");
  await mkdir(installed, { recursive: true });
  await writeFile(
    join(project, "package.json"),
    JSON.stringify({ name: "consumer", version: "1.0.0", private: true, type: "module" }),
  );
  // Nothing is fetched: what npm would install beside it is linked.
  await run("tar", ["-xzf", join(packed, tarball), "-C", installed, "--strip-components=1"], { cwd: home });
  await link(project, PACKAGES);
  for (const program of await readdir(programs)) await cp(join(programs, program), join(project, program));
  return { home, packed, project, installed, remove: () => rm(home, { recursive: true, force: true }) };
}
