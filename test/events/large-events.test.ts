/** Events so large that few fit into a page. */
import { expect, test } from "vitest";
import { useDatabase } from "../postgres/fixture.ts";

const fixture = useDatabase();

test("a log of large events is read over few connections", async () => {
  let opened = 0;
  const store = await fixture.seeded({
    max: 2,
    onConnect: () => {
      opened++;
    },
  });
  const { schema, table } = store.config;
  await fixture.sql.unsafe(`insert into "${schema}"."${table}" (stream, version, name, data, meta, created)
    select 's', n, 'A', jsonb_build_object('text', repeat('x', 1000000)), '{}', now() from generate_series(0, 79) n`);
  const before = opened;
  expect(await store.query(() => {})).toBe(80);
  // The first page asks for 2,000 events, and is cut.
  expect(opened - before).toBeLessThanOrEqual(2);
});
