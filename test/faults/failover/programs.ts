/** Programs of the system that faults need: found or not, run by an account without rights, ended with the test. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync } from "node:fs";
import net from "node:net";
import { delimiter, join } from "node:path";
import { createInterface } from "node:readline";
import type { Home } from "../../../dev/postgres/home.ts";

const folders = [...(process.env.PATH ?? "").split(delimiter), "/usr/sbin", "/usr/local/sbin"];

/** Where a program is; undefined if it is not installed. */
export const findProgram = (name: string): string | undefined =>
  folders.map((folder) => join(folder, name)).find((file) => existsSync(file));

const DEBIAN = "/usr/lib/postgresql";

/** Debian's newest PostgreSQL with all its tools; undefined if there is none. */
export function findPostgresTools(): string | undefined {
  const majors = existsSync(DEBIAN) ? readdirSync(DEBIAN).map(Number) : [];
  return majors
    .sort((a, b) => b - a)
    .map((major) => join(DEBIAN, String(major), "bin"))
    .find((folder) => existsSync(join(folder, "pg_basebackup")));
}

/** For the name of a test: why it is skipped. Empty if all are there. */
export const absent = (programs: Readonly<Record<string, string | undefined>>): string =>
  Object.entries(programs)
    .filter(([, found]) => found === undefined)
    .map(([name]) => `${name} is not installed`)
    .join(", ");

/** `title`, and why it can't run here. */
export const titled = (title: string, reason: string): string =>
  reason === "" ? title : `${title} [skipped: ${reason}]`;

export type Program = { readonly child: ChildProcess; readonly output: string[]; end(): Promise<void> };

/** Starts a program in the home, as its account. PGHOST and the like of this process are not handed on. */
export function launch(
  home: Home,
  file: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): Program {
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith("PG"));
  const child = spawn(file, args, {
    cwd: home.folder,
    ...home.account,
    env: { ...Object.fromEntries(inherited), LC_ALL: "C", ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const output: string[] = [];
  for (const stream of [child.stdout, child.stderr])
    createInterface(stream).on("line", (line) => {
      output.push(line);
      if (output.length > 200) output.shift();
    });
  // Killed with this process, too, should it end before its tests do.
  const killed = () => void child.kill("SIGKILL");
  process.once("exit", killed);
  const closed = once(child, "close").finally(() => process.off("exit", killed));
  const end = async () => {
    child.kill("SIGKILL");
    await closed;
  };
  return { child, output, end };
}

/** Runs a program to its end. */
export async function runProgram(home: Home, file: string, args: readonly string[]): Promise<void> {
  const { child, output } = launch(home, file, args);
  const [code] = await once(child, "close");
  if (code !== 0) throw new Error(`${file} ended with ${code}: ${output.join("\n")}`);
}

/** Resolves once a connection to the port is accepted, or rejects with what the program said. */
export async function accepts(port: number, { child, output }: Program): Promise<void> {
  for (let tries = 0; tries < 600; tries++) {
    if (child.exitCode !== null || child.signalCode !== null) break;
    const socket = net.connect({ host: "127.0.0.1", port });
    const open = await Promise.race([
      once(socket, "connect").then(() => true),
      once(socket, "error").then(() => false),
    ]).catch(() => false);
    socket.destroy();
    if (open) return;
    // A port that opens tells nobody.
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`Nobody listens at ${port}: ${output.join("\n")}`);
}
