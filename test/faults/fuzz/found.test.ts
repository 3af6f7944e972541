/** What the fuzzing has found, one by one. */
import { ValidationError } from "@rotorsoft/act";
import { expect, test } from "vitest";
import { contents, fill } from "../../input/log.ts";
import { failureOf, meta, useDatabase } from "../../postgres/fixture.ts";

const fixture = useDatabase();

test.each(["stream", "source"])(
  "a filter whose %s is null is refused: it is not every stream",
  async (option) => {
    const store = await fixture.seeded();
    await fill(store);
    const before = await contents(fixture, store);
    for (const exact of [true, false]) {
      const filter = { [option]: null, [`${option}_exact`]: exact } as object;
      const calls = {
        reset: () => store.reset(filter),
        defer: () => store.defer(filter, 1),
        unblock: () => store.unblock(filter),
        prioritize: () => store.prioritize(filter, 9),
        query_streams: () => store.query_streams(() => {}, filter),
      };
      for (const [verb, call] of Object.entries(calls)) {
        const { error } = await failureOf(call());
        expect(error, verb).toBeInstanceOf(ValidationError);
      }
    }
    expect(await contents(fixture, store)).toBe(before);
  },
);

test("statistics of a stream whose pattern is null are refused", async () => {
  const store = await fixture.seeded();
  const { error } = await failureOf(store.query_stats({ stream: null } as object));
  expect(error).toBeInstanceOf(ValidationError);
});

test("a list with a hole is refused before anything is sent", async () => {
  const store = await fixture.seeded();
  const messages = [{ name: "A", data: {} }];
  messages.length = 3;
  const calls = {
    commit: () => store.commit("s", messages, meta),
    query: () => store.query(() => {}, { names: Object.assign(["A"], { length: 2 }) }),
  };
  for (const [verb, call] of Object.entries(calls)) {
    const { error } = await failureOf(call());
    expect(error, verb).toBeInstanceOf(ValidationError);
  }
  expect(await fixture.rows(store)).toEqual([]);
});
