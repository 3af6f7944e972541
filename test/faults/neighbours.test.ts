/**
 * Sessions that hold their transactions open, next door and in the store's own database: an order of events that
 * was taken from snapshots or transaction ids would wait for them. Appends, reads, reactions and boots go on.
 */
import { expect, onTestFinished, test } from "vitest";
import { type OpenTransaction, openTransaction, until } from "../order/fence.ts";
import { useDatabase } from "../postgres/fixture.ts";
import { createDatabase } from "../support/database.ts";
import { react, Seen } from "./kit/app.ts";
import { type Client, contended, load, loadOf, reader, unguarded } from "./kit/clients.ts";
import { backToNormal, FaultRun } from "./kit/fault-run.ts";
import { scale, TIMEOUT } from "./kit/scale.ts";

const fixture = useDatabase();
const POLL = 1_000;
/** What a look, or a commit, may take on a busy machine. */
const SLACK = 4_000;
const LIMITS = { max: 5, statement_timeout: 10_000, connectionTimeoutMillis: 5_000, notify: true };
let tables = 0;

/**
 * At a pace that the app can follow, or its lateness would tell of the load and not of the fault: what is updated
 * under an old snapshot can't be cleaned away, and claims slow down with the minutes (docs/guides/reliability.md).
 */
const paced =
  (client: Client): Client =>
  async (...turn) => {
    await client(...turn);
    // The pace of the load, which is not what is measured.
    await new Promise((resolve) => setTimeout(resolve, scale(30, 150)));
  };
const CLIENTS = [unguarded, contended, contended, reader].map(paced);

/** Takes hold, and says which statement still works on it as long as its transaction lives. */
type Holder = (table: string) => Promise<OpenTransaction>;

const nextDoor: Holder = async () => {
  const database = await createDatabase();
  onTestFinished(() => database.drop());
  const held = await openTransaction(database.url);
  await held.sql`create table written (n int)`;
  await held.sql`insert into written values (1)`;
  return held;
};

const idle: Holder = async (table) => {
  const held = await openTransaction(fixture.url);
  await held.sql`create temp table written (n int)`;
  await held.sql`insert into written values (1)`;
  await held.sql`select count(*) from ${held.sql(table)}`;
  return held;
};

const repeatable: Holder = async (table) => {
  const held = await openTransaction(fixture.url);
  await held.sql`set transaction isolation level repeatable read`;
  await held.sql`select count(*) from ${held.sql(table)}`;
  await held.sql`select count(*) from ${held.sql(`${table}_streams`)}`;
  return held;
};

const HELD: readonly {
  readonly fault: string;
  readonly holders: readonly Holder[];
  readonly seconds: number;
}[] = [
  { fault: "a write transaction in another database", holders: [nextDoor], seconds: scale(1, 30) },
  { fault: "a session idle in a transaction that wrote", holders: [idle], seconds: scale(1, 30) },
  { fault: "a reader in REPEATABLE READ", holders: [repeatable], seconds: scale(1, 30) },
  { fault: "all three, held for minutes", holders: [nextDoor, idle, repeatable], seconds: scale(1, 180) },
];

test.each(HELD)("$fault holds nobody up", { timeout: TIMEOUT }, async ({ fault, holders, seconds }) => {
  const faultRun = new FaultRun({ item: 9, fault, deadline: 30_000 });
  const { ledger } = faultRun;
  const table = `held${tables++}`;
  const stores = [await fixture.seeded({ ...LIMITS, table }), await fixture.seeded({ ...LIMITS, table })];
  const open = await Promise.all(holders.map((hold) => hold(table)));
  onTestFinished(async () => void (await Promise.all(open.map((held) => held.rollback()))));

  const reacting = await fixture.seeded({
    ...LIMITS,
    table,
    application_name: fixture.application(`${table}_r`),
  });
  const seen = new Seen();
  const reactor = react(reacting, seen.note, { poll: POLL });
  onTestFinished(() => reactor.shutdown(5_000));
  const end = performance.now() + seconds * 1_000;
  await load(ledger, stores, () => performance.now() > end, CLIENTS);
  await until("every event is seen", async () => seen.missing(ledger).length === 0, 60_000);

  // Nobody has taken the holders' transactions from them.
  for (const { sql } of open) await sql`select 1`;
  const [row] = await fixture.sql`
    select count(*)::int as open from pg_stat_activity where state = 'idle in transaction'
      and pid = any(${await Promise.all(open.map(pidOf))}::int[])`;
  expect(row?.open).toBe(open.length);
  await backToNormal(fixture.url, [...stores, reacting]);
  await faultRun.conclude(fixture.url, { load: `${loadOf(stores, CLIENTS)}, an app`, injected: open.length });
  expect(ledger.longestOutageMs).toBeLessThan(SLACK);
  console.log(`seen ${Math.round(seen.lateness(ledger))} ms late at most`);
  expect(seen.lateness(ledger)).toBeLessThan(POLL + SLACK);
});

async function pidOf({ sql }: OpenTransaction): Promise<number> {
  const [row] = await sql`select pg_backend_pid() as pid`;
  return Number(row?.pid);
}
