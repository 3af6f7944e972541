/** Line M9: a commit lands wholly before or wholly after a truncate of its stream, never behind its seed. */
import type { TruncateResult } from "@rotorsoft/act";
import { expect, test } from "vitest";
import { holdFence, waitForWaiters } from "../order/fence.ts";
import { type AppFixture, dense, meta, type Row, underEveryIsolation, versions } from "./fixture.ts";
import { mayLose, mustLand, race } from "./racers.ts";

const event = { name: "Raced", data: {} };

underEveryIsolation("Commits against truncate", (fixture) => {
  test("M9: a commit queued before the truncate is deleted with the rest", async () => {
    const { name, committer, truncater } = await twoStores(fixture);
    for (let round = 0; round < fixture.scale(20, 5); round++) {
      const stream = `s-${round}`;
      await committer.commit(stream, [event, event], meta);
      const holder = await holdFence(name);
      const commits = Promise.all([
        committer.commit(stream, [event], meta, 1),
        committer.commit(stream, [event], meta),
      ]);
      await waitForWaiters(fixture.sql, 1);
      const truncate = truncater.truncate([{ stream, snapshot: { kept: true } }]);
      await waitForWaiters(fixture.sql, 2);
      await holder.commit();

      expect((await commits).map(([first]) => first?.version)).toEqual([2, 3]);
      expect((await truncate).get(stream)?.deleted).toBe(4);
      expect(await fixture.rows(name, stream)).toMatchObject([{ name: "__snapshot__", version: 0 }]);
    }
  });

  test("M9: a commit queued behind the truncate finds the new seed", async () => {
    const { name, committer, truncater } = await twoStores(fixture);
    for (let round = 0; round < fixture.scale(20, 5); round++) {
      const stream = `s-${round}`;
      await committer.commit(stream, [event, event], meta);
      const holder = await holdFence(name);
      const truncate = truncater.truncate([{ stream, snapshot: { kept: true } }]);
      await waitForWaiters(fixture.sql, 1);
      const commits = Promise.allSettled([
        committer.commit(stream, [event], meta, 1),
        committer.commit(stream, [event], meta),
      ]);
      await waitForWaiters(fixture.sql, 2);
      await holder.commit();

      expect((await truncate).get(stream)?.deleted).toBe(2);
      const [guarded, unguarded] = await commits;
      expect(guarded).toMatchObject({ reason: { lastVersion: 0, expectedVersion: 1 } });
      expect(unguarded).toMatchObject({ value: [{ version: 1 }] });
      expect(await fixture.rows(name, stream)).toMatchObject([
        { name: "__snapshot__", version: 0 },
        { name: "Raced", version: 1 },
      ]);
    }
  });

  test("M9: let loose, every event is deleted and counted or stands dense behind the seed, and no id is burnt", async () => {
    const { name, committer, truncater } = await twoStores(fixture);
    let written = 0;
    for (let round = 0; round < fixture.scale(60, 10); round++) {
      const stream = `s-${round}`;
      await committer.commit(stream, [event, event, event], meta);
      const racers = fixture.shuffle([
        ...dense(3).map(() => mayLose(() => committer.commit(stream, [event], meta, 2))),
        ...dense(3).map(() => mustLand(() => committer.commit(stream, [event, event], meta))),
        mustLand(() => truncater.truncate([{ stream, snapshot: {} }])),
      ]);
      const { won } = await race<readonly { id: number }[] | TruncateResult>(racers);

      let before = 3;
      let after: Row[] = await fixture.rows(name, stream);
      written += 3;
      let deleted = -1;
      const seed = after[0]?.id ?? 0;
      for (const answer of won) {
        if (answer instanceof Map) {
          deleted = answer.get(stream)?.deleted ?? -1;
          written += 1;
        } else {
          const ids = answer.map(({ id }) => id);
          written += ids.length;
          before += ids.filter((id) => id < seed).length;
          after = after.filter(({ id }) => !ids.includes(id));
        }
      }
      expect(deleted).toBe(before);
      // What is left of the rows after taking out the acknowledged ones is the seed alone.
      expect(after).toMatchObject([{ name: "__snapshot__", version: 0 }]);
      const rows = await fixture.rows(name, stream);
      expect(versions(rows)).toEqual(dense(rows.length));
    }
    expect(await fixture.issued(name)).toBe(written);
  });

  test("M9, R6: a windowed truncate leaves racing commits their versions", async () => {
    const { name, committer, truncater } = await twoStores(fixture);
    const snapshot = { name: "__snapshot__", data: {} };
    for (let round = 0; round < fixture.scale(30, 5); round++) {
      const stream = `s-${round}`;
      await committer.commit(stream, [event, event, snapshot, event], meta);
      const before = new Date(Date.now() + 60_000);
      const racers = fixture.shuffle([
        ...dense(4).map(() => mustLand(() => committer.commit(stream, [event], meta))),
        mayLose(() => committer.commit(stream, [event], meta, 3)),
        mustLand(() => truncater.truncate([{ stream, before }])),
      ]);
      const { lost } = await race<unknown>(racers);

      const rows = await fixture.rows(name, stream);
      expect(rows[0]).toMatchObject({ name: "__snapshot__", version: 2 });
      expect(versions(rows)).toEqual(dense(2 + 5 - lost.length, 2));
      // What the guarded commit can lose to is a commit, never the truncate.
      for (const { lastVersion } of lost) expect(dense(4, 4)).toContain(lastVersion);
    }
  });
});

async function twoStores(fixture: AppFixture) {
  const name = fixture.table();
  const [committer, truncater] = await fixture.pair(name);
  return { name, committer, truncater };
}
