/** Deferred subscriptions of several lanes that are due. */
import type { StoreNotification } from "@rotorsoft/act";
import { expect, test } from "vitest";
import { event, meta, useDatabase } from "../postgres/fixture.ts";

const fixture = useDatabase();

test("due work of a lane without a worker does not hide that of another lane", async () => {
  const store = await fixture.seeded({ notify: true, pollIntervalMillis: 100 });
  const [slow] = await store.commit("slow", [event("Slow")], meta);
  const [fast] = await store.commit("fast", [event("Fast")], meta);
  const of = (lane: string, count: number, mark = 0) =>
    Array.from({ length: count }, (_, n) => ({
      stream: `${lane}-${n}`,
      source: lane,
      lane,
      correlated_at: mark,
    }));
  await store.subscribe([...of("slow", 30, slow?.id), ...of("fast", 1, fast?.id)], fast?.id);
  const { schema, table } = store.config;
  await fixture.sql.unsafe(`update "${schema}"."${table}_streams" set
    deferred_at = now() - case lane when 'slow' then interval '1 minute' else interval '1 second' end,
    at = case lane when 'slow' then -1 else ${slow?.id} end`);
  const reported: string[] = [];
  const dispose = await store.notify?.(({ events }: StoreNotification) => {
    reported.push(...events.map(({ name }) => String(name)));
  });
  await expect.poll(() => new Set(reported), { timeout: 5_000 }).toEqual(new Set(["Slow", "Fast"]));
  await dispose?.();
});
