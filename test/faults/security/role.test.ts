/** The whole contract as a role that has the grants of docs/guides/security.md and nothing else: no table of its own. */
import { randomBytes } from "node:crypto";
import { beforeAll, expect, test } from "vitest";
import { PostgresStore, type PostgresStoreOptions } from "../../../src/index.ts";
import { defineConformance } from "../../conformance/kit/conformance.ts";
import type { Harness, StoreOptions } from "../../conformance/kit/section.ts";
import { sections } from "../../conformance/sections.ts";
import { connect, createDatabase, serverUrl, type TestDatabase } from "../../support/database.ts";
import { titled } from "../failover/programs.ts";
import { LONG } from "../kit/scale.ts";
import { grantsFor } from "./grants.ts";

const role = `act_least_${randomBytes(4).toString("hex")}`;
let database: TestDatabase;
let sql: ReturnType<typeof connect>;
let serial = 0;

/** The same database, as the role. */
function asRole(url: string): string {
  const by = new URL(url);
  by.username = role;
  by.password = "least";
  return by.href;
}

/** The same database, as its owner. */
function asOwner(url: string): string {
  const by = new URL(url);
  const { username, password } = new URL(database.url);
  if (by.username === role) Object.assign(by, { username, password });
  return by.href;
}

async function create(options: StoreOptions = {}): Promise<Harness> {
  const own = { schema: database.schema, table: `least${serial++}`, ...options };
  const owner = new PostgresStore({ url: database.url, schema: own.schema, table: own.table });
  await owner.seed();
  await owner.dispose();
  await sql.unsafe(grantsFor({ schema: own.schema, table: own.table, role }));
  const opened: Array<() => Promise<void>> = [];
  const construct = (given: StoreOptions = {}) => {
    const store = new PostgresStore(given as PostgresStoreOptions);
    opened.push(() => store.dispose());
    return store;
  };
  const second = async (given: StoreOptions = {}) =>
    construct({ application_name: own.table, ...own, ...given, url: asRole(database.url) });
  return {
    store: await second(),
    second,
    raw: {
      sql,
      // What a test does behind the store's back it does as the owner.
      connect: (to = database.url) => {
        const client = connect(asOwner(to));
        opened.push(() => client.end({ timeout: 1 }));
        return client;
      },
      url: asRole(database.url),
      schema: own.schema,
      table: own.table,
      construct,
    },
    dispose: async () => void (await Promise.all(opened.map((close) => close()))),
  };
}

const owners = "seed() of something new, and drop(), are the owner's";
const except = Object.fromEntries(
  [
    "C2 two tables with the longest names work side by side, no name cut short",
    "C4 sixteen first boots of one table at once all succeed",
    "C4 sixteen first boots of different tables in one absent schema all succeed",
    "C4 a failing seed rolls back, logs and rethrows",
    "C5 act-pg 0.4.6 is taken over with events, watermarks and blocks",
    "C5 subscriptions of act-pg 0.4.6 go on where they stood",
    "C5 the current act-pg layout is taken over with pii, lanes, errors and checkpoint",
    "C5 a checkpoint per correlator is taken over",
    "C5 ids of an adopted table go on, and versions with them",
    "C5 act-pg goes on writing to the table that was taken over",
    "C6 a new subscription starts at retry −1 whatever the column's default",
    "C7 a drop removes events, subscriptions and checkpoints, and a seed starts over",
    "C7 a drop of what is not there does not throw",
    "C7 a drop leaves every other table of the schema",
    "C7 a drop leaves nothing of its own",
    "C7 a drop leaves the schema and what others keep in it",
    "N1 names with upper case and quotes in streams travel",
  ].map((name) => [name, owners]),
);

/** Those that need the most; all with FAULTS=long. */
const TASTE = ["truncate", "restore"];

const admin = connect(serverUrl());
const [user] = await admin`select rolsuper as may from pg_roles where rolname = current_user`;
await admin.end();

// Skipped with its reason in its name: a role has to be made.
if (user?.may !== true)
  test.skip(
    titled("the contract as a role with the least privileges", "this server's user may not create roles"),
  );
else {
  beforeAll(async () => {
    database = await createDatabase();
    sql = connect(database.url, { max: 4 });
    await sql.unsafe(`create role ${role} login password 'least'`);
    // As docs/guides/security.md says of PostgreSQL 14.
    await sql.unsafe("revoke create on schema public from public");
    return async () => {
      await sql.end();
      const admin = connect(database.url);
      await admin.unsafe(`drop owned by ${role}; drop role ${role}`);
      await admin.end();
      await database.drop();
    };
  });

  test("the role owns nothing and may create nothing", async () => {
    const [row] = await sql`
      select (select count(*)::int from pg_class where relowner = r.oid) as owned, rolsuper or rolcreatedb or rolcreaterole as strong,
        has_schema_privilege(r.oid, ${database.schema}, 'create') as may_create
      from pg_roles r where rolname = ${role}`;
    expect(row).toMatchObject({ owned: 0, strong: false, may_create: false });
  });

  defineConformance("PostgresStore as a role with the least privileges", {
    create,
    capabilities: {
      ...{ shared: true, notify: true, restore: true, pii: true, encryption: true, exact_dates: true },
      sql: true,
    },
    firstId: 1,
    except,
    only: LONG ? sections : sections.filter(({ title }) => TASTE.includes(title)),
  });
}
