/** Loads: the query with which the framework rebuilds a state. */
import { expect } from "vitest";
import { append, appendMany, namesOf, only, read, SNAPSHOT } from "./kit/scenario.ts";
import { section } from "./kit/section.ts";

const exact = { stream: "s", stream_exact: true };

export const load = section("load", (line) => {
  line("Q7", "a load starts at the latest snapshot, inclusive", async ({ store }) => {
    await append(store, "s", "A", SNAPSHOT, "B", SNAPSHOT, "C");
    const events = await read(store, { ...exact, with_snaps: true });
    expect(events.map((event) => [event.name, event.version])).toEqual([
      [SNAPSHOT, 3],
      ["C", 4],
    ]);
  });

  line("Q7", "a backward load ends at the latest snapshot, inclusive", async ({ store }) => {
    await append(store, "s", "A", SNAPSHOT, "B", SNAPSHOT, "C");
    expect(namesOf(await read(store, { ...exact, with_snaps: true, backward: true }))).toEqual([
      "C",
      SNAPSHOT,
    ]);
  });

  line("Q7", "without a snapshot a load reads the whole stream", async ({ store }) => {
    await append(store, "other", "X", SNAPSHOT);
    await append(store, "s", "A", "B");
    expect(namesOf(await read(store, { ...exact, with_snaps: true }))).toEqual(["A", "B"]);
    expect(namesOf(await read(store, { ...exact, with_snaps: true, backward: true }))).toEqual(["B", "A"]);
  });

  line("Q7", "a snapshot of another stream is no start", async ({ store }) => {
    await append(store, "s", "A", SNAPSHOT, "B");
    await append(store, "s2", SNAPSHOT);
    expect(namesOf(await read(store, { ...exact, with_snaps: true }))).toEqual([SNAPSHOT, "B"]);
  });

  line("Q7", "a given after disables the start at the snapshot", async ({ store }) => {
    const [a] = await append(store, "s", "A", "B", SNAPSHOT, "C");
    const whole = { ...exact, with_snaps: true };
    expect(namesOf(await read(store, { ...whole, after: -1 }))).toEqual(["A", "B", SNAPSHOT, "C"]);
    expect(namesOf(await read(store, { ...whole, after: a?.id }))).toEqual(["B", SNAPSHOT, "C"]);
    expect(namesOf(await read(store, { ...whole, after: a?.id, backward: true }))).toEqual([
      "C",
      SNAPSHOT,
      "B",
    ]);
  });

  line("Q7", "a snapshot committed while a load is under way leaves nothing of it out", async ({ store }) => {
    // More than are fetched at once.
    const size = 4_500;
    await appendMany(store, "s", size, "E");
    for (const [backward, name] of [
      [false, "first"],
      [true, "second"],
    ] as const) {
      // The second load begins at the snapshot that came during the first.
      const floor = backward ? size : 0;
      if (backward) await appendMany(store, "s", size, "E");
      const versions: number[] = [];
      const load = { ...exact, with_snaps: true, backward };
      await store.query(async ({ version }) => {
        if (versions.push(version) === 10) await append(store, "s", SNAPSHOT);
      }, load);
      const expected = Array.from({ length: size + (backward ? 1 : 0) }, (_, i) => floor + i);
      const seen = backward ? versions.toReversed() : versions.filter((version) => version < size);
      expect(seen, name).toEqual(expected);
    }
  });

  line("Q7", "a pattern disables the start at the snapshot", async ({ store }) => {
    await append(store, "s", "A", SNAPSHOT, "B");
    expect(namesOf(await read(store, { stream: "^s$", with_snaps: true }))).toEqual(["A", SNAPSHOT, "B"]);
    expect(namesOf(await read(store, { with_snaps: true }))).toEqual(["A", SNAPSHOT, "B"]);
  });

  line("Q7", "a load without snapshots is not cut short by one", async ({ store }) => {
    await append(store, "s", "A", SNAPSHOT, "B");
    expect(namesOf(await read(store, exact))).toEqual(["A", "B"]);
  });

  line("Q7", "after a truncate a load is the seed alone", async ({ store }) => {
    await append(store, "s", "A", SNAPSHOT, "B");
    await store.truncate([{ stream: "s", snapshot: { n: 1 } }]);
    expect(only(await read(store, { ...exact, with_snaps: true }))).toMatchObject({
      version: 0,
      data: { n: 1 },
    });
  });

  line("Q7", "after 0 is a given after", async ({ store }) => {
    await append(store, "other", "X");
    await append(store, "s", "A", SNAPSHOT, "B");
    expect(namesOf(await read(store, { ...exact, with_snaps: true, after: 0 }))).toEqual([
      "A",
      SNAPSHOT,
      "B",
    ]);
  });
});
