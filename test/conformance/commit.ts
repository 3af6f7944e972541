import { inspect } from "node:util";
import { ConcurrencyError, ValidationError } from "@rotorsoft/act";
import { expect } from "vitest";
import {
  append,
  appendMany,
  appendOne,
  at,
  idsOf,
  message,
  meta,
  namesOf,
  only,
  read,
  readAll,
  readStream,
  restorable,
  restore,
  type TestMessage,
} from "./kit/scenario.ts";
import { section } from "./kit/section.ts";

const NUL = "\u0000";
const UNSTORABLE = [`a${NUL}b`, "a\ud83db", "a\ude00b", `${NUL}`, "end\ud83d"];

export const commit = section("commit", (line) => {
  line("M1", "an empty commit returns an empty list and leaves the stream fresh", async ({ store }) => {
    expect(await store.commit("s", [], meta())).toEqual([]);
    expect(await readAll(store)).toEqual([]);
    expect(at(await append(store, "s", "A"), 0).version).toBe(0);
  });

  line("M1", "an empty commit returns an empty list at any expectedVersion", async ({ store }) => {
    await append(store, "s", "A");
    expect(await store.commit("s", [], meta(), 7)).toEqual([]);
    expect(await store.commit("fresh", [], meta(), 0)).toEqual([]);
    expect(await readAll(store)).toHaveLength(1);
  });

  line("M1", "an empty commit asks no server", { needs: ["sql"] }, async ({ raw }) => {
    const unreachable = raw.construct({ host: "127.0.0.1", port: 1 });
    expect(await unreachable.commit("s", [], meta())).toEqual([]);
  });

  line("M1", "committed events carry every field, in the order of the messages", async ({ store }) => {
    const committed = await store.commit(
      "s",
      [message("A", { n: 1 }), message("B", { n: 2 })],
      meta("correlation-1"),
    );
    expect(committed).toMatchObject([
      { stream: "s", version: 0, name: "A", data: { n: 1 }, meta: meta("correlation-1") },
      { stream: "s", version: 1, name: "B", data: { n: 2 }, meta: meta("correlation-1") },
    ]);
    for (const event of committed) {
      expect(event.id).toBeTypeOf("number");
      expect(event.created).toBeInstanceOf(Date);
    }
  });

  line("M1", "a commit returns what a query reads", async ({ store }) => {
    const committed = await store.commit("s", [message("A", { n: 1 }), message("B", { n: null })], meta());
    expect(committed).toEqual(await readStream(store, "s"));
  });

  line("M1", "the whole meta comes back, causation included", async ({ store }) => {
    const causation = {
      action: { name: "do", stream: "s", actor: { id: "1", name: "Ann", role: "admin" }, expectedVersion: 3 },
      event: { id: 7, name: "E", stream: "other" },
    };
    await store.commit("s", [message()], { correlation: "c", causation });
    expect(only(await readAll(store)).meta).toEqual({ correlation: "c", causation });
  });

  line("M1", "an event without personal data has none", async ({ store }) => {
    expect((await appendOne(store, "s", message())).pii ?? null).toBeNull();
    expect(only(await readAll(store)).pii ?? null).toBeNull();
  });

  line("M2", "ids increase along a commit and across streams", async ({ store }) => {
    const committed = [
      ...(await append(store, "a", "A", "B", "C")),
      ...(await append(store, "b", "D")),
      ...(await append(store, "a", "E")),
    ];
    const ids = idsOf(committed);
    expect(ids).toEqual([...new Set(ids)].sort((a, b) => a - b));
    expect(idsOf(await readAll(store))).toEqual(ids);
    expect(namesOf(await readAll(store))).toEqual(["A", "B", "C", "D", "E"]);
  });

  line("M2", "versions count each stream from 0", async ({ store }) => {
    await append(store, "a", "A", "B");
    await append(store, "b", "C");
    await append(store, "a", "D");
    const versions = async (stream: string) => (await readStream(store, stream)).map((e) => e.version);
    expect(await versions("a")).toEqual([0, 1, 2]);
    expect(await versions("b")).toEqual([0]);
  });

  line("M2", "a thousand messages of one commit keep their order", async ({ store }) => {
    const committed = await appendMany(store, "s", 1_000);
    expect(committed.map((event) => [event.version, event.data.n])).toEqual(
      Array.from({ length: 1_000 }, (_, n) => [n, n]),
    );
    expect(await readStream(store, "s")).toEqual(committed);
  });

  line(
    "M2",
    "names differing only in case or in a trailing space are different streams",
    async ({ store }) => {
      for (const stream of ["s", "S", "s ", " s"]) {
        expect(at(await append(store, stream, "A"), 0).version).toBe(0);
      }
    },
  );

  line(
    "M2",
    "a commit whose last event can't be written writes none",
    { needs: ["sql"] },
    async (fixture) => {
      const { store, raw } = fixture;
      await raw.sql`alter table ${raw.sql(raw.schema)}.${raw.sql(raw.table)}
      add constraint forbidden check (name <> 'Forbidden')`;
      await expect(append(store, "s", "A", "B", "Forbidden")).rejects.toThrow();
      expect(await readAll(store)).toEqual([]);
      expect(at(await append(store, "s", "A"), 0).version).toBe(0);
    },
  );

  line(
    "M2",
    "ids beyond 2³¹ are ids like any other, for every verb",
    { needs: ["sql"] },
    async ({ store, raw }) => {
      const far = 2 ** 33;
      await raw.sql`select setval(pg_get_serial_sequence(${`"${raw.schema}"."${raw.table}"`}, 'id'), ${far})`;
      const [first, snapshot] = idsOf(await append(store, "s", "A", "__snapshot__"));
      expect([first, snapshot]).toEqual([far + 1, far + 2]);
      expect(idsOf(await read(store, { after: far + 1 }))).toEqual([]);
      expect(idsOf(await read(store, { after: far, before: far + 2 }))).toEqual([far + 1]);
      expect((await store.query_stats(["s"], { before: far + 2 })).get("s")?.head.id).toBe(far + 1);
      expect((await store.query_streams(() => {})).maxEventId).toBe(far + 2);
      await store.subscribe([{ stream: "t", correlated_at: far + 2 }], far + 2);
      const lease = only(await store.claim(1, 0, "w", 1_000));
      expect(await store.ack([{ ...lease, at: far + 1 }])).toMatchObject([{ at: far + 1 }]);
      expect(await store.subscribe([])).toMatchObject({ watermark: far + 1, correlated_at: far + 2 });
      const windowed = await store.truncate([{ stream: "s", before: new Date(8e15), max_id: far + 2 }]);
      expect(windowed.get("s")).toMatchObject({ deleted: 1, committed: { id: far + 2 } });
    },
  );

  line("M2", "the ids of deleted events are not used again", async ({ store }) => {
    const last = at(await append(store, "a", "A", "B", "C"), -1);
    await store.truncate([{ stream: "a" }]);
    const [seed] = await readAll(store);
    expect(seed?.id).toBeGreaterThan(last.id);
    expect(at(await append(store, "b", "D"), 0).id).toBeGreaterThan(seed?.id ?? Number.POSITIVE_INFINITY);
  });

  line("M3", "a stale expectedVersion is refused with the real head", async ({ store }) => {
    await append(store, "s", "A", "B", "C");
    const messages = [message("D", { n: 1 }), message("E")];
    const refusal = await store.commit("s", messages, meta(), 0).catch((error: unknown) => error);
    expect(refusal).toBeInstanceOf(ConcurrencyError);
    expect(refusal).toMatchObject({ stream: "s", lastVersion: 2, events: messages, expectedVersion: 0 });
  });

  line("M3", "an expectedVersion ahead of the head is refused with the real head", async ({ store }) => {
    await append(store, "s", "A");
    await expect(store.commit("s", [message()], meta(), 1)).rejects.toMatchObject({
      name: "ERR_CONCURRENCY",
      lastVersion: 0,
      expectedVersion: 1,
    });
  });

  line("M3", "a refused commit writes nothing", async ({ store }) => {
    const before = await append(store, "s", "A", "B");
    await expect(store.commit("s", [message("C")], meta(), 0)).rejects.toBeInstanceOf(ConcurrencyError);
    expect(idsOf(await readAll(store))).toEqual(idsOf(before));
    expect(at(await store.commit("s", [message("C")], meta(), 1), 0).version).toBe(2);
  });

  line("M3", "the head of a fresh stream is −1", async ({ store }) => {
    for (const expected of [0, 1, 2_147_483_647]) {
      await expect(store.commit("fresh", [message()], meta(), expected)).rejects.toMatchObject({
        name: "ERR_CONCURRENCY",
        lastVersion: -1,
        expectedVersion: expected,
      });
    }
    expect(at(await store.commit("fresh", [message()], meta(), -1), 0).version).toBe(0);
    await expect(store.commit("fresh", [message()], meta(), -1)).rejects.toMatchObject({ lastVersion: 0 });
  });

  line("M3", "expectedVersion 0 is a guard", async ({ store }) => {
    await append(store, "s", "A");
    expect(at(await store.commit("s", [message()], meta(), 0), 0).version).toBe(1);
    await expect(store.commit("s", [message()], meta(), 0)).rejects.toBeInstanceOf(ConcurrencyError);
  });

  line("M3", "the guard looks at its own stream only", async ({ store }) => {
    await append(store, "other", "A", "B", "C");
    expect(at(await store.commit("s", [message()], meta(), -1), 0).version).toBe(0);
  });

  line("M3", "after a truncate the head is the seed's", async ({ store }) => {
    await append(store, "s", "A", "B", "C");
    await store.truncate([{ stream: "s", snapshot: { n: 3 } }]);
    await expect(store.commit("s", [message()], meta(), 2)).rejects.toMatchObject({ lastVersion: 0 });
    expect(at(await store.commit("s", [message()], meta(), 0), 0).version).toBe(1);
  });

  line("M4", "an unguarded commit appends at the head, whatever the head", async ({ store }) => {
    await append(store, "s", "A", "B");
    expect(at(await append(store, "s", "C"), 0).version).toBe(2);
    expect(at(await store.commit("s", [message()], meta(), undefined), 0).version).toBe(3);
  });

  line("M4", "fifty unguarded commits at once all land, one after the other", async ({ store }) => {
    const commits = await Promise.all(Array.from({ length: 50 }, () => append(store, "s", "A", "B")));
    const events = await readStream(store, "s");
    expect(events.map(({ version }) => version)).toEqual(Array.from({ length: 100 }, (_, n) => n));
    for (const [first, second] of commits) expect(second?.version).toBe((first?.version ?? Number.NaN) + 1);
  });

  line("M4", "commits to one stream that are sent at once keep their order", async ({ store }) => {
    await Promise.all(Array.from({ length: 20 }, (_, n) => append(store, "s", `E${n}`)));
    expect(namesOf(await readStream(store, "s"))).toEqual(Array.from({ length: 20 }, (_, n) => `E${n}`));
  });

  line("M4", "of guarded commits sent at once with the same version, the first lands", async ({ store }) => {
    const outcomes = await Promise.allSettled(
      Array.from({ length: 8 }, (_, n) => store.commit("s", [message(`E${n}`)], meta(), -1)),
    );
    expect(outcomes.map(({ status }) => status)).toEqual(["fulfilled", ...Array(7).fill("rejected")]);
    expect(namesOf(await readAll(store))).toEqual(["E0"]);
  });

  line("M4", "more commits than any group takes all land, contiguous per stream", async ({ store }) => {
    await Promise.all(Array.from({ length: 1_500 }, (_, n) => append(store, `s${n % 40}`, `E${n}`)));
    const events = await readAll(store);
    expect(events).toHaveLength(1_500);
    for (let stream = 0; stream < 40; stream++) {
      const own = events.filter((event) => event.stream === `s${stream}`);
      expect(own.map(({ version }) => version)).toEqual(own.map((_, version) => version));
      expect(namesOf(own)).toEqual(own.map((_, turn) => `E${stream + 40 * turn}`));
    }
  });

  line("M4", "commits of a megabyte each, sent at once, all land", async ({ store }) => {
    const text = "x".repeat(1_000_000);
    await Promise.all(
      Array.from({ length: 9 }, (_, n) => appendOne(store, "s", message("Big", { n, text }))),
    );
    expect((await readStream(store, "s")).map(({ data }) => data.n)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
  });

  line(
    "M4",
    "a refused commit does not fail those to other streams that are sent with it",
    async ({ store }) => {
      const outcomes = await Promise.allSettled([
        append(store, "a", "A"),
        store.commit("b", [message("Stale"), message("Stale")], meta(), 5),
        store.commit("c", [message("C")], meta(), -1),
      ]);
      expect(outcomes.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
      expect((await readAll(store)).map((event) => [event.stream, event.name])).toEqual([
        ["a", "A"],
        ["c", "C"],
      ]);
    },
  );

  line("M4", "a refused commit does not fail those sent with it", async ({ store }) => {
    const outcomes = await Promise.allSettled([
      append(store, "a", "A"),
      store.commit("a", [message("Stale")], meta(), 5),
      append(store, "b", "B"),
      store.commit("a", [message("C")], meta(), 0),
    ]);
    expect(outcomes.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled", "fulfilled"]);
    expect(namesOf(await readAll(store))).toEqual(["A", "B", "C"]);
  });

  const unstorable: Array<[where: string, commit: (text: string) => [string, TestMessage[], string]]> = [
    ["a value of data", (text) => ["s", [message("A"), message("Bad", { deep: [{ text }] })], "c"]],
    ["a key of data", (text) => ["s", [message("A"), message("Bad", { deep: { [text]: 1 } })], "c"]],
    ["meta", (text) => ["s", [message("Bad")], text]],
    ["pii", (text) => ["s", [{ ...message("Bad"), pii: { deep: { text } } }], "c"]],
    ["the name of an event", (text) => ["s", [message("A"), message(`Bad${text}`)], "c"]],
    ["the name of the stream", (text) => [`s${text}`, [message("Bad")], "c"]],
  ];
  for (const [where, build] of unstorable) {
    line("M6", `a NUL or a lone surrogate in ${where} is refused, and nothing written`, async ({ store }) => {
      for (const text of UNSTORABLE) {
        const [stream, messages, correlation] = build(text);
        const refusal = await store.commit(stream, messages, meta(correlation)).catch((e: unknown) => e);
        expect(refusal, inspect(text)).toBeInstanceOf(ValidationError);
      }
      expect(await readAll(store)).toEqual([]);
    });
  }

  line("M6", "the refusal names the stream and its events", async ({ store }) => {
    const refusal = await store
      .commit("orders-1", [message("Placed"), message("Paid", { text: NUL })], meta())
      .catch((error: unknown) => error);
    expect(refusal).toBeInstanceOf(ValidationError);
    const details = inspect(refusal instanceof ValidationError ? refusal.details : undefined, {
      depth: null,
    });
    expect(details).toContain("orders-1");
    expect(details).toContain("Paid");
  });

  line("M6", "a refused text does not fail the commits sent with it", async ({ store }) => {
    const outcomes = await Promise.allSettled([
      append(store, "s", "A"),
      store.commit("s", [message("Bad", { text: NUL })], meta()),
      append(store, "s", "B"),
    ]);
    expect(outcomes.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
    expect(namesOf(await readStream(store, "s"))).toEqual(["A", "B"]);
  });

  line(
    "M6",
    "a snapshot or a restored event with such text is refused too, and nothing changed",
    {
      needs: ["sql", "restore"],
    },
    async ({ store }) => {
      const before = await append(store, "s", "A");
      const snapshot = { text: NUL };
      await expect(store.truncate([{ stream: "s", snapshot }])).rejects.toBeInstanceOf(ValidationError);
      const event = restorable("s", 0, { data: { text: "\ud83d" } });
      await expect(restore(store, [event])).rejects.toBeInstanceOf(ValidationError);
      expect(await readAll(store)).toEqual(before);
    },
  );

  line("M6", "text that only looks like a NUL or a surrogate is text", async ({ store }) => {
    const data = {
      escaped: "\\u0000",
      surrogate: "\\ud83d",
      emoji: "😀",
      "\\u0000": 1,
      control: "\u0001\u001f",
    };
    await appendOne(store, "s😀", { ...message("N😀", data), pii: { text: "\\u0000 😀" } });
    const event = only(await readAll(store));
    expect(event).toMatchObject({ stream: "s😀", name: "N😀" });
    expect(event.data).toEqual(data);
  });

  line("M9", "a lost race burns no ids", async ({ store }) => {
    const { id } = await appendOne(store, "s", message());
    await Promise.allSettled(Array.from({ length: 5 }, () => store.commit("s", [message()], meta(), 7)));
    await Promise.allSettled([store.commit("s", [message()], meta(), -1)]);
    expect((await appendOne(store, "s", message())).id).toBe(id + 1);
  });
});
