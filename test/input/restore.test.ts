/** restore() and what a driver may do wrong: everything as it was, or everything restored. */
import { StoreError, ValidationError } from "@rotorsoft/act";
import { expect, test } from "vitest";
import type { PostgresStore } from "../../src/index.ts";
import { useDatabase } from "../postgres/fixture.ts";
import { contents, fill, outcomeOf } from "./log.ts";

const fixture = useDatabase();
const meta = { correlation: "", causation: {} };
const event = (n: number, over: object = {}) => ({
  id: n,
  stream: `r-${n % 3}`,
  version: Math.floor(n / 3),
  created: new Date(n),
  name: "Restored",
  data: { n },
  meta,
  ...over,
});
type Insert = Parameters<Parameters<PostgresStore["restore"]>[0]>[0];

test("a sink that is used after restore has ended refuses, and writes nothing", async () => {
  const store = await fixture.seeded();
  let leaked: Insert | undefined;
  await store.restore(async (insert) => {
    leaked = insert;
    await insert(event(0));
  });
  const before = await contents(fixture, store);
  // More than one batch, for a batch is when something is sent.
  const late = await Promise.allSettled(Array.from({ length: 2_500 }, (_, n) => leaked?.(event(n + 1))));
  expect(late.filter(({ status }) => status === "fulfilled")).toHaveLength(0);
  expect(await contents(fixture, store)).toBe(before);
  expect(await store.commit("r-0", [{ name: "Next", data: {} }], meta, 0)).toMatchObject([{ id: 2 }]);
});

test("a sink that is used after restore has failed refuses, and writes nothing", async () => {
  const store = await fixture.seeded();
  await fill(store);
  const before = await contents(fixture, store);
  const own = new Error("own");
  let leaked: Insert | undefined;
  const restored = store.restore(async (insert) => {
    leaked = insert;
    throw own;
  });
  await expect(restored).rejects.toBe(own);
  const late = await Promise.allSettled(Array.from({ length: 1_500 }, (_, n) => leaked?.(event(n))));
  expect(late.filter(({ status }) => status === "fulfilled")).toHaveLength(0);
  expect(await contents(fixture, store)).toBe(before);
});

test("a driver that waits for nothing is restored whole, in the order of its calls", async () => {
  const store = await fixture.seeded();
  const ids: Promise<number>[] = [];
  await store.restore(async (insert) => {
    for (let n = 0; n < 3_000; n++) ids.push(insert(event(n)));
  });
  expect(await Promise.all(ids)).toEqual(Array.from({ length: 3_000 }, (_, n) => n + 1));
  expect(await fixture.rows(store)).toHaveLength(3_000);
});

test("a driver that waits for nothing and passes one bad event fails whole", async () => {
  const store = await fixture.seeded();
  await fill(store);
  const before = await contents(fixture, store);
  const restored = store.restore(async (insert) => {
    await Promise.all(
      Array.from({ length: 2_500 }, (_, n) => insert(event(n, n === 1_700 ? { data: { n: "\0" } } : {}))),
    );
  });
  await expect(restored).rejects.toBeInstanceOf(ValidationError);
  expect(await contents(fixture, store)).toBe(before);
});

test("a driver that swallows the refusal of an event restores the others", async () => {
  const store = await fixture.seeded();
  const ids: unknown[] = [];
  await store.restore(async (insert) => {
    ids.push(await insert(event(0)));
    ids.push(await insert(event(1, { data: { n: "\0" } })).catch(() => "refused"));
    ids.push(await insert(event(2)));
  });
  expect(ids[1]).toBe("refused");
  const rows = await fixture.rows(store);
  expect(rows.map(({ stream }) => stream)).toEqual(["r-0", "r-2"]);
  const seen: number[] = [];
  await store.query(({ id }) => seen.push(id));
  // Dense from 1, and what the sink has answered.
  expect(seen).toEqual([1, 2]);
  expect(ids).toEqual([1, "refused", 2]);
});

test("a version that a stream has twice fails the whole, and says that the input is at fault", async () => {
  const store = await fixture.seeded();
  await fill(store);
  const before = await contents(fixture, store);
  const restored = store.restore(async (insert) => {
    await insert(event(0));
    await insert(event(0));
  });
  const outcome = await outcomeOf(() => restored);
  const error = "error" in outcome ? outcome.error : outcome;
  expect(error instanceof StoreError || error instanceof ValidationError).toBe(true);
  if (error instanceof StoreError) {
    expect(error).toMatchObject({ operation: "restore", cause: { code: "23505" } });
    // Nobody else writes during a restore.
    expect(error.cause).not.toMatchObject({ message: expect.stringContaining("another writer") });
  }
  expect(await contents(fixture, store)).toBe(before);
});

test("a driver that calls restore again is refused or waits, but does not hang for ever", async () => {
  const store = await fixture.seeded({ statement_timeout: 500, connectionTimeoutMillis: 500, max: 3 });
  await fill(store);
  const before = await contents(fixture, store);
  const outcome = await outcomeOf(() => store.restore(() => store.restore(async () => {})));
  expect("error" in outcome && outcome.error).toBeInstanceOf(StoreError);
  expect(await contents(fixture, store)).toBe(before);
});

test("a driver that commits to the same store is told at once that it would wait for itself", async () => {
  const store = await fixture.seeded({ statement_timeout: 500, connectionTimeoutMillis: 500 });
  await fill(store);
  const before = await contents(fixture, store);
  const commit = () => store.commit("s", [{ name: "Inside", data: {} }], meta);
  const outcome = await outcomeOf(() => store.restore(async () => void (await commit())));
  expect("error" in outcome && outcome.error).toMatchObject({
    operation: "commit",
    cause: { code: "IN_RESTORE" },
  });
  expect(await contents(fixture, store)).toBe(before);
});
