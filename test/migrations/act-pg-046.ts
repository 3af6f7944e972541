/** The published act-pg 0.4.6, installed from npm when a test asks for it: it is no dependency of this package. */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import type { Committed, EventMeta, Message, Query, Schemas } from "@rotorsoft/act";
import { onTestFinished, type TestContext } from "vitest";
import type { TableName } from "../order/lock.ts";

const packages = ["@rotorsoft/act-pg@0.4.6", "@rotorsoft/act@0.5.6"];
const home = join(tmpdir(), "act-drizzle-act-pg-0.4.6");
const entry = join(home, "node_modules/@rotorsoft/act-pg/dist/index.js");

type Event = Committed<Schemas, string>;
export type OldLease = { stream: string; by: string; at: number; retry: number; block: boolean };

/** Its Store port, as the framework of its time knew it. */
export type OldStore = {
  seed(): Promise<void>;
  dispose(): Promise<void>;
  commit(
    stream: string,
    msgs: Message<Schemas, string>[],
    meta: EventMeta,
    version?: number,
  ): Promise<Event[]>;
  query(callback: (event: Event) => void, query?: Query): Promise<number>;
  fetch(limit: number): Promise<{ streams: string[]; events: Event[] }>;
  lease(leases: OldLease[]): Promise<OldLease[]>;
  ack(leases: OldLease[]): Promise<void>;
};

async function install(): Promise<void> {
  if (existsSync(entry)) return;
  const folder = await mkdtemp(join(tmpdir(), "act-drizzle-npm-"));
  try {
    await writeFile(join(folder, "package.json"), '{ "private": true }\n');
    const args = ["install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline", ...packages];
    await promisify(execFile)("npm", args, { cwd: folder, timeout: 120_000 });
    await mkdir(home, { recursive: true });
    await rename(join(folder, "node_modules"), join(home, "node_modules"));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** A store of 0.4.6. Without a registry the test is skipped, but not in CI. */
export async function openOld({ url, schema, table }: TableName, context: TestContext): Promise<OldStore> {
  try {
    await install();
  } catch (error) {
    // Another file may have been quicker.
    if (!existsSync(entry)) {
      if (process.env.CI) throw error;
      context.skip("act-pg 0.4.6 can't be had from npm");
    }
  }
  const { PostgresStore }: { PostgresStore: new (config: object) => OldStore } = await import(
    pathToFileURL(entry).href
  );
  const { hostname, port, username, password, pathname } = new URL(url);
  const store = new PostgresStore({
    host: hostname,
    port: Number(port || 5432),
    database: decodeURIComponent(pathname.slice(1)),
    user: decodeURIComponent(username),
    password: decodeURIComponent(password),
    schema,
    table,
  });
  onTestFinished(() => store.dispose());
  return store;
}
