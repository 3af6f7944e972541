/** Lanes: processes that serve only theirs. */
import { act } from "@rotorsoft/act";
import { expect, test } from "vitest";
import type { PostgresStore } from "../../src/index.ts";
import { gate } from "../conformance/kit/eventually.ts";
import { Account, on, settled, stopping, useApps, writer } from "./fixture.ts";

const fixture = useApps();

type Lane = "default" | "fast" | "slow";

/** An app that sends each deposit to a target in every lane, and serves the given ones. */
function banking(store: PostgresStore, onlyLanes: Lane[], name: string, before?: () => Promise<void>) {
  const target = (lane: Lane) => ({ target: `${name}-${lane}`, lane });
  return stopping(
    act()
      .withState(Account)
      .withLane({ name: "fast", leaseMillis: 2_000, streamLimit: 5 })
      .withLane({ name: "slow", leaseMillis: 30_000, streamLimit: 1 })
      .on("Deposited")
      .do(async function plain(event, stream) {
        await fixture.note(stream, event);
      })
      .to(target("default"))
      .on("Deposited")
      .do(async function quick(event, stream) {
        await fixture.note(stream, event);
      })
      .to(target("fast"))
      .on("Deposited")
      .do(async function slow(event, stream) {
        await before?.();
        await fixture.note(stream, event);
      })
      .to(target("slow"))
      .build({ ...on(store), onlyLanes }),
  );
}

test("a process serves its lanes only, and leaves the others to who does", async () => {
  const store = await fixture.seeded();
  await writer(store)("s", 1, 2, 3);
  const [head = 0] = (await fixture.events(store)).map(({ id }) => id).slice(-1);

  await settled(banking(store, ["fast"], "only"));
  expect((await fixture.subscriptions(store)).map(({ stream, lane, at }) => ({ stream, lane, at }))).toEqual([
    { stream: "only-default", lane: "default", at: -1 },
    { stream: "only-fast", lane: "fast", at: head },
    { stream: "only-slow", lane: "slow", at: -1 },
  ]);

  await settled(banking(fixture.beside(store), ["default", "slow"], "only"));
  expect((await fixture.subscriptions(store)).map(({ at }) => at)).toEqual([head, head, head]);
  expect((await fixture.worked("only-")).map(({ target }) => target).sort()).toEqual(
    ["default", "fast", "slow"].flatMap((lane) => Array.from({ length: 3 }, () => `only-${lane}`)),
  );
});

test("a lane that is stuck in a handler holds no other lane back", async () => {
  const store = await fixture.seeded();
  const entered = gate();
  const leave = gate();
  const deposit = writer(store);
  await deposit("s", 1);
  const stuck = banking(store, ["slow"], "stuck", async () => {
    entered.open();
    await leave.passed;
  });
  const done = settled(stuck);
  await entered.passed;
  await settled(banking(fixture.beside(store), ["default", "fast"], "stuck"));
  const rows = await fixture.subscriptions(store);
  expect(rows.map(({ stream, leased_by }) => [stream, leased_by !== null])).toEqual([
    ["stuck-default", false],
    ["stuck-fast", false],
    ["stuck-slow", true],
  ]);
  expect(rows.map(({ at }) => at)).toEqual([1, 1, -1]);
  leave.open();
  await done;
  expect(await fixture.unfinished(store)).toEqual([]);
  expect(await fixture.worked("stuck-slow")).toHaveLength(1);
});

test("two processes on one lane share its targets", async () => {
  const store = await fixture.seeded();
  const served = (by: string, own: PostgresStore) =>
    stopping(
      act()
        .withState(Account)
        .withLane({ name: "fast", streamLimit: 3 })
        .on("Deposited")
        .do(async function quick(event, stream) {
          await fixture.note(stream, event, by);
        })
        .to(({ stream }) => ({ target: `shared-${stream}`, source: stream, lane: "fast" as const }))
        .build({ ...on(own), onlyLanes: ["fast"] }),
    );
  const deposit = writer(store);
  await Promise.all(Array.from({ length: 20 }, (_, n) => deposit(`s${n}`, 1, 2)));
  const apps = [served("one", store), served("two", fixture.beside(store))];
  await expect
    .poll(async () => {
      await Promise.all(apps.map((app) => settled(app)));
      return fixture.unfinished(store);
    })
    .toEqual([]);
  const work = await fixture.worked("shared-");
  expect(work).toHaveLength(40);
  expect(new Set(work.map(({ target, event }) => `${target} ${event}`)).size).toBe(40);
  expect(await fixture.subscriptions(store)).toHaveLength(20);
});
