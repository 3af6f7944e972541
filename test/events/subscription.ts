/** A notifier on a log and a listener that the test drives. */
import type { StoreNotification } from "@rotorsoft/act";
import type { Context } from "../../src/context.ts";
import { Notifier } from "../../src/notifications/notify.ts";
import type { Row } from "../../src/postgres/index.ts";
import { namesOf } from "../../src/schema/names.ts";

type Options = { channel: string; onPayload(payload: string): void; onReconnected(): void };
type Query = { readonly text: string; readonly params?: readonly unknown[] };

export function scripted(rows: Row[] = []) {
  const told: StoreNotification[] = [];
  const listeners: (Options & { stopped: number })[] = [];
  const state = {
    /** Reads reject. */
    fails: false,
    listenFails: false,
    queries: [] as Query[],
    /** What LISTEN, the look at the log's end, a look-up and a catch-up wait for, after they have seen the log. */
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
    const one = { ...options, stopped: 0 };
    listeners.push(one);
    await state.listening;
    return { stop: async () => void one.stopped++ };
  };
  const context = { names: namesOf("public", "events"), by: "me", connections: { listen, read } };
  const notifier = new Notifier(context as unknown as Context);
  const start = () => notifier.start((notification) => void told.push(notification));
  /** The last listener. */
  const line = () => {
    const one = listeners.at(-1);
    if (!one) throw new Error("nobody listens");
    return one;
  };
  const receive = (...payloads: string[]) => {
    for (const text of payloads) line().onPayload(text);
  };
  /** The connection was lost and is back; resolves when the catch-up has ended. */
  const reconnect = async () => {
    line().onReconnected();
    await turn();
  };
  /** This store's own commit: in the log, and tracked. */
  const commit = async (...ids: number[]) => {
    rows.push(...ids.map((id) => row(id)));
    notifier.track(Promise.resolve({ outcome: { ids } }));
    await turn();
  };
  const toldIds = () => told.map(({ events }) => events.map(({ id }) => id));
  return { told, toldIds, listeners, state, notifier, start, line, receive, reconnect, commit, rows };
}

export const row = (id: number, stream = "s", name = "A"): Row => ({ id: String(id), stream, name });

export const payload = (ids: readonly number[], over: object = {}) =>
  JSON.stringify({ stream: "s", by: "other", events: ids.map((id) => ({ id, name: "A" })), ...over });

export const turn = () => new Promise((resolve) => setImmediate(resolve));
