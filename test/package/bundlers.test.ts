/** An app that is bundled into one file, by the bundlers that servers are bundled with. */
import { cp, mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import esbuild from "esbuild";
import { rolldown } from "rolldown";
import { afterAll, beforeAll, expect, test } from "vitest";
import webpack from "webpack";
import { useDatabase } from "../postgres/fixture.ts";
import { installPackage, link, run } from "./install.ts";

const fixture = useDatabase();

let home: string;
let project: string;
let installed: string;
let remove: () => Promise<void>;

beforeAll(async () => {
  ({ home, project, installed, remove } = await installPackage());
}, 120_000);
afterAll(() => remove?.());

type Format = "esm" | "cjs";
type Bundler = (entry: string, folder: string, file: string, format: Format) => Promise<readonly unknown[]>;

/** The path of Bun's command. Bun is no devDependency, because it is a program of 100 MB (docs/internals/testing.md). */
const bun = process.env.BUN;

/** Each bundles `entry` and gives the warnings. */
const BUNDLERS: Readonly<Record<string, Bundler>> = {
  esbuild: async (entry, folder, file, format) => {
    const outfile = join(folder, file);
    // CommonJS packages ask for Node's modules with require, which an ES module does not have.
    const made =
      'import { createRequire as made } from "node:module"; const require = made(import.meta.url);';
    const banner: Record<string, string> = format === "esm" ? { js: made } : {};
    const result = await esbuild.build({
      entryPoints: [entry],
      outfile,
      format,
      banner,
      bundle: true,
      platform: "node",
      logLevel: "silent",
    });
    return result.warnings;
  },
  rolldown: async (entry, folder, file, format) => {
    const warnings: unknown[] = [];
    const bundle = await rolldown({ input: entry, platform: "node", onLog: (_, log) => warnings.push(log) });
    await bundle.write({ dir: folder, entryFileNames: file, format, codeSplitting: false });
    await bundle.close();
    return warnings;
  },
  webpack: (entry, folder, file, format) =>
    new Promise((resolve, reject) => {
      const esm = format === "esm";
      const compiler = webpack({
        entry,
        context: project,
        mode: "none",
        target: "node22",
        devtool: false,
        experiments: { outputModule: esm },
        output: { path: folder, filename: file, module: esm },
      });
      compiler.run((error, stats) => {
        const { errors = [], warnings = [] } =
          stats?.toJson({ all: false, errors: true, warnings: true }) ?? {};
        compiler.close(() => (error || errors.length > 0 ? reject(error ?? errors) : resolve(warnings)));
      });
    }),
  ...(bun && {
    bun: async (entry, folder, file, format) => {
      const outfile = join(folder, file);
      await run(bun, ["build", entry, "--target=node", `--format=${format}`, `--outfile=${outfile}`], {
        cwd: project,
      });
      return [];
    },
  }),
};

const CASES = Object.keys(BUNDLERS).flatMap((name) =>
  (["esm", "cjs"] as const).map((format) => ({ name, format })),
);
const TABLES = ["events", "streams", "correlated"];
const ADVICE = expect.stringContaining("in a bundled app call actTables() of act-drizzle/schema");

const printed = async (folder: string, file: string) =>
  JSON.parse(await run(process.execPath, [file], { cwd: folder }));

test.each(CASES)("$name, $format: actTables() works, store.tables works or says to call it", async (one) => {
  const folder = join(project, `${one.name}-${one.format}`);
  const file = one.format === "esm" ? "app.mjs" : "app.cjs";
  await mkdir(folder, { recursive: true });
  // What a bundle must not take for the schema.
  for (const foreign of ["tables.ts", "schema.js", "schema.mjs", "schema.cjs", "tables.js", "tables.mjs"])
    await writeFile(join(folder, foreign), 'throw new Error("a foreign file was loaded");');
  await BUNDLERS[one.name]?.(join(project, "bundled.mjs"), folder, file, one.format);

  // Beside node_modules. webpack keeps neither `import.meta` nor `require`, esbuild no `import.meta` in CommonJS.
  const lost = one.name === "webpack" || (one.name === "esbuild" && one.format === "cjs");
  expect(await printed(folder, file)).toEqual([lost ? ADVICE : TABLES, TABLES]);

  // Alone on a machine. The package is moved away too: webpack writes down where it was when it was bundled.
  const alone = join(home, `${one.name}-${one.format}`);
  await cp(folder, alone, { recursive: true });
  const [modules, hidden] = [join(project, "node_modules"), join(home, "hidden")];
  await rename(modules, hidden);
  try {
    expect(await printed(alone, file)).toEqual([ADVICE, TABLES]);
  } finally {
    await rename(hidden, modules);
  }
});

test.each(CASES)("$name, $format: the admin's calls answer as without a bundle", async ({ name, format }) => {
  const folder = join(project, `admin-${name}-${format}`);
  const file = format === "esm" ? "app.mjs" : "app.cjs";
  const STORE_OPTIONS = JSON.stringify({ ...fixture.parts, table: `admin_${name}_${format}` });
  const plain = await run(process.execPath, ["operated.mjs"], { cwd: project, env: { STORE_OPTIONS } });
  await BUNDLERS[name]?.(join(project, "operated.mjs"), folder, file, format);
  const bundled = await run(process.execPath, [file], { cwd: folder, env: { STORE_OPTIONS } });
  expect(JSON.parse(bundled)).toEqual(JSON.parse(plain));
  expect(JSON.parse(bundled)[1]).toBe("reaction");
});

test("of import.meta only url is used: Bun leaves the rest in a CommonJS bundle, which then does not start", async () => {
  const folder = join(installed, "dist/esm");
  const files = (await readdir(folder)).filter((name) => name.endsWith(".js"));
  expect(files).toContain("index.js");
  for (const file of files) {
    // Without comments, which may speak of it.
    const code = (await readFile(join(folder, file), "utf8")).replaceAll(/\/\*.*?\*\/|^\s*\/\/[^\n]*/gms, "");
    expect(code.match(/import\.meta(?!\.url\b)/g), file).toBeNull();
  }
});

test("without drizzle-orm the store runs, in a bundle too, and store.tables says to install it", async () => {
  await rm(join(project, "node_modules/drizzle-orm"), { force: true });
  try {
    const script = `
      import { PostgresStore } from "act-drizzle";
      const store = new PostgresStore();
      try { store.tables } catch (error) { console.log(error.message) }
      await store.dispose();`;
    await writeFile(join(project, "plain.mjs"), script);
    const said = await run(process.execPath, ["plain.mjs"], { cwd: project });
    expect(said).toContain("install drizzle-orm");
    const outfile = join(project, "plain.bundle.cjs");
    await esbuild.build({
      stdin: { contents: script.replace("await store.dispose();", "store.dispose();"), resolveDir: project },
      outfile,
      format: "cjs",
      bundle: true,
      platform: "node",
      logLevel: "silent",
    });
    expect(await run(process.execPath, [outfile], { cwd: project })).toContain("actTables()");
  } finally {
    await link(project, ["drizzle-orm"]);
  }
});
