/** A pooler that is put in front of the server, or changes its mode, while a process runs: its new connections notice. */
import { describe, expect, onTestFinished, test } from "vitest";
import type { PostgresStore } from "../../../src/index.ts";
import { event, failureOf, meta, useDatabase } from "../../postgres/fixture.ts";
import { TcpProxy } from "../../postgres/proxy.ts";
import { serverUrl } from "../../support/database.ts";
import { absent, findProgram, titled } from "../failover/programs.ts";
import { LOGIN_SETTINGS, startBouncer } from "./bouncer.ts";

const reason = absent({ pgbouncer: findProgram("pgbouncer") });
const fixture = useDatabase();

async function portOfBouncer(pool_mode: "session" | "transaction"): Promise<number> {
  const settings = { pool_mode, ignore_startup_parameters: LOGIN_SETTINGS };
  const bouncer = await startBouncer(serverUrl(), { poolSize: 8, settings });
  onTestFinished(() => bouncer.stop());
  return Number(new URL(bouncer.through(fixture.url)).port);
}

/** A store that has read and committed by way of a port, and `to`, which leads its connections elsewhere from now on. */
async function led(port: number) {
  const direct = await fixture.seeded();
  const target = { host: "127.0.0.1", port };
  const proxy = await TcpProxy.before(target);
  const { table } = direct.config;
  const store = fixture.store({ host: "127.0.0.1", port: proxy.port, table, max: 3 });
  await used(store);
  const to = (next: number) => {
    target.port = next;
    proxy.cut();
  };
  return { store, to };
}

async function used(store: PostgresStore): Promise<void> {
  await store.commit("s", [event()], meta);
  await store.query(() => {});
}

const POOLER = { cause: { code: "POOLER", sent: false } };

describe.skipIf(reason !== "")(titled("PgBouncer", reason), () => {
  test("in transaction mode that is put in front of the server is refused by a process that had connected directly", async () => {
    const port = await portOfBouncer("transaction");
    const { store, to } = await led(fixture.parts.port);
    to(port);
    expect((await failureOf(store.query(() => {}))).error).toMatchObject(POOLER);
    expect((await failureOf(store.commit("s", [event()], meta))).error).toMatchObject(POOLER);
    // And it works again without: nothing is kept of the refusal.
    to(fixture.parts.port);
    await used(store);
  });

  test("that changes from session to transaction mode is refused once its connections were lost", async () => {
    const [session, transaction] = [await portOfBouncer("session"), await portOfBouncer("transaction")];
    const { store, to } = await led(session);
    to(transaction);
    expect((await failureOf(store.query(() => {}))).error).toMatchObject(POOLER);
    expect((await failureOf(store.commit("s", [event()], meta))).error).toMatchObject(POOLER);
    to(session);
    await used(store);
  });

  test("in session mode that is put in front of the server is used, with the store's settings", async () => {
    const port = await portOfBouncer("session");
    const { store, to } = await led(fixture.parts.port);
    to(port);
    await used(store);
    // The mark at the end of the name: it is set where the mode is known to be session mode.
    const [row] = await fixture.sql`select count(*)::int as marked from pg_stat_activity
      where application_name ~ ${`${store.config.application_name.slice(0, 20)}.*/[0-9a-f-]{13}$`}`;
    expect(row?.marked).toBeGreaterThan(0);
    to(fixture.parts.port);
    await used(store);
  });
});
