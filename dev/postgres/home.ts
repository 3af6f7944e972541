/**
 * PostgreSQL refuses to run as root, as which tests run in most containers of CI. Its processes are then
 * given to an account without rights, which must be able to reach their folder.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { chownSync, existsSync, mkdtempSync, rmSync, statfsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

/** The options of `spawn` that change the user; empty where this process is not root. */
export type Account = { readonly uid?: number; readonly gid?: number };

export type Home = { readonly folder: string; readonly account: Account };

/** A new temporary folder, and the account that owns it and may run PostgreSQL in it. */
export function createHome(): Home {
  if (process.getuid?.() !== 0) return { folder: createFolder(tmpdir()), account: {} };

  for (const account of unprivilegedAccounts()) {
    for (const parent of new Set([tmpdir(), "/tmp", "/var/tmp"])) {
      const folder = createFolderFor(account, parent);
      if (folder !== undefined) return { folder, account };
    }
  }
  throw new Error(
    "PostgreSQL does not run as root, and no unprivileged account (nobody, postgres, daemon) can be used. " +
      "Run as another user, or set TEST_DATABASE_URL (tests) or DATABASE_URL (demo) to a running server.",
  );
}

/** Undefined where the account does not get at it. */
function createFolderFor({ uid, gid }: Account, parent: string): string | undefined {
  const folder = createFolder(parent);
  if (uid === undefined || gid === undefined) return folder;
  chownSync(folder, uid, gid);
  // Proves both: that this process may become that user, and that the user reaches the folder.
  const probe = spawnSync("/bin/sh", ["-c", ": > probe && rm probe"], { cwd: folder, uid, gid });
  if (probe.status === 0) return folder;
  rmSync(folder, { recursive: true, force: true });
  return undefined;
}

/** A test run at its usual size holds less than half a gigabyte; what else runs needs the rest. */
const ROOM = 4 * 2 ** 30;
const MEMORY = "/dev/shm";

/**
 * A new folder in memory for the account, or undefined where there is not plenty (Docker gives its containers 64 MB).
 * Programs may not be allowed to run in it. Files of a database come and go by the thousand, which costs disks
 * and their file systems a tenth of a test run, whether or not anything is synced.
 */
export function createFolderInMemory(account: Account): string | undefined {
  try {
    const { bavail, bsize } = statfsSync(MEMORY);
    if (Math.min(bavail * bsize, process.availableMemory()) < ROOM) return undefined;
    return createFolderFor(account, MEMORY);
  } catch {
    // Not Linux, or not for us.
    return undefined;
  }
}

/** Deletes them, also when a process that is just ending still puts files into them. */
export async function removeFolders(...folders: string[]): Promise<void> {
  for (const folder of folders) await removeFolder(folder);
}

async function removeFolder(folder: string): Promise<void> {
  for (let tries = 0; existsSync(folder) && tries < 100; tries++) {
    // The process that is ending tells nobody here.
    if (tries > 0) await delay(50);
    try {
      rmSync(folder, { recursive: true, force: true });
    } catch {
      // ENOTEMPTY, or EBUSY on Windows: again.
    }
  }
}

const createFolder = (parent: string) => mkdtempSync(join(parent, "act-drizzle-pg-"));

function* unprivilegedAccounts(): Generator<{ uid: number; gid: number }> {
  for (const name of ["nobody", "postgres", "_postgres", "daemon"]) {
    try {
      // `| 0`: nobody is 4294967294 on macOS, which spawn wants as the int32 -2.
      const id = (flag: string) => Number(execFileSync("id", [flag, name], { stdio: "pipe" })) | 0;
      yield { uid: id("-u"), gid: id("-g") };
    } catch {
      // No such account here.
    }
  }
}
