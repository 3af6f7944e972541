/** Turns commits into actions: many at a time, in order within each stream. */
import { type FileActions, streamOf, type Writer } from "./domain.ts";
import type { Commit } from "./git.ts";

/**
 * Actions under way at once, those that wait for their turn in a stream included. The store commits
 * together what waits together: with 64, 2,700 events/s here; with 256, 5,200; with 512, 5,700.
 */
const IN_FLIGHT = 256;

export type Progress = {
  commits: number;
  /** Of those, the ones that changed no file: merges, mostly. No author is credited with them. */
  empty: number;
  events: number;
  /** Id of the newest event, -1 before the first. */
  lastId: number;
};

type Step = {
  [Name in keyof FileActions]: { action: Name; path: string; data: FileActions[Name] };
}[keyof FileActions];

/** Writes every commit, calling `onProgress` as commits complete. Ends early when the signal aborts. */
export async function ingest(
  app: Writer,
  commits: AsyncIterable<Commit>,
  onProgress: (progress: Progress) => void,
  signal?: AbortSignal,
): Promise<Progress> {
  const progress: Progress = { commits: 0, empty: 0, events: 0, lastId: -1 };
  const queue = new OrderedQueue(IN_FLIGHT);
  for await (const commit of commits) {
    signal?.throwIfAborted();
    const steps = stepsOf(commit);
    let left = steps.length;
    const done = () => {
      progress.commits++;
      onProgress(progress);
    };
    if (left === 0) {
      progress.empty++;
      done();
    }
    for (const step of steps) {
      await queue.add(step.path, async () => {
        progress.lastId = Math.max(progress.lastId, await take(app, commit, step));
        progress.events++;
        if (--left === 0) done();
      });
    }
  }
  await queue.idle();
  return progress;
}

/** A rename is two steps: the old path's stream ends, and the new path's begins with its lines. */
export function stepsOf(commit: Commit): Step[] {
  const steps: Step[] = [];
  for (const { kind, path, from, added, removed, binary } of commit.changes) {
    const about = (lines = { added, removed }) => {
      return { commit: commit.sha, authored: commit.authored, nth: steps.length + 1, binary, ...lines };
    };
    if (from !== undefined) {
      const moved = { ...about({ added: 0, removed: 0 }), to: path };
      steps.push({ action: "renameFile", path: from, data: moved });
    }
    if (kind === "changed") steps.push({ action: "changeFile", path, data: about() });
    else if (kind === "deleted") steps.push({ action: "deleteFile", path, data: about() });
    else steps.push({ action: "addFile", path, data: { ...about(), path, from } });
  }
  return steps;
}

/** Runs one action as the commit's author. Everything of one commit shares its sha as correlation. */
async function take(app: Writer, commit: Commit, step: Step): Promise<number> {
  const target = { stream: streamOf(step.path), actor: { id: commit.email, name: commit.name } };
  const options = { correlator: () => commit.sha };
  const run = () => {
    switch (step.action) {
      case "addFile":
        return app.do(step.action, target, step.data, options);
      case "changeFile":
        return app.do(step.action, target, step.data, options);
      case "renameFile":
        return app.do(step.action, target, step.data, options);
      case "deleteFile":
        return app.do(step.action, target, step.data, options);
    }
  };
  const [snapshot] = await run();
  return snapshot?.id ?? -1;
}

/** Runs at most `limit` tasks at once; tasks with the same key run one after another, as added. */
export class OrderedQueue {
  readonly #limit: number;
  readonly #tails = new Map<string, Promise<void>>();
  #running = 0;
  #failed = false;
  #error: unknown;
  #freed = () => {};

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Resolves when there is room for the task, not when it is done. Rejects once a task has failed. */
  async add(key: string, task: () => Promise<void>): Promise<void> {
    while (this.#running >= this.#limit) await this.#room();
    this.#throwIfFailed();
    this.#running++;
    const tail = (this.#tails.get(key) ?? Promise.resolve())
      .then(() => (this.#failed ? undefined : task()))
      .catch((error: unknown) => {
        if (!this.#failed) this.#error = error;
        this.#failed = true;
      })
      .finally(() => {
        this.#running--;
        if (this.#tails.get(key) === tail) this.#tails.delete(key);
        this.#freed();
      });
    this.#tails.set(key, tail);
  }

  /** Resolves when every task is done. Rejects with the first error of any. */
  async idle(): Promise<void> {
    while (this.#running > 0) await this.#room();
    this.#throwIfFailed();
  }

  #room(): Promise<void> {
    return new Promise((resolve) => {
      this.#freed = resolve;
    });
  }

  #throwIfFailed(): void {
    if (this.#failed) throw this.#error;
  }
}
