/** Patterns that PostgreSQL would work on for minutes end at statement_timeout, in every verb that takes one. */
import { StoreError } from "@rotorsoft/act";
import { expect, test } from "vitest";
import { contents } from "../../input/log.ts";
import { event, failureOf, meta, useDatabase } from "../../postgres/fixture.ts";
import { scale } from "../kit/scale.ts";

const fixture = useDatabase();
const SLOW = scale(
  ["(a?){255}(a?){255}(a?){255}a{255}c"],
  ["(a?){255}(a?){255}(a?){255}a{255}c", "(a?){255}(a?){255}(a?){255}(a?){255}a{255}b$"],
);

test.each(SLOW)("%s is cut short, with a typed error, and has changed nothing", async (stream) => {
  const patient = await fixture.seeded();
  const store = fixture.store({ table: patient.config.table, statement_timeout: 100 });
  const long = "a".repeat(2_000);
  // Enough of them that no machine is through in time.
  const all = Array.from({ length: 80 }, (__, n) => n);
  await Promise.all(all.map((n) => patient.commit(`${long}${n}`, [event()], meta)));
  await patient.subscribe(all.map((n) => ({ stream: `${long}${n}`, source: long, correlated_at: 9 })));
  const before = await contents(fixture, store);
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
  expect(await contents(fixture, store)).toBe(before);
  expect(await patient.query(() => {})).toBe(all.length);
});
