/**
 * One HTTP server and two workers, each a process of its own, on the database at DATABASE_URL. Ctrl-C ends them all. In this
 * repository: `npm run example:orders`.
 */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { ConsoleLogger, log } from "@rotorsoft/act";
import { prepareDatabase } from "./database.ts";

const TRY = (url: string) => `
Place an order, twice with the same key, and read it:
  curl -si ${url}/orders -H 'Idempotency-Key: my-first' \\
    -d '{"customer":"Ada","lines":[{"sku":"book","quantity":2,"price":1999}]}'
  curl -s ${url}/orders
`;

log(new ConsoleLogger({ level: "error" }));
const url = process.env.DATABASE_URL ?? "postgres://postgres:postgres@localhost:5432/postgres";
const children: ChildProcess[] = [];
let exitCode: number | undefined;

// Act's own handlers would end this process before its children have ended.
for (const [signal, code] of [
  ["SIGINT", 130],
  ["SIGTERM", 143],
] as const)
  process.removeAllListeners(signal).on(signal, () => {
    exitCode ??= code;
    stop();
  });

/** Asks all to end. A terminal has already sent Ctrl-C to each, which ends them once. */
function stop(): void {
  for (const child of children) child.kill("SIGTERM");
}

function run(script: string, ...args: string[]): void {
  const child = fork(join(import.meta.dirname, script), args, {
    env: { ...process.env, DATABASE_URL: url },
    stdio: ["ignore", "pipe", "inherit", "ipc"],
  });
  children.push(child);
  child.stdout?.setEncoding("utf8").on("data", (text: string) => {
    process.stdout.write(text);
    const [, address] = /^Orders on (\S+)/m.exec(text) ?? [];
    if (address) process.stdout.write(TRY(address));
  });
  child.once("exit", (code) => {
    if (exitCode === undefined) console.error(`${script} ended by itself (${code}), and the others with it.`);
    exitCode ??= 1;
    stop();
  });
}

await prepareDatabase(url);
if (exitCode === undefined) {
  run("worker.ts", "1");
  run("worker.ts", "2");
  run("server.ts");
  await Promise.all(children.map((child) => once(child, "exit")));
}
process.exit(exitCode);
