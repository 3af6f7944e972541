import type { Store } from "@rotorsoft/act";
import { expect } from "vitest";
import { eventually, gate } from "./kit/eventually.ts";
import {
  append,
  appendMany,
  appendOne,
  at,
  type Event,
  idsOf,
  message,
  meta,
  namesOf,
  read,
  readAll,
  SNAPSHOT,
  TOMBSTONE,
} from "./kit/scenario.ts";
import { section } from "./kit/section.ts";

/** Three events whose `created` differ, in one stream. */
async function apart(store: Store): Promise<[Event, Event, Event]> {
  const events: Event[] = [];
  for (const name of ["A", "B", "C"]) {
    const previous = events.at(-1)?.created.getTime() ?? -1;
    // The store's clock need not be ours: another stream tells when it has moved on.
    await eventually(async () => (await appendOne(store, "clock", message())).created.getTime() > previous, {
      every: 1,
    });
    events.push(await appendOne(store, "s", message(name)));
  }
  return [at(events, 0), at(events, 1), at(events, 2)];
}

const exact = { stream: "s", stream_exact: true };

export const query = section("query", (line) => {
  line("Q1", "the callback is awaited per event, in order", async ({ store }) => {
    await append(store, "s", "A", "B", "C");
    const log: string[] = [];
    await store.query(async ({ name }) => {
      log.push(`${name} in`);
      await new Promise(setImmediate);
      log.push(`${name} out`);
    });
    expect(log).toEqual(["A in", "A out", "B in", "B out", "C in", "C out"]);
  });

  line("Q1", "the query ends after its last callback", async ({ store }) => {
    await append(store, "s", "A");
    const { passed, open } = gate();
    let ended = false;
    const entered = gate();
    const querying = store
      .query(() => {
        entered.open();
        return passed;
      })
      .then(() => {
        ended = true;
      });
    await entered.passed;
    await read(store);
    expect(ended).toBe(false);
    open();
    await querying;
    expect(ended).toBe(true);
  });

  line("Q1", "a rejecting callback ends the query with its own error", async ({ store }) => {
    await append(store, "s", "A", "B", "C");
    const failure = new Error("from the callback");
    const seen: string[] = [];
    const querying = store.query(async ({ name }) => {
      seen.push(String(name));
      if (name === "B") throw failure;
    });
    expect(await querying.catch((error: unknown) => error)).toBe(failure);
    expect(seen).toEqual(["A", "B"]);
  });

  line("Q1", "a throwing callback ends the query with its own error", async ({ store }) => {
    await append(store, "s", "A");
    const failure = new Error("from the callback");
    const querying = store.query(() => {
      throw failure;
    });
    expect(await querying.catch((error: unknown) => error)).toBe(failure);
    expect(await readAll(store)).toHaveLength(1);
  });

  line("Q1", "the callback may use the store", async ({ store }) => {
    await append(store, "s", "A", "B");
    const nested: number[] = [];
    await store.query(async () => {
      nested.push((await readAll(store)).length);
    });
    expect(nested).toEqual([2, 2]);
  });

  line("Q1", "the result is the number of events delivered", async ({ store }) => {
    expect(await store.query(() => {})).toBe(0);
    await append(store, "s", "A", "B", "C");
    await append(store, "other", "A");
    expect(await store.query(() => {})).toBe(4);
    expect(await store.query(() => {}, exact)).toBe(3);
    expect(await store.query(() => {}, { names: ["A"] })).toBe(2);
    expect(await store.query(() => {}, { stream: "absent" })).toBe(0);
  });

  line(
    "Q1",
    "the result equals a limit that was reached, and stays below one that was not",
    async (fixture) => {
      const { store } = fixture;
      await append(store, "s", "A", "B", "C");
      for (const [limit, delivered] of [
        [1, 1],
        [2, 2],
        [3, 3],
        [4, 3],
      ]) {
        const events: string[] = [];
        const count = await store.query(({ name }) => void events.push(String(name)), { limit });
        expect([count, events.length]).toEqual([delivered, delivered]);
      }
    },
  );

  line("Q2", "events come in ascending order of id, or descending when asked", async ({ store }) => {
    const ids = idsOf([...(await append(store, "a", "A", "B")), ...(await append(store, "b", "C"))]);
    expect(idsOf(await readAll(store))).toEqual(ids);
    expect(idsOf(await read(store, { backward: true }))).toEqual([...ids].reverse());
    expect(idsOf(await read(store, { backward: false }))).toEqual(ids);
  });

  line("Q2", "a limit takes from the start, backward from the end", async ({ store }) => {
    const ids = idsOf(await append(store, "s", "A", "B", "C", "D"));
    expect(idsOf(await read(store, { limit: 2 }))).toEqual(ids.slice(0, 2));
    expect(idsOf(await read(store, { limit: 2, backward: true }))).toEqual(ids.slice(2).reverse());
  });

  line("Q2", "limit −1 is reached by the first event", async ({ store }) => {
    const ids = idsOf(await append(store, "s", "A", "B", "C"));
    expect(idsOf(await read(store, { limit: -1 }))).toEqual(ids.slice(0, 1));
    expect(idsOf(await read(store, { limit: -1, backward: true }))).toEqual(ids.slice(2));
  });

  line("Q2", "limit 0 and undefined mean unlimited", async ({ store }) => {
    await appendMany(store, "s", 1_100);
    expect(await read(store, { limit: 0 })).toHaveLength(1_100);
    expect(await read(store, { limit: undefined })).toHaveLength(1_100);
    expect(await read(store, { limit: 0, backward: true })).toHaveLength(1_100);
  });

  line("Q2", "an unlimited query delivers each of thousands once, in order, both ways", async ({ store }) => {
    const ids: number[] = [];
    for (let n = 0; n < 5; n++) ids.push(...idsOf(await appendMany(store, `s${n % 2}`, 1_000)));
    expect(idsOf(await readAll(store))).toEqual(ids);
    expect(idsOf(await read(store, { backward: true }))).toEqual([...ids].reverse());
    expect(await read(store, { limit: 2_001 })).toHaveLength(2_001);
    expect(idsOf(await read(store, { after: at(ids, 1_999) }))).toEqual(ids.slice(2_000));
    expect(await read(store, { stream: "s1", stream_exact: true, backward: true })).toHaveLength(2_000);
  });

  line("Q3", "stream matches anywhere in the name", async ({ store }) => {
    for (const stream of ["order-1", "my-order", "orders", "ordnung"]) await append(store, stream, "A");
    const streams = (await read(store, { stream: "order" })).map((event) => event.stream);
    expect(streams).toEqual(["order-1", "my-order", "orders"]);
  });

  line("Q3", "stream is case-sensitive, exact or not", async ({ store }) => {
    await append(store, "Order", "A");
    await append(store, "order", "B");
    expect(namesOf(await read(store, { stream: "Order" }))).toEqual(["A"]);
    expect(namesOf(await read(store, { stream: "^order$" }))).toEqual(["B"]);
    expect(namesOf(await read(store, { stream: "Order", stream_exact: true }))).toEqual(["A"]);
    expect(namesOf(await read(store, { stream: "ORDER", stream_exact: true }))).toEqual([]);
  });

  line("Q3", "stream_exact is equality, whatever the name contains", async ({ store }) => {
    const streams = [
      "a.b",
      "axb",
      "a_b",
      "a%",
      "ab",
      "^a$",
      "a",
      "a|b",
      "(",
      "a\\b",
      "a'b",
      'a"b',
      "$1",
      "日本",
    ];
    for (const stream of streams) await append(store, stream, "A");
    for (const stream of streams) {
      const found = await read(store, { stream, stream_exact: true });
      expect(found.map((event) => event.stream)).toEqual([stream]);
    }
  });

  line("Q3", "an empty or undefined stream is no filter", async ({ store }) => {
    await append(store, "a", "A");
    await append(store, "b", "B");
    for (const stream of ["", undefined]) {
      for (const stream_exact of [true, false, undefined]) {
        expect(namesOf(await read(store, { stream, stream_exact }))).toEqual(["A", "B"]);
      }
    }
  });

  line("Q4", "an empty list of names matches nothing", async ({ store }) => {
    await append(store, "s", "A", SNAPSHOT);
    expect(await read(store, { names: [] })).toEqual([]);
    expect(await read(store, { names: [], with_snaps: true, ...exact })).toEqual([]);
  });

  line("Q4", "omitted or undefined names match all", async ({ store }) => {
    await append(store, "s", "A", "B");
    expect(namesOf(await read(store, {}))).toEqual(["A", "B"]);
    expect(namesOf(await read(store, { names: undefined }))).toEqual(["A", "B"]);
  });

  line("Q4", "names are exact, case-sensitive, and may repeat", async ({ store }) => {
    await append(store, "s", "A", "a", "AB", "B", "A_", "Ax");
    expect(namesOf(await read(store, { names: ["A", "B", "A", "absent"] }))).toEqual(["A", "B"]);
    expect(namesOf(await read(store, { names: ["A_", "A%", "."] }))).toEqual(["A_"]);
  });

  line("Q5", "after and before are strict", async ({ store }) => {
    const [a, b, c] = idsOf(await append(store, "s", "A", "B", "C"));
    expect(idsOf(await read(store, { after: b }))).toEqual([c]);
    expect(idsOf(await read(store, { before: b }))).toEqual([a]);
    expect(idsOf(await read(store, { after: a, before: c }))).toEqual([b]);
    expect(idsOf(await read(store, { after: c }))).toEqual([]);
    expect(idsOf(await read(store, { after: b, before: b }))).toEqual([]);
    expect(idsOf(await read(store, { after: c, before: a }))).toEqual([]);
  });

  line("Q5", "after and before bound a backward query alike", async ({ store }) => {
    const [a, b, c, d] = idsOf(await append(store, "s", "A", "B", "C", "D"));
    expect(idsOf(await read(store, { after: a, before: d, backward: true }))).toEqual([c, b]);
    expect(idsOf(await read(store, { before: c, backward: true, limit: 1 }))).toEqual([b]);
    expect(idsOf(await read(store, { after: b, backward: true, limit: 1 }))).toEqual([d]);
  });

  line("Q5", "before 0 matches nothing", async ({ store }) => {
    await append(store, "s", "A");
    expect(await read(store, { before: 0 })).toEqual([]);
    expect(await read(store, { before: 0, backward: true })).toEqual([]);
    expect(await read(store, { before: -1 })).toEqual([]);
  });

  line("Q5", "after 0 leaves out an event with id 0, and −1 nothing", async ({ store }) => {
    const ids = idsOf(await append(store, "s", "A", "B"));
    expect(idsOf(await read(store, { after: -1 }))).toEqual(ids);
    expect(idsOf(await read(store, { after: 0 }))).toEqual(ids.filter((id) => id > 0));
    expect(idsOf(await read(store, { after: 0, backward: true }))).toEqual(
      ids.filter((id) => id > 0).reverse(),
    );
  });

  line("Q5", "bounds beyond 2³¹ are bounds", async ({ store }) => {
    const ids = idsOf(await append(store, "s", "A", "B"));
    for (const far of [2 ** 31 - 1, 2 ** 31, 2 ** 40, Number.MAX_SAFE_INTEGER]) {
      expect(await read(store, { after: far })).toEqual([]);
      expect(idsOf(await read(store, { before: far }))).toEqual(ids);
      expect(idsOf(await read(store, { after: -far }))).toEqual(ids);
    }
  });

  line("Q5", "created_after and created_before are strict filters", async ({ store }) => {
    const [a, b, c] = await apart(store);
    expect(namesOf(await read(store, { ...exact, created_after: b.created }))).toEqual(["C"]);
    expect(namesOf(await read(store, { ...exact, created_before: b.created }))).toEqual(["A"]);
    const between = { ...exact, created_after: a.created, created_before: c.created };
    expect(namesOf(await read(store, between))).toEqual(["B"]);
    expect(namesOf(await read(store, { ...between, backward: true }))).toEqual(["B"]);
    expect(namesOf(await read(store, { ...exact, created_after: a.created, backward: true }))).toEqual([
      "C",
      "B",
    ]);
    expect(await read(store, { ...exact, created_after: c.created })).toEqual([]);
    expect(await read(store, { ...exact, created_before: a.created })).toEqual([]);
  });

  line("Q5", "the epoch is a time like any other", async ({ store }) => {
    await append(store, "s", "A");
    expect(await read(store, { created_before: new Date(0) })).toEqual([]);
    expect(namesOf(await read(store, { created_after: new Date(0) }))).toEqual(["A"]);
  });

  line("Q5", "created_before takes nothing from the limit", async ({ store }) => {
    const [, b, c] = await apart(store);
    const last = { ...exact, backward: true, limit: 1 };
    expect(namesOf(await read(store, { ...last, created_before: c.created }))).toEqual(["B"]);
    expect(namesOf(await read(store, { ...exact, created_after: b.created, limit: 1 }))).toEqual(["C"]);
  });

  line("Q5", "correlation is equality", async ({ store }) => {
    for (const correlation of ["c-1", "c-10", "C-1", "c_1", "c.1"]) {
      await store.commit("s", [message(correlation)], meta(correlation));
    }
    for (const correlation of ["c-1", "C-1", "c.1", "c_1"]) {
      expect(namesOf(await read(store, { correlation }))).toEqual([correlation]);
    }
    expect(await read(store, { correlation: "c" })).toEqual([]);
  });

  line("Q5", "an empty correlation is no filter", async ({ store }) => {
    await store.commit("s", [message("A")], meta("c"));
    await store.commit("s", [message("B")], meta(""));
    expect(namesOf(await read(store, { correlation: "" }))).toEqual(["A", "B"]);
    expect(namesOf(await read(store, { correlation: undefined }))).toEqual(["A", "B"]);
  });

  line("Q5", "all filters hold together", async ({ store }) => {
    const [first] = await store.commit("s-1", [message("A"), message("B"), message("A")], meta("c"));
    await store.commit("s-2", [message("A")], meta("c"));
    await store.commit("s-1", [message("A")], meta("d"));
    const filter = { stream: "^s-1", names: ["A"], correlation: "c", after: first?.id };
    expect((await read(store, filter)).map((event) => [event.stream, event.version])).toEqual([["s-1", 2]]);
  });

  line("Q6", "no query includes snapshots, an empty one leaves them out", async ({ store }) => {
    await append(store, "s", "A", SNAPSHOT, "B");
    expect(namesOf(await read(store, undefined))).toEqual(["A", SNAPSHOT, "B"]);
    expect(namesOf(await read(store, {}))).toEqual(["A", "B"]);
    expect(namesOf(await read(store, { with_snaps: false }))).toEqual(["A", "B"]);
    expect(namesOf(await read(store, { with_snaps: true }))).toEqual(["A", SNAPSHOT, "B"]);
  });

  line("Q6", "naming the snapshot does not include it", async ({ store }) => {
    await append(store, "s", "A", SNAPSHOT);
    expect(await read(store, { names: [SNAPSHOT] })).toEqual([]);
    expect(namesOf(await read(store, { names: [SNAPSHOT], with_snaps: true }))).toEqual([SNAPSHOT]);
  });

  line("Q6", "a snapshot that is left out takes nothing from the limit", async ({ store }) => {
    await append(store, "s", "A", SNAPSHOT, "B", "C");
    expect(namesOf(await read(store, { limit: 2 }))).toEqual(["A", "B"]);
    expect(namesOf(await read(store, { limit: 3, backward: true }))).toEqual(["C", "B", "A"]);
  });

  line("Q6", "tombstones are always included", async ({ store }) => {
    await append(store, "s", "A", TOMBSTONE);
    expect(namesOf(await read(store, {}))).toEqual(["A", TOMBSTONE]);
  });
});
