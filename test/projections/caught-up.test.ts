/** caughtUp(): whoever wrote an event waits until the read models have it, in its own process or another. */
import { act, projection } from "@rotorsoft/act";
import { expect, onTestFinished, test } from "vitest";
import type { PostgresStore } from "../../src/index.ts";
import {
  CaughtUpTimeout,
  type Progress,
  type ProgressOptions,
  progressOf,
} from "../../src/projections/index.ts";
import { Account, actor, Deposited, on, settled, stopping, useApps } from "../framework/fixture.ts";
import { connect } from "../support/database.ts";

const fixture = useApps();

type Handlers = { readonly all?: (id: number) => unknown; readonly each?: (id: number) => unknown };

/** Two projections of deposits: one target, and one per account for amounts that are even. */
function build(store: PostgresStore, { all = () => {}, each = () => {} }: Handlers = {}, works = true) {
  const sums = projection("all")
    .on({ Deposited })
    .do(async function sum({ id }) {
      await all(id);
    })
    .build();
  const evens = projection()
    .on({ Deposited })
    .do(async function even({ id }) {
      await each(id);
    })
    .to(({ stream, data }) => (data.amount % 2 ? undefined : { target: `of-${stream}`, source: stream }))
    .build();
  const options = works ? on(store) : { ...on(store), drain: false };
  const app = stopping(act().withState(Account).withProjection(sums).withProjection(evens).build(options));
  return app;
}

function watching(options: ProgressOptions): Progress {
  const progress = progressOf(options);
  onTestFinished(() => progress.dispose());
  return progress;
}

/** Act loses a wake that comes while it correlates: this store's app is woken again and again. */
function waking(store: PostgresStore): PostgresStore {
  const { notify } = store;
  let wake: Parameters<NonNullable<typeof notify>>[0] = () => {};
  const listen: typeof notify = async (handler) => {
    wake = handler;
    return (await notify?.(handler)) ?? (async () => {});
  };
  const look = setInterval(() => wake({ stream: "", events: [{ id: 0, name: "Deposited" }] }), 100);
  onTestFinished(() => clearInterval(look));
  return Object.assign(store, { notify: listen });
}

/** A process that runs the projections, and announces; and one that writes and waits. */
async function processes(handlers?: Handlers) {
  const store = waking(await fixture.seeded({ notify: true }));
  const worker = build(store, handlers);
  watching({ app: worker, store }).announce();
  await settled(worker);
  const own = fixture.beside(store);
  const writer = build(own, {}, false);
  const deposit = (amount: number) => writer.do("deposit", { stream: "a", actor }, { amount });
  return { store, worker, writer, deposit, progress: watching({ app: writer, store: own }) };
}

test("it resolves once every reaction to the event is done, in another process", async () => {
  const done: string[] = [];
  const { progress, deposit } = await processes({
    all: (id) => done.push(`all ${id}`),
    each: (id) => done.push(`each ${id}`),
  });
  await progress.caughtUp(undefined, await deposit(2));
  expect(done.toSorted()).toEqual(["all 1", "each 1"]);
});

test("it waits for the named targets only", async () => {
  const release = Promise.withResolvers<void>();
  onTestFinished(() => release.resolve());
  const { progress, deposit } = await processes({ each: () => release.promise });
  const snapshots = await deposit(2);
  const both = progress.caughtUp(["all", "of-a"], snapshots, { timeout: 60_000 });
  let ended = false;
  void both.finally(() => {
    ended = true;
  });
  // Another wait for the target that is held has looked several times, and has given up.
  const alone = progress.caughtUp(["of-a"], snapshots, { timeout: 200 });
  await expect(alone).rejects.toMatchObject({ code: "TIMED_OUT", behind: [{ target: "of-a" }] });
  expect(ended).toBe(false);
  release.resolve();
  await both;
});

test("a target that the event is not for is not waited for", async () => {
  const { progress, deposit } = await processes();
  const snapshots = await deposit(3);
  await progress.caughtUp(["of-a"], snapshots, { timeout: 1_000 });
  await progress.caughtUp(["all", "of-a"], snapshots.at(-1)?.event?.id ?? -1);
  await deposit(2);
  const odd = await deposit(5);
  await progress.caughtUp(["of-a"], odd, { timeout: 10_000 });
  await progress.caughtUp(undefined, odd);
});

test("the search for the last event of a target ends with the wait, however long the log is", async () => {
  const store = await fixture.seeded();
  const deposits = Array.from({ length: 450 }, () => ({ name: "Deposited", data: { amount: 2 } }));
  const last = (await store.commit("b", deposits, { correlation: "c", causation: {} })).at(-1)?.id ?? -1;
  const stop = new AbortController();
  let pages = 0;
  const { query } = store;
  const counting: typeof query = (...args) => {
    if (++pages === 3) stop.abort(new Error("stopped"));
    return query(...args);
  };
  const progress = watching({
    app: build(store, {}, false),
    store: Object.assign(store, { query: counting }),
  });
  await expect(progress.caughtUp(["of-a"], last, { timeout: 0 })).rejects.toThrow('"of-a" is at -1 of 450');
  expect(pages).toBe(1);
  pages = 0;
  await expect(progress.caughtUp(["of-a"], last, { signal: stop.signal })).rejects.toThrow("stopped");
  expect(pages).toBe(3);
});

test("a wait that is too long ends with an error that says how far each target is", async () => {
  const release = Promise.withResolvers<void>();
  onTestFinished(() => release.resolve());
  const { progress, deposit } = await processes({ all: (id) => (id > 2 ? release.promise : undefined) });
  await progress.caughtUp(["all"], await deposit(1));
  await progress.caughtUp(["all"], await deposit(1));
  const late = progress.caughtUp(["all"], await deposit(1), { timeout: 300 });
  await expect(late).rejects.toBeInstanceOf(CaughtUpTimeout);
  await expect(late).rejects.toMatchObject({
    code: "TIMED_OUT",
    behind: [{ target: "all", at: 2, waitsFor: 3 }],
    message: expect.stringMatching(
      /event 3 was not handled within 300 ms: "all" is at 2 of 3.*check that workers run/,
    ),
  });
});

test("a target that is blocked fails at once", async () => {
  const { store, progress, deposit } = await processes({
    all: () => {
      throw new Error("down");
    },
  });
  const [lease] = await store.claim(0, 0, "nobody", 1_000);
  expect(lease).toBeUndefined();
  const snapshots = await deposit(1);
  const waiting = progress.caughtUp(["all"], snapshots, { timeout: 60_000 });
  const rejected = expect(waiting).rejects.toMatchObject({
    code: "BLOCKED",
    message: /unblock\(\["all"\]\)/,
  });
  await fixture.sql`update ${fixture.sql(`${store.config.table}_streams`)} set blocked = true where stream = 'all'`;
  await rejected;
});

test("without announcements, and without LISTEN, it looks by itself", async () => {
  const store = waking(await fixture.seeded({ notify: true }));
  const worker = build(store);
  await settled(worker);
  const own = fixture.beside(store);
  const writer = build(own, {}, false);
  const progress = watching({ app: writer, store: own });
  await progress.caughtUp(undefined, await writer.do("deposit", { stream: "a", actor }, { amount: 2 }));
});

test("in the process that runs the projections it is woken by the app itself", async () => {
  const store = await fixture.seeded();
  const app = build(store);
  const progress = watching({ app, store });
  app.on("committed", () => app.settle());
  await progress.caughtUp(undefined, await app.do("deposit", { stream: "a", actor }, { amount: 2 }));
  expect(await fixture.unfinished(store)).toEqual([]);
});

test("a wait ends by its signal, and by dispose()", async () => {
  const release = Promise.withResolvers<void>();
  onTestFinished(() => release.resolve());
  const { progress, deposit } = await processes({ all: () => release.promise });
  const snapshots = await deposit(1);
  const stop = new AbortController();
  const stopped = progress.caughtUp(["all"], snapshots, { signal: stop.signal, timeout: 60_000 });
  const disposed = progress.caughtUp(["all"], snapshots, { timeout: 60_000 });
  const both = Promise.all([
    expect(stopped).rejects.toThrow("enough"),
    expect(disposed).rejects.toMatchObject({ code: "DISPOSED" }),
  ]);
  stop.abort(new Error("enough"));
  await expect(stopped).rejects.toThrow("enough");
  await progress.dispose();
  await both;
});

test("a wait ends in time, by its signal, and by dispose(), while the log does not answer", async () => {
  const store = await fixture.seeded();
  const app = build(store, {}, false);
  const progress = watching({ app, store });
  const { schema, table } = store.config;
  const locker = connect(fixture.url);
  onTestFinished(() => locker.end());
  await locker.unsafe(`begin; lock table "${schema}"."${table}_streams" in access exclusive mode`);
  await expect(progress.caughtUp(["all"], 1, { timeout: 50 })).rejects.toMatchObject({
    code: "TIMED_OUT",
    message: expect.stringContaining("the log did not say in time how far its targets are"),
  });
  const stop = new AbortController();
  const stopped = progress.caughtUp(["all"], 1, { signal: stop.signal, timeout: 60_000 });
  stop.abort(new Error("enough"));
  await expect(stopped).rejects.toThrow("enough");
  const waiting = progress.caughtUp(["all"], 1, { timeout: Number.POSITIVE_INFINITY });
  const refused = expect(waiting).rejects.toMatchObject({ code: "DISPOSED" });
  const gone = progress.dispose();
  await refused;
  await expect(progress.caughtUp(["all"], 1)).rejects.toMatchObject({ code: "DISPOSED" });
  await locker.unsafe("rollback");
  await gone;
});

test.each([
  ["a target that PostgreSQL cannot store", [["a\0"], 1], /without U\+0000 and lone surrogates/],
  ["targets with a hole", [new Array(1), 1], /targets must be an array of names/],
  ["targets that are no array", ["all", 1], /targets must be an array of names/],
  ["an id without targets", [undefined, 1], /name the targets, or give the event itself/],
  ["nothing to wait for", [["all"], []], /give an event, what app.do\(\) returned, or the id/],
  ["a negative timeout", [["all"], 1, { timeout: -1 }], /timeout must be a number of ms/],
])("%s is refused", async (_, given, says) => {
  const store = await fixture.seeded();
  const progress = watching({ app: build(store), store });
  await expect(Reflect.apply(progress.caughtUp, undefined, given)).rejects.toThrow(says);
});
