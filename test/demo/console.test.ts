/** `npm run demo -- --console` ends in the console, with the demo's data in it. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { Client } from "../console/fixture.ts";
import { createDatabase, type TestDatabase } from "../support/database.ts";
import { userEnvironment } from "../support/environment.ts";
import { lines, TestRepository } from "./repository.ts";

const EXAMPLE = fileURLToPath(new URL("../../scripts/example.ts", import.meta.url));

let database: TestDatabase;
let repository: TestRepository;
beforeAll(async () => {
  database = await createDatabase();
  repository = new TestRepository();
  for (let i = 0; i < 5; i++) repository.write("hot", lines(i + 1, `${i}`)).commit(`change ${i}`);
  repository.write("cold", lines(1)).commit("add");
});
afterAll(async () => {
  repository?.remove();
  await database?.drop();
});

test("the demo ends in the console, where one finds who changed the hottest file", async () => {
  const child = spawn(process.execPath, [EXAMPLE, "git/demo.ts", repository.path, "--console"], {
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...userEnvironment(), DATABASE_URL: database.url },
  });
  const exited = once(child, "exit");
  onTestFinished(async () => {
    // Its children are in its process group.
    if (child.exitCode === null) process.kill(-(child.pid ?? 0), "SIGKILL");
    await exited;
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (text: string) => (output += text));
  const address = () => /^Console {2}(\S+)$/m.exec(output)?.[1];
  await expect.poll(address, { timeout: 60_000 }).toBeDefined();
  const url = address() ?? "";
  const client = await Client.of({ url, origin: new URL(url).origin });
  const session = await client.get("/api/session");
  expect(session).toMatchObject({ defaultStore: "act_demo.events", write: false });
  expect(session.app?.states).toContain("File");
  const { streams } = await client.get("/api/streams", { prefix: "", limit: 200 });
  const details = await Promise.all(
    streams.map((stream) => client.get("/api/stream", { stream, limit: 500 })),
  );
  const [hottest] = details.toSorted((one, other) => other.events.count - one.events.count);
  expect(hottest?.events.count).toBe(5);
  expect(new Set(hottest?.history.map(({ actor }) => actor))).toEqual(new Set(["Ada Lovelace"]));
  const { stream = "", head } = hottest ?? {};
  const folded = await client.get("/api/stream/state", { stream, version: head?.version });
  expect(folded).toMatchObject({ name: "File", state: { commits: 5 } });
  process.kill(-(child.pid ?? 0), "SIGINT");
  expect((await exited)[0]).toBe(0);
});
