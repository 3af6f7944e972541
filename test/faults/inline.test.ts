/**
 * Inline projections under faults: backends that are killed within the transaction of a commit, and answers to COMMIT that
 * never arrive. The read model is additive: a commit that is projected twice, or without its events, shows in the sums.
 * Not covered: a server that dies as a whole; for that the transaction is one like any other (crash.test.ts).
 */
import { sql } from "drizzle-orm";
import { integer, pgSchema, text } from "drizzle-orm/pg-core";
import { expect, test } from "vitest";
import { z } from "zod";
import type { PostgresStore } from "../../src/index.ts";
import { type InlineTransaction, inline } from "../../src/projections/index.ts";
import { useDatabase } from "../postgres/fixture.ts";
import { TcpProxy } from "../postgres/proxy.ts";
import { connect } from "../support/database.ts";
import { load, loadOf } from "./kit/clients.ts";
import { backToNormal, FaultRun } from "./kit/fault-run.ts";
import { scale, TIMEOUT } from "./kit/scale.ts";
import { swallowedCommit } from "./kit/shapes.ts";

const fixture = useDatabase();
const SECONDS = scale(3, 60);
/** Between two kills, in ms. */
const CALM = 50;
/** Of so many commits one is refused by its handler. */
const REFUSED = 50;
const LIMITS = { max: 5, statement_timeout: 3_000, connectionTimeoutMillis: 3_000 };
const DEADLINE = 40_000;
const events = { Noted: z.object({ token: z.string(), part: z.number() }) };

type Given = readonly { readonly stream: string }[];

/** A table of counters, and handlers that count with one query or with several. */
async function counting(name: string) {
  await fixture.sql.unsafe(
    `create schema "${name}"; create table "${name}".counters (stream text primary key, total int)`,
  );
  const counters = pgSchema(name).table("counters", {
    stream: text("stream").primaryKey(),
    total: integer("total").notNull(),
  });
  const add = (tx: Pick<InlineTransaction, "insert">, given: Given) => {
    const totals = new Map<string, number>();
    for (const { stream } of given) totals.set(stream, (totals.get(stream) ?? 0) + 1);
    return tx
      .insert(counters)
      .values([...totals].map(([stream, total]) => ({ stream, total })))
      .onConflictDoUpdate({
        target: counters.stream,
        set: { total: sql`${counters.total} + excluded.total` },
      });
  };
  let turns = 0;
  const single = inline({
    events,
    on: {
      Noted: async (given, tx) => {
        await add(tx, given);
        if (++turns % REFUSED === 0) await tx.execute(sql`select 1 / 0`);
      },
    },
  });
  const batch = inline({ events, on: { Noted: { batch: (given, tx) => add(tx, given) } } });
  const differences = async ({ config }: PostgresStore) => {
    const log = fixture.sql`${fixture.sql(config.schema)}.${fixture.sql(config.table)}`;
    const rows = await fixture.sql`
      select stream, c.total, l.total as events from ${fixture.sql(name)}.counters c
      full join (select stream, count(*)::int as total from ${log} where name = 'Noted' group by stream) l
        using (stream)
      where c.total is distinct from l.total`;
    return [...rows];
  };
  return { kinds: { single, batch }, differences };
}

for (const kind of ["single", "batch"] as const)
  test(`with ${kind} handlers and backends that are killed, the counters equal the log`, {
    timeout: TIMEOUT,
  }, async () => {
    const table = `killed_${kind}`;
    const { kinds, differences } = await counting(table);
    const faultRun = new FaultRun({
      item: 17,
      fault: `inline projections (${kind}): every backend ended each ${CALM} ms`,
      deadline: DEADLINE,
    });
    const options = { ...LIMITS, table, inline: kinds[kind] };
    const stores = [await fixture.seeded(options), await fixture.seeded(options)] as const;
    const end = performance.now() + SECONDS * 1_000;
    let kills = 0;
    const over = () => performance.now() > end && kills > 10;
    const kill = async () => {
      const admin = connect(fixture.url);
      while (!over()) {
        kills += (
          await admin`select pg_terminate_backend(pid) from pg_stat_activity
            where application_name = ${stores[0].config.application_name}
              or application_name = ${stores[1].config.application_name}`
        ).length;
        // The time between two strikes.
        await new Promise((resolve) => setTimeout(resolve, CALM * (0.5 + Math.random())));
      }
      await admin.end();
    };
    await Promise.all([kill(), load(faultRun.ledger, stores, over)]);
    await backToNormal(fixture.url, stores);
    await faultRun.conclude(fixture.url, { load: loadOf(stores), injected: kills });
    expect(await differences(stores[0])).toEqual([]);
  });

test("with answers to COMMIT that never arrive, the counters equal the log, and nobody is told that the outcome is unknown", {
  timeout: TIMEOUT,
}, async () => {
  const table = "swallowed";
  const { kinds, differences } = await counting(table);
  const faultRun = new FaultRun({
    item: 17,
    fault: "inline projections: end of the answer to COMMIT swallowed, then closed",
    deadline: DEADLINE,
  });
  const proxy = await TcpProxy.before(fixture.parts);
  const application_name = fixture.application(table);
  const options = { ...LIMITS, table, application_name, inline: kinds.single };
  const store = await fixture.seeded({ ...options, host: "127.0.0.1", port: proxy.port });
  const struck = { count: 0 };
  proxy.shape = swallowedCommit(0.1, "cut", struck);
  const end = performance.now() + SECONDS * 1_000;
  await load(faultRun.ledger, [store], () => performance.now() > end && struck.count >= 3);
  proxy.shape = undefined;
  await backToNormal(fixture.url, [store]);
  await faultRun.conclude(fixture.url, { load: loadOf([store]), injected: struck.count });
  expect(faultRun.ledger.unknown.size).toBe(0);
  expect(await differences(store)).toEqual([]);
});
