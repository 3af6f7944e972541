/** Patterns that PostgreSQL would work on for minutes end at statement_timeout, in every verb that takes one. */
import { StoreError } from "@rotorsoft/act";
import { expect, test } from "vitest";
import { event, failureOf, meta, useScene } from "../../connections/scene.ts";
import { contents } from "../../input/log.ts";
import { scale } from "../kit/scale.ts";

const scene = useScene();
const SLOW = scale(["(a?){250}a{250}b"], ["(a?){250}a{250}b", "(a?a?){120}a{240}b$"]);

test.each(SLOW)("%s is cut short, with a typed error, and has changed nothing", async (stream) => {
  const store = await scene.seeded({ statement_timeout: 250 });
  const long = "a".repeat(2_000);
  for (const n of [1, 2, 3]) await store.commit(`${long}${n}`, [event()], meta);
  await store.subscribe([1, 2, 3].map((n) => ({ stream: `${long}${n}`, source: long, correlated_at: 9 })));
  const before = await contents(scene, store);
  const calls = {
    query: () => store.query(() => {}, { stream }),
    query_stats: () => store.query_stats({ stream }),
    query_streams: () => store.query_streams(() => {}, { stream }),
    reset: () => store.reset({ stream }),
    unblock: () => store.unblock({ stream, blocked: false }),
    defer: () => store.defer({ source: stream }, Date.now()),
    prioritize: () => store.prioritize({ stream }, 5),
  };
  for (const [operation, call] of Object.entries(calls)) {
    const { error, millis } = await failureOf(call());
    expect(error, operation).toBeInstanceOf(StoreError);
    expect(error, operation).toMatchObject({ operation, cause: { code: "57014" } });
    expect(millis, operation).toBeLessThan(4_000);
  }
  expect(await contents(scene, store)).toBe(before);
  expect(await store.query(() => {})).toBe(3);
});
