/** Processes that come one after the other, each for one event, as the steps of a script or of a scheduler do. */
import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import type { PostgresStore } from "../../src/index.ts";
import { useApps } from "./fixture.ts";
import type { FromOneShot, OneShotOptions } from "./one-shot.ts";

const fixture = useApps();

/** A process that has loaded everything, and waits. `run` lets it go on, and resolves when it has ended. */
async function ready({ config: { schema, table } }: PostgresStore, end: OneShotOptions["end"]) {
  const options: OneShotOptions = { url: fixture.url, schema, table, end };
  const child = fork(fileURLToPath(new URL("./one-shot.ts", import.meta.url)), [JSON.stringify(options)], {
    execArgv: [],
    env: { ...process.env, NODE_ENV: "production", LOG_LEVEL: "fatal" },
  });
  const exit = once(child, "exit");
  onTestFinished(async () => {
    child.kill("SIGKILL");
    await exit;
  });
  await once(child, "message");
  return async (): Promise<FromOneShot> => {
    const answer = once(child, "message");
    child.send("go");
    const [said] = await answer;
    await exit;
    return said;
  };
}

test.each([
  ["app was disposed of", "app"],
  ["store was disposed of", "store"],
] as const)("the one after a process whose %s handles its event with its first settle()", async (_, end) => {
  const store = await fixture.seeded();
  const [first, second] = await Promise.all([ready(store, end), ready(store, end)]);
  expect(await first()).toEqual({ settles: 1 });
  expect(await second()).toEqual({ settles: 1 });
});

test("the one after a process that just ended waits for the correlator's lease, and handles its event then", async () => {
  const store = await fixture.seeded();
  const [first, second] = await Promise.all([ready(store, "exit"), ready(store, "exit")]);
  expect(await first()).toEqual({ settles: 1 });
  const start = performance.now();
  expect(await second()).toMatchObject({ settles: expect.any(Number) });
  expect(performance.now() - start).toBeLessThan(15_000);
});
