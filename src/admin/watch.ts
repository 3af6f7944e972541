/** Receives the notifications of a store's commits, for whoever shows the log as it grows. */
import type { Context } from "../context.ts";
import type { ListenerState } from "../postgres/index.ts";
import { checkArgument, FUNCTION } from "../values/rules.ts";

/** A listener to a store's commits. */
export type Watch = {
  /** `reconnecting` after a lost connection; it comes back by itself. */
  readonly state: ListenerState;
  /** Ends it, and gives the connection back. */
  stop(): Promise<void>;
};

/** Takes one connection. Undefined if LISTEN is impossible, as behind a pooler: then the caller has to poll. */
export async function watch({ names, connections }: Context, onWake: () => void): Promise<Watch | undefined> {
  checkArgument("watch", "onWake", onWake, FUNCTION);
  try {
    const listener = await connections.listen({
      channel: names.channel,
      onPayload: onWake,
      onReconnected: onWake,
    });
    return {
      get state() {
        if (listener.stopped) return "off";
        return listener.listening ? "listening" : "reconnecting";
      },
      stop: () => listener.stop(),
    };
  } catch {
    return undefined;
  }
}
