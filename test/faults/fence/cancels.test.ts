/**
 * Statements of the stores are cancelled again and again, in every state of their sessions: waiting for the append
 * lock, in an INSERT, idle, and just as a group was sent. A cancel that hits a BEGIN leaves what was sent behind it
 * outside of any transaction: none of that may be written.
 */
import { expect, test } from "vitest";
import { useDatabase } from "../../postgres/fixture.ts";
import { TcpProxy } from "../../postgres/proxy.ts";
import { alone, load, loadOf, unguarded } from "../kit/clients.ts";
import { backToNormal, FaultRun } from "../kit/fault-run.ts";
import { scale, TIMEOUT } from "../kit/scale.ts";
import { restoring, truncating } from "./closing.ts";
import { noteRowsWithoutLock } from "./notes.ts";
import { concludeFence } from "./outcome.ts";
import { Strikes } from "./strikes.ts";

const fixture = useDatabase();
const ENOUGH = scale(3_000, 100_000);
const LIMITS = { max: 3, statement_timeout: 5_000, connectionTimeoutMillis: 5_000 };
const CLIENTS = [alone, unguarded];

const nothing =
  "a cancel leaves nothing in the log that was reported failed, and no row without the append lock";
test.each([true, false])(`${nothing}: prepare: %s`, { timeout: TIMEOUT }, async (prepare) => {
  const fault = `pg_cancel_backend in every state, prepare: ${prepare}`;
  const faultRun = new FaultRun({ item: 13, fault, deadline: 40_000 });
  const { ledger } = faultRun;
  const table = `cancelled_${prepare}`;
  const options = { ...LIMITS, prepare };
  const proxy = await TcpProxy.before(fixture.parts);
  const behind = { ...options, table, host: "127.0.0.1", port: proxy.port };
  const cancels = new Strikes(fixture.url, "pg_cancel_backend", 3);
  proxy.shape = cancels.atSending(0.5);
  const stores = [await fixture.seeded({ ...options, table }), fixture.store(behind)];
  const restored = await fixture.seeded({ ...options, table: `restored_${prepare}` });
  const notes = [
    await noteRowsWithoutLock(fixture.sql, { ...restored.config, table }),
    await noteRowsWithoutLock(fixture.sql, restored.config),
  ];
  const closing = [
    ...[...stores, ...stores].map((store, k) => truncating(fixture.sql, ledger, store, `closed-${k}`)),
    restoring(fixture.sql, ledger, restored),
  ];
  const over = () => cancels.total >= ENOUGH;
  await Promise.all([
    load(ledger, stores, over, CLIENTS),
    cancels.until(over, fixture.application("t%")),
    ...closing.map(async ({ turn }) => {
      while (!over()) await turn();
    }),
  ]);

  proxy.shape = undefined;
  await cancels.end();
  await backToNormal(fixture.url, stores);
  console.log(JSON.stringify(Object.fromEntries(cancels.sent)));
  await concludeFence(faultRun, fixture.url, {
    load: `${loadOf(stores, CLIENTS)}, truncates, restores`,
    injected: cancels.total,
    notes,
    books: closing.map(({ book }) => book),
  });
  for (const [aim, count] of cancels.sent) expect(count, aim).toBeGreaterThan(0);
});
