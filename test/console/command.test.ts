/** `act-drizzle console` as a user starts it. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { expect, onTestFinished, test } from "vitest";
import { runCommand, widest } from "../cli/command.ts";
import { useDatabase } from "../postgres/fixture.ts";
import { Client } from "./fixture.ts";

const fixture = useDatabase();
const ROOT = join(import.meta.dirname, "../..");

test("--help", async () => {
  const { code, out } = await runCommand(["console", "--help"]);
  expect(code).toBe(0);
  expect(widest(out)).toBeLessThanOrEqual(80);
  expect(out).toMatchSnapshot();
});

test.each([
  [["--host", "0.0.0.0"], /--i-know-that-others-can-connect/],
  [["--port", "http"], /A port from 0 to 65535/],
  [["--tenants", "a;drop"], /Schemas are needed/],
  [["--app", "no-such-file.ts"], /cannot be imported/],
  [["--app", "package.json"], /cannot be imported|exports no state/],
  [["--json"], /no output for --json/],
])("%o is wrong use, and is told what is right", async (args, message) => {
  const { code, out, err } = await runCommand(["console", "--url", fixture.url, "--port", "0", ...args]);
  expect(err).toMatch(message);
  expect([code, out]).toEqual([2, ""]);
});

test("a port that is in use is told with what to do", async () => {
  const taken = createServer();
  taken.listen(0, "127.0.0.1");
  await once(taken, "listening");
  onTestFinished(() => void taken.close());
  const address = taken.address();
  const port = typeof address === "object" && address ? address.port : 0;
  const { code, err } = await runCommand(["console", "--url", fixture.url, "--port", String(port)]);
  expect(err).toBe(
    `act-drizzle: port ${port} is in use, perhaps by another console: give --port <n>, or --port 0 for any free one.\n`,
  );
  expect(code).toBe(1);
});

/** Starts it, and waits for its address. */
async function begin(...args: string[]): Promise<{ readonly child: ChildProcess; readonly url: string }> {
  const child = spawn(process.execPath, [join(ROOT, "src/cli/bin.ts"), "console", "--port", "0", ...args], {
    env: { ...process.env, DATABASE_URL: fixture.url, NO_COLOR: "1" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  for await (const line of createInterface({ input: child.stdout })) {
    const [, url] = /^Console {2}(\S+)$/.exec(line) ?? [];
    if (url) return { child, url };
  }
  throw new Error("It has printed no address");
}

test("prints an address that works, serves only there, and ends with Ctrl-C", async () => {
  const store = await fixture.seeded();
  const { child, url } = await begin(
    "--table",
    store.config.table,
    "--schema",
    store.config.schema,
    "--as",
    "ada",
  );
  const { origin, hostname } = new URL(url);
  expect(hostname).toBe("127.0.0.1");
  const client = await Client.of({ url, origin });
  const { body } = await client.ask("/api/session");
  expect(body).toMatchObject({ write: false, user: "ada", version: expect.stringMatching(/^\d/) });
  const exited = once(child, "exit");
  child.kill("SIGINT");
  expect(await exited).toEqual([0, null]);
});

test("with --host it warns", async () => {
  const { child } = await begin("--host", "0.0.0.0", "--i-know-that-others-can-connect");
  let err = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => (err += text));
  await expect.poll(() => err).toMatch(/^WARNING {2}Others can connect/);
});

test("no other command loads the server", () => {
  const names = readdirSync(join(ROOT, "src/cli"), { recursive: true, encoding: "utf8" }).filter((name) =>
    name.endsWith(".ts"),
  );
  for (const name of names) {
    const text = readFileSync(join(ROOT, "src/cli", name), "utf8");
    expect([name, /^import (?!type)[^;]*"[^"]*\/console\/(?!.*commands)/m.test(text)]).toEqual([name, false]);
  }
});
