/** Values at the edge of what a verb takes: each has one meaning, the reference's, or is refused. */
import { ValidationError } from "@rotorsoft/act";
import { expect, test } from "vitest";
import { useScene } from "../connections/scene.ts";
import { contents, fill } from "./log.ts";

const scene = useScene();

test("a correlator by the empty key holds its lease, and advances the checkpoint that all share", async () => {
  const store = await scene.seeded();
  const own = { key: "", by: "w1", millis: 60_000 };
  expect(await store.subscribe([], 7, own)).toMatchObject({ correlated_at: 7, correlating: true });
  expect(await store.subscribe([], 3, own)).toMatchObject({ correlated_at: 7, correlating: true });
  const other = await store.subscribe([], 9, { ...own, by: "w2" });
  expect(other).toMatchObject({ correlated_at: 9, correlating: false });
  expect(await store.subscribe([])).toMatchObject({ correlated_at: 9 });
});

test("a filter's null is refused, for it would choose other subscriptions than no filter does", async () => {
  const store = await scene.seeded();
  await fill(store);
  const before = await contents(scene, store);
  for (const filter of [{ blocked: null }, { lane: null }, { stream: null }, { source: null }] as never[])
    for (const verb of [
      () => store.reset(filter),
      () => store.prioritize(filter, 5),
      () => store.unblock(filter),
      () => store.query_streams(() => {}, filter),
    ])
      await expect(verb()).rejects.toBeInstanceOf(ValidationError);
  expect(await contents(scene, store)).toBe(before);
});

test("a window before all time that PostgreSQL knows takes nothing", async () => {
  const store = await scene.seeded();
  await fill(store);
  const before = await contents(scene, store);
  const target = { stream: "s", before: new Date(-8_640_000_000_000_000) };
  expect((await store.truncate([target])).size).toBe(0);
  expect(await contents(scene, store)).toBe(before);
});

test("a stored source that would take JavaScript minutes is taken to match", async () => {
  const store = await scene.seeded();
  await store.subscribe([
    { stream: "dear", source: "(a+)+$" },
    { stream: "cheap", source: "^b+$" },
  ]);
  const seen: string[] = [];
  const began = performance.now();
  await store.query_streams(({ stream }) => void seen.push(stream), {
    source_matches: [`${"a".repeat(40)}!`],
  });
  expect(seen).toEqual(["dear"]);
  expect(performance.now() - began).toBeLessThan(10_000);
});
