/**
 * Peers from npm, installed on demand into the temp folder: none is a dependency. They are shown where
 * their interfaces allow, and judged against nothing.
 */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import type { Query, Store } from "@rotorsoft/act";
import type { OpenOptions, Subject } from "../lib/types.ts";

const run = promisify(execFile);

/** `npm install` of exact versions, once; returns the URL of a package's entry. */
async function install(folder: string, packages: readonly string[], entry: string): Promise<string> {
  const home = join(tmpdir(), "act-drizzle-bench-peers", folder);
  const file = join(home, "node_modules", entry);
  if (!existsSync(file)) {
    await mkdir(home, { recursive: true });
    await writeFile(join(home, "package.json"), '{ "private": true, "type": "module" }\n');
    await run("npm", ["install", "--no-audit", "--no-fund", "--save-exact", ...packages], { cwd: home });
  }
  return pathToFileURL(file).href;
}

/** The old interface: no claim, and load's snapshots are asked for by a third argument. */
type OldStore = Pick<Store, "seed" | "dispose" | "commit"> & {
  query(callback: (event: never) => void, query?: Query, withSnaps?: boolean): Promise<number>;
};

const oldActPg: Subject = {
  id: "act-pg-0.4.6",
  title: "@rotorsoft/act-pg 0.4.6",
  sql: true,
  async open({ url, schema, table = "events", max = 20 }: OpenOptions): Promise<Store> {
    const entry = await install(
      "act-pg-0.4.6",
      ["@rotorsoft/act-pg@0.4.6", "@rotorsoft/act@0.5.6"],
      "@rotorsoft/act-pg/dist/index.js",
    );
    const { PostgresStore }: { PostgresStore: new (config: object) => OldStore } = await import(entry);
    const { hostname, port, username, password, pathname } = new URL(url);
    const inner = new PostgresStore({
      host: hostname,
      port: Number(port || 5432),
      database: pathname.slice(1),
      user: decodeURIComponent(username),
      password: decodeURIComponent(password),
      schema,
      table,
      max,
    });
    const query: Store["query"] = (callback, query) => inner.query(callback, query, query?.with_snaps);
    const verbs: Pick<Store, "seed" | "dispose" | "commit" | "query"> = {
      seed: () => inner.seed(),
      dispose: () => inner.dispose(),
      commit: (stream, msgs, meta, version) => inner.commit(stream, msgs, meta, version),
      query,
    };
    // Only commit and query compare; a scenario that needs more does not name this peer.
    return verbs as Store;
  },
};

const sqlite: Subject = {
  id: "act-sqlite",
  title: "@rotorsoft/act-sqlite 1.19.4",
  sql: false,
  async open(): Promise<Store> {
    const entry = await install(
      "act-sqlite-1.19.4",
      ["@rotorsoft/act-sqlite@1.19.4", "@rotorsoft/act@1.31.26"],
      "@rotorsoft/act-sqlite/dist/index.js",
    );
    const { SqliteStore }: { SqliteStore: new (config: { url: string }) => Store } = await import(entry);
    const folder = await mkdtemp(join(tmpdir(), "act-drizzle-bench-sqlite-"));
    const store = new SqliteStore({ url: `file:${join(folder, "bench.db")}` });
    const dispose = store.dispose.bind(store);
    store.dispose = async () => {
      await dispose();
      await rm(folder, { recursive: true, force: true });
    };
    return store;
  },
};

export const peers: readonly Subject[] = [oldActPg, sqlite];
