/**
 * Each public function with options refuses a name that it does not know and a value that is of no use, before anything is
 * sent: the store's port is one that nobody listens on.
 */
import { ValidationError } from "@rotorsoft/act";
import { describe, expect, test } from "vitest";
import { sourcesOfEntries } from "../../dev/entries.ts";
import { Admin, compress, decompress, folder } from "../../src/admin/index.ts";
import { actIdempotency, PostgresIdempotency } from "../../src/idempotency/index.ts";
import { PostgresDatabase, PostgresStore, seedAll } from "../../src/index.ts";
import * as projections from "../../src/projections/index.ts";
import { typedEvents } from "../../src/queries/index.ts";
import { actTables } from "../../src/schema/tables.ts";
import { instrument } from "../../src/telemetry/index.ts";
import { testKit } from "../../src/testing/index.ts";

const store = new PostgresStore({ host: "127.0.0.1", port: 1 });
const admin = new Admin(store);
const { backfill, exactlyOnce, inline, progressOf, rebuild, rebuildable, redeliver, actPositions } =
  projections;
const app = { registry: { events: {} }, lanes: [], on: () => {}, off: () => {} };
const signal = AbortSignal.timeout(60_000);
const target = { write: async () => {}, read: () => [] };
const waiter = progressOf({ app, store });

async function textOf(source: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of source);
}

/** What is called with options, by the name of what is exported. What takes no options is `none`. */
type Call = (options: never) => unknown;
const none = "none";
const CALLS: Readonly<Record<string, Call | typeof none | Readonly<Record<string, Call>>>> = {
  PostgresStore: (options) => new PostgresStore(options),
  "PostgresStore.ddl": (options) => PostgresStore.ddl(options),
  PostgresDatabase: (options) => new PostgresDatabase(options),
  seedAll: (options) => seedAll([], options),
  actTables: (options) => actTables(options),
  actPositions: (options) => actPositions(options),
  actIdempotency: (options) => actIdempotency(options),
  PostgresIdempotency: (options) => new PostgresIdempotency(store, options),
  backfill: (options: object) => backfill({ app, store, ...options } as never),
  exactlyOnce: (options: object) => exactlyOnce({ projection: "p", ...options } as never),
  inline: (options: object) => inline({ events: {}, on: {}, ...options }),
  progressOf: (options: object) => progressOf({ app, store, ...options } as never),
  "progressOf().caughtUp": (options) => waiter.caughtUp(["t"], 1, options),
  rebuild: (options: object) => rebuild({ store, projection: "p", ...options } as never),
  rebuildable: (options: object) => rebuildable({ projection: "p", ...options } as never),
  redeliver: (options: object) => redeliver({ app, projection: "p", ...options } as never),
  instrument: (options) => instrument(store, options),
  testKit: (options: object) => testKit({ build: () => app, ...options } as never),
  typedEvents: (options) => typedEvents(actTables().events).named("Placed", options),
  folder: none,
  compress: none,
  decompress: none,
  namesForTarget: none,
  actRelations: none,
  Admin: none,
};

const ADMIN: Readonly<Record<string, Call | typeof none>> = {
  lag: (options) => admin.lag(options),
  blocked: (options) => admin.blocked(options),
  leases: (options) => admin.leases(options),
  correlators: (options) => admin.correlators(options),
  growth: (options) => admin.growth(options),
  events: (options) => admin.events(options),
  log: (options) => admin.log(options),
  streamNames: (options) => admin.streamNames(options),
  versions: (options: object) => admin.versions("s", { from: 0, to: 1, ...options }),
  subscriptions: (options) => admin.subscriptions(options),
  matching: (options) => admin.matching({}, options),
  on: (options: object) => admin.on({ schema: "s", table: "t", ...options }),
  follow: (options: object) => textOf(admin.follow({ signal, ...options })),
  doctor: (options) => admin.doctor(options),
  skip: (options: object) => admin.skip({ stream: "s", event: 1, by: "b", reason: "r", ...options }),
  skipped: (options) => admin.skipped(options),
  unblock: (options) => admin.unblock(["s"], options),
  reset: (options) => admin.reset(["s"], options),
  defer: (options) => admin.defer(["s"], 1, options),
  prioritize: (options) => admin.prioritize({}, 1, options),
  release: (options: object) => admin.release({ stream: "s", ...options }),
  reap: (options) => admin.reap(options),
  export: (options) => textOf(admin.export(options)),
  import: (options) => admin.import((async function* () {})(), options),
  archive: (options: object) => admin.archive({ target, ...options } as never),
  move: (options) => admin.move(store, options),
  stream: (options) => admin.stream("s", options),
  trace: (options) => admin.trace("c", options),
  overview: none,
  connections: none,
  appendLock: none,
  storage: none,
  event: none,
  relations: none,
  personal: none,
  namesInUse: none,
  snapshotAt: none,
  readers: none,
  projections: none,
  stores: none,
  watch: none,
  plan: none,
};

const callsOf = (calls: Readonly<Record<string, unknown>>): [string, Call][] =>
  Object.entries(calls).filter((entry): entry is [string, Call] => typeof entry[1] === "function");

async function failureOf(call: () => unknown): Promise<Error> {
  try {
    await call();
  } catch (error) {
    if (error instanceof Error) return error;
  }
  throw new Error("it was not refused");
}

test("every entry's functions, and those of Admin, are looked at here", async () => {
  const isError = (value: unknown) => typeof value === "function" && value.prototype instanceof Error;
  for (const [entry, source] of sourcesOfEntries()) {
    const exported: Record<string, unknown> = await import(source);
    const names = Object.entries(exported).flatMap(([name, value]) =>
      typeof value !== "function" || isError(value) || entry === "act-drizzle/queries" ? [] : [name],
    );
    expect(Object.keys(CALLS), entry).toEqual(expect.arrayContaining(names));
  }
  const methods = Object.getOwnPropertyNames(Admin.prototype).filter((name) => name !== "constructor");
  expect(Object.keys(ADMIN).sort()).toEqual(methods.sort());
});

test.each(callsOf(CALLS))(
  "%s refuses an option that it does not know, and says which there are",
  async (_, call) => {
    const error = await failureOf(() => call({ limt: 5 } as never));
    expect(error.message).toMatch(/unknown option "limt"; the options are \w+/);
  },
);

test.each(callsOf(ADMIN))("admin.%s refuses an option that it does not know", async (name, call) => {
  const error = await failureOf(() => call({ limt: 5 } as never));
  expect(error).toBeInstanceOf(ValidationError);
  expect(error).toMatchObject({
    target: name,
    details: expect.stringMatching(/^unknown option "limt"; the options are \w+/),
  });
  // The message says it too: loggers print nothing else.
  expect(error.message).toContain('unknown option "limt"');
});

test.each(callsOf(ADMIN))("admin.%s takes no options but an object", async (name, call) => {
  if (["versions", "on", "follow", "skip", "release", "archive"].includes(name)) return;
  for (const options of [null, 5, "x", []])
    expect(await failureOf(() => call(options as never))).toMatchObject({
      details: expect.stringMatching(/^options must be an object, not /),
    });
});

test("an option that is undefined is left out, and a prototype's is none", async () => {
  const constructed = JSON.parse('{"__proto__": 1}');
  expect((await failureOf(() => admin.lag(constructed))).message).toContain('"__proto__"');
  expect((await failureOf(() => admin.lag({ constructor: 1 } as never))).message).toContain('"constructor"');
  const misspelt = { limt: undefined, limit: -1 } as never;
  expect((await failureOf(() => admin.lag(misspelt))).message).toContain("limit must be");
});

const LIMIT = "a whole number, 0 or more";
const ID = "a whole number";
const TEXT = "without U+0000 and lone surrogates";
const nul = "a\0b";
const lone = "\ud800";
const noDate = new Date(Number.NaN);
const view = { id: 1, stream: "s", version: 0, correlation: "c" };

describe("admin refuses a value that is of no use", () => {
  test.each<[what: string, call: () => unknown, says: string]>([
    ...[Number.NaN, Number.POSITIVE_INFINITY, -1, 1.5, "5", null].flatMap((limit) =>
      ["lag", "blocked", "leases", "correlators", "events", "log", "streamNames", "versions", "subscriptions"]
        .concat("skipped", "stream", "trace")
        .map((name): [string, () => unknown, string] => [
          `${name}: limit ${limit}`,
          () => (ADMIN[name] as Call)({ limit } as never),
          `limit must be ${LIMIT}`,
        ]),
    ),
    ...["events", "log"].flatMap((name): [string, () => unknown, string][] => [
      [
        `${name}: before NaN`,
        () => (ADMIN[name] as Call)({ before: Number.NaN } as never),
        `before must be ${ID}`,
      ],
      [`${name}: after ∞`, () => (ADMIN[name] as Call)({ after: 1 / 0 } as never), `after must be ${ID}`],
      [
        `${name}: an invalid Date`,
        () => (ADMIN[name] as Call)({ createdAfter: noDate } as never),
        "createdAfter must be a valid Date, not an invalid Date",
      ],
      [
        `${name}: no Date`,
        () => (ADMIN[name] as Call)({ createdBefore: 5 } as never),
        "createdBefore must be a valid Date, not number",
      ],
      [`${name}: U+0000`, () => (ADMIN[name] as Call)({ stream: nul } as never), TEXT],
      [`${name}: a lone surrogate`, () => (ADMIN[name] as Call)({ correlation: lone } as never), TEXT],
      [
        `${name}: names`,
        () => (ADMIN[name] as Call)({ names: ["a", nul] } as never),
        "names must be an array",
      ],
      [
        `${name}: payload`,
        () => (ADMIN[name] as Call)({ payload: 1 } as never),
        "payload must be true or false",
      ],
    ]),
    ["log: actor", () => admin.log({ actor: nul }), TEXT],
    ["lag: lane", () => admin.lag({ lane: nul }), TEXT],
    ["lag: names", () => admin.lag({ names: ["a"] as never }), "names must be a function"],
    ["blocked: after", () => admin.blocked({ after: lone }), TEXT],
    ["growth: windowMs 0", () => admin.growth({ windowMs: 0 }), "windowMs must be a number of ms from 1"],
    ["growth: windowMs NaN", () => admin.growth({ windowMs: Number.NaN }), "windowMs must be"],
    ["growth: windowMs 1e300", () => admin.growth({ windowMs: 1e300 }), "windowMs must be"],
    [
      "reap: olderThanMs −1",
      () => admin.reap({ olderThanMs: -1 }),
      "olderThanMs must be a number of ms from 0",
    ],
    ["reap: olderThanMs ∞", () => admin.reap({ olderThanMs: 1 / 0 }), "olderThanMs must be"],
    ["event: NaN", () => admin.event(Number.NaN), `id must be ${ID}, not NaN`],
    ["personal: 1.5", () => admin.personal(1.5), `id must be ${ID}`],
    [
      "versions: an empty name",
      () => admin.versions("", { from: 0, to: 1 }),
      "stream must be a string that is not",
    ],
    [
      "versions: from left out",
      () => admin.versions("s", { to: 1 } as never),
      `from must be ${ID}, not undefined`,
    ],
    ["versions: no options", () => admin.versions("s", undefined as never), "options must be an object"],
    ["snapshotAt: U+0000", () => admin.snapshotAt(nul, 1), TEXT],
    ["snapshotAt: NaN", () => admin.snapshotAt("s", Number.NaN), `version must be ${ID}`],
    [
      "readers: an empty name",
      () => admin.readers(""),
      "not empty, without U+0000 and lone surrogates, not an empty",
    ],
    ["stream: an empty name", () => admin.stream(""), "name must be a string that is not empty"],
    ["trace: an empty correlation", () => admin.trace(""), "correlation must be a string that is not empty"],
    ["skip: an empty name", () => admin.skip({ stream: "", event: 1, by: "b", reason: "r" }), "not empty"],
    [
      "skip: event NaN",
      () => admin.skip({ stream: "s", event: Number.NaN, by: "b", reason: "r" }),
      "event must be",
    ],
    ["skip: U+0000", () => admin.skip({ stream: "s", event: 1, by: "b", reason: nul }), "reason must be"],
    ["skip: no options", () => admin.skip(undefined as never), "options must be an object"],
    ["release: no name", () => admin.release({} as never), "stream must be a string that is not empty"],
    ["release: holder", () => admin.release({ stream: "s", holder: nul }), "holder must be"],
    [
      "subscriptions: state",
      () => admin.subscriptions({ state: "late" as never }),
      'state must be "all" or "behind"',
    ],
    [
      "subscriptions: sort",
      () => admin.subscriptions({ sort: "age" as never }),
      'sort must be "stream" or "at"',
    ],
    ["on: no schema", () => admin.on({ table: "t" } as never), "schema must be"],
    ["follow: no signal", () => textOf(admin.follow({} as never)), "signal must be an AbortSignal"],
    ["watch: no function", () => admin.watch(5 as never), "onWake must be a function"],
    ["relations: NaN", () => admin.relations({ ...view, id: Number.NaN } as never), "event.id must be"],
    ["relations: nothing", () => admin.relations(undefined as never), "event must be an object"],
    [
      "reset: onProgress",
      () => admin.reset(["s"], { onProgress: 5 as never }),
      "onProgress must be a function",
    ],
    [
      "reset: a filter that is unknown",
      () => admin.reset({ strem: "a" } as never),
      'unknown filter "strem"; the filters',
    ],
    [
      "matching: a filter that is unknown",
      () => admin.matching({ lan: "a" } as never),
      'unknown filter "lan"',
    ],
    [
      "export: format",
      () => textOf(admin.export({ format: "xml" as never })),
      'format must be "jsonl" or "csv"',
    ],
    ["export: after", () => textOf(admin.export({ after: Number.NaN })), `after must be ${ID}`],
    [
      "import: mode",
      () => admin.import([] as never, { mode: "add" as never }),
      'mode must be "empty" or "replace"',
    ],
    ["import: a string", () => admin.import("text" as never), "source must be an async iterable"],
    ["archive: no target", () => admin.archive({} as never), "target must be an object with the functions"],
    [
      "archive: an invalid Date",
      () => admin.archive({ target, before: noDate } as never),
      "before must be a valid Date",
    ],
    ["move: keepIn", () => admin.move(store, { keepIn: "" }), "keepIn must be a string that is not empty"],
  ])("%s", async (_, call, says) => {
    const error = await failureOf(call);
    expect(error).toBeInstanceOf(ValidationError);
    expect(error).toMatchObject({ details: expect.stringContaining(says) });
  });
});

test("the store's verbs that change many refuse a filter that is unknown: it would select all", async () => {
  const filter = { strem: "^order-" } as never;
  for (const call of [
    () => store.reset(filter),
    () => store.unblock(filter),
    () => store.defer(filter, 1),
    () => store.prioritize(filter, 1),
  ])
    expect((await failureOf(call)).message).toContain('unknown filter "strem"; the filters are stream, ');
});

test("a filter that is unknown is named as the caller has written it", async () => {
  const { message } = await failureOf(() => store.reset({ options: {} } as never));
  expect(message).toContain('unknown filter "options"; the filters are stream, ');
});

test.each([Number.NaN, Number.POSITIVE_INFINITY, -2, 1.5])("sawEvent(%d) is refused", async (id) => {
  expect(await failureOf(() => store.sawEvent(id))).toBeInstanceOf(ValidationError);
});

test("health never rejects: a wrong option is a problem", async () => {
  expect(await store.health({ timeoutMs: Number.NaN })).toMatchObject({
    ok: false,
    problems: [expect.stringContaining("timeoutMs must be a number of ms above 0, or Infinity, not NaN")],
  });
  expect((await store.health({ deap: true } as never)).problems[0]).toContain('unknown option "deap"');
  expect((await store.health(null as never)).problems[0]).toContain("options must be an object");
});

test("a compression that does not exist is refused, and so is a folder without a name", async () => {
  const says = 'compression must be "gzip" or "zstd" or "none"';
  const nothing = (async function* () {})();
  expect((await failureOf(() => compress(nothing, "gz" as never))).message).toContain(says);
  expect((await failureOf(() => textOf(decompress(nothing, "gz" as never)))).message).toContain(says);
  expect((await failureOf(() => folder(""))).message).toContain("path must be a string that is not empty");
});
