/** A log with more names of events than one poll of the look-out searches for. */
import type { StoreNotification } from "@rotorsoft/act";
import { expect, test } from "vitest";
import { useDatabase } from "../postgres/fixture.ts";

const fixture = useDatabase();

test.each([150, 2_500])(
  "with %i names the event that a subscription waits for is reported",
  async (count) => {
    const store = await fixture.seeded({ notify: true, pollIntervalMillis: 100 });
    const { schema, table } = store.config;
    await fixture.sql.unsafe(`insert into "${schema}"."${table}" (stream, version, name, data, meta)
    select 's', n - 1, 'Name' || lpad(n::text, 5, '0'), '{}', '{}' from generate_series(1, ${count}) n`);
    // The checkpoint is that of an app that has correlated all of them.
    await store.subscribe([{ stream: "reaction", source: "s", correlated_at: count }], count);
    const names = new Set<string>();
    const handler = ({ events }: StoreNotification) => {
      for (const { name } of events) names.add(String(name));
    };
    const dispose = await store.notify?.(handler);
    await expect.poll(() => names.size, { timeout: 8_000 }).toBe(count);
    await dispose?.();
  },
);
