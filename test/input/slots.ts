/** Every place of every verb where a caller may put a value, and what belongs there. */
import type { PostgresStore } from "../../src/index.ts";

export type Kind =
  | "text"
  | "text?"
  | "texts?"
  | "pattern?"
  | "number"
  | "number?"
  | "flag?"
  | "date"
  | "date?"
  | "list"
  | "object"
  | "object?"
  | "function"
  | "input";

export type Slot = {
  readonly verb: string;
  readonly path: string;
  readonly kind: Kind;
  /** Calls the verb with everything right but this value. */
  call(store: PostgresStore, value: never): Promise<unknown>;
};

const meta = { correlation: "slot", causation: {} };
const lease = { stream: "leased", at: 1, by: "w", retry: 0, lagging: true };
const nothing = () => {};

const event = (over: object) => ({
  id: 1,
  stream: "restored",
  version: 0,
  created: new Date(1_000),
  name: "Restored",
  data: {},
  meta,
  ...over,
});
const restoring = (store: PostgresStore, over: object) =>
  store.restore(async (insert) => void (await insert(event(over))));

const slot = (verb: string, path: string, kind: Kind, call: Slot["call"]): Slot => ({
  verb,
  path,
  kind,
  call,
});

/** The verbs that take names or a filter. */
const byInput = (
  verb: string,
  call: (store: PostgresStore, input: never) => Promise<unknown>,
  names = true,
): Slot[] => [
  slot(verb, "input", names ? "input" : "object", call),
  slot(verb, "stream", "pattern?", (store, stream) => call(store, { stream } as never)),
  slot(verb, "source", "pattern?", (store, source) => call(store, { source } as never)),
  slot(verb, "lane", "text?", (store, lane) => call(store, { lane } as never)),
  slot(verb, "blocked", "flag?", (store, blocked) => call(store, { blocked } as never)),
  slot(verb, "stream_exact", "flag?", (store, stream_exact) =>
    call(store, { stream: "s", stream_exact } as never),
  ),
  slot(verb, "source_exact", "flag?", (store, source_exact) =>
    call(store, { source: "s", source_exact } as never),
  ),
];

const queries: Slot[] = [
  slot("query", "callback", "function", (store, callback) => store.query(callback)),
  slot("query", "query", "object?", (store, query) => store.query(nothing, query)),
  slot("query", "stream", "pattern?", (store, stream) => store.query(nothing, { stream })),
  slot("query", "names", "texts?", (store, names) => store.query(nothing, { names })),
  slot("query", "correlation", "text?", (store, correlation) => store.query(nothing, { correlation })),
  slot("query", "after", "number?", (store, after) => store.query(nothing, { after })),
  slot("query", "before", "number?", (store, before) => store.query(nothing, { before })),
  slot("query", "limit", "number?", (store, limit) => store.query(nothing, { limit })),
  slot("query", "created_after", "date?", (store, created_after) => store.query(nothing, { created_after })),
  slot("query", "created_before", "date?", (store, created_before) =>
    store.query(nothing, { created_before }),
  ),
  slot("query", "backward", "flag?", (store, backward) => store.query(nothing, { backward })),
  slot("query", "with_snaps", "flag?", (store, with_snaps) => store.query(nothing, { with_snaps })),
  slot("query", "stream_exact", "flag?", (store, stream_exact) =>
    store.query(nothing, { stream: "s", stream_exact }),
  ),
  slot("query_streams", "callback", "function", (store, callback) => store.query_streams(callback)),
  slot("query_streams", "after", "text?", (store, after) => store.query_streams(nothing, { after })),
  slot("query_streams", "limit", "number?", (store, limit) => store.query_streams(nothing, { limit })),
  slot("query_streams", "source_matches", "texts?", (store, source_matches) =>
    store.query_streams(nothing, { source_matches }),
  ),
  ...byInput("query_streams", (store, query) => store.query_streams(nothing, query)).map((one) =>
    one.path === "input" ? { ...one, path: "query", kind: "object?" as const } : one,
  ),
  slot("query_stats", "input", "input", (store, input) => store.query_stats(input)),
  slot("query_stats", "stream", "pattern?", (store, stream) => store.query_stats({ stream })),
  slot("query_stats", "options", "object?", (store, options) => store.query_stats({}, options)),
  slot("query_stats", "exclude", "texts?", (store, exclude) => store.query_stats({}, { exclude })),
  slot("query_stats", "after", "text?", (store, after) => store.query_stats({}, { after })),
  slot("query_stats", "before", "number?", (store, before) => store.query_stats({}, { before })),
  slot("query_stats", "limit", "number?", (store, limit) => store.query_stats({}, { limit })),
];

const commits: Slot[] = [
  slot("commit", "stream", "text", (store, stream) => store.commit(stream, [{ name: "A", data: {} }], meta)),
  slot("commit", "msgs", "list", (store, msgs) => store.commit("s", msgs, meta)),
  slot("commit", "each message", "object", (store, msg) =>
    store.commit("s", [{ name: "A", data: {} }, msg], meta),
  ),
  slot("commit", "name", "text", (store, name) => store.commit("s", [{ name, data: {} }], meta)),
  slot("commit", "meta", "object?", (store, bad) => store.commit("s", [{ name: "A", data: {} }], bad)),
  slot("commit", "expectedVersion", "number?", (store, expected) =>
    store.commit("s", [{ name: "A", data: {} }], meta, expected),
  ),
  slot("truncate", "targets", "list", (store, targets) => store.truncate(targets)),
  slot("truncate", "each target", "object", (store, target) => store.truncate([{ stream: "s" }, target])),
  slot("truncate", "stream", "text", (store, stream) => store.truncate([{ stream }])),
  slot("truncate", "before", "date?", (store, before) => store.truncate([{ stream: "s", before }])),
  slot("truncate", "max_id", "number?", (store, max_id) =>
    store.truncate([{ stream: "none", before: new Date(0), max_id }]),
  ),
  slot("truncate", "snapshot", "object?", (store, snapshot) => store.truncate([{ stream: "s", snapshot }])),
  slot("truncate", "meta", "object?", (store, bad) =>
    store.truncate([{ stream: "s", snapshot: {}, meta: bad }]),
  ),
  slot("restore", "driver", "function", (store, driver) => store.restore(driver)),
  slot("restore", "each event", "object", (store, bad) =>
    store.restore(async (insert) => void (await insert(bad))),
  ),
  slot("restore", "stream", "text", (store, stream) => restoring(store, { stream })),
  slot("restore", "name", "text", (store, name) => restoring(store, { name })),
  slot("restore", "version", "number", (store, version) => restoring(store, { version })),
  slot("restore", "created", "date", (store, created) => restoring(store, { created })),
  slot("restore", "meta", "object?", (store, bad) => restoring(store, { meta: bad })),
  slot("forget_pii", "stream", "text", (store, stream) => store.forget_pii(stream)),
  slot("notify", "handler", "function", async (store, handler) => store.notify?.(handler)),
];

const subscribing = (store: PostgresStore, over: object) => store.subscribe([{ stream: "new", ...over }]);
const correlating = (store: PostgresStore, over: object) =>
  store.subscribe([], 1, { key: "k", by: "b", millis: 10, ...over });
const acking = (store: PostgresStore, over: object) => store.ack([{ ...lease, ...over }]);
const blocking = (store: PostgresStore, over: object) => store.block([{ ...lease, error: "e", ...over }]);

const workers: Slot[] = [
  slot("subscribe", "streams", "list", (store, streams) => store.subscribe(streams)),
  slot("subscribe", "each entry", "object", (store, entry) => store.subscribe([{ stream: "new" }, entry])),
  slot("subscribe", "stream", "text", (store, stream) => subscribing(store, { stream })),
  slot("subscribe", "source", "text?", (store, source) => subscribing(store, { source })),
  slot("subscribe", "lane", "text?", (store, lane) => subscribing(store, { lane })),
  slot("subscribe", "priority", "number?", (store, priority) => subscribing(store, { priority })),
  slot("subscribe", "mark", "number?", (store, correlated_at) => subscribing(store, { correlated_at })),
  slot("subscribe", "correlated_at", "number?", (store, at) => store.subscribe([], at)),
  slot("subscribe", "correlator", "object?", (store, correlator) => store.subscribe([], 1, correlator)),
  slot("subscribe", "correlator.key", "text", (store, key) => correlating(store, { key })),
  slot("subscribe", "correlator.by", "text", (store, by) => correlating(store, { by })),
  slot("subscribe", "correlator.millis", "number", (store, millis) => correlating(store, { millis })),
  slot("claim", "lagging", "number", (store, lagging) => store.claim(lagging, 1, "w", 10)),
  slot("claim", "leading", "number", (store, leading) => store.claim(1, leading, "w", 10)),
  slot("claim", "by", "text", (store, by) => store.claim(1, 1, by, 10)),
  slot("claim", "millis", "number", (store, millis) => store.claim(1, 1, "w", millis)),
  slot("claim", "lane", "text?", (store, lane) => store.claim(1, 1, "w", 10, lane)),
  slot("ack", "leases", "list", (store, leases) => store.ack(leases)),
  slot("ack", "each lease", "object", (store, bad) => store.ack([lease, bad])),
  slot("ack", "stream", "text", (store, stream) => acking(store, { stream })),
  slot("ack", "by", "text", (store, by) => acking(store, { by })),
  slot("ack", "at", "number", (store, at) => acking(store, { at })),
  slot("ack", "retry", "number?", (store, retry) => acking(store, { retry })),
  slot("ack", "due", "number?", (store, due) => acking(store, { due })),
  slot("block", "leases", "list", (store, leases) => store.block(leases)),
  slot("block", "each lease", "object", (store, bad) => store.block([{ ...lease, error: "e" }, bad])),
  slot("block", "stream", "text", (store, stream) => blocking(store, { stream })),
  slot("block", "by", "text", (store, by) => blocking(store, { by })),
  ...byInput("reset", (store, input) => store.reset(input)),
  ...byInput("unblock", (store, input) => store.unblock(input)),
  ...byInput("defer", (store, input) => store.defer(input, 1)),
  slot("defer", "deferred_at", "number", (store, at) => store.defer(["leased"], at)),
  ...byInput("prioritize", (store, filter) => store.prioritize(filter, 1), false),
  slot("prioritize", "priority", "number", (store, priority) => store.prioritize({}, priority)),
];

export const slots: readonly Slot[] = [...commits, ...queries, ...workers];

/** Values of the wrong type. What is optional may be left out and may be null. */
export const wrong: Readonly<Record<Kind, readonly unknown[]>> = {
  text: [undefined, null, 5, true, {}, ["s"], Symbol("s")],
  "text?": [5, true, {}, ["s"]],
  "pattern?": [5, true, {}, ["s"], /s/],
  "texts?": ["s", 5, {}, [5], [null], ["s", undefined]],
  number: [undefined, null, "1", {}, true, Number.NaN, 1n],
  "number?": ["1", {}, true, Number.NaN, 1n],
  "flag?": ["true", 1, {}],
  date: [undefined, null, 5, "2024-01-01", {}, new Date(Number.NaN)],
  "date?": [5, "2024-01-01", {}, new Date(Number.NaN)],
  list: [undefined, null, 5, "s", {}, new Set(["s"])],
  object: [undefined, null, 5, "s", []],
  "object?": [5, "s", []],
  function: [undefined, null, 5, {}],
  input: [undefined, null, 5, "s", [5], [null]],
};
