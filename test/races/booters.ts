/** Boots in processes of their own (booter.ts), where no lock in memory could keep them apart. */
import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";
import type { TableName } from "../order/lock.ts";

export type BooterOptions = TableName & { readonly count: number };
export type FromBooter = "ready" | { readonly failures: string[] };

/** Seeds so many new stores in each of so many processes, once all of them are up; what failed, in words. */
export async function bootProcesses(name: TableName, processes: number, count: number): Promise<string[]> {
  const options: BooterOptions = { ...name, count };
  const booters = await Promise.all(Array.from({ length: processes }, () => startBooter(options)));
  return (await Promise.all(booters.map((boot) => boot()))).flat();
}

async function startBooter(options: BooterOptions): Promise<() => Promise<string[]>> {
  const child = fork(fileURLToPath(new URL("./booter.ts", import.meta.url)), [JSON.stringify(options)], {
    execArgv: [],
    env: { ...process.env, LOG_LEVEL: "fatal" },
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  });
  const exit = once(child, "exit");
  onTestFinished(async () => {
    child.kill("SIGKILL");
    await exit;
  });
  let failures: string[] | undefined;
  const ready = new Promise<void>((resolve) => {
    child.on("message", (message: FromBooter) => {
      if (message === "ready") resolve();
      else failures = message.failures;
    });
  });
  const ended = exit.then(([code, signal]) => {
    if (code !== 0 || !failures) throw new Error(`A booter ended with ${code ?? signal}`);
    return failures;
  });
  await Promise.race([ready, ended]);
  return () => {
    child.send("go");
    return ended;
  };
}
