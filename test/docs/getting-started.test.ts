/** docs/guides/getting-started.md: its files compile, and run as the page says. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { Program } from "../examples/program.ts";
import { useDatabase } from "../postgres/fixture.ts";

const root = join(import.meta.dirname, "../..");
const guide = readFileSync(join(root, "docs/guides/getting-started.md"), "utf8");
const files = [...guide.matchAll(/<!-- (\S+\.ts) -->\n```ts\n(.*?)```/gs)].map(
  ([, name = "", code = ""]) => ({ name, code }),
);
const fixture = useDatabase();
let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "act-drizzle-guide-"));
  symlinkSync(join(root, "node_modules"), join(folder, "node_modules"), "junction");
  writeFileSync(join(folder, "package.json"), JSON.stringify({ name: "guide", type: "module" }));
  const source = relative(folder, join(root, "src/index.ts")).replaceAll("\\", "/");
  for (const { name, code } of files) writeFileSync(join(folder, name), code.replace("act-drizzle", source));
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

const start = (name: string, ...args: string[]) => {
  const env = { DATABASE_URL: fixture.url, LOG_LEVEL: "error" };
  return new Program(relative(root, join(folder, name)), args, env);
};

test("the files of the guide compile under strict", () => {
  const compilerOptions = {
    ...{ module: "nodenext", target: "es2024", lib: ["es2024"], strict: true, noEmit: true },
    ...{ skipLibCheck: true, allowImportingTsExtensions: true, types: ["node"] },
  };
  const config = { compilerOptions, files: files.map(({ name }) => name) };
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(config));
  const tsc = join(root, "node_modules/typescript/bin/tsc");
  expect(execFileSync(process.execPath, [tsc, "-p", folder], { encoding: "utf8" })).toBe("");
});

test("its worker confirms an order that another process places, and ends at SIGTERM", async () => {
  const worker = start("worker.ts");
  onTestFinished(() => void worker.end("SIGKILL"));
  await worker.says(/worker started/);
  const place = start("place.ts", "order-7");
  expect([await place.ended(), place.output]).toEqual([0, "order-7 placed\n"]);
  await worker.says(/confirm:order-7/);
  await worker.says(/total:order-7/);
  expect(await worker.end()).toBe(0);
  const names = await fixture.sql`select name from events where stream = 'order-7' order by id`;
  expect(names.map(({ name }) => name)).toEqual(["OrderPlaced", "OrderConfirmed"]);
  expect([...(await fixture.sql`select stream, total::int from order_totals`)]).toEqual([
    { stream: "order-7", total: 42 },
  ]);
});
