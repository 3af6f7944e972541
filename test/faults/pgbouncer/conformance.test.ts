/** The whole contract through PgBouncer in transaction mode, as docs/guides/pgbouncer.md says to set it up. */
import { beforeAll, test } from "vitest";
import { PostgresStore, type PostgresStoreOptions } from "../../../src/index.ts";
import { defineConformance } from "../../conformance/kit/conformance.ts";
import type { Harness, StoreOptions } from "../../conformance/kit/section.ts";
import { sections } from "../../conformance/sections.ts";
import { connect, createDatabase, serverUrl, type TestDatabase } from "../../support/database.ts";
import { absent, findProgram, titled } from "../failover/programs.ts";
import { LONG } from "../kit/scale.ts";
import { type Bouncer, startBouncer } from "./bouncer.ts";

const reason = absent({ pgbouncer: findProgram("pgbouncer") });
let database: TestDatabase;
let bouncer: Bouncer;
let sql: ReturnType<typeof connect>;
let serial = 0;

async function create(options?: StoreOptions): Promise<Harness> {
  const url = bouncer.through(database.url);
  const own = {
    ...{ url, listen_url: database.url, prepare: false, schema: database.schema },
    table: `pooled${serial++}`,
    ...options,
  };
  const opened: Array<() => Promise<void>> = [];
  const construct = (given: StoreOptions = {}) => {
    const store = new PostgresStore({ prepare: false, ...given } as PostgresStoreOptions);
    opened.push(() => store.dispose());
    return store;
  };
  const second = async (given: StoreOptions = {}) =>
    construct({ application_name: own.table, ...own, ...given });
  const store = await second();
  await store.seed();
  return {
    store,
    second,
    raw: {
      sql,
      connect: (to = database.url) => {
        const client = connect(to);
        opened.push(() => client.end({ timeout: 1 }));
        return client;
      },
      url,
      schema: own.schema,
      table: own.table,
      construct,
    },
    dispose: async () => void (await Promise.all(opened.map((close) => close()))),
  };
}

const pooled = "PgBouncer keeps the server's connections, and lends each to many";
/** What these look at is the pooler's business. */
const except = Object.fromEntries(
  [
    "C1 an idle connection is closed after idleTimeoutMillis, and opened when needed",
    "C8 dispose closes every connection, and none comes back",
    "N3 nothing reconnects after dispose",
    // The rows that a store's statements have read are counted once its connections have ended.
    "Q7 a load reads the events since the snapshot, not those before it",
    "Q7 looking for the snapshot of a stream without one reads no other rows",
    "Q9 ^literal$ reads the rows of that stream",
    "Q9 ^literal reads the rows in its range",
    "Q9 a drain's fetch reads the rows it returns",
    "Q10 a query that is abandoned early has not read the log",
    "R4 heads of a few streams are not paid for by the others",
    "R4 a page of heads is not paid for by the streams behind it",
    "L13 verbs over the same streams in shuffled order leave the server no deadlock to break",
  ].map((name) => [name, pooled]),
);
except["C1 a password with any character in a url is understood"] =
  "its new role is not among PgBouncer's users";

/** One of each kind: group commit, transactions, sessions; prepared.test.ts has LISTEN. All with FAULTS=long. */
const TASTE = ["commit", "truncate", "restore"];

// Skipped with its reason in its name: the program is not installed.
if (reason) test.skip(titled("the contract holds through PgBouncer", reason));
else {
  beforeAll(async () => {
    database = await createDatabase();
    sql = connect(database.url, { max: 4 });
    // What the store tells a server of its own at the start of a session is the database's to say here.
    if (database.schema === "public")
      await sql.unsafe(`alter database ${database.name} set statement_timeout = '60s'`);
    bouncer = await startBouncer(serverUrl());
    return async () => {
      await bouncer.stop();
      await sql.end();
      await database.drop();
    };
  });
  const all = { shared: true, notify: true, restore: true, pii: true, encryption: true, exact_dates: true };
  defineConformance("PostgresStore through PgBouncer", {
    create,
    capabilities: { ...all, sql: true },
    firstId: 1,
    except,
    only: LONG ? sections : sections.filter(({ title }) => TASTE.includes(title)),
  });
}
