/** The package as it is installed: what is in it, and that it works for whoever has nothing else. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { isBuiltin } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { until } from "../order/fence.ts";
import { useScene } from "../postgres/fixture.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const programs = fileURLToPath(new URL("programs", import.meta.url));
const peers = ["@rotorsoft/act", "drizzle-orm", "postgres", "zod"];
const scene = useScene();

let home: string;
/** A project that has the package and its peers, and nothing else. */
let project: string;
let installed: string;

type Options = { readonly cwd?: string; readonly env?: Readonly<Record<string, string>> };

function start(
  command: string,
  args: readonly string[],
  { cwd = project, env = {} }: Options = {},
): ChildProcess {
  const inherited = { ...process.env, LOG_LEVEL: "error", NODE_ENV: "production" };
  const child = spawn(command, args, {
    cwd,
    env: { ...inherited, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  return child;
}

/** What the program printed; fails with what it complained of. */
async function run(command: string, args: readonly string[], options?: Options): Promise<string> {
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

const node = (args: readonly string[], options?: Options) => run(process.execPath, args, options);
const tsc = (args: readonly string[]) => node([join(root, "node_modules/typescript/bin/tsc"), ...args]);
const options = (table: string) => ({ STORE_OPTIONS: JSON.stringify({ ...scene.parts, table }) });

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "act-drizzle-"));
  // A copy of what the package is made of, so that runs beside this one do not build into the same folder.
  const source = join(home, "source");
  await mkdir(source);
  const parts = ["src", "scripts", "drizzle", "docs", "README.md", "LICENSE", "package.json"];
  for (const part of [...parts, "tsconfig.json", "tsconfig.build.json"])
    await cp(join(root, part), join(source, part), { recursive: true });
  await symlink(join(root, "node_modules"), join(source, "node_modules"), "junction");
  await node(["scripts/build.ts"], { cwd: source });
  await run("npm", ["pack", "--ignore-scripts", "--pack-destination", home], { cwd: source });
  const tarball = (await readdir(home)).find((name) => name.endsWith(".tgz"));
  if (!tarball) throw new Error("npm pack has made no tarball");

  project = join(home, "project");
  await mkdir(project);
  await writeFile(
    join(project, "package.json"),
    JSON.stringify({ name: "consumer", version: "1.0.0", private: true, type: "module" }),
  );
  // Peers are linked below, so nothing is fetched.
  const quiet = ["--offline", "--legacy-peer-deps", "--no-audit", "--no-fund", "--ignore-scripts"];
  await run("npm", ["install", ...quiet, join(home, tarball)]);
  installed = join(project, "node_modules/act-drizzle");
  for (const peer of peers) {
    const link = join(project, "node_modules", peer);
    await mkdir(dirname(link), { recursive: true });
    await symlink(join(root, "node_modules", peer), link, "junction");
  }
  for (const program of await readdir(programs)) await cp(join(programs, program), join(project, program));
}, 120_000);

afterAll(() => rm(home, { recursive: true, force: true }));

/** Every file of the installed package. */
async function files(): Promise<string[]> {
  const entries = await readdir(installed, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => relative(installed, join(entry.parentPath, entry.name)).replaceAll("\\", "/"));
}

test("the tarball holds code, migrations, guides, reference and README, and no path of a machine", async () => {
  const all = await files();
  const expected =
    /^(dist|drizzle|docs\/(guides|reference))\/|^(README|CHANGELOG)\.md$|^LICENSE$|^package\.json$/;
  expect(all.filter((name) => !expected.test(name))).toEqual([]);
  for (const needed of ["README.md", "LICENSE", "package.json", "dist/esm/index.js", "dist/cjs/index.js"])
    expect(all).toContain(needed);
  expect(all.some((name) => /^drizzle\/.*\.sql$/.test(name))).toBe(true);
  for (const name of all) {
    const text = await readFile(join(installed, name), "utf8");
    expect(text.includes(root) || text.includes(home), name).toBe(false);
  }
});

test("every entry of its package.json is there, and nothing but the peers is needed", async () => {
  const manifest = JSON.parse(await readFile(join(installed, "package.json"), "utf8"));
  expect(Object.keys(manifest.dependencies ?? {})).toEqual([]);
  expect(Object.keys(manifest.peerDependencies).sort()).toEqual([...peers].sort());
  const paths: string[] = [];
  const walk = (value: unknown): void => {
    if (typeof value === "string") paths.push(value.replace("./", ""));
    else if (typeof value === "object" && value !== null) for (const item of Object.values(value)) walk(item);
  };
  walk([manifest.exports, manifest.main, manifest.module, manifest.types]);
  const all = await files();
  expect(paths.filter((path) => !all.includes(path))).toEqual([]);
  const imports = new Set<string>();
  for (const name of all.filter((one) => /^dist\/.*\.js$/.test(one))) {
    const text = await readFile(join(installed, name), "utf8");
    for (const [, from] of text.matchAll(/(?:from |require\(|import )"([^".][^"]*)"/g))
      if (from) imports.add(from);
  }
  const known = (name: string) =>
    isBuiltin(name) || peers.some((p) => name === p || name.startsWith(`${p}/`));
  expect([...imports].filter((name) => !known(name))).toEqual([]);
});

test("the store does not load Drizzle until its tables are asked for, and then the app's own copy", async () => {
  const script = `
    import { createRequire, registerHooks } from "node:module";
    const loaded = [];
    registerHooks({ load: (url, context, next) => (loaded.push(url), next(url, context)) });
    const { PostgresStore } = await import("act-drizzle");
    const store = new PostgresStore();
    const before = loaded.filter((url) => url.includes("/drizzle-orm/")).length;
    const { tables } = store;
    const { PgTable } = await import("drizzle-orm/pg-core");
    console.log(JSON.stringify([before, Object.values(tables).map((table) => table instanceof PgTable), tables === store.tables]));`;
  const output = await node(["--input-type=module", "--eval", script]);
  expect(JSON.parse(output)).toEqual([0, [true, true, true], true]);
});

test.each(["mjs", "cjs"])(
  "Act's own example works on it (%s), and its process ends by itself",
  async (kind) => {
    const output = await node([`counter.${kind}`], { env: options(`counter_${kind}`) });
    expect(JSON.parse(output)).toEqual({
      state: { count: 7 },
      conflict: true,
      missing: true,
      tables: ["events", "streams", "correlated"],
    });
    const rows =
      await scene.sql`select stream, version, data from ${scene.sql(`counter_${kind}`)} order by id`;
    expect(rows.map(({ stream, version, data }) => [stream, version, data])).toEqual([
      ["counter1", 0, { amount: 5 }],
      ["counter1", 1, { amount: 2 }],
    ]);
  },
);

test("the example of its README compiles, and its reaction and projection run", async () => {
  const readme = await readFile(join(installed, "README.md"), "utf8");
  const example = [...readme.matchAll(/```ts\n(.*?)```/gs)]
    .map(([, code]) => code ?? "")
    .find((code) => code.includes("app.do"));
  if (!example) throw new Error("The README has no example with app.do");
  await writeFile(join(project, "orders.ts"), example);
  const compiler = join(root, "node_modules/typescript/bin/tsc");
  const types = ["--typeRoots", join(root, "node_modules/@types"), "--types", "node"];
  const strict = ["--module", "nodenext", "--target", "es2023", "--strict", "--skipLibCheck", "--noEmit"];
  const check = [compiler, ...strict, ...types, "--ignoreConfig", "orders.ts"];
  expect(await run(process.execPath, check, { cwd: project })).toBe("");
  // What the comments of the example say that it prints.
  const env = { DATABASE_URL: scene.url };
  const output = await run(process.execPath, ["orders.ts"], { cwd: project, env });
  expect(output).toBe("{ status: 'confirmed', total: 42 }\n[ { stream: 'order-1', total: '42' } ]\n");
});

test("a reaction in another process is woken by a commit, and writes", async () => {
  const reactor = start(process.execPath, ["reactor.mjs", "react", "5"], { env: options("reactor") });
  onTestFinished(() => void reactor.kill("SIGKILL"));
  let output = "";
  for (const stream of [reactor.stdout, reactor.stderr])
    stream?.on("data", (text) => {
      output += text;
    });
  await until("the reactor listens", async () => output.includes("listening"), 20_000);
  await node(["reactor.mjs", "commit", "5"], { env: options("reactor") });
  await until("the reactor has copied", async () => /copied|blocked|Error/.test(output), 20_000);
  expect(output).toContain(`copied ${JSON.stringify({ sum: 15, times: 5, woken: true })}`);
  const rows = await scene.sql`select data from reactor where name = 'Copied' order by id`;
  expect(rows.map(({ data }) => data.amount)).toEqual([1, 2, 3, 4, 5]);
});

/** Where the types are what they say, each line compiles; where they are `any`, the marked ones do not. */
const consumer = `
import { store, type Store } from "@rotorsoft/act";
import { ConnectionError, DatabaseError, PostgresStore, type Config, type PostgresStoreOptions } from "act-drizzle";
import { actTables, events } from "act-drizzle/schema";
import { drizzle } from "drizzle-orm/postgres-js";
import postgres from "postgres";

const options: PostgresStoreOptions = { url: "postgres://localhost/db", notify: true, ssl: "require" };
const adapter: Store = store(new PostgresStore(options));
const config: Config = new PostgresStore().config;
const host: string = config.host;
// @ts-expect-error: a port is a number or a string
new PostgresStore({ port: true });
// @ts-expect-error: no such option
new PostgresStore({ hots: "a" });
// @ts-expect-error: a config is there to be read
config.max = 5;
// @ts-expect-error: a host is a string
const wrong: number = config.host;
declare const env: { readonly DATABASE_URL?: string };
declare const unset: undefined;
new PostgresStore({ url: env.DATABASE_URL, max: unset, ssl: unset, pii_encryption: unset });
PostgresStore.ddl({ schema: env.DATABASE_URL });
actTables({ table: unset });
// @ts-expect-error: the password is there, and a string
const password: number = config.password;
const ddl: string = PostgresStore.ddl({ schema: "a" });
const code: string = new DatabaseError("42P01", "").code + new ConnectionError("STORE_CLOSED", "", false).code;

const db = drizzle(postgres());
const { streams } = actTables({ schema: "tenant", table: "log" });
async function rows(): Promise<{ id: number; stream: string; at: number }[]> {
  const [row] = await db.select({ id: events.id, created: events.created }).from(events);
  // @ts-expect-error: a time is a Date
  const time: number | undefined = row?.created;
  const found = await db.select({ stream: streams.stream, at: streams.at }).from(streams);
  return found.map((one) => ({ ...one, id: row?.id ?? 0 }));
}
export { adapter, code, ddl, host, password, rows, wrong };
`;

test.each([
  ["an ES module under nodenext", "consumer.mts", { module: "nodenext", moduleResolution: "nodenext" }],
  ["a CommonJS module under nodenext", "consumer.cts", { module: "nodenext", moduleResolution: "nodenext" }],
  ["a module under bundler", "bundled.ts", { module: "preserve", moduleResolution: "bundler" }],
])("its types hold for %s", async (_, file, compiler) => {
  const config = `tsconfig.${file}.json`;
  const compilerOptions = { ...compiler, target: "es2023", lib: ["es2023"], types: [], strict: true };
  const rest = {
    noEmit: true,
    skipLibCheck: true,
    esModuleInterop: true,
    exactOptionalPropertyTypes: true,
  };
  const settings = { compilerOptions: { ...compilerOptions, ...rest }, files: [file] };
  await writeFile(join(project, file), consumer);
  await writeFile(join(project, config), JSON.stringify(settings));
  expect(await tsc(["-p", config])).toBe("");
});

/** Exports whose types the compiler must name, by what the package exports: else TS2742 or TS4023. */
const library = `
import { ConnectionError, DatabaseError, PostgresStore } from "act-drizzle";

export const store = new PostgresStore();
export const config = store.config;
export const hosts = store.config.hosts;
export const ssl = store.config.ssl;
export const tables = store.tables;
export const notify = store.notify;
export const close = (...args: Parameters<typeof store.truncate>) => store.truncate(...args);
export const target = (...[targets]: Parameters<typeof store.truncate>) => targets[0];
export const driver = (...[given]: Parameters<typeof store.restore>) => given;
export const correlator = (...[, , given]: Parameters<typeof store.subscribe>) => given;
export const verbs = [store.claim, store.subscribe, store.query_stats, store.query_streams] as const;
export const lost = (error: unknown) => (error instanceof ConnectionError ? error.code : "none");
export const refused = (error: unknown) => (error instanceof DatabaseError ? error.code : undefined);
export class Traced extends PostgresStore {
  override seed() {
    return super.seed();
  }
  override truncate(...args: Parameters<PostgresStore["truncate"]>) {
    return super.truncate(...args);
  }
}
`;

test.each([
  ["nodenext", "nodenext"],
  ["preserve", "bundler"],
])("a library that is built on it emits declarations, under %s", async (module, moduleResolution) => {
  const folder = join(project, `library-${module}`);
  await mkdir(folder);
  await writeFile(join(folder, "library.ts"), library);
  const compilerOptions = {
    module,
    moduleResolution,
    target: "es2023",
    lib: ["es2023"],
    types: [],
    strict: true,
  };
  const emit = { declaration: true, emitDeclarationOnly: true, skipLibCheck: true, esModuleInterop: true };
  const settings = { compilerOptions: { ...compilerOptions, ...emit }, files: ["library.ts"] };
  await writeFile(join(folder, "tsconfig.json"), JSON.stringify(settings));
  expect(await tsc(["-p", join(folder, "tsconfig.json")])).toBe("");
  const declarations = await readFile(join(folder, "library.d.ts"), "utf8");
  expect(declarations).not.toMatch(/dist\/|\bany\b/);
  for (const name of ["TruncateTarget", "RestoreDriver", "Correlator", "Endpoint", "DatabaseErrorCode"])
    expect(declarations).toContain(name);
});
