/** Notifications of other processes' commits, over LISTEN and NOTIFY. */
import { expect, onTestFinished } from "vitest";
import { eventually, throughout, within } from "./kit/eventually.ts";
import { doorOf, killListeners, listenersOf, send, settled, subscribed } from "./kit/listeners.ts";
import { backendsOf, channelOf } from "./kit/postgres.ts";
import { append, appendMany, at, message, meta, notified, readAll } from "./kit/scenario.ts";
import { type Requirements, section } from "./kit/section.ts";

const needs = ["notify", "shared"] as const;
const listening: Requirements = { needs, options: { notify: true } };
const onPostgres: Requirements = { needs: [...needs, "sql"], options: { notify: true }, timeout: 20_000 };

export const notify = section("notify", (line) => {
  line("N1", "without the option a store has no notify", { needs: ["notify"] }, async ({ store }) => {
    expect(store.notify).toBeUndefined();
    expect("notify" in store).toBe(false);
  });

  line("N1", "a commit of another process is heard once, its events in order", listening, async (fixture) => {
    const { store, second } = fixture;
    const listener = await subscribed(store);
    const other = await second();
    const committed = await append(other, "s", "A", "B", "C");
    await settled(other, listener);
    expect(listener.received.filter(({ stream }) => stream === "s")).toEqual([
      { stream: "s", events: committed.map(({ id, name }) => ({ id, name })) },
    ]);
  });

  line("N1", "a store never hears its own commits", listening, async ({ store, second }) => {
    const listener = await subscribed(store);
    const other = await second();
    await append(store, "own", "A");
    await settled(other, listener);
    expect(listener.streams()).toEqual(["marker"]);
  });

  line("N1", "each of many commits at once is heard as one", listening, async ({ store, second }) => {
    const listener = await subscribed(store);
    const other = await second();
    await Promise.all(Array.from({ length: 20 }, (_, n) => append(other, `s${n}`, "A", "B")));
    await settled(other, listener);
    const own = listener.received.filter(({ stream }) => stream !== "marker");
    expect(own.map(({ stream }) => stream).sort()).toEqual(
      Array.from({ length: 20 }, (_, n) => `s${n}`).sort(),
    );
    expect(own.every(({ events }) => events.length === 2)).toBe(true);
  });

  line(
    "N1",
    "two listening processes hear each other, and a third both",
    listening,
    async ({ store, second }) => {
      const [a, b, c] = [store, await second(), await second()];
      const [listenerA, listenerB, listenerC] = [
        await subscribed(a),
        await subscribed(b),
        await subscribed(c),
      ];
      await append(a, "from-a", "A");
      await append(b, "from-b", "B");
      await eventually(
        () =>
          listenerC.received.length === 2 &&
          listenerA.received.length === 1 &&
          listenerB.received.length === 1,
      );
      expect([listenerA.streams(), listenerB.streams()]).toEqual([["from-b"], ["from-a"]]);
      expect(listenerC.streams().sort()).toEqual(["from-a", "from-b"]);
    },
  );

  line("N1", "a refused commit is not heard", listening, async ({ store, second }) => {
    const listener = await subscribed(store);
    const other = await second();
    await other.commit("s", [message()], meta(), 4).catch(() => undefined);
    await other.commit("s", [], meta());
    await settled(other, listener);
    expect(listener.streams()).toEqual(["marker"]);
  });

  line(
    "N1",
    "a disposed subscription hears nothing more, and may be disposed of twice",
    listening,
    async (fixture) => {
      const { store, second } = fixture;
      const other = await second();
      const listener = await subscribed(store);
      await settled(other, listener);
      await listener.dispose();
      await listener.dispose();
      const next = await subscribed(store);
      await settled(other, next, "second");
      expect(listener.streams()).toEqual(["marker"]);
    },
  );

  line(
    "N1",
    "names with upper case and quotes in streams travel",
    {
      needs: [...needs, "sql"],
      options: { notify: true, schema: "Conformance_Upper", table: "Mixed_Case" },
    },
    async ({ store, second, raw }) => {
      const listener = await subscribed(store);
      const other = await second({ notify: true, schema: "Conformance_Upper", table: "Mixed_Case" });
      await append(other, `it's "quoted" $1 日本`, "A'B");
      await eventually(() => listener.received.length > 0);
      expect(listener.received).toMatchObject([
        { stream: `it's "quoted" $1 日本`, events: [{ name: "A'B" }] },
      ]);
      await store.drop();
      await raw.sql`drop schema if exists "Conformance_Upper"`;
    },
  );

  line("N1", "the payload on the channel is act-pg's", onPostgres, async ({ store, raw }) => {
    const payloads: string[] = [];
    const client = raw.connect();
    await client.listen(channelOf(raw), (payload) => payloads.push(payload));
    const committed = await append(store, "s", "A", "B");
    await append(store, "t", "C");
    await eventually(() => payloads.length === 2);
    const [first, next] = payloads.map((payload): Record<string, unknown> => JSON.parse(payload));
    expect(first).toEqual({
      stream: "s",
      events: committed.map(({ id, name }) => ({ id, name })),
      by: expect.any(String),
    });
    expect(next?.by).toBe(first?.by);
  });

  line("N1", "a payload that act-pg sent is heard", onPostgres, async ({ store, raw }) => {
    const listener = await subscribed(store);
    await send(raw, JSON.stringify({ stream: "theirs", events: [{ id: 3, name: "A" }], by: "act-pg" }));
    await eventually(() => listener.received.length > 0);
    expect(listener.received).toEqual([{ stream: "theirs", events: [{ id: 3, name: "A" }] }]);
  });

  line("N2", "bad, empty and foreign payloads are ignored", onPostgres, async ({ store, second, raw }) => {
    const listener = await subscribed(store);
    const other = await second();
    const bad = ["", "no json", "{", "null", "7", '"text"', "[]", "{}", "true", '{"stream":"s"}'];
    const shapes = [
      { stream: 1, events: [], by: "x" },
      { stream: "s", events: "no list", by: "x" },
      { stream: "s", events: [{ id: "1" }], by: "x" },
      { stream: "s", events: [null], by: "x" },
      { events: [{ id: 1, name: "A" }], by: "x" },
      ...[1e300, 2 ** 53, 1.5, 0, -1].flatMap((id) => [
        { stream: "s", events: [{ id, name: "A" }], by: "x" },
        { stream: "s", events: [], by: "x", from: id, to: id },
      ]),
      { stream: "s", events: [], by: "x", from: 9, to: 1 },
    ];
    for (const payload of [...bad, ...shapes.map((shape) => JSON.stringify(shape))]) await send(raw, payload);
    await settled(other, listener);
    expect(listener.streams()).toEqual(["marker"]);
  });

  line("N2", "a handler that throws hears the next commit", listening, async ({ store, second }) => {
    const other = await second();
    const received: string[] = [];
    await notified(store, ({ stream }) => {
      received.push(stream);
      if (stream === "throws") throw new Error("from the handler");
    });
    for (const stream of ["throws", "fine"]) await append(other, stream, "A");
    await eventually(() => received.includes("fine"));
    expect(received).toEqual(["throws", "fine"]);
  });

  line(
    "N2",
    "an async handler that throws leaves no unhandled rejection",
    listening,
    async ({ store, second }) => {
      const other = await second();
      const unhandled: unknown[] = [];
      const note = (reason: unknown) => unhandled.push(reason);
      process.on("unhandledRejection", note);
      onTestFinished(() => void process.off("unhandledRejection", note));
      const received: string[] = [];
      // The port types handlers as synchronous; nothing stops an app from passing an async one.
      await notified(store, async ({ stream }) => {
        received.push(stream);
        if (stream === "throws") throw new Error("from the handler");
      });
      for (const stream of ["throws", "fine"]) await append(other, stream, "A");
      await eventually(() => received.includes("fine"));
      expect(unhandled).toEqual([]);
    },
  );

  line(
    "N2",
    "a second notify replaces the first, whose disposer does nothing then",
    listening,
    async (fixture) => {
      const { store, second } = fixture;
      const other = await second();
      const first = await subscribed(store);
      const next = await subscribed(store);
      await settled(other, next);
      expect(first.received).toEqual([]);
      await first.dispose();
      await settled(other, next, "after");
      expect(next.streams()).toEqual(["marker", "after"]);
    },
  );

  line(
    "N2",
    "a second notify leaves one connection that listens, its disposer none",
    onPostgres,
    async (fixture) => {
      const { store, raw } = fixture;
      await subscribed(store);
      const next = await subscribed(store);
      await eventually(async () => (await listenersOf(raw)).length === 1);
      await next.dispose();
      await eventually(async () => (await listenersOf(raw)).length === 0);
    },
  );

  line(
    "N2",
    "a LISTEN that can't start rejects and leaves no connection",
    onPostgres,
    async ({ store, raw, second }) => {
      const application = `${raw.table}_deaf`;
      const deaf = await second({
        listen_url: "postgres://nobody@127.0.0.1:1/none",
        application_name: application,
      });
      await expect(within(15_000, "the LISTEN", subscribed(deaf))).rejects.toThrow();
      await deaf.dispose();
      await eventually(async () => (await backendsOf(raw, application)).length === 0);
      await append(store, "s", "A");
    },
  );

  line("N3", "after a lost connection the store listens again", onPostgres, async (fixture) => {
    const listener = await subscribed(fixture.store);
    const other = await fixture.second({ application_name: `${fixture.raw.table}_other` });
    for (const round of [1, 2]) {
      await killListeners(fixture);
      let n = 0;
      await eventually(
        async () => {
          n += 1;
          await append(other, `after-${round}`, `A${n}`);
          return listener.streams().includes(`after-${round}`);
        },
        { every: 50 },
      );
    }
  });

  line(
    "N3",
    "what was committed while the connection was lost wakes the app",
    onPostgres,
    async (fixture) => {
      const { store, raw, second } = fixture;
      const listener = await subscribed(store);
      const other = await second({ application_name: `${raw.table}_other` });
      await settled(other, listener);
      const [victim] = await listenersOf(raw);
      const calls = listener.received.length;
      const admit = doorOf(raw);
      // Nobody gets a new connection, so the listener can't be back before the commit that it must not miss.
      await admit(false);
      try {
        await raw.sql`select pg_terminate_backend(${victim?.pid ?? 0}::int, 5000)`;
        await append(other, "missed", "A");
      } finally {
        await admit(true);
      }
      await eventually(() => listener.received.length > calls, { within: 15_000 });
    },
  );

  line("N3", "what the store itself committed meanwhile is not told to it", onPostgres, async (fixture) => {
    const { store, raw, second } = fixture;
    const listener = await subscribed(store);
    const other = await second({ application_name: `${raw.table}_other` });
    await append(store, "own", "Before");
    await settled(other, listener);
    const [victim] = await listenersOf(raw);
    const admit = doorOf(raw);
    await admit(false);
    try {
      await raw.sql`select pg_terminate_backend(${victim?.pid ?? 0}::int, 5000)`;
      await append(store, "own", "Meanwhile");
      await append(other, "missed", "A");
    } finally {
      await admit(true);
    }
    const calls = listener.received.length;
    let n = 0;
    await eventually(
      async () => {
        n += 1;
        await append(other, "later", `A${n}`);
        return listener.received.length > calls && listener.streams().includes("later");
      },
      { within: 15_000, every: 50 },
    );
    expect(listener.streams()).not.toContain("own");
  });

  line("N3", "the store works on while its listener is away", onPostgres, async (fixture) => {
    await subscribed(fixture.store);
    await killListeners(fixture);
    expect(await append(fixture.store, "s", "A")).toHaveLength(1);
  });

  line("N3", "nothing reconnects after dispose", onPostgres, async (fixture) => {
    const { store, raw } = fixture;
    const gone = async () => (await backendsOf(raw, raw.table)).length === 0;
    await subscribed(store);
    await killListeners(fixture);
    // A round trip later the store has noticed its loss too, and is about to come back in 250 ms.
    await readAll(store);
    await store.dispose();
    await eventually(gone);
    await throughout(1_000, gone);
  });

  line(
    "N4",
    "a notification over the cap is completed by the listener or skipped",
    listening,
    async (fixture) => {
      const { store, second } = fixture;
      const listener = await subscribed(store);
      const other = await second();
      const big = await appendMany(other, "big", 300, "N".repeat(100));
      const medium = await appendMany(other, "medium", 90, "N".repeat(60));
      await settled(other, listener);
      const inFull = [big, medium].map((events) => ({
        stream: at(events, 0).stream,
        events: events.map(({ id, name }) => ({ id, name })),
      }));
      for (const notification of listener.received.filter(({ stream }) => stream !== "marker")) {
        expect(inFull).toContainEqual(notification);
      }
    },
  );

  line("N4", "a stream's name alone may fill the cap", listening, async ({ store, second }) => {
    const listener = await subscribed(store);
    const other = await second();
    const long = "é".repeat(1_200);
    const committed = await append(other, long, "A");
    expect(committed).toHaveLength(1);
    await settled(other, listener);
  });

  line("N1", "commits sent at once are heard one by one", listening, async ({ store, second }) => {
    const listener = await subscribed(store);
    const other = await second();
    await Promise.all(["A", "B", "C"].map((name) => append(other, "s", name)));
    await settled(other, listener);
    const own = listener.received.filter(({ stream }) => stream === "s");
    expect(own.map(({ events }) => events.map(({ name }) => name))).toEqual([["A"], ["B"], ["C"]]);
  });

  line(
    "N2",
    "a subscription that can't look at the log rejects and leaves no connection",
    onPostgres,
    async ({ store, raw }) => {
      await raw.sql`drop table ${raw.sql(raw.schema)}.${raw.sql(raw.table)}`;
      await expect(subscribed(store)).rejects.toMatchObject({ name: "ERR_STORE" });
      await eventually(async () => (await listenersOf(raw)).length === 0);
    },
  );
});
