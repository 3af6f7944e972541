import { expect } from "vitest";
import { within } from "./kit/eventually.ts";
import { tablesOf } from "./kit/postgres.ts";
import {
  append,
  appendOne,
  arrange,
  at,
  claimAll,
  type Event,
  forget,
  idsOf,
  MINUTE,
  message,
  meta,
  namesOf,
  only,
  positions,
  readAll,
  restorable,
  restore as restoreAll,
  restoreWith,
  SNAPSHOT,
} from "./kit/scenario.ts";
import { type Requirements, section } from "./kit/section.ts";

const needs: Requirements = { needs: ["restore"] };
const failure = new Error("from the driver");

export const restore = section("restore", (line) => {
  line("R7", "a restore replaces the whole log", needs, async ({ store }) => {
    await append(store, "old", "A", "B");
    await append(store, "s", "C");
    await restoreAll(store, [restorable("s", 0, { name: "X" }), restorable("t", 0, { name: "Y" })]);
    expect((await readAll(store)).map((event) => [event.stream, event.version, event.name])).toEqual([
      ["s", 0, "X"],
      ["t", 0, "Y"],
    ]);
  });

  line(
    "R7",
    "ids are dense from the first, and the callback returns them",
    needs,
    async ({ store, firstId }) => {
      await append(store, "old", "A", "B", "C");
      const events = Array.from({ length: 5 }, (_, n) => restorable("s", n, { id: 100 + 7 * n }));
      const ids = await restoreAll(store, events);
      expect(ids).toEqual([0, 1, 2, 3, 4].map((n) => firstId + n));
      expect(idsOf(await readAll(store))).toEqual(ids);
    },
  );

  line("R7", "created, data, meta and version come back verbatim", needs, async ({ store }) => {
    const event = restorable("s", 3, {
      name: "Old",
      created: new Date("1999-12-31T23:59:59.987Z"),
      data: { n: 1, at: new Date(5), text: "ünï" },
      meta: { correlation: "c", causation: { event: { id: 9, name: "E", stream: "o" } } },
    });
    const [id] = await restoreAll(store, [event]);
    expect(only(await readAll(store))).toMatchObject({ ...event, id });
  });

  line("R7", "created is verbatim in any century", needs, async ({ store }) => {
    // The last two of them PostgreSQL would round, were they given as one number of seconds.
    const times = [-1, 0, 1, -62_167_219_200_001, 253_402_300_799_999, 9_365_155_971_772, -8_026_976_950_814];
    const events = times.map((ms, version) => restorable("s", version, { created: new Date(ms) }));
    await restoreAll(store, events);
    expect((await readAll(store)).map(({ created }) => created.getTime())).toEqual(times);
  });

  line("R7", "snapshots are kept", needs, async ({ store }) => {
    await restoreAll(store, [restorable("s", 0), restorable("s", 1, { name: SNAPSHOT, data: { n: 1 } })]);
    expect(namesOf(await readAll(store))).toEqual(["Restored", SNAPSHOT]);
  });

  line("R7", "subscriptions are wiped", needs, async ({ store }) => {
    await arrange(store, [{ stream: "a", at: 7 }]);
    await restoreAll(store, [restorable("s", 0)]);
    expect(await positions(store)).toEqual([]);
    expect(await claimAll(store)).toEqual([]);
    expect((await store.subscribe([])).watermark).toBe(-1);
  });

  line("R7", "checkpoints are wiped", needs, async ({ store }) => {
    await store.subscribe([], 20, { key: "k", by: "w", millis: MINUTE });
    await restoreAll(store, [restorable("s", 0)]);
    expect((await store.subscribe([])).correlated_at).toBe(-1);
    expect((await store.subscribe([], undefined, { key: "k", by: "w", millis: MINUTE })).correlated_at).toBe(
      -1,
    );
  });

  line("R7", "a restore of nothing leaves an empty store", needs, async ({ store }) => {
    await append(store, "s", "A");
    await restoreWith(store, async () => {});
    expect(await readAll(store)).toEqual([]);
    expect(at(await append(store, "s", "A"), 0).version).toBe(0);
  });

  line("R7", "the log goes on after the restored events", needs, async ({ store }) => {
    const ids = await restoreAll(store, [restorable("s", 0), restorable("s", 1)]);
    const next = await appendOne(store, "s", message());
    expect(next.version).toBe(2);
    expect(next.id).toBeGreaterThan(at(ids, 1));
    await expect(store.commit("s", [message()], meta(), 0)).rejects.toMatchObject({ lastVersion: 2 });
  });

  line("R7", "a stream whose prefix is gone goes on at its version", needs, async ({ store }) => {
    await restoreAll(store, [restorable("s", 7, { name: SNAPSHOT }), restorable("s", 8)]);
    expect(at(await append(store, "s", "A"), 0).version).toBe(9);
  });

  line("R7", "thousands of events are restored in order", needs, async ({ store, firstId }) => {
    const events = Array.from({ length: 2_300 }, (_, n) =>
      restorable(`s${n % 3}`, Math.floor(n / 3), { data: { n } }),
    );
    await restoreAll(store, events);
    const restored = await readAll(store);
    expect(restored.map(({ id, data }) => [id, data.n])).toEqual(events.map((_, n) => [firstId + n, n]));
  });

  line("R7", "the driver may write without awaiting each id", needs, async ({ store, firstId }) => {
    const ids = await restoreWith(store, (insert) =>
      Promise.all(Array.from({ length: 50 }, (_, n) => insert(restorable("s", n)))),
    );
    expect(ids).toEqual(Array.from({ length: 50 }, (_, n) => firstId + n));
    expect((await readAll(store)).map(({ version }) => version)).toEqual(
      Array.from({ length: 50 }, (_, n) => n),
    );
  });

  line(
    "R7",
    "personal data is kept apart and can be forgotten",
    { needs: ["restore", "pii"] },
    async ({ store }) => {
      await restoreAll(store, [
        restorable("s", 0, { pii: { email: "a@b.c", at: new Date(3) } }),
        restorable("s", 1),
      ]);
      expect((await readAll(store)).map(({ pii }) => pii ?? null)).toEqual([
        { email: "a@b.c", at: new Date(3) },
        null,
      ]);
      expect(await forget(store, "s")).toBe(1);
    },
  );

  line(
    "R7",
    "a restore writes pii to its own column",
    { needs: ["restore", "pii", "sql"] },
    async ({ store, raw }) => {
      await restoreAll(store, [restorable("s", 0, { data: { n: 1 }, pii: { email: "a@b.c" } })]);
      const [row] = await raw.sql`select data, pii from ${tablesOf(raw).events}`;
      expect(row).toEqual({ data: { n: 1 }, pii: { email: "a@b.c" } });
    },
  );

  line(
    "R7",
    "a driver that throws leaves events and subscriptions as they were",
    needs,
    async ({ store }) => {
      const events = await append(store, "s", "A", SNAPSHOT, "B");
      await arrange(store, [{ stream: "a", at: 1, lane: "slow" }]);
      const before = await positions(store);
      const restoring = restoreWith(store, async (insert) => {
        await insert(restorable("t", 0));
        await insert(restorable("s", 0));
        throw failure;
      });
      await expect(restoring).rejects.toBe(failure);
      expect(await readAll(store)).toEqual(events);
      expect(await positions(store)).toEqual(before);
    },
  );

  line(
    "R7",
    "a driver that throws leaves checkpoints and leases of correlators",
    needs,
    async ({ store }) => {
      await store.subscribe([], 20, { key: "k", by: "w1", millis: MINUTE });
      const restoring = restoreWith(store, () => Promise.reject(failure));
      await expect(restoring).rejects.toBe(failure);
      const asked = await store.subscribe([], undefined, { key: "k", by: "w2", millis: MINUTE });
      expect(asked).toMatchObject({ correlated_at: 20, correlating: false });
    },
  );

  line(
    "R7",
    "a driver that throws leaves personal data",
    { needs: ["restore", "pii"] },
    async ({ store }) => {
      await appendOne(store, "s", { ...message(), pii: { email: "a@b.c" } });
      await expect(restoreWith(store, () => Promise.reject(failure))).rejects.toBe(failure);
      expect(only(await readAll(store)).pii).toEqual({ email: "a@b.c" });
    },
  );

  line(
    "R7",
    "after a failed restore the log goes on as if it had not been tried",
    needs,
    async ({ store }) => {
      const { id } = await appendOne(store, "s", message("A"));
      const restoring = restoreWith(store, async (insert) => {
        await insert(restorable("s", 0));
        throw failure;
      });
      await expect(restoring).rejects.toBe(failure);
      const next = await appendOne(store, "s", message("B"));
      expect(next.version).toBe(1);
      expect(next.id).toBeGreaterThan(id);
      expect(namesOf(await readAll(store))).toEqual(["A", "B"]);
    },
  );

  line("R7", "whatever the driver throws is what the restore throws", needs, async ({ store }) => {
    for (const thrown of ["text", 7, new TypeError("type")]) {
      const restoring = restoreWith(store, () => Promise.reject(thrown)).then(
        () => "resolved",
        (error: unknown) => error,
      );
      expect(await restoring).toBe(thrown);
    }
  });

  line(
    "R7",
    "two versions alike fail the restore and change nothing",
    {
      needs: ["restore", "sql"],
    },
    async ({ store }) => {
      await append(store, "s", "A");
      await expect(restoreAll(store, [restorable("t", 0), restorable("t", 0)])).rejects.toThrow();
      expect(namesOf(await readAll(store))).toEqual(["A"]);
    },
  );

  line(
    "R7",
    "other processes see the old log or the new one",
    { needs: ["restore", "shared"] },
    async (fixture) => {
      const { store, second } = fixture;
      const other = await second();
      await append(store, "s", "A", "B");
      const readings: Array<Promise<Event[]>> = [];
      await within(
        10_000,
        "the restore",
        restoreWith(store, async (insert) => {
          readings.push(readAll(other));
          await insert(restorable("s", 0, { name: "X" }));
          readings.push(readAll(other));
        }),
      );
      for (const reading of await Promise.all(readings)) {
        expect([["A", "B"], ["X"]]).toContainEqual(namesOf(reading));
      }
      expect(namesOf(await readAll(other))).toEqual(["X"]);
    },
  );
});
