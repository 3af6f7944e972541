/** Receives the notifications of a store's commits, for whoever shows the log as it grows. */
import type { Context } from "../context.ts";
import type { ListenerState } from "../postgres/index.ts";
import { LONGEST_MS } from "../postgres/timers.ts";
import { log } from "../values/log.ts";
import { checkArgument, FUNCTION } from "../values/rules.ts";

/** A listener to a store's commits. */
export type Watch = {
  /** `reconnecting` after a lost connection; it comes back by itself. */
  readonly state: ListenerState;
  /** Ends it, and closes the connection if nothing else listens on it. */
  stop(): Promise<void>;
};

/**
 * Takes one connection, or shares the one for LISTEN if stores share connections. Undefined if LISTEN fails. The caller
 * has to poll in any case: a pooler in transaction mode may confirm LISTEN and deliver nothing.
 */
export async function watch({ names, connections }: Context, onWake: () => void): Promise<Watch | undefined> {
  checkArgument("watch", "onWake", onWake, FUNCTION);
  const wake = () => {
    // The type says that it returns nothing, but an async function is assignable to that type.
    const told: Promise<unknown> = new Promise((resolve) => resolve(onWake()));
    told.catch((error: unknown) =>
      log().error(
        `[act-drizzle] the function given to watch() failed: ${error instanceof Error ? error.name : "not an Error"}`,
      ),
    );
  };
  // A process that watches waits for commits, so it must not end. Without this timer, nothing might keep it alive.
  const keepAlive = setInterval(() => {}, LONGEST_MS);
  const end = () => clearInterval(keepAlive);
  try {
    const listener = await connections.listen({
      channel: names.channel,
      onPayload: wake,
      onReconnected: wake,
      onStopped: end,
    });
    return {
      get state() {
        if (listener.stopped) return "off";
        return listener.listening ? "listening" : "reconnecting";
      },
      stop: () => listener.stop(),
    };
  } catch {
    end();
    return undefined;
  }
}
