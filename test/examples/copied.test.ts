/** Each example is an app of its own: its folder, copied into a project that has the published package, runs there. */
import { cp, glob, readFile, writeFile } from "node:fs/promises";
import { builtinModules } from "node:module";
import { dirname, join, relative, resolve } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { installPackage, link, root, start } from "../package/install.ts";
import { useDatabase } from "../postgres/fixture.ts";
import { COMPILERS, compile } from "../support/typescript.ts";

const EXAMPLES = ["counter", "git", "ha", "orders", "projections", "tenants"] as const;
const fixture = useDatabase();
/** In any order: on a busy machine the server may be ready before the workers. */
const ALL_STARTED = /^(?=.*Worker 1 started)(?=.*Worker 2 started).*Place an order/s;

let project: string;
let remove: () => Promise<void>;

beforeAll(async () => {
  ({ project, remove } = await installPackage());
  const packages = ["hono", "@hono/node-server", "cli-progress", "cli-table3", "drizzle-kit", "pg", "@types"];
  await link(project, packages);
  for (const name of EXAMPLES)
    await cp(join(root, "examples", name), join(project, name), { recursive: true });
}, 120_000);
afterAll(() => remove?.());

/** Every import of the example's files, as `file: what it names`. */
async function importsOf(name: string): Promise<{ file: string; from: string }[]> {
  const found: { file: string; from: string }[] = [];
  for await (const file of glob("**/*.ts", { cwd: join(root, "examples", name) })) {
    const text = await readFile(join(root, "examples", name, file), "utf8");
    for (const [, from = ""] of text.matchAll(/^(?:import|export) .*?from "([^"]+)";$/gms))
      found.push({ file, from });
  }
  return found;
}

test.each(EXAMPLES)(
  "%s imports its own folder and packages, and nothing else of the repository",
  async (name) => {
    const outside = (await importsOf(name)).filter(({ file, from }) =>
      from.startsWith(".")
        ? relative(".", resolve(dirname(file), from)).startsWith("..")
        : builtinModules.includes(from) || from.includes("act-drizzle/src"),
    );
    expect(outside).toEqual([]);
  },
);

test.each(COMPILERS)(
  "TypeScript $version: they compile against the published types",
  async ({ manifest }) => {
    const compilerOptions = {
      ...{
        module: "nodenext",
        target: "es2024",
        lib: ["es2024"],
        types: ["node"],
        strict: true,
        noEmit: true,
      },
      ...{ skipLibCheck: true, allowImportingTsExtensions: true, exactOptionalPropertyTypes: false },
    };
    const include = EXAMPLES.map((name) => `${name}/*.ts`);
    await writeFile(join(project, "tsconfig.json"), JSON.stringify({ compilerOptions, include }));
    expect(compile(manifest, "tsconfig.json", project)).toBe("");
  },
);

/** Runs a file of the project until it says this, or to its end, and gives what it printed and its exit code. */
async function run(
  args: readonly string[],
  until?: RegExp,
): Promise<{ output: string; code: number | null }> {
  const child = start(process.execPath, args, {
    cwd: project,
    env: { DATABASE_URL: fixture.url, PORT: "0" },
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream?.setEncoding("utf8").on("data", (text: string) => {
      output += text;
      if (until?.test(output)) child.kill("SIGTERM");
    });
  const code = await new Promise<number | null>((done) => child.once("close", done));
  return { output, code };
}

test("the counter counts", async () => {
  expect(await run(["counter/counter.ts"])).toEqual({
    output: '0  Incremented {"amount":1}\n1  Incremented {"amount":2}\ncount: 3\n',
    code: 0,
  });
});

test("the tenants work beside each other", async () => {
  const { output, code } = await run(["tenants/main.ts"]);
  expect(output).toContain("acme's account-0 has 80");
  expect(code).toBe(0);
});

test("the projections count each deposit once", async () => {
  const { output, code } = await run(["projections/main.ts"]);
  expect(output).toContain("after every event was delivered again they hold 920");
  expect(code).toBe(0);
});

test("the demo imports a repository, and its read models agree with git", async () => {
  const { output, code } = await run(["git/demo.ts", root, "--commits", "20"]);
  expect(output).toContain("✓ The read models agree");
  expect(code).toBe(0);
});

test("the service of orders starts, and ends by SIGTERM", async () => {
  const { output, code } = await run(["orders/main.ts"], ALL_STARTED);
  expect(output).toMatch(ALL_STARTED);
  expect(output).not.toMatch(/error/i);
  expect(code).toBe(143);
});
