import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { stripVTControlCharacters } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { widthOf } from "../../examples/git/report.ts";
import { deadPort } from "../postgres/proxy.ts";
import { connect, createDatabase, type TestDatabase } from "../support/database.ts";
import { userEnvironment } from "../support/environment.ts";
import { lines, TestRepository } from "./repository.ts";

/** What `npm run demo` runs. */
const COMMAND = [fileURLToPath(new URL("../../scripts/example.ts", import.meta.url)), "git/demo.ts"];
const AGREES = /✓ The read models agree with git log --numstat:\n {2}2 authors, 5 files/;

let database: TestDatabase;
let repository: TestRepository;
beforeAll(async () => {
  database = await createDatabase();
  repository = new TestRepository();
  const long = ["directory", "sub directory", "file"]
    .map((name) => name.padEnd(200, "é").slice(0, 120))
    .join("/");
  repository.write("a", lines(20)).write("b c", lines(3)).write(long, lines(1)).commit("add");
  for (let i = 0; i < 12; i++) repository.write("b c", lines(i, `${i}`)).commit(`change ${i}`);
  repository.move("a", "ä\nb").commit("rename", { name: "Grace Hopper", email: "grace@example.org" });
  repository
    .write("d", Buffer.from([0]))
    .commit("binary")
    .delete("d")
    .commit("delete");
});
afterAll(async () => {
  repository?.remove();
  await database?.drop();
});

/** Starts the demo in a process group of its own, as a terminal does. */
function start(args: string[], env: Record<string, string> = {}): ChildProcess & { output: string } {
  const child = spawn(process.execPath, [...COMMAND, ...args], {
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...userEnvironment(), ...env },
  });
  const running = Object.assign(child, { output: "" });
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding("utf8").on("data", (text: string) => {
      running.output += text;
    });
  }
  return running;
}

/** Runs the demo to its end, against the database of this file unless told otherwise. */
async function run(args: string[], env: Record<string, string> = { DATABASE_URL: database.url }) {
  const child = start(args, env);
  const [code] = await once(child, "close");
  return { code, output: child.output };
}

/** Presses Ctrl-C once the output says `when`, and waits for the end. */
async function interrupt(child: ChildProcess & { output: string }, when: string): Promise<number | null> {
  const end = once(child, "close");
  await expect.poll(() => child.output, { timeout: 60_000 }).toContain(when);
  process.kill(-(child.pid ?? 0), "SIGINT");
  const [code] = await end;
  return code;
}

/** Whether processes of the child's group are left; one that has ended counts until init has taken note of it. */
const groupOf = (child: ChildProcess) => {
  try {
    return process.kill(-(child.pid ?? 0), 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code;
  }
};

/** More than is written before the test has pressed Ctrl-C. */
function writeLongHistory(): TestRepository {
  const history = new TestRepository();
  const commits = Array.from({ length: 5_000 }, (_, i) => {
    const by = `Ada <ada@example.org> ${1_700_000_000 + i} +0000`;
    const file = `M 100644 inline file${i % 50}\ndata <<END\n${i}\nEND\n`;
    return `commit refs/heads/main\nauthor ${by}\ncommitter ${by}\ndata 0\n${file}\n`;
  });
  execFileSync("git", ["fast-import", "--quiet"], { cwd: history.path, input: commits.join("") });
  return history;
}

/** What a run prints where nobody looks: each takes seconds, so several tests look at one. */
let printed: Promise<{ readonly code: number | null; readonly output: string }> | undefined;
const printedByOne = () => {
  printed ??= run([repository.path]);
  return printed;
};

describe("the demo", { timeout: 120_000 }, () => {
  it("ends with 0 when its read models agree with git, and says so", async () => {
    const { code, output } = await printedByOne();
    expect(output).toMatch(AGREES);
    expect(output).toContain(
      "16 commits with changes: an event for each file, two for a rename.\n19 events and 1 snapshot in",
    );
    expect(output).toMatch(/woken by [1-9]\d* notification/);
    expect(output).toMatch(/FileChanged .*\(snapshot\)/s);
    expect(output).toMatch(/got a ConcurrencyError\s\(expected 0, found 1\)/);
    expect(code).toBe(0);
  });

  it("can be run again, and touches nothing that is not its own", async () => {
    const sql = connect(database.url);
    await sql.unsafe("create table act_demo.mine (n int); insert into act_demo.mine values (1)");
    const { code, output } = await run([repository.path]);
    expect(output).toMatch(AGREES);
    expect(code).toBe(0);
    expect(output).not.toContain(`:${new URL(database.url).password}@`);
    expect(await sql.unsafe("select n from act_demo.mine")).toEqual([{ n: 1 }]);
    await sql.end();
  });

  it("keeps the tables, which --check compares with git again", async () => {
    expect(await run(["--check"])).toMatchObject({ code: 0, output: expect.stringMatching(AGREES) });
  });

  it("ends with 1 and shows the difference when a read model is wrong", async () => {
    const sql = connect(database.url);
    await sql.unsafe("update act_demo.author_churn set added = added + 1 where email = 'ada@example.org'");
    await sql.end();
    const { code, output } = await run(["--check"]);
    expect(output).toMatch(/✗ The read models differ .* 1 place.*author ada@example\.org │ added/s);
    expect(code).toBe(1);
  });

  it("says in one line that there is no server, and ends with 1", async () => {
    const port = await deadPort();
    for (const args of [["--check"], [repository.path]]) {
      const { code, output } = await run(args, { DATABASE_URL: `postgres://me:secret@127.0.0.1:${port}/db` });
      const [, line] = /(^No PostgreSQL.*)\n$/m.exec(output) ?? [];
      expect(line).toBe(
        `No PostgreSQL answers at 127.0.0.1:${port} (connect ECONNREFUSED 127.0.0.1:${port}). Is it running?`,
      );
      expect(output).not.toContain("secret");
      expect(code).toBe(1);
    }
    expect(await run(["--check"], {})).toMatchObject({
      code: 1,
      output: expect.stringContaining("Set DATABASE_URL="),
    });
  });

  it("says what is wrong with a folder that has no history", async () => {
    const empty = new TestRepository();
    const nowhere = await run([join(empty.path, "nowhere")]);
    expect(nowhere).toMatchObject({ code: 1, output: expect.stringContaining("Cannot run git in") });
    const none = await run([empty.path]);
    expect(none).toMatchObject({ code: 0, output: expect.stringContaining("has no commits yet") });
    empty.remove();
  });
});

describe("what it prints", { timeout: 120_000 }, () => {
  const widest = (output: string) =>
    Math.max(...stripVTControlCharacters(output).split(/\r?\n/).map(widthOf));

  it("fits 80 columns, whatever the names of files and people are", async () => {
    const { output } = await printedByOne();
    expect(output).toContain("What next: build your own");
    expect(widest(output)).toBeLessThanOrEqual(80);
  });

  it("has its totals below what they are made of: the authors' commits are the commits with changes", async () => {
    const { output } = await printedByOne();
    expect(output).toMatch(/│ Ada .*│ +15 │.*\n.*│ Grace .*│ +1 │.*\n.*│ = 2 authors +│ +16 │ +19 │/);
  });

  it("has no colour where nobody looks, and where NO_COLOR is set", async () => {
    const plain = await printedByOne();
    expect(plain.output).not.toContain("\u001b[");
    const coloured = await run([repository.path], { DATABASE_URL: database.url, FORCE_COLOR: "1" });
    expect(coloured.output).toContain("\u001b[32m✓ The read models agree");
    expect(widest(coloured.output)).toBeLessThanOrEqual(80);
  });

  const terminal =
    spawnSync("script", ["--version"]).status === 0 ? "" : " [skipped: no script(1) of util-linux]";
  it.skipIf(terminal)(`draws its whole bar in a terminal of 80 columns${terminal}`, async () => {
    const command = [process.execPath, ...COMMAND, repository.path].map((word) => `'${word}'`).join(" ");
    const { stdout } = spawnSync("script", ["-qec", `stty cols 80; ${command}`, "/dev/null"], {
      encoding: "utf8",
      env: { ...userEnvironment(), TERM: "xterm", DATABASE_URL: database.url, NO_COLOR: "1" },
    });
    // The bar is drawn anew from the line's first column.
    const drawn = stdout.replaceAll("\u001b[1G", "\n");
    expect(stripVTControlCharacters(drawn)).toMatch(
      /^ {2}■{20,} 16\/16 commits │ .* events\/s │ worker up to date\r?$/m,
    );
    expect(widest(drawn)).toBeLessThanOrEqual(80);
    expect(stdout).not.toContain("\u001b[32m");
  });
});

describe("Ctrl-C", { timeout: 120_000 }, () => {
  it("ends the import, the worker and every connection", async () => {
    const history = writeLongHistory();
    const child = start([history.path], { DATABASE_URL: database.url });
    expect(await interrupt(child, "keeps the read models")).toBe(130);
    await expect.poll(() => groupOf(child), { timeout: 10_000 }).toBe("ESRCH");
    const sql = connect(database.url);
    const others = `select application_name from pg_stat_activity
      where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'`;
    await expect.poll(() => sql.unsafe(others)).toEqual([]);
    await sql.end();
    history.remove();
  });

  it("stops the temporary server and deletes its data", async () => {
    const folder = mkdtempSync(join(tmpdir(), "act-demo-temporary-"));
    chmodSync(folder, 0o755); // The server's own account has to get in.
    const history = writeLongHistory();
    const child = start([history.path], { TMPDIR: folder });
    expect(await interrupt(child, "keeps the read models")).toBe(130);
    await expect.poll(() => groupOf(child), { timeout: 10_000 }).toBe("ESRCH");
    expect(readdirSync(folder)).toEqual([]);
    rmSync(folder, { recursive: true });
    history.remove();
  });
});
