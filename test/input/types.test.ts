/** Wrong types: refused with a ValidationError before anything is sent, whatever the place. */
import { ValidationError } from "@rotorsoft/act";
import { beforeAll, beforeEach, describe, expect, test } from "vitest";
import { PostgresStore } from "../../src/index.ts";
import { useDatabase } from "../postgres/fixture.ts";
import { contents, fill, outcomeOf, shown } from "./log.ts";
import { slots, wrong } from "./slots.ts";

const fixture = useDatabase();
let store: PostgresStore;
let before: string;

beforeAll(async () => {
  store = new PostgresStore({ ...fixture.parts, table: "typed", notify: true });
  await store.seed();
  await fill(store);
  return () => store.dispose();
});
beforeEach(async () => {
  before = await contents(fixture, store);
});

describe.each([...Map.groupBy(slots, ({ verb }) => verb)])("%s refuses", (_, places) => {
  test.each(places)("what is no $kind as $path, and changes nothing", async ({ kind, call }) => {
    for (const value of wrong[kind]) {
      const outcome = await outcomeOf(() => call(store, value as never));
      const error = "error" in outcome ? outcome.error : outcome;
      expect(error, shown(value)).toBeInstanceOf(ValidationError);
    }
    expect(await contents(fixture, store)).toBe(before);
  });
});

test("the refusal names the argument and what it takes, not the value", async () => {
  for (const { verb, path, kind, call } of slots.filter(({ kind }) => kind === "number" || kind === "text")) {
    const secret = { hush: "s3cret" };
    const outcome = await outcomeOf(() => call(store, secret as never));
    const error = "error" in outcome ? outcome.error : outcome;
    expect(error, `${verb}.${path}`).toBeInstanceOf(ValidationError);
    const said = JSON.stringify(
      error instanceof ValidationError && [error.message, error.details, error.target],
    );
    expect(said, `${verb}.${path}`).toMatch(kind === "number" ? /number|Date/ : /string/);
    expect(said, `${verb}.${path}`).not.toContain("s3cret");
  }
});

test("data that has no JSON is refused as data, not by a crash", async () => {
  const circular: Record<string, unknown> = {};
  circular.self = circular;
  let deep: Record<string, unknown> = {};
  for (let i = 0; i < 200_000; i++) deep = { deep };
  const toxic = {
    toJSON() {
      throw new Error("own");
    },
  };
  for (const value of [{ n: 1n }, circular, deep, { toxic }]) {
    const calls = {
      data: () => store.commit("s", [{ name: "A", data: value }], { correlation: "", causation: {} }),
      pii: () => store.commit("s", [{ name: "A", data: {}, pii: value }], { correlation: "", causation: {} }),
      meta: () => store.commit("s", [{ name: "A", data: {} }], value as never),
      snapshot: () => store.truncate([{ stream: "s", snapshot: value }]),
    };
    for (const [place, call] of Object.entries(calls)) {
      const outcome = await outcomeOf(call);
      expect("error" in outcome && outcome.error, `${place}: ${shown(Object.keys(value))}`).toBeInstanceOf(
        ValidationError,
      );
    }
  }
  expect(await contents(fixture, store)).toBe(before);
});

test("an error to block with may be anything", async () => {
  const errors = [
    undefined,
    null,
    5,
    {},
    Object.create(null),
    Symbol("s"),
    { toString: () => Promise.reject },
  ];
  for (const error of errors) {
    await store.subscribe([{ stream: "any", correlated_at: 9 }]);
    const [lease] = (await store.claim(9, 0, "w", 60_000)).filter(({ stream }) => stream === "any");
    expect(lease, shown(error)).toBeDefined();
    if (lease) expect(await store.block([{ ...lease, error: error as never }]), shown(error)).toHaveLength(1);
    await store.unblock(["any"]);
  }
});
