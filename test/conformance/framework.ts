/** The framework itself on top of the store: the sequences of calls that apps make. */
import {
  type ActOptions,
  act,
  InMemoryCache,
  InMemoryStore,
  type Store,
  StreamClosedError,
  state,
} from "@rotorsoft/act";
import { expect, onTestFinished } from "vitest";
import { z } from "zod";
import { eventually } from "./kit/eventually.ts";
import {
  append,
  at,
  blocked,
  namesOf,
  notified,
  positionOf,
  positions,
  read,
  readAll,
  SNAPSHOT,
  streamsOf,
  TOMBSTONE,
} from "./kit/scenario.ts";
import { section } from "./kit/section.ts";

const Counter = state({ Counter: z.object({ count: z.number(), since: z.date().optional() }) })
  .init(() => ({ count: 0 }))
  .emits({ Incremented: z.object({ by: z.number(), at: z.date(), note: z.string() }) })
  .patch({ Incremented: ({ data }, { count }) => ({ count: count + data.by, since: data.at }) })
  .on({ increment: z.object({ by: z.number() }) })
  .emit(({ by }) => ["Incremented", { by, at: new Date(86_400_000), note: "2020-01-01T00:00:00.000Z" }])
  .snap(({ patches }) => patches >= 3)
  .build();

const actor = { id: "1", name: "Ann" };

type Reaction = (stream: string, by: number) => Promise<void>;

/** An app of counters over this store, each event also going to `reaction` on `<stream>-copy`. */
function counters(
  store: Store,
  reaction: Reaction = async () => {},
  options: Pick<ActOptions, "listen" | "drain"> = {},
) {
  const app = act()
    .withState(Counter)
    .on("Incremented")
    .do(
      async function copy({ stream, data }) {
        await reaction(stream, data.by);
      },
      { maxRetries: 1, blockOnError: true },
    )
    .to(({ stream }) => ({ target: `${stream}-copy`, source: stream }))
    .build({ scoped: { store, cache: new InMemoryCache() }, settleDebounceMs: 0, ...options });
  onTestFinished(() => app.shutdown());

  const increment = (stream: string, by: number) => app.do("increment", { stream, actor }, { by });
  const countOf = async (stream: string) => (await app.load(Counter, stream)).state.count;
  /** Correlates and drains until a pass finds nothing more to do. A lease that runs out may be taken by another app. */
  const settle = async (leaseMillis = 50) => {
    for (let quiet = 0; quiet < 2; ) {
      const { subscribed } = await app.correlate({ limit: 100 });
      const { acked, blocked } = await app.drain({ leaseMillis });
      quiet = subscribed + acked.length + blocked.length > 0 ? 0 : quiet + 1;
    }
  };
  return { app, increment, countOf, settle };
}

export const framework = section("framework", (line) => {
  line("F1", "an app that starts over hundreds of subscriptions goes on with them", async ({ store }) => {
    await store.subscribe(Array.from({ length: 1_203 }, (_, n) => ({ stream: `s${n}` })));
    const { increment, settle } = counters(store);
    await increment("c", 1);
    await settle();
    expect(await positionOf(store, "c-copy")).toMatchObject({ source: "c", blocked: false, retry: -1 });
    expect(await positions(store, { limit: 2_000 })).toHaveLength(1_204);
  });

  line("F2", "actions load, commit at the head, and load again", async ({ store }) => {
    const { increment, countOf } = counters(store);
    await increment("c", 2);
    await increment("c", 3);
    expect(await countOf("c")).toBe(5);
    expect((await readAll(store)).map((event) => [event.name, event.version])).toEqual([
      ["Incremented", 0],
      ["Incremented", 1],
    ]);
  });

  line("F2", "a state is the same from a cold cache, through its snapshots", async ({ store }) => {
    const { increment } = counters(store);
    for (let n = 1; n <= 7; n++) await increment("c", n);
    await eventually(async () => namesOf(await readAll(store)).includes(SNAPSHOT));
    const { app } = counters(store);
    const loaded = await app.load(Counter, "c");
    expect(loaded.state).toEqual({ count: 28, since: new Date(86_400_000) });
    expect(loaded.snaps).toBeGreaterThan(0);
  });

  line(
    "F2",
    "Dates and date-like text reach the app as they were",
    { needs: ["exact_dates"] },
    async ({ store }) => {
      const { app, increment } = counters(store);
      await increment("c", 1);
      const event = at(await app.query_array({ stream: "c" }), 0);
      expect(event.data).toEqual({ by: 1, at: new Date(86_400_000), note: "2020-01-01T00:00:00.000Z" });
    },
  );

  line("F2", "of actions on one version, one wins and the other may be repeated", async ({ store }) => {
    const { app, increment, countOf } = counters(store);
    await increment("c", 1);
    const guarded = () => app.do("increment", { stream: "c", actor, expectedVersion: 0 }, { by: 1 });
    const outcomes = await Promise.allSettled([guarded(), guarded()]);
    expect(outcomes.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
    expect(await countOf("c")).toBe(2);
  });

  line("F2", "an app travels in time", async ({ store }) => {
    const { app, increment } = counters(store);
    for (const by of [1, 2, 3]) await increment("c", by);
    const events = await read(store, { stream: "c" });
    const past = await app.load(Counter, "c", undefined, { before: at(events, 2).id });
    expect(past.state.count).toBe(3);
  });

  line("F3", "every event reaches its reaction once, in the order of its stream", async ({ store }) => {
    const seen: Array<[string, number]> = [];
    const { increment, settle } = counters(store, async (stream, by) => void seen.push([stream, by]));
    for (let n = 1; n <= 12; n++) for (const stream of ["a", "b", "c"]) await increment(stream, n);
    await settle();
    for (const stream of ["a", "b", "c"]) {
      expect(seen.filter(([each]) => each === stream).map(([, by]) => by)).toEqual(
        Array.from({ length: 12 }, (_, n) => n + 1),
      );
    }
    for (const row of await positions(store)) expect(row.at).toBe(row.correlated_at);
  });

  line("F3", "settle announces that all is done", async ({ store }) => {
    let seen = 0;
    const { app, increment } = counters(store, async () => {
      seen += 1;
    });
    const settled = new Promise((resolve) => app.on("settled", resolve));
    await increment("c", 1);
    app.settle();
    await settled;
    expect(seen).toBe(1);
  });

  line("F3", "a second app over the log goes on where the first stopped", async ({ store }) => {
    const seen: string[] = [];
    const first = counters(store, async (stream, by) => void seen.push(`first ${stream} ${by}`));
    await first.increment("a", 1);
    await first.settle();
    await first.app.shutdown();
    const next = counters(store, async (stream, by) => void seen.push(`next ${stream} ${by}`));
    await next.increment("a", 2);
    await next.settle();
    expect(seen).toEqual(["first a 1", "next a 2"]);
  });

  line(
    "F3",
    "apps of two processes share the reactions, each event once",
    { needs: ["shared"] },
    async (fixture) => {
      const { store, second } = fixture;
      const seen: string[] = [];
      const note: Reaction = async (stream, by) => void seen.push(`${stream} ${by}`);
      const apps = [counters(store, note), counters(await second(), note)];
      const expected: string[] = [];
      for (let n = 0; n < 20; n++) {
        await at(apps, n % 2).increment(`s${n % 5}`, n);
        expected.push(`s${n % 5} ${n}`);
      }
      await eventually(async () => {
        await Promise.all(apps.map(({ settle }) => settle(10_000)));
        return seen.length >= expected.length;
      });
      expect(seen.sort()).toEqual(expected.sort());
    },
  );

  line(
    "F3",
    "a commit of one process wakes the app of another",
    {
      needs: ["shared", "notify"],
      options: { notify: true },
    },
    async ({ store, second }) => {
      const { app } = counters(store);
      const received: string[] = [];
      app.on("notified", ({ stream }) => received.push(stream));
      const writer = counters(await second(), undefined, { listen: false, drain: false });
      let n = 0;
      await eventually(
        async () => {
          n += 1;
          await writer.increment("remote", n);
          return received.includes("remote");
        },
        { every: 50 },
      );
      await eventually(async () => {
        const rows = await positions(store, { stream: "^remote-copy$" });
        return rows[0] !== undefined && rows[0].at >= 0;
      });
    },
  );

  line(
    "F4",
    "a failing reaction is retried, then blocked with its error, and recovers",
    async ({ store }) => {
      let broken = true;
      const seen: number[] = [];
      const { app, increment, settle } = counters(store, async (_, by) => {
        if (broken) throw new Error("out of order");
        seen.push(by);
      });
      await increment("c", 1);
      await increment("c", 2);
      await eventually(async () => {
        await settle();
        return (await positionOf(store, "c-copy")).blocked;
      });
      expect((await positionOf(store, "c-copy")).error).toContain("out of order");
      expect(streamsOf(await app.blocked_streams())).toEqual(["c-copy"]);
      broken = false;
      expect(await app.unblock(["c-copy"])).toBe(1);
      await eventually(async () => {
        await settle();
        return seen.length === 2;
      });
      expect(seen).toEqual([1, 2]);
    },
  );

  line("F4", "a reset replays the whole source", async ({ store }) => {
    const seen: number[] = [];
    const { app, increment, settle } = counters(store, async (_, by) => void seen.push(by));
    for (const by of [1, 2, 3]) await increment("c", by);
    await settle();
    expect(await app.reset(["c-copy"])).toBe(1);
    await eventually(async () => {
      await settle();
      return seen.length === 6;
    });
    expect(seen).toEqual([1, 2, 3, 1, 2, 3]);
  });

  line(
    "F5",
    "a closed stream is archived, truncated to a tombstone, and refuses actions",
    async ({ store }) => {
      const { app, increment, settle } = counters(store);
      for (const by of [1, 2]) await increment("c", by);
      await settle();
      const archived: string[] = [];
      const archive = async () => {
        archived.push(...namesOf(await read(store, { stream: "c", stream_exact: true })));
      };
      const { truncated, skipped } = await app.close([{ stream: "c", archive }]);
      expect(skipped).toEqual([]);
      expect(truncated.get("c")).toMatchObject({ committed: { name: TOMBSTONE, version: 0 } });
      expect(archived.slice(0, 2)).toEqual(["Incremented", "Incremented"]);
      await expect(increment("c", 3)).rejects.toBeInstanceOf(StreamClosedError);
      expect(namesOf(await read(store, { stream: "^c$" }))).toEqual([TOMBSTONE]);
    },
  );

  line("F5", "a stream that restarts goes on from its snapshot", async ({ store }) => {
    const { app, increment, countOf, settle } = counters(store);
    for (const by of [1, 2, 4]) await increment("c", by);
    await settle();
    const { truncated } = await app.close([{ stream: "c", restart: true }]);
    expect(truncated.get("c")).toMatchObject({
      committed: { name: SNAPSHOT, version: 0, data: { count: 7 } },
    });
    await increment("c", 8);
    expect(await countOf("c")).toBe(15);
  });

  line("F5", "a stream with pending reactions is skipped", async ({ store }) => {
    const { app, increment } = counters(store);
    await increment("c", 1);
    await app.correlate();
    const { truncated, skipped } = await app.close([{ stream: "c" }]);
    expect([...truncated.keys()]).toEqual([]);
    expect(skipped).toEqual(["c"]);
  });

  line("F6", "an app restores the log of another store", { needs: ["restore"] }, async ({ store }) => {
    const source = new InMemoryStore();
    const origin = counters(source);
    for (const by of [1, 2, 3, 4]) await origin.increment("c", by);
    await eventually(async () => namesOf(await readAll(source)).includes(SNAPSHOT));
    const seen: number[] = [];
    const { app, countOf, settle } = counters(store, async (_, by) => void seen.push(by));
    await append(store, "old", "Old");
    const { kept } = await app.restore(source);
    const copied = await readAll(store);
    // The framework leaves snapshots out, so the versions of the copy have holes.
    const original = await read(source, {});
    expect(kept).toBe(original.length);
    expect(copied.map(({ id: _, meta: __, ...event }) => event)).toEqual(
      original.map(({ id: _, meta: __, ...event }) => event),
    );
    expect(await countOf("c")).toBe(10);
    await settle();
    expect(seen).toEqual([1, 2, 3, 4]);
  });

  line(
    "F7",
    "shutting down and disposing while reactions run leaves no unhandled rejection",
    async ({ store }) => {
      const unhandled: unknown[] = [];
      const note = (reason: unknown) => unhandled.push(reason);
      process.on("unhandledRejection", note);
      onTestFinished(() => void process.off("unhandledRejection", note));
      const { app, increment } = counters(store, () => new Promise(setImmediate));
      for (let n = 0; n < 6; n++) await increment(`s${n}`, n);
      app.settle();
      await app.correlate();
      await Promise.all([app.shutdown({ graceMs: 300 }), store.dispose()]);
      // Rejections are reported once the microtasks of a turn have run.
      for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate);
      expect(unhandled).toEqual([]);
    },
  );

  line("F7", "a lease may be released twice at the end", async ({ store }) => {
    const release = () => store.subscribe([], undefined, { key: "app", by: "w", millis: 0 });
    await store.subscribe([], 3, { key: "app", by: "w", millis: 5_000 });
    await Promise.all([release(), release()]);
    const successor = await store.subscribe([], undefined, { key: "app", by: "w2", millis: 5_000 });
    expect(successor).toMatchObject({ correlating: true, correlated_at: 3 });
  });

  /** A decorator as apps write them: every method bound to the store behind it. */
  const decorated = (store: Store): Store =>
    new Proxy(store, {
      get(target, property, receiver) {
        const value: unknown = Reflect.get(target, property, receiver);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });

  line("F8", "an app runs over a decorator that binds the store's methods", async ({ store }) => {
    const seen: number[] = [];
    const { increment, settle, countOf } = counters(decorated(store), async (_, by) => void seen.push(by));
    for (const by of [1, 2]) await increment("c", by);
    await settle();
    expect([await countOf("c"), seen]).toEqual([3, [1, 2]]);
  });

  line("F8", "methods work when bound and taken off the store", async ({ store }) => {
    const { commit, query, query_stats, truncate, reset, dispose } = decorated(store);
    await commit("s", [{ name: "A", data: {} }], { correlation: "", causation: {} });
    expect(await query(() => {})).toBe(1);
    expect((await query_stats(["s"])).size).toBe(1);
    await blocked(store, "b");
    expect(await reset({ blocked: true })).toBe(1);
    expect((await truncate([{ stream: "s" }])).size).toBe(1);
    await dispose();
  });

  line(
    "F8",
    "notify works bound and through a decorator",
    {
      needs: ["notify", "shared"],
      options: { notify: true },
    },
    async ({ store, second }) => {
      const received: string[] = [];
      await notified(decorated(store), ({ stream }) => received.push(stream));
      const other = await second();
      await append(other, "s", "A");
      await eventually(() => received.includes("s"));
    },
  );
});
