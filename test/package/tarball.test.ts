/** The package as it is installed: what is in it, and that it works for whoever has nothing else. */
import { readdir, readFile, writeFile } from "node:fs/promises";
import { isBuiltin } from "node:module";
import { join, relative } from "node:path";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { until } from "../order/fence.ts";
import { useDatabase } from "../postgres/fixture.ts";
import { installPackage, link, PACKAGES, root, run, start } from "./install.ts";

const fixture = useDatabase();

let packed: string;
let project: string;
let installed: string;
let remove: () => Promise<void>;

const node = (args: readonly string[], env?: Readonly<Record<string, string>>) =>
  run(process.execPath, args, env ? { cwd: project, env } : { cwd: project });
const options = (table: string) => ({ STORE_OPTIONS: JSON.stringify({ ...fixture.parts, table }) });

beforeAll(async () => {
  ({ packed, project, installed, remove } = await installPackage());
}, 120_000);
afterAll(() => remove?.());

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
  // No source twice, and no map whose source is missing: bundlers warn of it.
  expect(all.filter((name) => name.endsWith(".map") || /(?<!\.d)\.ts$/.test(name))).toEqual([]);
  expect(all.some((name) => /^drizzle\/.*\.sql$/.test(name))).toBe(true);
  for (const name of all) {
    const text = await readFile(join(installed, name), "utf8");
    expect(text.includes(root) || text.includes(packed), name).toBe(false);
  }
});

test("every entry of its package.json is there, and nothing but its dependencies and peers is needed", async () => {
  const manifest = JSON.parse(await readFile(join(installed, "package.json"), "utf8"));
  expect(manifest.dependencies).toEqual({ postgres: "~3.4.9", zod: "^4.5.4" });
  expect(Object.keys(manifest.peerDependencies).sort()).toEqual([
    "@opentelemetry/api",
    "@rotorsoft/act",
    "drizzle-orm",
  ]);
  expect(manifest.peerDependenciesMeta).toEqual({
    "@opentelemetry/api": { optional: true },
    "drizzle-orm": { optional: true },
  });
  const paths: string[] = [];
  const walk = (value: unknown): void => {
    if (typeof value === "string") paths.push(value.replace("./", ""));
    else if (typeof value === "object" && value !== null) for (const item of Object.values(value)) walk(item);
  };
  walk([manifest.exports, manifest.typesVersions, manifest.main, manifest.module, manifest.types]);
  const all = await files();
  expect(paths.filter((path) => !all.includes(path))).toEqual([]);
  const imports = new Set<string>();
  for (const name of all.filter((one) => /^dist\/.*\.js$/.test(one))) {
    const text = await readFile(join(installed, name), "utf8");
    for (const [, from] of text.matchAll(/(?:from |require\(|import )"([^".$][^"]*)"/g))
      if (from) imports.add(from);
  }
  const known = (name: string) =>
    isBuiltin(name) || PACKAGES.some((p) => name === p || name.startsWith(`${p}/`));
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
    const output = await node([`counter.${kind}`], options(`counter_${kind}`));
    expect(JSON.parse(output)).toEqual({
      state: { count: 7 },
      conflict: true,
      missing: true,
      tables: ["events", "streams", "correlated"],
    });
    const rows =
      await fixture.sql`select stream, version, data from ${fixture.sql(`counter_${kind}`)} order by id`;
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
  const env = { DATABASE_URL: fixture.url };
  const output = await run(process.execPath, ["orders.ts"], { cwd: project, env });
  expect(output).toBe("{ status: 'confirmed', total: 42 }\n[ { stream: 'order-1', total: '42' } ]\n");
});

test("the test kit makes a user's tables where import() is not to be had, as under jest", async () => {
  await link(project, ["drizzle-kit"]);
  expect(await node(["sandbox.cjs", fixture.url])).toBe("made and dropped\n");
});

test("a reaction in another process is woken by a commit, and writes", async () => {
  const reactor = start(process.execPath, ["reactor.mjs", "react", "5"], {
    cwd: project,
    env: options("reactor"),
  });
  onTestFinished(() => void reactor.kill("SIGKILL"));
  let output = "";
  for (const stream of [reactor.stdout, reactor.stderr])
    stream?.on("data", (text) => {
      output += text;
    });
  await until("the reactor listens", async () => output.includes("listening"), 20_000);
  await node(["reactor.mjs", "commit", "5"], options("reactor"));
  await until("the reactor has copied", async () => /copied|blocked|Error/.test(output), 20_000);
  expect(output).toContain(`copied ${JSON.stringify({ sum: 15, times: 5, woken: true })}`);
  const rows = await fixture.sql`select data from reactor where name = 'Copied' order by id`;
  expect(rows.map(({ data }) => data.amount)).toEqual([1, 2, 3, 4, 5]);
});
