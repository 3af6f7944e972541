/** Child processes that run a job of `worker.ts` when told to, so that processes can be measured. */
import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { OpenOptions } from "./types.ts";

export type Target = { readonly subject: string; readonly options: OpenOptions };

/** A job by name and its parameters, as plain JSON. */
export type Job = { readonly name: string; readonly target: Target; readonly params?: unknown };

export type FromWorker =
  | { readonly type: "ready" }
  | { readonly type: "note"; readonly note: unknown }
  | { readonly type: "done"; readonly result: unknown }
  | { readonly type: "failed"; readonly error: string };

export type ToWorker = { readonly type: "job"; readonly job: Job } | { readonly type: "go" | "stop" };

export type Worker = {
  /** Lets the prepared job run; its result, of the shape that the job documents. */
  go<T>(): Promise<T>;
  readonly pid: number | undefined;
  /** Asks a running job to end. */
  stop(): void;
  /** Ends the process; what it has opened is closed first when the job has ended. */
  end(): Promise<void>;
};

const SCRIPT = fileURLToPath(new URL("../worker.ts", import.meta.url));

/** Starts a process and has it prepare the job; resolves when it is ready to go. `script`: another file of the worker. */
export async function startWorker(
  job: Job,
  onNote: (note: unknown) => void = () => {},
  script = SCRIPT,
): Promise<Worker> {
  const child = fork(script);
  const messages = listenTo(child, onNote);
  // Nobody may be waiting for the result when the process fails; `go` rethrows it to those who are.
  messages.done.catch(() => {});
  send(child, { type: "job", job });
  await messages.ready;
  return {
    go: <T>() => {
      send(child, { type: "go" });
      return messages.done as Promise<T>;
    },
    pid: child.pid,
    stop: () => send(child, { type: "stop" }),
    end: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const exit = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGTERM");
      await exit;
    },
  };
}

function listenTo(child: ChildProcess, onNote: (note: unknown) => void) {
  const ready = Promise.withResolvers<void>();
  const done = Promise.withResolvers<unknown>();
  const fail = (error: Error) => {
    ready.reject(error);
    done.reject(error);
  };
  child.on("message", (message: FromWorker) => {
    if (message.type === "ready") ready.resolve();
    else if (message.type === "note") onNote(message.note);
    else if (message.type === "done") done.resolve(message.result);
    else fail(new Error(message.error));
  });
  child.once("exit", (code, signal) => fail(new Error(`A worker ended (${code ?? signal})`)));
  return { ready: ready.promise, done: done.promise };
}

const send = (child: ChildProcess, message: ToWorker) => child.send(message);
