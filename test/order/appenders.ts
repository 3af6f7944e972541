/** Writers in processes of their own, and what they committed. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

export type AppenderOptions = {
  readonly url: string;
  readonly schema: string;
  readonly table: string;
  readonly writer: number;
  readonly seed: number;
  /** Events to append, and the most in one commit. */
  readonly events: number;
  readonly batch: number;
  /** Streams to share with the other writers. */
  readonly streams: number;
  /** Commits in flight at once. */
  readonly inFlight: number;
  /** `store`: PostgresStore. `act-pg`: its protocol on node-postgres. `reckless`: the same without the lock. */
  readonly kind: "store" | "act-pg" | "reckless";
};

export type Appended = { readonly ids: number[]; readonly conflicts: number };

/** Starts a writer; resolves with the ids it was told, in the order of the answers. */
export async function append(options: AppenderOptions): Promise<Appended> {
  const script = options.kind === "store" ? "./store-appender.ts" : "./act-pg-appender.ts";
  const child = fork(fileURLToPath(new URL(script, import.meta.url)), [JSON.stringify(options)], {
    execArgv: [],
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  });
  return result(child);
}

async function result(child: ChildProcess): Promise<Appended> {
  let appended: Appended | undefined;
  child.on("message", (message: Appended) => {
    appended = message;
  });
  const [code, signal] = await once(child, "exit");
  if (code !== 0 || !appended) throw new Error(`A writer ended with ${code ?? signal}`);
  return appended;
}

/** mulberry32: small, seedable, good enough to shuffle. */
export function randomFrom(seed: number): (below: number) => number {
  let state = seed | 0;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((((t ^ (t >>> 14)) >>> 0) * below) / 2 ** 32) | 0;
  };
}

export type Commit = (
  stream: string,
  events: number,
  expected?: number,
) => Promise<number[] | { head: number }>;

/**
 * The life of a writer: commits of random size to random streams, one in three guarded by the head it
 * believes in. A lost race says the real head, and the same events are sent again.
 */
export async function appendAll(options: AppenderOptions, commit: Commit): Promise<Appended> {
  const { events, batch, streams, inFlight, seed, writer } = options;
  const random = randomFrom(seed + writer * 7_919);
  const heads = new Map<string, number>();
  const ids: number[] = [];
  let conflicts = 0;
  let left = events;

  const worker = async () => {
    while (left > 0) {
      const size = Math.min(left, 1 + random(batch));
      left -= size;
      const stream = `stream-${random(streams)}`;
      const guarded = random(3) === 0;
      for (;;) {
        const done = await commit(stream, size, guarded ? (heads.get(stream) ?? -1) : undefined);
        if (Array.isArray(done)) {
          ids.push(...done);
          heads.set(stream, (heads.get(stream) ?? -1) + done.length);
          break;
        }
        conflicts++;
        heads.set(stream, done.head);
      }
    }
  };
  await Promise.all(Array.from({ length: inFlight }, worker));
  return { ids, conflicts };
}

/** Hands the result to the parent and lets the process end. */
export function report(appended: Appended): void {
  process.send?.(appended, () => process.disconnect?.());
}
