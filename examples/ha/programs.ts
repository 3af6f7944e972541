/** Programs of the system: found, run by an account that PostgreSQL accepts, ended with this process. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { chownSync, existsSync, mkdirSync, mkdtempSync, readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { createInterface } from "node:readline";

/** The options of `spawn` that change the user: empty unless this process is root, as which PostgreSQL does not run. */
type Account = { readonly uid?: number; readonly gid?: number };

const idOf = (flag: string) => Number(execFileSync("id", [flag, "postgres"], { encoding: "utf8" }));
const account: Account = process.getuid?.() === 0 ? { uid: idOf("-u"), gid: idOf("-g") } : {};

function own(folder: string): string {
  if (account.uid !== undefined && account.gid !== undefined) chownSync(folder, account.uid, account.gid);
  return folder;
}

/** A new temporary folder that the programs may write to. */
export const createHome = (): string => own(mkdtempSync(join(tmpdir(), "act-drizzle-ha-")));

export function createFolder(path: string): void {
  mkdirSync(path, { mode: 0o700 });
  own(path);
}

/** Where a program is. */
export function findProgram(name: string): string {
  const folders = [...(process.env.PATH ?? "").split(delimiter), "/usr/sbin", "/usr/local/sbin"];
  const file = folders.map((folder) => join(folder, name)).find((path) => existsSync(path));
  if (!file) throw new Error(`${name} is not installed. README.md here says what to install`);
  return file;
}

/** The folder of Debian's newest PostgreSQL. */
export function findPostgres(): string {
  const debian = "/usr/lib/postgresql";
  const majors = existsSync(debian) ? readdirSync(debian).map(Number) : [];
  const newest = majors.sort((a, b) => b - a)[0];
  if (newest === undefined)
    throw new Error("PostgreSQL's tools are not installed: apt-get install postgresql");
  return join(debian, String(newest), "bin");
}

export type Program = { readonly child: ChildProcess; readonly output: string[]; end(): Promise<void> };

/** Starts a program in the folder. PGHOST and the like of this process are not handed on. */
export function launch(home: string, file: string, args: readonly string[], env: NodeJS.ProcessEnv): Program {
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith("PG"));
  const child = spawn(file, args, {
    cwd: home,
    ...account,
    env: { ...Object.fromEntries(inherited), LC_ALL: "C", ...env },
    stdio: ["ignore", "pipe", "pipe"],
    // A Ctrl-C is for this process, which ends the others in order.
    detached: true,
  });
  const output: string[] = [];
  for (const stream of [child.stdout, child.stderr])
    createInterface(stream).on("line", (line) => {
      output.push(line);
      if (output.length > 200) output.shift();
    });
  const kill = () => void child.kill("SIGKILL");
  process.once("exit", kill);
  const closed = once(child, "close").finally(() => process.off("exit", kill));
  return {
    child,
    output,
    end: async () => {
      kill();
      await closed;
    },
  };
}
