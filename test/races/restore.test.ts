/** Lines M9 and R7: commits and readers that meet a restore. */
import type { Committed, Schemas } from "@rotorsoft/act";
import { expect, test } from "vitest";
import { until, waitForWaiters } from "../order/fence.ts";
import { dense, idsOf, meta, underEveryIsolation, versions } from "./fixture.ts";
import { mayLose, mustLand, race } from "./racers.ts";

const event = { name: "Raced", data: {} };
const created = new Date("2020-01-01T00:00:00.000Z");

type Event = Committed<Schemas, keyof Schemas>;
const backup = (stream: string, count: number): Event[] =>
  dense(count).map((version) => ({ id: 0, stream, version, created, name: "Restored", data: {}, meta }));

type Place = { readonly id: number; readonly version: number };
const places = (events: readonly Place[]) =>
  events.map(({ id, version }) => ({ id, version })).sort((a, b) => a.id - b.id);

underEveryIsolation("Commits against restore", (fixture) => {
  test("M9: commits wait for a restore under way and land behind what it brought", async () => {
    const name = fixture.table();
    const [restorer, committer] = await fixture.pair(name);
    for (let round = 0; round < fixture.scale(10, 3); round++) {
      await committer.commit("s", [event, event], meta);
      const head = (await fixture.rows(name, "s")).at(-1)?.version ?? -1;
      let commits: Promise<PromiseSettledResult<Place[]>[]> = Promise.resolve([]);
      await restorer.restore(async (insert) => {
        for (const [k, item] of backup("s", 5).entries()) {
          await insert(item);
          if (k > 0) continue;
          commits = Promise.allSettled([
            committer.commit("s", [event], meta, head),
            committer.commit("s", [event], meta, 4),
            committer.commit("s", [event], meta),
          ]);
          await waitForWaiters(fixture.sql, 1);
        }
      });
      const [stale, , unguarded] = await commits;

      if (head !== 4) expect(stale).toMatchObject({ reason: { lastVersion: 4, expectedVersion: head } });
      expect(unguarded).toMatchObject({ status: "fulfilled" });
      const rows = await fixture.rows(name);
      expect(rows.map(({ id }) => id).slice(0, 5)).toEqual([1, 2, 3, 4, 5]);
      expect(versions(rows)).toEqual(dense(rows.length));
      expect(rows.slice(0, 5).every((row) => row.name === "Restored")).toBe(true);
      expect(rows.slice(5).every((row) => row.name === "Raced")).toBe(true);
      const acknowledged = (await commits).flatMap((c) => (c.status === "fulfilled" ? c.value : []));
      expect(places(rows.slice(5))).toEqual(places(acknowledged));
    }
  });

  test("P1: forget_pii during a restore does not report that there was no pii while the restored log has it", async () => {
    const name = fixture.table();
    const [restorer, forgetter] = await fixture.pair(name);
    await forgetter.commit("s", [{ ...event, pii: { email: "ada@example.org" } }], meta);
    let forgotten: Promise<number> = Promise.resolve(0);
    await restorer.restore(async (insert) => {
      for (const item of backup("s", 3)) await insert({ ...item, pii: { email: "ada@example.org" } });
      forgotten = forgetter.forget_pii("s");
      await until("forget_pii waits for a row", async () => {
        const waiting =
          await fixture.sql`select 1 from pg_locks where locktype = 'transactionid' and not granted`;
        return waiting.length > 0;
      });
    });
    expect(await forgotten).toBe(3);
    let left = 0;
    await forgetter.query(({ pii }) => {
      if (pii !== undefined) left++;
    });
    expect(left).toBe(0);
  });

  test("M9: let loose, a commit is wiped or dense behind the restored stream", async () => {
    const name = fixture.table();
    const [restorer, committer] = await fixture.pair(name);
    for (let round = 0; round < fixture.scale(30, 5); round++) {
      // Long enough that a version tells which log it was given in: behind the restored five it is lower.
      const old = await committer.commit(
        "s",
        dense(12).map(() => event),
        meta,
      );
      const head = old.at(-1)?.version ?? -1;
      const racers = fixture.shuffle([
        ...dense(3).map(() => mustLand(() => committer.commit("s", [event], meta))),
        ...[head, 4, 5].map((expected) => mayLose(() => committer.commit("s", [event], meta, expected))),
        mustLand(async () => {
          await restorer.restore(async (insert) => {
            for (const item of backup("s", 5)) await insert(item);
          });
          return [];
        }),
      ]);
      const { won } = await race<Place[]>(racers);

      const rows = await fixture.rows(name);
      expect(rows.slice(0, 5)).toMatchObject(
        dense(5).map((k) => ({ id: k + 1, version: k, name: "Restored" })),
      );
      expect(versions(rows)).toEqual(dense(rows.length));
      expect(rows.slice(5).every((row) => row.name === "Raced" && row.id > 5)).toBe(true);
      expect(places(rows.slice(5))).toEqual(places(won.flat().filter(({ version }) => version <= head)));
    }
  });

  test("S6: a correlator that meets a restore writes no checkpoint of the old log into the new one; a new one begins with its own", async () => {
    const name = fixture.table();
    const [restorer, other] = await fixture.pair(name);
    for (const key of ["held", "new"]) {
      await other.subscribe([], 1_000, { key: "held", by: "a", millis: 60_000 });
      let late: Promise<unknown> = Promise.resolve();
      await restorer.restore(async (insert) => {
        for (const item of backup("s", 5)) await insert(item);
        const checkpoint = key === "held" ? 2_000 : 3;
        late = other.subscribe([{ stream: "s" }], checkpoint, { key, by: "a", millis: 60_000 });
        await until("subscribe waits for the restore", async () => {
          const waiting = await fixture.sql`
            select from pg_locks where not granted
              and database = (select oid from pg_database where datname = current_database())`;
          return waiting.length > 0;
        });
      });
      const at = key === "held" ? -1 : 3;
      expect(await late).toMatchObject({ subscribed: 1, correlated_at: at, correlating: true });
      expect(await other.subscribe([])).toMatchObject({ correlated_at: at });
      // What it reads from now on is the new log.
      const next = await other.subscribe([], 4, { key, by: "a", millis: 60_000 });
      expect(next).toMatchObject({ correlated_at: 4, correlating: true });
    }
  });

  test("S6: that holds for a correlator of the store that restores, too", async () => {
    const [store] = await fixture.pair(fixture.table());
    const lease = { key: "own", by: "a", millis: 60_000 };
    await store.subscribe([], 1_000, lease);
    const begun = Promise.withResolvers<void>();
    // Not called by the driver, for which the store would refuse it.
    const late = begun.promise.then(() => store.subscribe([], 2_000, lease));
    await store.restore(async (insert) => {
      for (const item of backup("s", 5)) await insert(item);
      begun.resolve();
      await until("subscribe waits for the restore", async () => {
        const waiting = await fixture.sql`
          select from pg_locks where not granted
            and database = (select oid from pg_database where datname = current_database())`;
        return waiting.length > 0;
      });
    });
    expect(await late).toMatchObject({ correlated_at: -1, correlating: true });
    expect(await store.subscribe([], 4, lease)).toMatchObject({ correlated_at: 4 });
  });

  test("S6: a checkpoint that was read from the log before a restore is not written after it, whoever came first", async () => {
    const name = fixture.table();
    const [restorer, other] = await fixture.pair(name);
    const lease = { key: "k", by: "a", millis: 60_000 };
    await other.subscribe([], 1_000, lease);
    await restorer.restore(async (insert) => {
      for (const item of backup("s", 5)) await insert(item);
    });
    await restorer.subscribe([], undefined, { ...lease, by: "b" });
    expect(await other.subscribe([], 2_000, lease)).toMatchObject({ correlated_at: -1, correlating: false });
    await other.subscribe([], 1_000);
    await restorer.restore(async (insert) => {
      for (const item of backup("s", 5)) await insert(item);
    });
    expect(await other.subscribe([], 2_000)).toMatchObject({ correlated_at: -1 });
    expect(await restorer.subscribe([], 3, { ...lease, by: "b" })).toMatchObject({ correlated_at: 3 });
  });

  test("R7: a reader sees the old log or the new one, whole, and a failed restore changes neither", async () => {
    const name = fixture.table();
    const [restorer, other] = await fixture.pair(name);
    const [first] = await other.commit("old", [event, event, event], meta);
    await other.subscribe([{ stream: "sub", correlated_at: 3 }], 2, { key: "k", by: "w", millis: 60_000 });
    const old = dense(3, first?.id);
    let reads: Promise<number[]>[] = [];
    const failure = new Error("the backup is damaged");
    const restore = restorer.restore(async (insert) => {
      for (const item of backup("new", 4)) {
        await insert(item);
        reads.push(idsOf(other));
      }
      throw failure;
    });
    await expect(restore).rejects.toBe(failure);
    for (const read of reads) expect(await read).toEqual(old);
    expect((await fixture.rows(name)).map(({ id }) => id)).toEqual(old);
    const kept = await other.subscribe([], undefined, { key: "k", by: "other", millis: 60_000 });
    expect(kept).toMatchObject({ correlating: false, correlated_at: 2 });

    reads = [];
    await restorer.restore(async (insert) => {
      for (const item of backup("new", 4)) {
        await insert(item);
        reads.push(idsOf(other));
      }
    });
    for (const read of reads) expect([old, [1, 2, 3, 4]]).toContainEqual(await read);
    expect(await idsOf(other)).toEqual([1, 2, 3, 4]);
    expect((await other.query_streams(() => {})).count).toBe(0);
    const wiped = await other.subscribe([], undefined, { key: "k", by: "other", millis: 60_000 });
    expect(wiped).toMatchObject({ correlating: true, correlated_at: -1 });
  });
});
