import { fork } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test, vi } from "vitest";
import { createFolderInMemory } from "../../dev/postgres/home.ts";
import { startPostgres } from "../../dev/postgres/index.ts";
import { titled } from "../faults/failover/programs.ts";
import { connect, createDatabase } from "../support/database.ts";

test("the server of the run answers, in UTF-8, on a database of the test's own", async () => {
  const database = await createDatabase();
  const sql = connect(database.url);
  try {
    const [row] = await sql`select version(), current_setting('server_encoding') as encoding`;
    expect(row?.version).toMatch(/^PostgreSQL \d+/);
    expect(row?.encoding).toBe("UTF8");
  } finally {
    await sql.end();
    await database.drop();
  }
});

// SIGKILL gives the process no chance to clean up; Ctrl-C reaches its whole process group.
test.each([
  { end: "SIGKILL", target: (pid: number) => pid, data: "on disk" },
  { end: "SIGINT", target: (pid: number) => -pid, data: "in memory" },
] as const)("a run that ends by $end leaves neither its embedded server nor its data, $data", async (row) => {
  const hold = fileURLToPath(new URL("../../dev/postgres/fixtures/hold.ts", import.meta.url));
  const run = fork(hold, [row.data], { detached: true });
  const [{ pid, dataDir, folders }] = await once(run, "message");
  expect(isAlive(pid)).toBe(true);
  expect(existsSync(dataDir)).toBe(true);
  expect(folders).toContain(dirname(dataDir));

  process.kill(row.target(Number(run.pid)), row.end);

  await vi.waitUntil(() => !isAlive(pid) && !folders.some(existsSync), { timeout: 15_000 });
});

test("data is held in memory on request, where there is plenty, and deleted from there", async () => {
  const server = await startPostgres({ prefer: "embedded", inMemory: true });
  const folders = [...(server.folders ?? [])];
  const room = createFolderInMemory({});
  if (room) rmSync(room, { recursive: true });
  expect(dirname(dirname(String(server.dataDir)))).toBe(room ? "/dev/shm" : dirname(String(folders[0])));
  expect(folders).toHaveLength(room ? 2 : 1);
  await server.stop();
  expect(folders.filter(existsSync)).toEqual([]);
});

const isLinux = process.platform === "linux";
const unguarded = titled(
  "a server whose guard is killed is ended by the run",
  isLinux ? "" : "finds the guard in /proc, which only Linux has",
);

test.skipIf(!isLinux)(unguarded, async () => {
  const server = await startPostgres({ prefer: "embedded", inMemory: true });
  const [, guard] = /PPid:\s*(\d+)/.exec(readFileSync(`/proc/${server.pid}/status`, "utf8")) ?? [];
  process.kill(Number(guard), "SIGKILL");
  await vi.waitUntil(() => !server.folders?.some(existsSync), { timeout: 15_000 });
  await server.stop();
});

test("what was committed is there after the embedded server was killed and started again", async () => {
  const server = await startPostgres({ prefer: "embedded", durable: true });
  try {
    const before = connect(server.url);
    await before`create table kept as select 42 as answer`;
    await before.end();
    await server.restart?.("kill");
    const after = connect(server.url);
    expect(await after`select answer from kept`).toEqual([{ answer: 42 }]);
    await after.end();
  } finally {
    await server.stop();
  }
  expect(existsSync(dirname(String(server.dataDir)))).toBe(false);
});

test("a server that cannot start says why", async () => {
  const start = startPostgres({ prefer: "embedded", settings: { shared_buffers: "plenty" } });
  await expect(start).rejects.toThrow(/invalid value for parameter "shared_buffers": "plenty"/);
});

test("what is not a URL is not printed, since it may hold a password", async () => {
  const start = startPostgres({ url: "postgres://someone:hu#sh@:5432" });
  await expect(start).rejects.toThrow(/^Not the URL of a server: postgres:\/\/user:password@host/);
});

test("a URL without a server behind it is named, without its password", async () => {
  const start = startPostgres({ url: "postgres://someone:hush@127.0.0.1:1/nowhere" });
  await expect(start).rejects.toThrow("No PostgreSQL at 127.0.0.1:1/nowhere");
});

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    // EPERM: alive, and another user's.
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}
