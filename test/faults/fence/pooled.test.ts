/**
 * The append lock behind PgBouncer. In transaction mode a session's settings and prepared statements are another
 * client's a moment later: a store that was not told so (prepare: false) must refuse to work, for what goes wrong
 * is not seen otherwise. The pooler is told to swallow the settings, so that it does not refuse them itself.
 */
import { StoreError } from "@rotorsoft/act";
import { describe, expect, onTestFinished, test } from "vitest";
import type { PostgresStore, PostgresStoreOptions } from "../../../src/index.ts";
import { eventually } from "../../conformance/kit/eventually.ts";
import { event, meta, useDatabase } from "../../postgres/fixture.ts";
import { serverUrl } from "../../support/database.ts";
import { absent, findProgram, titled } from "../failover/programs.ts";
import { alone, load, loadOf, unguarded } from "../kit/clients.ts";
import { FaultRun } from "../kit/fault-run.ts";
import { scale, TIMEOUT } from "../kit/scale.ts";
import { type BouncerOptions, startBouncer } from "../pgbouncer/bouncer.ts";
import { noteRowsWithoutLock } from "./notes.ts";
import { concludeFence } from "./outcome.ts";
import { Strikes } from "./strikes.ts";

const reason = absent({ pgbouncer: findProgram("pgbouncer") });
const fixture = useDatabase();
const LIMITS = { max: 3, statement_timeout: 5_000, connectionTimeoutMillis: 5_000 };
const CLIENTS = [alone, unguarded];

/** What a session of the store may be started with, and more, so that none of it tells of the pooler. */
const SETTINGS = [
  ...["statement_timeout", "lock_timeout", "transaction_timeout", "idle_session_timeout"],
  ...["idle_in_transaction_session_timeout", "tcp_user_timeout", "client_connection_check_interval"],
  ...[
    "tcp_keepalives_idle",
    "tcp_keepalives_interval",
    "tcp_keepalives_count",
    "default_transaction_isolation",
  ],
  ...[
    "array_nulls",
    "extra_float_digits",
    "jit",
    "plan_cache_mode",
    "row_security",
    "search_path",
    "options",
  ],
  ...["bytea_output", "IntervalStyle", "client_min_messages", "synchronous_commit", "work_mem"],
];

/** A table with the triggers on it, and stores that reach it through a pooler of their own. */
async function pooled(mode: "transaction" | "session", options: BouncerOptions = {}) {
  const { settings, ...others } = options;
  const swallowing = { pool_mode: mode, ignore_startup_parameters: SETTINGS.join(), ...settings };
  const bouncer = await startBouncer(serverUrl(), { ...others, settings: swallowing });
  onTestFinished(() => bouncer.stop());
  const direct = await fixture.seeded();
  const { schema, table } = direct.config;
  const { port } = new URL(bouncer.through(fixture.url));
  const notes = await noteRowsWithoutLock(fixture.sql, { schema, table });
  const store = (own: PostgresStoreOptions = {}) =>
    fixture.store({ ...LIMITS, table, host: "127.0.0.1", port: Number(port), ...own });
  return { direct, notes, store };
}

/** Says what to do, and is not the pooler's own refusal of a setting. */
const REMEDY = /^(?!.*unsupported startup parameter).*prepare: false/s;

const causeOf = (error: unknown) =>
  error instanceof StoreError ? String(error.cause) : `no StoreError: ${error}`;

const FIRST: Readonly<Record<string, (store: PostgresStore) => Promise<unknown>>> = {
  commit: (store) => store.commit("first", [event()], meta),
  truncate: (store) => store.truncate([{ stream: "first" }]),
  restore: (store) => store.restore(async () => {}),
  query: (store) => store.query(() => {}),
  seed: (store) => store.seed(),
  claim: (store) => store.claim(1, 1, "w", 1_000),
};

const hammered = (): (() => boolean) => {
  const end = performance.now() + scale(1_500, 30_000);
  return () => performance.now() > end;
};

describe.skipIf(reason !== "")(titled("behind PgBouncer", reason), () => {
  const refused =
    "in transaction mode with prepare: true every call is refused, with the remedy, and nothing is written";
  test.each([1, 2, 5])(`${refused}: %i server connections`, { timeout: TIMEOUT }, async (poolSize) => {
    const { direct, notes, store } = await pooled("transaction", { poolSize });
    await direct.commit("first", [event()], meta);
    const before = await fixture.rows(direct);
    const faultRun = new FaultRun({ item: 13, fault: "a pooler in transaction mode, prepare: true" });
    const { ledger } = faultRun;
    const told: Record<string, string> = {};
    for (const [verb, call] of Object.entries(FIRST))
      told[verb] = await call(store()).then(() => "done", causeOf);
    const stores = [store(), store()];
    const over = hammered();
    // Without a reader that tails the log: it would wait for a read that succeeds.
    const clients = stores.flatMap((one, s) => CLIENTS.map((client, k) => ({ one, client, k: 2 * k + s })));
    await Promise.all(
      clients.map(async ({ one, client, k }) => {
        while (!over()) await client(one, ledger, k);
      }),
    );

    const unlocked = await notes.rowsWithoutLock();
    const figures = {
      ...{ poolSize, rowsWithoutLock: unlocked.length, codes: Object.fromEntries(ledger.codes) },
      ...{ acknowledged: ledger.acknowledged.size, damage: (await ledger.verify(fixture.url)).damage.length },
    };
    console.log(JSON.stringify({ ...figures, told }));
    expect.soft(unlocked.slice(0, 10), "rows without the lock, some of them").toEqual([]);
    for (const [verb, text] of Object.entries(told)) expect.soft(text, verb).toMatch(REMEDY);
    expect.soft(ledger.acknowledged.size, "acknowledged").toBe(0);
    expect((await fixture.rows(direct)).length).toBe(before.length);
  });

  const session =
    "in session mode with prepare: true commits are under the append lock, or are refused with the remedy";
  test(session, { timeout: TIMEOUT }, async () => {
    const { direct, notes, store } = await pooled("session");
    const faultRun = new FaultRun({ item: 13, fault: "a pooler in session mode, prepare: true" });
    const stores = [store(), store()];
    const told = await stores[0]?.commit("first", [event()], meta).then(() => "done", causeOf);
    if (told !== "done") {
      expect(told).toMatch(REMEDY);
      expect(await notes.rowsWithoutLock()).toEqual([]);
      expect(await fixture.rows(direct)).toEqual([]);
      return;
    }
    await load(faultRun.ledger, stores, hammered(), CLIENTS);
    await concludeFence(faultRun, fixture.url, {
      load: loadOf(stores, CLIENTS),
      injected: 1,
      notes: [notes],
    });
    expect(faultRun.ledger.failed.size).toBe(0);
  });

  const BLOWS = [
    { blow: "pg_terminate_backend", enough: scale(60, 3_000), pace: 200 },
    { blow: "pg_cancel_backend", enough: scale(1_000, 10_000), pace: 3 },
  ] as const;
  const blown =
    "in transaction mode with prepare: false nothing is lost, doubled, or written without the append lock";
  test.each(BLOWS)(`${blown}: $blow`, { timeout: TIMEOUT }, async ({ blow, enough, pace }) => {
    const { notes, store } = await pooled("transaction", { poolSize: 5 });
    const faultRun = new FaultRun({
      item: 13,
      fault: `${blow} behind a pooler, prepare: false`,
      deadline: 40_000,
    });
    const stores = [store({ prepare: false }), store({ prepare: false })];
    const strikes = new Strikes(fixture.url, blow, pace);
    const over = () => strikes.total >= enough;
    await Promise.all([
      load(faultRun.ledger, stores, over, CLIENTS),
      strikes.until(over, fixture.application("t%")),
    ]);

    await strikes.end();
    const works = () => Promise.all(stores.map((one) => one.commit("normal", [event()], meta)));
    await eventually(() => works().then(() => true), { within: 5_000, every: 50 });
    console.log(JSON.stringify(Object.fromEntries(strikes.sent)));
    await concludeFence(faultRun, fixture.url, {
      load: loadOf(stores, CLIENTS),
      injected: strikes.total,
      notes: [notes],
    });
  });
});
