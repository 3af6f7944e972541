/** Hears the notifications of a store's commits, for whoever shows the log as it grows. */
import type { Context } from "../context.ts";
import type { ListenerState } from "../postgres/index.ts";

export type Watch = {
  /** `reconnecting` after a lost connection; it comes back by itself. */
  readonly state: ListenerState;
  stop(): Promise<void>;
};

/** One connection. Undefined if LISTEN is not possible, as behind a pooler: then only reading tells what is new. */
export async function watch({ names, connections }: Context, onWake: () => void): Promise<Watch | undefined> {
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
