import { type ChildProcess, fork } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { FromGuard, ToGuard } from "./guard.ts";
import { removeFolders } from "./home.ts";
import { type RestartMode, type RunningPostgres, type StartOptions, serverSettings } from "./types.ts";
import { describeServer } from "./url.ts";

type Started = Exclude<FromGuard, { error: string }>;

/** A server of the binaries that npm installed, in a temporary folder, owned by a guard process. */
export async function startEmbedded(options: StartOptions): Promise<RunningPostgres> {
  const password = randomBytes(16).toString("hex");
  const guard = fork(fileURLToPath(new URL("./guard.ts", import.meta.url)), [], {
    detached: true,
    execArgv: [],
    stdio: ["ignore", "ignore", "ignore", "ipc"],
  });
  let stopped: Promise<void> | undefined;
  const stop = () => {
    stopped ??= endGuard(guard);
    return stopped;
  };

  try {
    const { version, inMemory } = options;
    const settings = serverSettings(options);
    let started = await ask(guard, { start: { password, settings, version, inMemory } });
    const url = `postgres://postgres:${password}@127.0.0.1:${started.port}/postgres`;
    const server = await describeServer(url, "embedded");
    // Should the guard die before us, the server is ours to end.
    guard.once("exit", () => {
      stopped ??= endServer(started);
    });
    return {
      ...server,
      stop,
      dataDir: started.dataDir,
      folders: started.folders,
      get pid() {
        return started.pid;
      },
      restart: async (mode: RestartMode = "fast") => {
        started = await ask(guard, { restart: mode });
      },
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Sends one command and waits for its answer. Only meanwhile does the guard keep this process alive. */
async function ask(guard: ChildProcess, message: ToGuard): Promise<Started> {
  guard.ref();
  guard.channel?.ref();
  const answered = new AbortController();
  const { signal } = answered;
  try {
    guard.send(message);
    const answer: FromGuard = await Promise.race([
      once(guard, "message", { signal }).then(([reply]) => reply),
      once(guard, "exit", { signal }).then(() => ({ error: "The guard of the embedded PostgreSQL ended" })),
    ]);
    if ("error" in answer) throw new Error(answer.error);
    return answer;
  } finally {
    answered.abort();
    guard.unref();
    guard.channel?.unref();
  }
}

async function endGuard(guard: ChildProcess): Promise<void> {
  if (guard.exitCode !== null || guard.signalCode !== null) return;
  guard.ref();
  const exit = once(guard, "exit");
  if (guard.connected) guard.disconnect();
  await exit;
}

async function endServer({ pid, folders }: Started): Promise<void> {
  try {
    process.kill(pid, "SIGQUIT");
    // It is not our child: its end gives us no signal.
    for (let tries = 0; tries < 500 && process.kill(pid, 0); tries++) await delay(20);
  } catch {
    // Gone.
  }
  await removeFolders(...folders);
}
