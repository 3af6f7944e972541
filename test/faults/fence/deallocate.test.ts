/**
 * Prepared statements that go while the store lives: a trigger says DEALLOCATE ALL or DISCARD PLANS in the store's
 * own session, now and then. The driver (postgres.js 3.4.9) answers "prepared statement does not exist" by sending
 * the statement again, unasked, behind the COMMIT that is already written: it must not be written there.
 */
import { expect, test } from "vitest";
import type { PostgresStore } from "../../../src/index.ts";
import { until } from "../../order/fence.ts";
import { useDatabase } from "../../postgres/fixture.ts";
import { alone, load, loadOf, unguarded } from "../kit/clients.ts";
import { backToNormal, FaultRun } from "../kit/fault-run.ts";
import { scale, TIMEOUT } from "../kit/scale.ts";
import { truncating } from "./closing.ts";
import { noteRowsWithoutLock } from "./notes.ts";
import { concludeFence } from "./outcome.ts";

const fixture = useDatabase();
const LIMITS = { max: 2, statement_timeout: 5_000, connectionTimeoutMillis: 5_000 };
const CLIENTS = [alone, unguarded];

/** Counts how often it struck outside of the transactions, so that what is undone counts as well. */
async function forgetStatements({ config }: PostgresStore, statement: string, chance: number) {
  const table = `"${config.schema}"."${config.table}`;
  await fixture.sql.unsafe(`
    create sequence ${table}_struck";
    create function ${table}_forget"() returns trigger language plpgsql as $$
    begin
      if random() < ${chance} then
        perform nextval('${table}_struck"');
        execute '${statement}';
      end if;
      return null;
    end $$;
    create trigger forget after insert or delete on ${table}" for each statement execute function ${table}_forget"()`);
  return async (): Promise<number> => {
    const [row] = await fixture.sql.unsafe(
      `select case when is_called then last_value else 0 end::int as n from ${table}_struck"`,
    );
    return Number(row?.n);
  };
}

const FORGOTTEN = [
  { statement: "deallocate all", enough: scale(100, 2_000) },
  { statement: "discard plans", enough: scale(50, 1_000) },
];

for (const { statement, enough } of FORGOTTEN)
  test(`with ${statement} in the store's sessions commits go on, and none is written without the append lock`, {
    timeout: TIMEOUT,
  }, async () => {
    const faultRun = new FaultRun({ item: 13, fault: `${statement} in a trigger`, deadline: 40_000 });
    const { ledger } = faultRun;
    const stores = [await fixture.seeded(LIMITS)];
    const [store] = stores;
    if (!store) throw new Error("there is one");
    stores.push(fixture.store({ ...LIMITS, table: store.config.table }));
    const notes = await noteRowsWithoutLock(fixture.sql, store.config);
    const struck = await forgetStatements(store, statement, 0.05);
    const closing = truncating(fixture.sql, ledger, store, "closed");
    let count = 0;
    const over = () => count >= enough;
    await Promise.all([
      load(ledger, stores, over, CLIENTS),
      until(
        `${enough} times ${statement}`,
        async () => {
          count = await struck();
          return over();
        },
        TIMEOUT,
      ),
      (async () => {
        while (!over()) await closing.turn();
      })(),
    ]);

    await backToNormal(fixture.url, stores);
    await concludeFence(faultRun, fixture.url, {
      load: `${loadOf(stores, CLIENTS)}, truncates`,
      injected: count,
      notes: [notes],
      books: [closing.book],
    });
    // Nobody conflicts here, and what the server undid may go again, though one statement in twenty is struck.
    expect(ledger.failed.size).toBeLessThan(ledger.acknowledged.size / 50);
  });
