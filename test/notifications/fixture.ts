/** A notifier on a log and a listener that are driven by the test. */
import type { StoreNotification } from "@rotorsoft/act";
import { afterEach, beforeEach, vi } from "vitest";
import type { Context } from "../../src/context.ts";
import { Notifier } from "../../src/notifications/notify.ts";
import type { Row } from "../../src/postgres/index.ts";
import { namesOf } from "../../src/schema/names.ts";

/** In each test of the file time stands still until the test moves it, and nothing is random. */
export function useFakeClock(): void {
  beforeEach(() => {
    vi.useFakeTimers();
    vi.spyOn(Math, "random").mockReturnValue(0.5);
  });
  afterEach(() => {
    vi.restoreAllMocks();
    vi.useRealTimers();
  });
}

type Options = { channel: string; onPayload(payload: string): void; onReconnected(): void };
type Query = { readonly text: string; readonly params?: readonly unknown[] };

export function scriptedNotifier(rows: Row[] = []) {
  const reported: StoreNotification[] = [];
  const listeners: (Options & { stopped: number })[] = [];
  const state = {
    /** Reads reject. */
    fails: false,
    listenFails: false,
    queries: [] as Query[],
    /** LISTEN, the read of the log's head, a look-up and a catch-up wait for these, after they have read the log. */
    listening: undefined as Promise<void> | undefined,
    headRead: undefined as Promise<void> | undefined,
    lookUp: undefined as Promise<void> | undefined,
    catchUp: undefined as Promise<void> | undefined,
  };
  const read = async (_: string, query: Query): Promise<readonly Row[]> => {
    state.queries.push(query);
    if (state.fails) throw new Error("no answer");
    const head = Number(rows.at(-1)?.id ?? -1);
    const [first, second, third] = query.params ?? [];
    if (!query.params) {
      const last = rows.slice(-1);
      await state.headRead;
      return last;
    }
    if (query.params.length === 3) {
      const found = rows.filter(
        (r) => r.stream === first && Number(r.id) >= Number(second) && Number(r.id) <= Number(third),
      );
      await state.lookUp;
      return found;
    }
    const position = Number(second) <= head ? Number(first) : -1;
    const found = rows
      .filter((r) => Number(r.id) > position)
      .reverse()
      .slice(0, 1_000);
    await state.catchUp;
    return found;
  };
  const listen = async (options: Options) => {
    if (state.listenFails) throw new Error("no LISTEN");
    const added = { ...options, stopped: 0 };
    listeners.push(added);
    await state.listening;
    return { stop: async () => void added.stopped++ };
  };
  const context = { names: namesOf("public", "events"), by: "me", connections: { listen, read } };
  const notifier = new Notifier(context as unknown as Context);
  const start = () => notifier.start((notification) => void reported.push(notification));
  /** The last listener. */
  const listener = () => {
    const last = listeners.at(-1);
    if (!last) throw new Error("There is no listener");
    return last;
  };
  const receive = (...payloads: string[]) => {
    for (const text of payloads) listener().onPayload(text);
  };
  /** Loses the connection and reconnects. Resolves when the catch-up has ended. */
  const reconnect = async () => {
    listener().onReconnected();
    await turn();
  };
  /** A commit of this store: it is in the log, and tracked. */
  const commit = async (...ids: number[]) => {
    rows.push(...ids.map((id) => row(id)));
    notifier.track(Promise.resolve({ outcome: { ids } }));
    await turn();
  };
  const reportedIds = () => reported.map(({ events }) => events.map(({ id }) => id));
  return {
    reported,
    reportedIds,
    listeners,
    state,
    notifier,
    start,
    listener,
    receive,
    reconnect,
    commit,
    rows,
  };
}

export const row = (id: number, stream = "s", name = "A"): Row => ({ id: String(id), stream, name });

export const payload = (ids: readonly number[], over: object = {}) =>
  JSON.stringify({ stream: "s", by: "other", events: ids.map((id) => ({ id, name: "A" })), ...over });

export const turn = () => new Promise((resolve) => setImmediate(resolve));
