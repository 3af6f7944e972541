/** An app that could not correlate what it knows does not try again. Without regular polls, only the reason to try again helps. */
import { expect, test } from "vitest";
import type { PostgresStore } from "../../src/index.ts";
import { event, meta, useDatabase } from "../postgres/fixture.ts";

const fixture = useDatabase();

const lease = (by: string, millis: number) => ({ key: "k", by, millis });

/** Listens, and commits an event that its handler is then told of. */
async function committed(store: PostgresStore) {
  const reported: number[] = [];
  await store.notify?.(({ events }) => reported.push(...events.map(({ id }) => id)));
  const [own] = await store.commit("s", [event("A")], meta);
  return { reported, id: own?.id };
}

test("an own event is reported when a lease that was refused has ended", async () => {
  const store = await fixture.seeded({ notify: true, pollIntervalMillis: 0 });
  const other = fixture.store({ table: store.config.table, notify: false });
  await other.subscribe([], undefined, lease("other", 300));
  const { reported, id } = await committed(store);
  expect(await store.subscribe([], undefined, lease("me", 300))).toMatchObject({ correlating: false });
  await expect.poll(() => reported, { timeout: 5_000 }).toEqual([id]);
});

test.each(["subscribe", "query", "query_streams"] as const)(
  "an own event is reported some seconds after %s has failed",
  async (verb) => {
    const store = await fixture.seeded({ notify: true, pollIntervalMillis: 0, statement_timeout: 300 });
    const { schema, table } = store.config;
    const { sql } = fixture;
    const { reported, id } = await committed(store);
    const calls = {
      subscribe: () => store.subscribe([], undefined, lease("me", 300)),
      query: () => store.query(() => {}, { after: -1, limit: 10 }),
      query_streams: () => store.query_streams(() => {}),
    };
    await sql.begin(async (transaction) => {
      for (const name of [table, `${table}_streams`, `${table}_correlated`])
        await transaction`lock table ${sql(schema)}.${sql(name)} in access exclusive mode`;
      await expect(calls[verb]()).rejects.toThrow(/57014/);
    });
    expect(reported).toEqual([]);
    await expect.poll(() => reported, { timeout: 8_000 }).toEqual([id]);
  },
);
