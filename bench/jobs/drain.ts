/** Reacts to a log that is already there, with the framework's own loop and its defaults. */
import type { Store, StoreNotification } from "@rotorsoft/act";
import { buildApp } from "../lib/app.ts";
import { type JobContext, openTarget, type PreparedJob } from "./types.ts";

type Wake = (notification: StoreNotification) => void;

/** As often as settle()'s own debounce. */
const WAKE_MS = 10;

/**
 * Notes: the number of events handled since the last note. Runs until it is stopped: a process that finds
 * nothing goes idle, as the framework does, and is woken again as a notification would wake it.
 */
export async function drainJob({ target, note, stop }: JobContext): Promise<PreparedJob> {
  const store = await openTarget(target);
  let wake: Wake | undefined;
  const awakened: Store = withNotify(store, (handler) => {
    wake = handler;
  });
  const seen = new Set<number>();
  let told = 0;
  const app = buildApp(awakened, ({ id }) => seen.add(id));
  app.on("acked", () => {
    note(seen.size - told);
    told = seen.size;
  });
  app.on("settled", () => {
    setTimeout(() => {
      if (!stop.aborted) wake?.({ stream: "s-00000", events: [{ id: 1, name: "Incremented" }] });
    }, WAKE_MS);
  });
  return {
    run: async () => {
      const stopped = new Promise((resolve) => stop.addEventListener("abort", resolve));
      app.settle();
      await stopped;
      await app.shutdown();
      await store.dispose();
    },
  };
}

/** The store with another way of being notified. Methods stay bound to the store itself. */
function withNotify(store: Store, register: (handler: Wake) => void): Store {
  return new Proxy(store, {
    get(inner, key) {
      if (key === "notify")
        return async (handler: Wake) => {
          register(handler);
          return () => {};
        };
      const value: unknown = Reflect.get(inner, key, inner);
      return typeof value === "function" ? value.bind(inner) : value;
    },
  });
}
