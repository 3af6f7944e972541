/** What a role or a database may be set to, and the store's statements are not written for. */
import { expect, onTestFinished, test } from "vitest";
import { Admin } from "../../src/admin/index.ts";
import { event, meta, useDatabase } from "./fixture.ts";

const fixture = useDatabase();

/** Settings of every connection that is opened from now on, until the test ends. */
async function set(...settings: string[]): Promise<void> {
  const [row] = await fixture.sql`select current_database() as name`;
  const own = `alter role current_user in database "${row?.name}"`;
  onTestFinished(async () => void (await fixture.sql.unsafe(`${own} reset all`)));
  for (const setting of settings) await fixture.sql.unsafe(`${own} set ${setting}`);
}

test("text, nulls and numbers are read as ever, whatever the role's settings are", async () => {
  await set(
    "standard_conforming_strings = off",
    "array_nulls = off",
    "extra_float_digits = -3",
    "DateStyle = 'SQL, DMY'",
    "IntervalStyle = 'sql_standard'",
    "TimeZone = 'Pacific/Chatham'",
  );
  const store = await fixture.seeded();
  await store.subscribe([
    { stream: "without", correlated_at: 5 },
    { stream: "of", source: "a\\.b" },
  ]);
  const sources: (string | undefined)[] = [];
  await store.query_streams(({ source }) => void sources.push(source));
  expect(sources).toEqual(["a\\.b", undefined]);
  expect((await store.query_streams(() => {}, { source_matches: ["x"] })).count).toBe(1);

  const [committed] = await store.commit("s", [event()], meta);
  const read: Date[] = [];
  await store.query(({ created }) => void read.push(created));
  expect(read).toEqual([committed?.created]);
  expect(Math.abs(Date.now() - Number(committed?.created))).toBeLessThan(60_000);
  await store.restore(async (insert) => {
    await insert({ ...event(), id: 0, stream: "s", version: 0, created: new Date(1_234), meta });
  });
  expect((await store.query_stats(["s"])).get("s")?.head.created).toEqual(new Date(1_234));
});

test.each([true, false])(
  "tables are known at the next boot if all names are quoted; prepare: %s",
  async (prepare) => {
    await set("quote_all_identifiers = on");
    const store = await fixture.seeded({ prepare });
    const again = fixture.store({ prepare, table: store.config.table });
    await again.seed();
    expect((await new Admin(again).doctor()).map(({ code }) => code)).not.toContain("schema-drift");
    const twice = async (insert: (event: never) => Promise<unknown>) => {
      for (const id of [0, 1])
        await insert({ ...event(), id, stream: "s", version: 0, created: new Date(0), meta } as never);
    };
    await expect(again.restore(twice)).rejects.toMatchObject({
      cause: { message: expect.stringContaining("two events of the input have the same stream and version") },
    });
    await again.drop();
  },
);

test("a statement_timeout of 0 is no limit, whatever the role's is", async () => {
  await set("statement_timeout = 300");
  const store = await fixture.seeded({ statement_timeout: 0 });
  const { release } = await fixture.hold(store);
  const committing = store.commit("s", [event()], meta);
  await fixture.sql`set statement_timeout = 0`;
  // Twice the role's limit: what does not happen gives no signal.
  await fixture.sql`select pg_sleep(0.6)`;
  await release();
  expect(await committing).toHaveLength(1);
});

test("the server's limit for idle sessions does not end the store's connections", async () => {
  await set("idle_session_timeout = 100");
  const store = await fixture.seeded();
  await store.commit("s", [event()], meta);
  await store.query(() => {});
  const before = await fixture.pids(store);
  expect(before.length).toBeGreaterThan(0);
  // Three times the server's limit: what does not happen gives no signal.
  await fixture.sql`select pg_sleep(0.3)`;
  expect(await fixture.pids(store)).toEqual(before);
});
