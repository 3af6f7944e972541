/**
 * dist/esm and dist/cjs: JavaScript by tsup, declarations by tsc (TypeScript 7 has no API that tsup could
 * call). Both folders get the same declarations: a .d.ts is ESM or CJS by the package.json nearest to it,
 * so that `import` and `require` each resolve to types of their own kind.
 */
import { spawnSync } from "node:child_process";
import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { build } from "tsup";
import { buildPage } from "./build-page.ts";

const root = join(import.meta.dirname, "..");
const dist = join(root, "dist");

/** What users import: the name behind act-drizzle, and its file. */
const ENTRIES = {
  index: "src/index.ts",
  schema: "src/schema/tables.ts",
  admin: "src/admin/index.ts",
  projections: "src/projections/index.ts",
  telemetry: "src/telemetry/index.ts",
  idempotency: "src/idempotency/index.ts",
  queries: "src/queries/index.ts",
  testing: "src/testing/index.ts",
} as const;

rmSync(dist, { recursive: true, force: true });

for (const format of ["esm", "cjs"] as const) {
  await build({
    entry: ENTRIES,
    format,
    outDir: `dist/${format}`,
    outExtension: () => ({ js: ".js" }),
    target: "node22",
    platform: "node",
    // A map would carry the source a second time; the code is not minified, so stack traces are readable.
    sourcemap: false,
    // tsup would split CJS by way of Sucrase, which rewrites class fields.
    splitting: false,
    define: format === "cjs" ? { "import.meta.url": "__filename" } : {},
    // Whatever is not a relative path stays an import.
    external: [/^[^./]/],
    esbuildPlugins: [
      {
        // Instead: entries import each other, so that there is one copy of the tables, and one of the store's class.
        name: "one-copy",
        setup: ({ onResolve }) => {
          onResolve({ filter: /^\.{1,2}\/(schema\/)?tables\.ts$/ }, () => ({
            path: "./schema.js",
            external: true,
          }));
          onResolve({ filter: /^\.\.\/store\.ts$/ }, () => ({ path: "./index.js", external: true }));
        },
      },
    ],
    dts: false,
    config: false,
    silent: true,
  });
}

// The command: one file with the packages that only it needs, so that installing the store brings none of them, and one
// for the console, which the command loads when it is asked for. The store itself stays where it is.
await build({
  entry: { "act-drizzle": "src/cli/bin.ts", main: "src/cli/main.ts", console: "src/console/start.ts" },
  format: "esm",
  outDir: "dist/cli",
  outExtension: () => ({ js: ".js" }),
  target: "node22",
  platform: "node",
  sourcemap: false,
  splitting: false,
  // tsup bundles devDependencies, and leaves dependencies and peers outside.
  // Paths of packages are in the bundle: as they are in node_modules, wherever that is.
  esbuildOptions: (options) => {
    options.preserveSymlinks = true;
  },
  // Bundled CommonJS packages call require for Node's own modules.
  banner: {
    js: 'import { createRequire as requireOf } from "node:module"; const require = requireOf(import.meta.url);',
  },
  esbuildPlugins: [
    {
      name: "store-of-the-package",
      setup: ({ onResolve }) => {
        onResolve({ filter: /\/index\.ts$/ }, ({ path }) => ({
          path: `../esm/${/(admin|projections)\/index\.ts$/.exec(path)?.[1] ?? "index"}.js`,
          external: true,
        }));
        onResolve({ filter: /^\.\/main\.ts$/ }, () => ({ path: "./main.js", external: true }));
        onResolve({ filter: /\/console\/start\.ts$/ }, ({ kind }) =>
          kind === "dynamic-import" ? { path: "./console.js", external: true } : undefined,
        );
      },
    },
  ],
  dts: false,
  config: false,
  silent: true,
});

// The page of the console, which the command serves.
await buildPage(join(dist, "console"));

const tsc = join(root, "node_modules/typescript/bin/tsc");
const types = spawnSync(process.execPath, [tsc, "-p", "tsconfig.build.json"], {
  cwd: root,
  stdio: "inherit",
});
if (types.status !== 0) process.exit(1);

for (const file of readdirSync(join(dist, "esm"), { recursive: true, encoding: "utf8" })) {
  if (!file.endsWith(".d.ts")) continue;
  const path = join(dist, "esm", file);
  // tsc rewrites ".ts" to ".js" in JavaScript only.
  const text = readFileSync(path, "utf8").replaceAll(/(["'])(\.{1,2}\/[^"'\n]+)\.ts\1/g, "$1$2.js$1");
  writeFileSync(path, text);
  cpSync(path, join(dist, "cjs", file));
}
writeFileSync(join(dist, "cjs/package.json"), `${JSON.stringify({ type: "commonjs" })}\n`);

// By the names that users import: a missing entry, a wrong path in package.json or a CJS file that does not
// load fails the build. (tsup says nothing when an entry does not exist.)
const require = createRequire(import.meta.url);
for (const entry of Object.keys(ENTRIES)) {
  const name = entry === "index" ? "act-drizzle" : `act-drizzle/${entry}`;
  const esm: object = await import(name);
  const cjs: object = require(name);
  const missing = Object.keys(esm).filter((key) => !(key in cjs));
  if (missing.length > 0) throw new Error(`${name}: require() lacks ${missing.join(", ")}`);
}
