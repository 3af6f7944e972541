/** notify() called again before the first call is through. */
import { expect, test } from "vitest";
import { event, meta, useDatabase } from "./fixture.ts";

const fixture = useDatabase();

test("of two notify() at once the second is heard, and one connection listens", async () => {
  const store = await fixture.seeded({ notify: true });
  const received: string[] = [];
  const [first] = await Promise.all([
    store.notify?.(({ stream }) => received.push(`first ${stream}`)),
    store.notify?.(({ stream }) => received.push(`second ${stream}`)),
  ]);
  const other = fixture.store({ table: store.config.table, notify: true });
  await other.commit("a", [event()], meta);
  await expect.poll(() => received).toEqual(["second a"]);
  const listening = () => fixture.sql`
    select from pg_stat_activity
    where application_name = ${store.config.application_name} and query ilike 'listen%'`;
  expect(await listening()).toHaveLength(1);
  // The disposer of the one that never was ends nothing.
  await first?.();
  await other.commit("b", [event()], meta);
  await expect.poll(() => received).toEqual(["second a", "second b"]);
});
