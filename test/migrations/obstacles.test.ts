/** What seed() refuses before it changes anything, and what it does not wait for. */
import { randomBytes } from "node:crypto";
import { expect, onTestFinished, test } from "vitest";
import { PostgresStore } from "../../src/index.ts";
import { until } from "../order/fence.ts";
import type { TableName } from "../order/lock.ts";
import { connect, serverUrl } from "../support/database.ts";
import { createHistoric, historicLayouts } from "./act-pg-history.ts";
import { catalogOf } from "./catalog.ts";
import { causeOf, MigrationFixture, meta, recordLog, tablesOf } from "./fixture.ts";

const fixture = new MigrationFixture();
const event = { name: "A", data: {} };

async function actPg(): Promise<TableName> {
  const name = fixture.name();
  const layout = historicLayouts.at(-1);
  if (!layout) throw new Error("there are layouts");
  await createHistoric(fixture.sql, name, layout);
  return name;
}

test("adopted columns that hold NULL are refused with counts and the remedy", async () => {
  const name = await actPg();
  const { events, streams } = tablesOf(name);
  await fixture.sql.unsafe(`
    alter table ${events} alter column version drop not null, alter column created drop not null;
    update ${events} set created = null where id in (7, 8);
    alter table ${streams} alter column retry drop not null, alter column blocked drop not null,
      alter column at drop not null, alter column priority drop not null;
    update ${streams} set retry = null, blocked = null where stream in ('t-1', 't-2', 't-3');
    update ${streams} set priority = null where stream = 't-1'`);
  const before = await catalogOf(name);
  expect(await causeOf(fixture.store(name).seed())).toBe(
    `"${name.schema}"."${name.table}" holds rows that this store cannot work with: 2 without created (give it the time of the event before it). Correct them, and call seed() again. Nothing was changed`,
  );
  await fixture.sql.unsafe(`update ${events} set created = now() where created is null`);
  expect(await causeOf(fixture.store(name).seed())).toMatch(
    /_streams" holds rows .*: 3 without retry \(set it to -1\), 3 without blocked \(set it to false\), 1 without priority \(set it to 0\)\. Correct/,
  );
  expect(await catalogOf(name)).toEqual(before);

  await fixture.sql.unsafe(`update ${streams} set retry = coalesce(retry, -1), blocked = coalesce(blocked, false),
    priority = coalesce(priority, 0)`);
  await fixture.seeded(name);
  const open = (await catalogOf(name)).filter((fact) =>
    /(version|created|retry|blocked| at|priority): .*not null f/.test(fact),
  );
  expect(open).toEqual([]);
});

test.each([
  ["_streams", "priority", "text"],
  ["_streams", "leased_until", "timestamp"],
  ["_streams", "correlated_at", "text"],
  ["_correlated", "leased_until", "text"],
  ["", "pii", "text"],
  ["", "created", "timestamp"],
  ["", "created", "timestamptz(0)"],
])("an adopted column of another type is refused: %s.%s %s", async (suffix, column, type) => {
  const name = await actPg();
  const table = `"${name.schema}"."${name.table}${suffix}"`;
  if (column === "correlated_at")
    await fixture.sql.unsafe(`drop index "${name.schema}"."${name.table}_streams_at_ix";
      drop index "${name.schema}"."${name.table}_streams_correlated_at_ix"`);
  if (column === "priority")
    await fixture.sql.unsafe(`drop index "${name.schema}"."${name.table}_streams_correlated_at_ix";
      alter table ${table} alter column priority drop default`);
  await fixture.sql.unsafe(
    `alter table ${table} alter column ${column} type ${type} using ${column}::text::${type}`,
  );
  const before = await catalogOf(name);
  expect(await causeOf(fixture.store(name).seed())).toMatch(
    new RegExp(
      `"${column}" is (text|timestamp without time zone|timestamp\\(0\\) with time zone).*Nothing was changed$`,
    ),
  );
  expect(await catalogOf(name)).toEqual(before);
});

test.each(["act-pg's tables", "the store's own"])(
  "a column that no commit could fill is refused, and named: %s",
  async (whose) => {
    const name = whose === "act-pg's tables" ? await actPg() : fixture.name();
    if (whose === "the store's own") await fixture.seeded(name);
    const { events, streams } = tablesOf(name);
    await fixture.sql.unsafe(`truncate ${events}; truncate ${streams};
      alter table ${events} add tenant text not null, add part int not null, add note text, add day date not null default now();
      alter table ${streams} add owner text not null`);
    expect(await causeOf(fixture.store(name).seed())).toBe(
      `"${name.schema}"."${name.table}" has columns that are NOT NULL without a default, and that this store does not fill: "tenant", "part". Give them a default, drop their NOT NULL, or fill them in a BEFORE INSERT trigger. Nothing was changed`,
    );
    await fixture.sql.unsafe(`alter table ${events} alter tenant set default 'a', alter part drop not null`);
    expect(await causeOf(fixture.store(name).seed())).toMatch(/_streams" has columns .*: "owner"\. Give/);
    await fixture.sql.unsafe(`create function "${name.schema}".${name.table}_own() returns trigger language plpgsql
        as $$ begin new.owner := 'me'; return new; end $$;
      create trigger own before insert on ${streams} for each row execute function "${name.schema}".${name.table}_own()`);
    const store = await fixture.seeded(name);
    expect(await store.commit("s", [event], meta)).toMatchObject([{ version: 0 }]);
    expect(await store.subscribe([{ stream: "s" }])).toMatchObject({ subscribed: 1 });
  },
);

test("a column's default and NOT NULL may be those of its domain", async () => {
  const name = fixture.name();
  const { config } = await fixture.seeded(name);
  const { events } = tablesOf(config);
  const domain = (suffix: string) => `"${name.schema}"."${name.table}_${suffix}"`;
  await fixture.sql.unsafe(`create domain ${domain("origin")} as text default 'here' not null;
    alter table ${events} add origin ${domain("origin")} not null`);
  const store = await fixture.seeded(name);
  expect(await store.commit("s", [event], meta)).toMatchObject([{ version: 0 }]);
  await fixture.sql.unsafe(`create domain ${domain("needed")} as text not null;
    truncate ${events}; alter table ${events} add needed ${domain("needed")}`);
  await expect(store.commit("s", [event], meta)).rejects.toMatchObject({ cause: { code: "23502" } });
  expect(await causeOf(fixture.store(name).seed())).toMatch(/: "needed"\. Give/);
});

test("a database in SQL_ASCII is refused, because its patterns count bytes", async (context) => {
  const database = `act_test_${randomBytes(6).toString("hex")}`;
  const server = connect(serverUrl());
  onTestFinished(async () => {
    await server.unsafe(`drop database if exists ${database} with (force)`);
    await server.end();
  });
  try {
    await server.unsafe(
      `create database ${database} template template0 encoding 'SQL_ASCII' lc_collate 'C' lc_ctype 'C'`,
    );
  } catch {
    return context.skip("this server's user may not create databases");
  }
  const url = new URL(serverUrl());
  url.pathname = `/${database}`;
  const store = new PostgresStore({ url: url.href });
  onTestFinished(() => store.dispose());
  expect(await causeOf(store.seed())).toMatch(
    /the encoding SQL_ASCII, .* create a database with ENCODING 'UTF8'/,
  );
});

test("row-level security that hides rows from the role is refused, with what to do", async (context) => {
  const name = fixture.name();
  await fixture.seeded(name);
  const { events, streams, correlated } = tablesOf(name);
  const role = `act_rls_${randomBytes(4).toString("hex")}`;
  try {
    await fixture.sql.unsafe(`create role ${role} login password 'app'`);
  } catch {
    return context.skip("this server's user may not create roles");
  }
  onTestFinished(async () => void (await fixture.sql.unsafe(`drop owned by ${role}; drop role ${role}`)));
  await fixture.sql.unsafe(`grant usage on schema "${name.schema}" to ${role};
    grant all on ${events}, ${streams}, ${correlated}, "${name.schema}"."${name.table}_id_seq" to ${role};
    alter table ${streams} enable row level security`);
  const url = new URL(name.url);
  url.username = role;
  url.password = "app";
  const app = { ...name, url: url.href };
  const refused = /^row-level security is on for ".*_streams" and could hide rows .* BYPASSRLS/;
  expect(await causeOf(fixture.store(app).seed())).toMatch(refused);
  expect(await causeOf(fixture.store(app, { prepare: false }).seed())).toMatch(refused);
  await fixture.seeded(name);
  await fixture.sql.unsafe(`alter role ${role} bypassrls`);
  await fixture.seeded(app);
});

test("a boot goes on while somebody holds the log exclusively, and says so", async () => {
  const name = fixture.name();
  await fixture.seeded(name);
  const holder = fixture.connect();
  await holder.unsafe(`begin; lock table ${tablesOf(name).events} in access exclusive mode`);
  const lines = recordLog("warn");
  const store = await fixture.seeded(name);
  expect(lines).toEqual([
    expect.stringMatching(/another session holds an exclusive lock .*: seed\(\) does not wait$/),
  ]);
  await holder`rollback`;
  expect(await store.commit("s", [event], meta)).toMatchObject([{ version: 0 }]);
});

test("a boot that has to change the tables waits for their holder, and says so", async () => {
  const name = fixture.name();
  await fixture.seeded(name);
  const { events } = tablesOf(name);
  await fixture.sql.unsafe(`alter table ${events} drop column token`);
  const holder = fixture.connect();
  await holder.unsafe(`begin; lock table ${events} in access exclusive mode`);
  const lines = recordLog("warn");
  const seeding = fixture.seeded(name);
  await until("it has said so", async () => lines.length > 0);
  expect(lines).toEqual([
    expect.stringMatching(/another session holds an exclusive lock .* seed\(\) waits for it/),
  ]);
  await holder`rollback`;
  expect(await (await seeding).commit("s", [event], meta)).toMatchObject([{ version: 0 }]);
});

test("a role that does not own the tables works without an index, and says who can build it", async (context) => {
  const name = fixture.name();
  await fixture.seeded(name);
  const role = `act_idx_${randomBytes(4).toString("hex")}`;
  try {
    await fixture.sql.unsafe(`create role ${role} login password 'app'`);
  } catch {
    return context.skip("this server's user may not create roles");
  }
  onTestFinished(async () => void (await fixture.sql.unsafe(`drop owned by ${role}; drop role ${role}`)));
  const { events, streams, correlated } = tablesOf(name);
  await fixture.sql.unsafe(`grant usage on schema "${name.schema}" to ${role};
    grant all on ${events}, ${streams}, ${correlated}, "${name.schema}"."${name.table}_id_seq" to ${role};
    drop index "${name.schema}"."${name.table}_name_id_ix"`);
  const url = new URL(name.url);
  url.username = role;
  url.password = "app";
  const lines = recordLog("warn");
  const store = await fixture.seeded({ ...name, url: url.href });
  expect(lines).toEqual([expect.stringMatching(/_name_id_ix\. seed\(\) by the tables' owner fixes that$/)]);
  expect(await store.commit("s", [event], meta)).toMatchObject([{ version: 0 }]);
});
