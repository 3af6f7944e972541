import { expect } from "vitest";
import { eventually, within } from "./kit/eventually.ts";
import { appendWaiters, holdAppendLock } from "./kit/postgres.ts";
import {
  append,
  appendOne,
  arrange,
  at,
  type Event,
  forget,
  found,
  idsOf,
  message,
  meta,
  namesOf,
  only,
  positionOf,
  read,
  readAll,
  readStream,
  SNAPSHOT,
  TOMBSTONE,
} from "./kit/scenario.ts";
import { section } from "./kit/section.ts";

const tomorrow = () => new Date(Date.now() + 86_400_000);
const ofStream = (stream: string) => ({ stream, stream_exact: true, with_snaps: true, after: -1 });

export const truncate = section("truncate", (line) => {
  line("R5", "a truncate with a snapshot leaves it as the only event, at version 0", async ({ store }) => {
    const before = await append(store, "s", "A", "B", "C");
    const snapshot = { n: 3, at: new Date(77), nested: { list: [1] } };
    const { deleted, committed } = found((await store.truncate([{ stream: "s", snapshot }])).get("s"));
    expect(deleted).toBe(3);
    expect(committed).toMatchObject({ stream: "s", version: 0, name: SNAPSHOT, data: snapshot });
    expect(committed.id).toBeGreaterThan(at(before, 2).id);
    expect(committed.created).toBeInstanceOf(Date);
    expect(await readAll(store)).toEqual([committed]);
  });

  line("R5", "a truncate without a snapshot leaves a tombstone", async ({ store }) => {
    await append(store, "s", "A");
    const { committed } = found((await store.truncate([{ stream: "s" }])).get("s"));
    expect(committed).toMatchObject({ name: TOMBSTONE, version: 0, data: {} });
    expect(namesOf(await readAll(store))).toEqual([TOMBSTONE]);
  });

  line("R5", "a stream named twice is truncated once", async ({ store }) => {
    await append(store, "s", "A", "B");
    const result = await store.truncate([{ stream: "s" }, { stream: "s" }]);
    expect([...result.keys()]).toEqual(["s"]);
    expect(await readAll(store)).toEqual([result.get("s")?.committed]);
  });

  line("R5", "an empty snapshot is a snapshot", async ({ store }) => {
    await append(store, "s", "A");
    const { committed } = found((await store.truncate([{ stream: "s", snapshot: {} }])).get("s"));
    expect(committed).toMatchObject({ name: SNAPSHOT, data: {} });
  });

  line("R5", "meta is the given one, or empty", async ({ store }) => {
    await append(store, "a", "A");
    await append(store, "b", "B");
    const result = await store.truncate([{ stream: "a" }, { stream: "b", meta: meta("closing") }]);
    expect(result.get("a")?.committed.meta).toEqual({ correlation: "", causation: {} });
    expect(result.get("b")?.committed.meta).toEqual(meta("closing"));
    expect((await readAll(store)).map((event) => event.meta.correlation)).toEqual(["", "closing"]);
  });

  line("R5", "an unknown stream gets its seed, with 0 deleted", async ({ store }) => {
    const result = await store.truncate([{ stream: "unknown", snapshot: { n: 1 } }]);
    expect(result.get("unknown")).toMatchObject({ deleted: 0, committed: { version: 0, name: SNAPSHOT } });
    expect(await readAll(store)).toHaveLength(1);
  });

  line("R5", "many streams at once, others untouched", async ({ store }) => {
    const names = Array.from({ length: 30 }, (_, n) => `s${n}`);
    for (const stream of names) await append(store, stream, "A", "B");
    const kept = await append(store, "kept", "K");
    const result = await store.truncate(
      names.map((stream, n) => (n % 2 ? { stream } : { stream, snapshot: { n } })),
    );
    expect([...result.keys()].sort()).toEqual([...names].sort());
    for (const { deleted } of result.values()) expect(deleted).toBe(2);
    const left = await readAll(store);
    expect(idsOf(left).slice(0, 1)).toEqual(idsOf(kept));
    expect(left).toHaveLength(31);
    expect(result.get("s4")?.committed.data).toEqual({ n: 4 });
    expect(await readStream(store, "s5")).toMatchObject([{ name: TOMBSTONE, version: 0 }]);
  });

  line("R5", "names are literal", async ({ store }) => {
    for (const stream of ["a_b", "axb", "a.b"]) await append(store, stream, "A");
    await store.truncate([{ stream: "a_b" }]);
    expect(namesOf(await readStream(store, "axb"))).toEqual(["A"]);
    expect(namesOf(await readStream(store, "a.b"))).toEqual(["A"]);
  });

  line("R5", "truncating nothing returns an empty map", async ({ store }) => {
    await append(store, "s", "A");
    expect(await store.truncate([])).toEqual(new Map());
    expect(await readAll(store)).toHaveLength(1);
  });

  line("R5", "a truncated stream can be truncated again and grows from its seed", async ({ store }) => {
    await append(store, "s", "A", "B");
    await store.truncate([{ stream: "s", snapshot: { n: 1 } }]);
    expect(at(await append(store, "s", "C"), 0).version).toBe(1);
    expect((await store.truncate([{ stream: "s", snapshot: { n: 2 } }])).get("s")).toMatchObject({
      deleted: 2,
    });
    expect(only(await read(store, ofStream("s"))).data).toEqual({ n: 2 });
  });

  line("R5", "subscriptions are left alone", async ({ store }) => {
    await append(store, "s", "A");
    await arrange(store, [{ stream: "s", at: 7, source: "s", lane: "slow" }]);
    const before = await positionOf(store, "s");
    await store.truncate([{ stream: "s" }]);
    expect(await positionOf(store, "s")).toEqual(before);
  });

  line("R5", "personal data of the deleted events is gone", { needs: ["pii"] }, async ({ store }) => {
    await appendOne(store, "s", { ...message("A"), pii: { email: "a@b.c" } });
    await store.truncate([{ stream: "s" }]);
    expect(await forget(store, "s")).toBe(0);
  });

  line(
    "R5",
    "a truncate waits while another transaction holds the log's lock",
    { needs: ["sql"] },
    async (fixture) => {
      const { store, raw } = fixture;
      await append(store, "s", "A");
      const holder = await holdAppendLock(raw);
      const truncating = store.truncate([{ stream: "s" }]);
      await appendWaiters(raw);
      expect(namesOf(await readAll(store))).toEqual(["A"]);
      await holder.commit();
      expect((await within(5_000, "the truncate", truncating)).get("s")?.deleted).toBe(1);
    },
  );

  line("R6", "a windowed truncate deletes below the latest snapshot of the window", async ({ store }) => {
    const events = await append(store, "s", "A", SNAPSHOT, "B", SNAPSHOT, "C");
    const before = tomorrow();
    const result = found((await store.truncate([{ stream: "s", before }])).get("s"));
    expect(result).toMatchObject({ deleted: 3, before, committed: { id: at(events, 3).id, version: 3 } });
    expect(idsOf(await read(store, ofStream("s")))).toEqual(idsOf(events.slice(3)));
  });

  line("R6", "the surviving snapshot is returned as it is", async ({ store }) => {
    await append(store, "s", "A");
    const [snapshot] = await store.commit("s", [message(SNAPSHOT, { n: 1, at: new Date(9) })], meta("c"));
    const { committed } = found((await store.truncate([{ stream: "s", before: tomorrow() }])).get("s"));
    expect(committed).toMatchObject({ id: snapshot?.id, data: { n: 1, at: new Date(9) }, meta: meta("c") });
    expect(committed.created).toEqual(snapshot?.created);
  });

  line("R6", "before is strict", async ({ store }) => {
    await append(store, "s", "A", SNAPSHOT);
    const first = at(await read(store, ofStream("s")), 1);
    const second: Event = await eventually(async () => {
      const [event] = await append(store, "s", SNAPSHOT);
      return event && event.created > first.created ? event : undefined;
    });
    const boundary = async (before: Date) =>
      (await store.truncate([{ stream: "s", before }])).get("s")?.committed.id;
    expect(await boundary(first.created)).toBeUndefined();
    expect(await boundary(new Date(first.created.getTime() + 1))).toBeLessThan(second.id);
    expect(await boundary(second.created)).toBeLessThan(second.id);
    expect(await boundary(new Date(second.created.getTime() + 1))).toBe(second.id);
  });

  line("R6", "max_id caps the boundary, inclusive", async ({ store }) => {
    const ids = idsOf(await append(store, "s", "A", SNAPSHOT, "B", SNAPSHOT, "C", SNAPSHOT));
    const boundary = async (max_id: number) =>
      (await store.truncate([{ stream: "s", before: tomorrow(), max_id }])).get("s")?.committed.id;
    expect(await boundary(at(ids, 1) - 1)).toBeUndefined();
    expect(await boundary(-1)).toBeUndefined();
    expect(await boundary(at(ids, 1))).toBe(ids[1]);
    expect(await boundary(at(ids, 4))).toBe(ids[3]);
    expect(idsOf(await read(store, ofStream("s")))).toEqual(ids.slice(3));
  });

  line("R6", "max_id 2³¹−1 and beyond is accepted", async ({ store }) => {
    const ids = idsOf(await append(store, "s", "A", SNAPSHOT));
    for (const max_id of [2 ** 31 - 1, 2 ** 31, 2 ** 40, Number.MAX_SAFE_INTEGER]) {
      const result = await store.truncate([{ stream: "s", before: tomorrow(), max_id }]);
      expect(result.get("s")?.committed.id).toBe(ids[1]);
    }
  });

  line("R6", "without a boundary the stream is absent and untouched", async ({ store }) => {
    const events = [...(await append(store, "s", "A", "B")), ...(await append(store, "t", "A", SNAPSHOT))];
    const result = await store.truncate([
      { stream: "s", before: tomorrow() },
      { stream: "t", before: new Date(0) },
      { stream: "unknown", before: tomorrow() },
    ]);
    expect(result).toEqual(new Map());
    expect(idsOf(await readAll(store))).toEqual(idsOf(events));
  });

  line("R6", "a boundary with nothing below it deletes 0", async ({ store }) => {
    const [snapshot] = await append(store, "s", SNAPSHOT, "A");
    const result = (await store.truncate([{ stream: "s", before: tomorrow() }])).get("s");
    expect(result).toMatchObject({ deleted: 0, committed: { id: snapshot?.id } });
    expect(await readAll(store)).toHaveLength(2);
  });

  line("R6", "before takes precedence over a snapshot", async ({ store }) => {
    const ids = idsOf(await append(store, "s", "A", SNAPSHOT, "B"));
    await store.truncate([{ stream: "s", before: tomorrow(), snapshot: { n: 9 } }]);
    expect(idsOf(await readAll(store))).toEqual(ids.slice(1));
  });

  line("R6", "full and windowed targets go in one batch", async ({ store }) => {
    await append(store, "full", "A", "B");
    await append(store, "windowed", "A", SNAPSHOT, "B");
    await append(store, "absent", "A");
    const result = await store.truncate([
      { stream: "full", snapshot: { n: 1 } },
      { stream: "windowed", before: tomorrow() },
      { stream: "absent", before: tomorrow() },
    ]);
    expect([...result.keys()].sort()).toEqual(["full", "windowed"]);
    expect(result.get("full")).toMatchObject({ deleted: 2, committed: { version: 0 } });
    expect(result.get("full")?.before).toBeUndefined();
    expect(result.get("windowed")).toMatchObject({ deleted: 1, committed: { version: 1 } });
    expect(namesOf(await read(store, ofStream("absent")))).toEqual(["A"]);
  });

  line("R6", "versions continue after a windowed truncate", async ({ store }) => {
    await append(store, "s", "A", "B", SNAPSHOT, "C");
    await store.truncate([{ stream: "s", before: tomorrow() }]);
    expect(at(await store.commit("s", [message()], meta(), 3), 0).version).toBe(4);
    expect((await read(store, ofStream("s"))).map(({ version }) => version)).toEqual([2, 3, 4]);
  });

  line("R6", "versions continue when only the snapshot survives", async ({ store }) => {
    await append(store, "s", "A", "B", SNAPSHOT);
    await store.truncate([{ stream: "s", before: tomorrow() }]);
    expect(at(await append(store, "s", "C"), 0).version).toBe(3);
  });

  line("R6", "other streams and subscriptions are left alone", async ({ store }) => {
    await append(store, "s", "A", SNAPSHOT);
    const others = await append(store, "other", "A", SNAPSHOT, "B");
    await arrange(store, [{ stream: "s", at: 1 }]);
    const before = await positionOf(store, "s");
    await store.truncate([{ stream: "s", before: tomorrow() }]);
    expect(idsOf(await read(store, ofStream("other")))).toEqual(idsOf(others));
    expect(await positionOf(store, "s")).toEqual(before);
  });

  line("R6", "max_id 0 is a bound", async ({ store }) => {
    await append(store, "other", "X");
    await append(store, "s", "A", SNAPSHOT);
    expect((await store.truncate([{ stream: "s", before: tomorrow(), max_id: 0 }])).size).toBe(0);
    expect(await readAll(store)).toHaveLength(3);
  });
});
