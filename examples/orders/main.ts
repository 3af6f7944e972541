/**
 * `npm run example:orders`: PostgreSQL (yours at DATABASE_URL, else a temporary one), one HTTP server and two
 * workers, each a process of its own. Ctrl-C ends them all.
 */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { ConsoleLogger, log } from "@rotorsoft/act";
import { startPostgres } from "../../dev/postgres/index.ts";
import { runSession } from "../git/session.ts";
import { prepareDatabase } from "./database.ts";

const TRY = (url: string) => `
Place an order, twice with the same key, and read it:
  curl -si ${url}/orders -H 'Idempotency-Key: my-first' -d '{"customer":"Ada","lines":[{"sku":"book","quantity":2,"price":1999}]}'
  curl -s ${url}/orders
`;

log(new ConsoleLogger({ level: "error" }));
await runSession(async (session) => {
  const starting = startPostgres({ url: process.env.DATABASE_URL || undefined, prefer: "embedded" });
  session.onEnd(async () => (await starting).stop());
  const { url } = await starting;
  await prepareDatabase(url);
  session.signal.throwIfAborted();

  const run = (script: string, ...args: string[]): ChildProcess => {
    const child = fork(fileURLToPath(new URL(script, import.meta.url)), args, {
      env: { ...process.env, DATABASE_URL: url },
      stdio: ["ignore", "pipe", "inherit", "ipc"],
    });
    session.onEnd(() => stop(child));
    child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      process.stdout.write(text);
      const [, address] = /^Orders on (\S+)/m.exec(text) ?? [];
      if (address) process.stdout.write(TRY(address));
    });
    return child;
  };
  const children = [run("./worker.ts", "1"), run("./worker.ts", "2"), run("./server.ts")];
  const [code] = await Promise.race(children.map((child) => once(child, "exit", { signal: session.signal })));
  console.error(`A process ended by itself (${code}), and the others with it.`);
  return 1;
}, String);

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, "exit");
  child.kill("SIGTERM");
  await exit;
}
