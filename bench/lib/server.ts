/** The server that is measured, and a database of our own on it. */
import { readFileSync } from "node:fs";
import { arch, cpus, release, totalmem } from "node:os";
import postgres from "postgres";
import { findPostmaster } from "./usage.ts";

export type Server = {
  readonly url: string;
  readonly admin: postgres.Sql;
  readonly postmaster: number | undefined;
  readonly about: Environment;
  stop(): Promise<void>;
};

export type Environment = {
  readonly date: string;
  readonly machine: string;
  readonly node: string;
  readonly postgres: string;
  readonly settings: Readonly<Record<string, string>>;
  readonly packages: Readonly<Record<string, string>>;
};

const DATABASE = "act_bench";
const DURABLE = ["fsync", "synchronous_commit", "full_page_writes"];
const SHOWN = [...DURABLE, "shared_buffers", "wal_sync_method", "max_wal_size", "lc_collate"];

/**
 * `BENCH_DATABASE_URL`, else `TEST_DATABASE_URL`, else a server that is started for the run: in a
 * container, or from the binaries in node_modules. Refuses a server that does not wait for its disk.
 */
export async function startServer(log: (line: string) => void): Promise<Server> {
  const given = process.env.BENCH_DATABASE_URL ?? process.env.TEST_DATABASE_URL;
  const { startPostgres } = await import("../../dev/postgres/index.ts");
  const server = await startPostgres({ url: given, durable: true, log });
  const root = postgres(server.url, { max: 1, fetch_types: false, onnotice: () => {} });
  try {
    for (const name of DURABLE) {
      const value = await setting(root, name);
      if (value !== "on")
        throw new Error(`${name} is ${value} on this server: its figures would say nothing. Turn it on.`);
    }
    await createDatabase(root);
  } catch (error) {
    await server.stop();
    throw error;
  } finally {
    await root.end();
  }

  const url = new URL(server.url);
  url.pathname = `/${DATABASE}`;
  const admin = postgres(url.href, { max: 2, fetch_types: false, onnotice: () => {} });
  return {
    url: url.href,
    admin,
    postmaster: await findPostmaster(admin),
    about: await describe(admin),
    stop: async () => {
      await admin.end();
      await server.stop();
    },
  };
}

/**
 * A database with a linguistic collation when the server has one: most have, and `^prefix` patterns
 * get their index for nothing under "C", which would flatter every store.
 */
async function createDatabase(root: postgres.Sql): Promise<void> {
  const [existing] = await root`select 1 from pg_database where datname = ${DATABASE}`;
  if (existing) return;
  const libc = await root<{ collcollate: string }[]>`
    select collcollate from pg_collation
    where collprovider = 'c' and collcollate ~* '^en_US.utf-?8$' limit 1`;
  const version = Number(await setting(root, "server_version_num"));
  const wishes = [
    libc[0] ? `locale '${libc[0].collcollate}'` : undefined,
    version >= 150_000 ? "locale_provider icu icu_locale 'en-US'" : undefined,
    "",
  ].filter((wish) => wish !== undefined);
  for (const wish of wishes) {
    try {
      await root.unsafe(`create database ${DATABASE} template template0 encoding 'UTF8' ${wish}`);
      return;
    } catch (error) {
      if (wish === "") throw error;
    }
  }
}

async function setting(sql: postgres.Sql, name: string): Promise<string> {
  const [row] = await sql<{ value: string }[]>`select current_setting(${name}, true) as value`;
  return row?.value ?? "";
}

async function describe(sql: postgres.Sql): Promise<Environment> {
  const settings: Record<string, string> = {};
  for (const name of SHOWN) settings[name] = await setting(sql, name);
  const [database] = await sql<{ provider: string; locale: string }[]>`
    select case when to_jsonb(d) ->> 'datlocprovider' = 'i' then 'icu' else 'libc' end as provider,
      coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale', d.datcollate) as locale
    from pg_database d where datname = current_database()`;
  settings.lc_collate = `${database?.locale} (${database?.provider})`;
  const [cpu] = cpus();
  return {
    date: new Date().toISOString().slice(0, 16).replace("T", " "),
    machine: `${cpus().length} × ${cpu?.model.trim() || arch()}, ${Math.round(totalmem() / 2 ** 30)} GiB, Linux ${release()}`,
    node: process.version,
    postgres: await setting(sql, "server_version"),
    settings,
    packages: Object.fromEntries(
      ["@rotorsoft/act", "postgres", "pg", "drizzle-orm"].map((name) => [name, installed(name)]),
    ),
  };
}

function installed(name: string): string {
  const file = new URL(`../../node_modules/${name}/package.json`, import.meta.url);
  const { version }: { version: string } = JSON.parse(readFileSync(file, "utf8"));
  return version;
}
