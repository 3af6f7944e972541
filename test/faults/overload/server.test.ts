/** A server that has run out of something: room on its disk, connections. */
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chownSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type postgres from "postgres";
import { expect, onTestFinished, test } from "vitest";
import { type RunningPostgres, startPostgres } from "../../../dev/postgres/index.ts";
import { PostgresStore } from "../../../src/index.ts";
import { event, failureOf, meta } from "../../postgres/fixture.ts";
import { connect } from "../../support/database.ts";
import { titled } from "../failover/programs.ts";
import { backToNormal, FaultRun } from "../kit/fault-run.ts";
import { scale, TIMEOUT } from "../kit/scale.ts";

async function serverWith(settings: Record<string, string>): Promise<RunningPostgres> {
  const server = await startPostgres({ prefer: "embedded", settings });
  onTestFinished(() => server.stop());
  return server;
}

/** A folder on a disk of its own; undefined where this process may not mount one. */
function mountDisk(
  megabytes: number,
): { folder: string; resize(megabytes: number): void; end(): void } | undefined {
  const folder = mkdtempSync(join(tmpdir(), "act-disk-"));
  const mount = (...args: string[]) => execFileSync("mount", args, { stdio: "pipe" });
  try {
    mount("-t", "tmpfs", "-o", `size=${megabytes}m`, "tmpfs", folder);
  } catch {
    rmSync(folder, { recursive: true });
    return undefined;
  }
  return {
    folder,
    resize: (to) => mount("-o", `remount,size=${to}m`, folder),
    end: () => {
      execFileSync("umount", ["-l", folder]);
      rmSync(folder, { recursive: true });
    },
  };
}

const probe = process.platform === "linux" && process.getuid?.() === 0 ? mountDisk(1) : undefined;
probe?.end();
const fill = titled(
  "a full disk refuses commits, loses nothing, and they go on once there is room",
  probe ? "" : "this process may not mount a tmpfs",
);

test.skipIf(!probe)(
  fill,
  async () => {
    const ROUNDS = scale(1, 5);
    /** MB; an empty database takes 8 of them. */
    const SIZE = scale(14, 24);
    const faultRun = new FaultRun({ item: 7, fault: "disk of the database full" });
    const server = await serverWith({});
    const disk = mountDisk(SIZE);
    if (!disk || !server.dataDir) throw new Error("there is a disk and a folder");
    onTestFinished(() => disk.end());
    const { uid, gid } = statSync(server.dataDir);
    chownSync(disk.folder, uid, gid);
    const sql = connect(server.url);
    await sql.unsafe(`create tablespace small location '${disk.folder}'`);
    await sql.unsafe("create database small tablespace small");
    await sql.end();
    const url = new URL(server.url);
    url.pathname = "/small";
    const store = new PostgresStore({ url: url.href, application_name: "full", max: 5 });
    onTestFinished(() => store.dispose());
    await store.seed();
    const big = (stream: string) =>
      faultRun.ledger.through(store.config, stream, 1, (token) => {
        const data = { token, part: 0, fill: randomBytes(30_000).toString("base64") };
        return store.commit(stream, [{ name: "Big", data }], { correlation: token, causation: {} });
      });
    let size = SIZE;
    for (let round = 0; round < ROUNDS; round++) {
      for (let n = 0; faultRun.ledger.failed.size < 20 * (round + 1); n++)
        await Promise.all(Array.from({ length: 4 }, (_, k) => big(`s${n % 3}-${k}`)));
      const { error } = await failureOf(
        store.commit("s", [event("Big", { fill: randomBytes(300_000).toString("base64") })], meta),
      );
      expect(error).toMatchObject({
        name: "ERR_STORE",
        cause: { name: "DatabaseError", code: "53100", message: expect.stringContaining("disk is full") },
      });
      // What is there is read all the same.
      expect(await store.query(() => {})).toBe(faultRun.ledger.acknowledged.size);
      size += SIZE;
      disk.resize(size);
      const before = faultRun.ledger.acknowledged.size;
      await big("after");
      expect(faultRun.ledger.acknowledged.size).toBe(before + 1);
    }
    await faultRun.conclude(url.href, { load: "4 writers of 40 KB events", injected: ROUNDS });
    await backToNormal(url.href, [store]);
  },
  TIMEOUT,
);

test(
  "a server without a free connection says so, serves those it has, and all once there is one",
  async () => {
    const faultRun = new FaultRun({ item: 7, fault: "max_connections exhausted" });
    const server = await serverWith({ max_connections: "12", superuser_reserved_connections: "0" });
    const limits = { max: 3, connectionTimeoutMillis: 2_000 };
    const known = new PostgresStore({ url: server.url, application_name: "known", ...limits });
    const late = new PostgresStore({ url: server.url, application_name: "late", ...limits });
    onTestFinished(async () => void (await Promise.all([known.dispose(), late.dispose()])));
    await known.seed();
    await faultRun.ledger.commit(known, "s");
    const hogs: postgres.Sql[] = [];
    onTestFinished(async () => void (await Promise.all(hogs.map((hog) => hog.end({ timeout: 1 })))));
    for (let full = false; !full; ) {
      const hog = connect(server.url);
      hogs.push(hog);
      full = await hog`select 1`.then(
        () => false,
        (error: unknown) => error instanceof Error && error.message.includes("too many clients"),
      );
    }
    const calls = { query: () => late.query(() => {}), commit: () => late.commit("s", [event()], meta) };
    for (const [operation, call] of Object.entries(calls)) {
      const { error, millis } = await failureOf(call());
      expect(error).toMatchObject({
        name: "ERR_STORE",
        operation,
        cause: { name: "DatabaseError", code: "53300", message: expect.stringContaining("max") },
      });
      expect(millis).toBeLessThan(3_000);
    }
    // The connections that it has are its own.
    const rounds = scale(20, 500);
    for (let n = 0; n < rounds; n++) {
      await faultRun.ledger.commit(known, `s${n % 3}`);
      await faultRun.ledger.commit(late, `s${n % 3}`);
    }
    expect(faultRun.ledger.acknowledged.size).toBe(rounds + 1);
    await Promise.all(hogs.map((hog) => hog.end({ timeout: 1 })));
    await backToNormal(server.url, [known, late]);
    await faultRun.ledger.commit(late, "s");
    await faultRun.conclude(server.url, { load: "2 stores, one connected before", injected: 1 });
  },
  TIMEOUT,
);
