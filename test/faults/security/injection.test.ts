/** SQL in every string that a caller can pass: it is stored, compared or refused, and never run. */
import type { Schemas } from "@rotorsoft/act";
import { afterAll, beforeAll, expect, test } from "vitest";
import { PostgresStore } from "../../../src/index.ts";
import { contents, fill, outcomeOf } from "../../input/log.ts";
import { slots } from "../../input/slots.ts";
import { useDatabase } from "../../postgres/fixture.ts";

const fixture = useDatabase();

const attacks = [
  "'; drop table victims; --",
  '"; drop table victims; --',
  "\\'; drop table victims; --",
  "'); delete from victims; --",
  "$$; drop table victims; $$",
  "$1); drop table victims; --",
  "x', (select pg_sleep(60)), '",
  "' or '1'='1",
  "%' or true --",
  '{"a","b"}',
  '","b',
  "NULL",
  "\\",
  '"',
  "}",
  "\u001e",
  "a\u001eb\u001e",
  "*/ drop table victims; /*",
  "\u2019; drop table victims; --",
  "\n; drop table victims;\n",
];

/** All that an attack could change outside of the store's own rows. */
async function surroundings(): Promise<string> {
  const [row] = await fixture.sql`
    select (select string_agg(v::text, ',' order by n) from victims v) as victims,
      (select string_agg(oid::text || relname, ',' order by oid) from pg_class where relnamespace = 'public'::regnamespace) as relations,
      (select string_agg(proname, ',' order by oid) from pg_proc where pronamespace = 'public'::regnamespace) as functions,
      (select string_agg(rolname || rolsuper, ',' order by oid) from pg_roles where rolname not like 'act_%') as roles`;
  return JSON.stringify(row);
}

const victims = () =>
  fixture.sql`create table if not exists victims as select n, 'untouched' as text from generate_series(1, 3) n`;

const TEXTUAL = new Set(["text", "text?", "pattern?", "texts?", "input"]);
/** The verbs that only ask, or change what a name or pattern finds; nothing here is called like an attack. */
const FINDING = new Set(["query", "query_stats", "query_streams", "reset", "unblock", "defer", "prioritize"]);

/** One for all: what an attack adds is no reason for the next one to fail. */
let store: PostgresStore;
beforeAll(async () => {
  await victims();
  store = new PostgresStore({ ...fixture.parts, table: "attacked" });
  await store.seed();
  await fill(store);
});
afterAll(() => store.dispose());

// Those that find rows come first, before there are rows that are called so.
const textual = slots
  .filter(({ kind }) => TEXTUAL.has(kind))
  .sort((a, b) => Number(FINDING.has(b.verb)) - Number(FINDING.has(a.verb)));
test.each(textual)("$verb runs no SQL from $path", async ({ verb, kind, call }) => {
  const before = { around: await surroundings(), rows: await contents(fixture, store) };
  for (const attack of attacks) {
    const value = kind === "texts?" || kind === "input" ? [attack] : attack;
    const start = performance.now();
    const outcome = await outcomeOf(() => call(store, value as never));
    expect(performance.now() - start, attack).toBeLessThan(5_000);
    // Refused as a pattern, or done; never an error of the server about its syntax.
    if ("error" in outcome) expect(outcome.error, attack).toMatchObject({ name: "ERR_VALIDATION" });
  }
  if (FINDING.has(verb)) expect(await contents(fixture, store)).toBe(before.rows);
  expect(await surroundings()).toBe(before.around);
});

test("names, keys and values that look like SQL come back as they were, and are heard of so", async () => {
  await victims();
  const around = fixture.store({ notify: true });
  await around.seed();
  const listener = fixture.store({ notify: true, table: around.config.table });
  const received: string[] = [];
  await listener.notify?.(({ stream }) => received.push(stream));
  const before = await surroundings();
  for (const attack of attacks) {
    const data = { [attack]: attack, nested: [{ [attack]: [attack] }] };
    const meta = {
      correlation: attack,
      causation: { action: { name: attack, stream: attack, actor: { id: attack, name: attack } } },
    };
    const [committed] = await around.commit(attack, [{ name: attack, data, pii: data }], meta as never, -1);
    const found: unknown[] = [];
    await around.query<Schemas>((event) => void found.push(event), {
      stream: attack,
      stream_exact: true,
      names: [attack],
      correlation: attack,
    });
    expect(found, attack).toEqual([committed]);
    expect(found, attack).toMatchObject([{ stream: attack, name: attack, data, pii: data, meta }]);
    expect([...(await around.query_stats([attack])).keys()], attack).toEqual([attack]);
    expect(await around.forget_pii(attack), attack).toBe(1);
  }
  // Together, as one group.
  await Promise.all(
    attacks.map((attack) => around.commit(attack, [{ name: attack, data: { attack } }], {} as never, 0)),
  );
  expect(await around.query(() => {})).toBe(2 * attacks.length);
  await expect.poll(() => received.length).toBe(2 * attacks.length);
  expect(new Set(received)).toEqual(new Set(attacks));
  expect(await surroundings()).toBe(before);
});

test("a schema or table that is no plain identifier is refused, wherever it is given", () => {
  for (const attack of attacks) {
    if (attack === "NULL") continue; // A name like any other, once it is quoted.
    expect(() => new PostgresStore({ schema: attack }), attack).toThrow(/invalid schema/);
    expect(() => new PostgresStore({ table: attack }), attack).toThrow(/invalid table/);
    expect(() => PostgresStore.ddl({ table: attack }), attack).toThrow(/invalid table/);
  }
});

test("a name of the application that looks like SQL is only shown", async () => {
  await victims();
  const before = await surroundings();
  for (const application_name of ["'; drop table victims; --", '"; drop table victims; --']) {
    const store = fixture.store({ application_name, table: "named" });
    await store.seed();
    const rows = await fixture.sql`select from pg_stat_activity where application_name = ${application_name}`;
    expect(rows.length).toBeGreaterThan(0);
    await fixture.sql`drop table if exists named, named_streams, named_correlated`;
  }
  expect(await surroundings()).toBe(before);
});
