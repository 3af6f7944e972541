/** What breaks the order of ids after a store was set up is found by the next boot: mended, or refused. */
import { expect, test } from "vitest";
import type { PostgresStore } from "../../src/index.ts";
import type { TableName } from "../order/lock.ts";
import { causeOf, MigrationFixture, meta, recordLog, tablesOf } from "./fixture.ts";
import { runbookSql } from "./runbook.ts";

const fixture = new MigrationFixture();
const event = { name: "Ordered", data: {} };

const sequenceOf = ({ schema, table }: TableName) => `"${schema}"."${table}_id_seq"`;
const alter = (name: TableName, change: string) =>
  fixture.sql.unsafe(`alter sequence ${sequenceOf(name)} ${change}`);

/** So many commits, the stores in turn: their ids. */
async function commitInTurn(stores: readonly PostgresStore[], rounds: number): Promise<number[]> {
  const ids: number[] = [];
  for (let round = 0; round < rounds; round++)
    for (const store of stores) ids.push(...(await store.commit("s", [event], meta)).map(({ id }) => id));
  return ids;
}

const ascending = (ids: readonly number[]) => ids.toSorted((a, b) => a - b);

test("a sequence that was given a cache gives ids in order again after the next boot, to running stores too", async () => {
  const name = fixture.name();
  const stores = [await fixture.seeded(name), fixture.store(name)];
  await commitInTurn(stores, 1);
  await alter(name, "cache 50");
  const wrong = await commitInTurn(stores, 3);
  expect(wrong).not.toEqual(ascending(wrong));

  const lines = recordLog("info");
  await fixture.seeded(name);
  expect(lines).toEqual([expect.stringContaining("sequence cache set to 1; while it was 50")]);
  let last = Math.max(...wrong);
  const seen: number[] = [];
  for (let round = 0; round < 4; round++) {
    for (const store of stores) await store.commit("s", [event], meta);
    await stores[0]?.query(({ id }) => seen.push(id), { after: last });
    last = seen.at(-1) ?? last;
  }
  expect(seen).toHaveLength(8);
  expect(seen).toEqual(ascending(seen));
  await fixture.seeded(name);
  expect(lines).toHaveLength(1);
});

test("a sequence that would begin again does so no more", async () => {
  const name = fixture.name();
  const store = await fixture.seeded(name);
  await alter(name, "maxvalue 3 cycle");
  const other = await fixture.seeded(name);
  expect(await commitInTurn([store, other], 1)).toEqual([1, 2]);
  await store.commit("s", [event], meta);
  expect(await causeOf(store.commit("s", [event], meta))).toContain("id");
});

test("a sequence in steps keeps ids in order, and is left alone", async () => {
  const name = fixture.name();
  const store = await fixture.seeded(name);
  await store.commit("s", [event], meta);
  await alter(name, "increment 10");
  const ids = await commitInTurn([store, await fixture.seeded(name)], 2);
  expect(ids).toEqual([11, 21, 31, 41]);
});

test("a sequence that counts down is refused, with what to do", async () => {
  const name = fixture.name();
  const store = await fixture.seeded(name);
  await store.commit("s", [event], meta);
  await alter(name, "increment -1 minvalue -1000 maxvalue 1000");
  const message = await causeOf(fixture.store(name).seed());
  expect(message).toMatch(
    /not be in order, the sequence \S+ counts down: alter sequence \S+ increment 1 minvalue 1/,
  );
  await fixture.sql.unsafe(message.match(/: (alter sequence [^,]+),/)?.[1] ?? "");
  const [committed] = await (await fixture.seeded(name)).commit("s", [event], meta);
  expect(committed?.id).toBe(2);
});

test("ids that come from no sequence are refused", async () => {
  const name = fixture.name();
  await fixture.seeded(name);
  await fixture.sql.unsafe(`alter table ${tablesOf(name).events} alter id set default (random() * 1e9)::bigint;
    alter sequence ${sequenceOf(name)} owned by none`);
  expect(await causeOf(fixture.store(name).seed())).toContain(
    "they do not come from a sequence: make the column's default",
  );
});

test("a sequence that a crash would set back is made to survive one", async (context) => {
  const [server] = await fixture.sql`select current_setting('server_version_num')::int as version`;
  context.skip(server?.version < 150_000, "sequences can be unlogged from PostgreSQL 15 on");
  const name = fixture.name();
  await fixture.seeded(name);
  await alter(name, "set unlogged");
  await fixture.seeded(name);
  expect(
    await fixture.sql`select relpersistence from pg_class where oid = ${sequenceOf(name)}::regclass`,
  ).toEqual([{ relpersistence: "p" }]);
});

/** A trigger before each row; it says `body`. */
async function triggered(body: string): Promise<TableName> {
  const name = fixture.name();
  await fixture.seeded(name);
  const { events } = tablesOf(name);
  const own = `"${name.schema}"."${name.table}_own"`;
  await fixture.sql.unsafe(`
    create function ${own}() returns trigger language plpgsql as $$ begin ${body} return new; end $$;
    create trigger own before insert on ${events} for each row execute function ${own}()`);
  return name;
}

test.each([
  "new.id := (random() * 1e9)::bigint;",
  "NEW.id = 5;",
  "if new.name = 'A' then new.id := 7; end if;",
  "select 5 into new.id;",
  'NEW."id" := 5;',
  "/* ids */ new.id = 5;",
  "-- our ids\n new . id = 5;",
  "select 's', 5 into new.stream, NEW.id;",
])("a trigger that says %s is refused", async (body) => {
  const name = await triggered(body);
  expect(await causeOf(fixture.store(name).seed())).toMatch(/its trigger "own" sets them: drop the trigger/);
});

test.each([
  "if new.id = 5 then raise notice 'five'; end if;",
  "new.name := new.name;",
  "perform new.id;",
  "/* new.id := 5; */ -- ; new.id := 5;\n",
])("a trigger that says %s may stay", async (body) => {
  const store = await fixture.seeded(await triggered(body));
  expect(await store.commit("s", [event], meta)).toHaveLength(1);
});

test("a trigger that takes ids from the same sequence may stay", async () => {
  const name = await triggered("");
  const own = `"${name.schema}"."${name.table}_own"`;
  await fixture.sql.unsafe(`create or replace function ${own}() returns trigger language plpgsql as $$
    begin new.id := nextval('${sequenceOf(name)}'); return new; end $$`);
  const ids = await commitInTurn([await fixture.seeded(name), fixture.store(name)], 2);
  expect(ids).toEqual(ascending(ids));
});

test("an event that is dated in the future is warned of once, at a boot or by the commit that repeats its date", async () => {
  const name = fixture.name();
  const running = await fixture.seeded(name);
  await running.commit("s", [event], meta);
  await fixture.sql.unsafe(`update ${tablesOf(name).events} set created = '2099-01-01T00:00:00Z'`);
  const lines = recordLog("warn");
  for (let n = 0; n < 3; n++) {
    const [committed] = await running.commit("s", [event], meta);
    expect(committed?.created.getUTCFullYear()).toBe(2099);
  }
  await expect.poll(() => lines).toHaveLength(1);
  const booted = await fixture.seeded(name);
  await booted.seed();
  await booted.commit("s", [event], meta);
  // Its look at the server's clock would have been answered before this.
  await booted.query(() => {});
  expect(lines).toHaveLength(2);
  for (const line of lines) expect(line).toContain(`the newest event is dated 2099-01-01T00:00:0`);
});

test("the times of a log that was dated in the future can be mended", async () => {
  const name = fixture.name();
  const store = await fixture.seeded(name);
  await store.commit("s", [event, event], meta);
  await fixture.sql.unsafe(
    `update ${tablesOf(name).events} set created = '2099-01-01T00:00:00Z' where id = 2`,
  );
  await store.commit("s", [event], meta);
  const mend = runbookSql("Events dated in the future", "reliability.md").flat();
  const sql = fixture.connect();
  for (const statement of mend)
    await sql.unsafe(
      statement
        .replaceAll("public.events", tablesOf(name).events)
        .replace('"public"."events"', `"${name.schema}"."${name.table}"`),
    );
  const times: number[] = [];
  await store.commit("s", [event], meta);
  await store.query(({ created }) => times.push(created.getTime()));
  expect(times).toEqual(ascending(times));
  expect(new Date(Math.max(...times)).getUTCFullYear()).toBeLessThan(2099);
});
