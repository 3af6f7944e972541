/**
 * The events table changes its shape while the store lives and works: ids are widened as
 * docs/guides/migrating-from-act-pg.md says ("Widen the ids"), a column of the user's comes and goes. The driver
 * (postgres.js 3.4.9) answers "cached plan must not change result type" by sending the statement again, unasked,
 * behind the COMMIT that is already written: a truncate's DELETE among them.
 */
import { expect, test } from "vitest";
import { CURRENT_LAYOUT, createLayout } from "../../migrations/act-pg-layouts.ts";
import { useDatabase } from "../../postgres/fixture.ts";
import { alone, load, loadOf, unguarded } from "../kit/clients.ts";
import { backToNormal, FaultRun } from "../kit/fault-run.ts";
import { scale, TIMEOUT } from "../kit/scale.ts";
import { truncating } from "./closing.ts";
import { noteRowsWithoutLock } from "./notes.ts";
import { concludeFence } from "./outcome.ts";

const fixture = useDatabase();
/** One connection for appends and one for the rest: each truncate is on one that knows its statement. */
const LIMITS = { max: 2, statement_timeout: 5_000, connectionTimeoutMillis: 5_000 };
const CLIENTS = [alone, unguarded];
const ROUNDS = scale(15, 500);

const CHANGES = [
  "alter table EVENTS alter column id type bigint",
  "alter table EVENTS add column note text default 'none'",
  "alter table EVENTS alter column id type int",
  "alter table EVENTS drop column note",
];

test("while ids are widened and columns come and go, a truncate that is rejected has changed nothing", {
  timeout: TIMEOUT,
}, async () => {
  const faultRun = new FaultRun({ item: 13, fault: "ALTER TABLE on the events", deadline: 40_000 });
  const { ledger } = faultRun;
  const table = "widened";
  await createLayout(
    fixture.sql,
    { url: fixture.url, schema: fixture.database.schema, table },
    CURRENT_LAYOUT,
  );
  const stores = [await fixture.seeded({ ...LIMITS, table }), fixture.store({ ...LIMITS, table })];
  const notes = await noteRowsWithoutLock(fixture.sql, { schema: fixture.database.schema, table });
  const closing = stores.map((store, k) => truncating(fixture.sql, ledger, store, `closed-${k}`));
  let changed = 0;
  const over = () => changed >= ROUNDS * CHANGES.length;
  await Promise.all([
    load(ledger, stores, over, CLIENTS),
    ...closing.map(async ({ turn }) => {
      while (!over()) await turn();
    }),
    (async () => {
      for (; !over(); changed++) {
        const statement = CHANGES[changed % CHANGES.length] ?? "";
        await fixture.sql.unsafe(statement.replace("EVENTS", `"${fixture.database.schema}"."${table}"`));
        const truncates = () => closing.reduce((sum, { book }) => sum + book.told.done + book.told.failed, 0);
        const before = truncates();
        await expect.poll(truncates, { interval: 5 }).toBeGreaterThan(before + 8);
      }
    })(),
  ]);

  await backToNormal(fixture.url, stores);
  await concludeFence(faultRun, fixture.url, {
    load: `${loadOf(stores, CLIENTS)}, truncates`,
    injected: changed,
    notes: [notes],
    books: closing.map(({ book }) => book),
  });
});
