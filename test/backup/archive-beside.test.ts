/** An archive beside subscriptions that are behind, and beside others that write to the log. */
import { describe, expect, onTestFinished, test } from "vitest";
import { Admin, type ArchiveTarget, decompress } from "../../src/admin/index.ts";
import type { PostgresStore } from "../../src/index.ts";
import { until } from "../order/fence.ts";
import { useDatabase } from "../postgres/fixture.ts";
import { connect } from "../support/database.ts";
import { memory } from "./exported.ts";

const fixture = useDatabase();
const meta = { correlation: "c", causation: {} };
const event = { name: "A", data: {} };
const tomorrow = new Date(Date.now() + 86_400_000);
const MARK = 1_000;

/** Two events and a snapshot in each stream, in turn: ids 1 to 3 in the first, and so on. */
async function withStreams(...streams: string[]): Promise<PostgresStore> {
  const store = await fixture.seeded();
  for (const stream of streams)
    await store.commit(stream, [event, event, { name: "__snapshot__", data: {} }], meta);
  return store;
}

const streamsOf = async (store: PostgresStore) => [
  ...new Set((await fixture.rows(store)).filter(({ name }) => name === "A").map(({ stream }) => stream)),
];

describe("streams stay that a subscription is still to handle", () => {
  test.each([
    ["by its name", "order-1", ["order-1"]],
    ["by a pattern", "^order-", ["order-1", "order-2"]],
    ["by a pattern that the server matches", "^order-[2-9]$", ["order-2"]],
    ["by a pattern that nobody can match", "(?<=a)order", ["bill-1", "order-1", "order-2"]],
    ["by no source at all", undefined, ["bill-1", "order-1", "order-2"]],
  ])("%s", async (_, source, staying) => {
    const store = await withStreams("bill-1", "order-1", "order-2");
    await store.subscribe([{ stream: "reader", source, correlated_at: MARK }]);
    const admin = new Admin(store);
    const { target } = memory();
    const counts = { streams: 3 - staying.length, awaited: staying.length };
    expect(await admin.archive({ target, before: tomorrow, dryRun: true })).toMatchObject(counts);
    expect(await admin.archive({ target, before: tomorrow })).toMatchObject(counts);
    expect(await streamsOf(store)).toEqual(staying);

    const [lease] = await store.claim(1, 0, "w", 60_000);
    if (lease) await store.ack([{ ...lease, at: MARK }]);
    expect(await admin.archive({ target, before: tomorrow })).toMatchObject({
      streams: staying.length,
      awaited: 0,
    });
  });

  test("because no correlator has read some of their events", async () => {
    const store = await withStreams("a", "b", "c");
    // Event 4 is the first of b; 3, 6 and 9 are snapshots.
    await store.subscribe([], 3);
    const admin = new Admin(store);
    const { target } = memory();
    expect(await admin.archive({ target, before: tomorrow })).toMatchObject({ streams: 1, awaited: 2 });
    expect(await streamsOf(store)).toEqual(["b", "c"]);
    await store.subscribe([], 4);
    expect(await admin.archive({ target, before: tomorrow, dryRun: true })).toMatchObject({ awaited: 2 });
    await store.subscribe([], 8);
    expect(await admin.archive({ target, before: tomorrow })).toMatchObject({ streams: 2, awaited: 0 });
    expect(await streamsOf(store)).toEqual([]);
  });

  test("also if it is blocked, deferred, or leased; and not for events that it has handled", async () => {
    const store = await withStreams("a", "b", "c", "d");
    const readers = ["a", "b", "c", "d"].map((source) => ({
      stream: `of-${source}`,
      source,
      correlated_at: MARK,
    }));
    await store.subscribe(readers);
    const leases = await store.claim(4, 0, "w", 60_000);
    const of = (stream: string) => leases.filter((lease) => lease.stream === stream);
    await store.block(of("of-a").map((lease) => ({ ...lease, error: "no" })));
    await store.defer(["of-b"], Date.now() + 60_000);
    await store.ack(of("of-d").map((lease) => ({ ...lease, at: 11 })));
    expect(await new Admin(store).archive({ target: memory().target, before: tomorrow })).toMatchObject({
      streams: 1,
      awaited: 3,
    });
    expect(await streamsOf(store)).toEqual(["a", "b", "c"]);
  });
});

test("events that a writer without the append lock deletes at the same moment are not said to be kept", async () => {
  const store = await withStreams("a", "b");
  const { schema, table } = store.config;
  const other = connect(fixture.url);
  onTestFinished(() => other.end());
  await other.unsafe(`begin; delete from "${schema}"."${table}" where stream = 'a' and version = 0`);
  const archived = new Admin(store).archive({ target: memory().target, before: tomorrow });
  await until("the archive waits for the row", async () => (await fixture.rowWaiters(store)) === 1);
  await other.unsafe("commit");
  expect(await archived).toMatchObject({ streams: 2, events: 4 });
  expect(await streamsOf(store)).toEqual([]);
});

describe("nothing is deleted that the file does not hold:", () => {
  /** Runs `meanwhile` when the first file has been written. */
  function during(target: ArchiveTarget, meanwhile: () => Promise<unknown>): ArchiveTarget {
    let first = true;
    return {
      read: (name) => target.read(name),
      write: async (name, content) => {
        await target.write(name, content);
        if (first) await meanwhile();
        first = false;
      },
    };
  }
  const CHANGED = expect.objectContaining({
    name: "ArchiveError",
    message: expect.stringMatching(/added or changed while .*Nothing of it was deleted from the log/),
  });

  test("events that an import brings back meanwhile", async () => {
    const store = await withStreams("s");
    const admin = new Admin(store);
    const { target } = memory();
    const [file] = (await admin.archive({ target, before: tomorrow })).files;
    await store.commit("s", [event, { name: "__snapshot__", data: {} }], meta);
    const back = () => admin.import(decompress(target.read(file?.file ?? ""), "zstd"), { mode: "merge" });
    const next = admin.archive({ target: during(target, back), before: tomorrow });
    await expect(next).rejects.toEqual(CHANGED);
    expect((await fixture.rows(store)).map(({ version }) => version)).toEqual([0, 1, 2, 3, 4]);
    expect(await admin.archive({ target, before: tomorrow })).toMatchObject({ streams: 1, events: 4 });
  });

  test("events that a restore writes meanwhile, with the same ids", async () => {
    const store = await withStreams("s");
    const created = new Date(0);
    const restore = () =>
      store.restore(async (insert) => {
        for (const [version, name] of ["Renamed", "Renamed", "__snapshot__"].entries())
          await insert({ id: 0, stream: "s", version, created, name, data: {}, meta });
      });
    const target = during(memory().target, restore);
    await expect(new Admin(store).archive({ target, before: tomorrow })).rejects.toEqual(CHANGED);
    expect((await fixture.rows(store)).map(({ name }) => name)).toEqual([
      "Renamed",
      "Renamed",
      "__snapshot__",
    ]);
  });

  test("events whose pii is forgotten meanwhile", async () => {
    const store = await fixture.seeded();
    await store.commit("s", [{ ...event, pii: { email: "ada@example.org" } }], meta);
    await store.commit("s", [{ name: "__snapshot__", data: {} }], meta);
    const target = during(memory().target, () => store.forget_pii("s"));
    await expect(new Admin(store).archive({ target, before: tomorrow })).rejects.toEqual(CHANGED);
    expect(await fixture.rows(store)).toHaveLength(2);
  });
});
