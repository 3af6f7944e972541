/** Priorities: who comes first when there is more to do than one pass takes. */
import { act } from "@rotorsoft/act";
import { expect, test } from "vitest";
import type { PostgresStore } from "../../src/index.ts";
import { Account, on, settled, stopping, useApps, writer } from "./fixture.ts";

const fixture = useApps();

function ranked(store: PostgresStore, name: string, priority: (stream: string) => number | undefined) {
  return stopping(
    act()
      .withState(Account)
      .on("Deposited")
      .do(async function rank(event, target) {
        await fixture.note(target, event);
      })
      .to(({ stream }) => ({ target: `${name}-${stream}`, source: stream, priority: priority(stream) }))
      .build(on(store)),
  );
}

const order = async (name: string) => [
  ...new Set((await fixture.worked(`${name}-`)).map(({ target }) => target.slice(name.length + 1))),
];

test("one stream at a time, the most important goes first", async () => {
  const store = await fixture.seeded();
  const deposit = writer(store);
  for (const stream of ["p1", "p5", "p3", "p9"]) await deposit(stream, 1);
  await settled(
    ranked(store, "first", (stream) => Number(stream.slice(1))),
    { streamLimit: 1 },
  );
  expect(await order("first")).toEqual(["p9", "p5", "p3", "p1"]);
  expect((await fixture.subscriptions(store)).map(({ priority }) => priority)).toEqual([1, 3, 5, 9]);
});

test("a stream that an operator moves up overtakes, and one moved down waits", async () => {
  const store = await fixture.seeded();
  const deposit = writer(store);
  for (const stream of ["a", "b", "c"]) await deposit(stream, 1);
  const app = ranked(store, "moved", () => undefined);
  await app.correlate({ limit: 100 });
  expect(await app.prioritize({ stream: "^moved-c$" }, 7)).toBe(1);
  expect(await app.prioritize({ source: "^a$" }, -7)).toBe(1);
  await settled(app, { streamLimit: 1 });
  expect(await order("moved")).toEqual(["c", "b", "a"]);
  expect((await fixture.subscriptions(store)).map(({ stream, priority }) => [stream, priority])).toEqual([
    ["moved-a", -7],
    ["moved-b", 0],
    ["moved-c", 7],
  ]);
});
