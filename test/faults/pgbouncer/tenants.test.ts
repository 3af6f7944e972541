/** Tenants that share connections through PgBouncer, in both of its modes. */
import { describe, expect, onTestFinished, test } from "vitest";
import {
  PostgresDatabase,
  type PostgresDatabaseOptions,
  PostgresStore,
  seedAll,
} from "../../../src/index.ts";
import { eventually } from "../../conformance/kit/eventually.ts";
import { event, meta, useDatabase } from "../../postgres/fixture.ts";
import { serverUrl } from "../../support/database.ts";
import { absent, findProgram, titled } from "../failover/programs.ts";
import { LOGIN_SETTINGS, startBouncer } from "./bouncer.ts";

const reason = absent({ pgbouncer: findProgram("pgbouncer") });

const SESSION = { transaction: {}, session: { ignore_startup_parameters: LOGIN_SETTINGS } };

describe.skipIf(reason !== "")(titled("tenants behind PgBouncer", reason), () => {
  const fixture = useDatabase();

  async function work(database: PostgresDatabase): Promise<void> {
    const stores = Array.from(
      { length: 6 },
      (_, n) => new PostgresStore({ database, schema: `pooled_${n}`, notify: true }),
    );
    await seedAll(stores);
    const received = stores.map(() => new Set<string>());
    await Promise.all(stores.map((store, n) => store.notify?.(({ stream }) => received[n]?.add(stream))));
    const direct = new PostgresDatabase({ url: fixture.url });
    onTestFinished(() => direct.dispose());
    const beside = stores.map(
      ({ config }) => new PostgresStore({ database: direct, schema: config.schema, notify: true }),
    );
    for (let round = 0; round < 3; round++)
      await Promise.all(
        stores.map(async (store, tenant) => {
          await store.commit("s", [event("E", { tenant, round })], meta);
          const seen: unknown[] = [];
          await store.query(({ data }) => void seen.push(data), { stream: "s", stream_exact: true });
          expect(seen).toEqual(Array.from({ length: round + 1 }, (_, n) => ({ tenant, round: n })));
        }),
      );
    await Promise.all(beside.map((store, n) => store.commit(`to-${n}`, [event()], meta)));
    await eventually(() => received.every((streams, n) => streams.has(`to-${n}`)));
    await Promise.all(stores.map((store) => store.drop()));
  }

  const through = async (mode: "transaction" | "session", options: PostgresDatabaseOptions) => {
    const bouncer = await startBouncer(serverUrl(), {
      poolSize: 10,
      settings: { pool_mode: mode, ...SESSION[mode] },
    });
    onTestFinished(() => bouncer.stop());
    const database = new PostgresDatabase({ url: bouncer.through(fixture.url), max: 5, ...options });
    onTestFinished(() => database.dispose());
    return database;
  };

  test("in transaction mode, without prepared statements, and with LISTEN around it", async () => {
    await work(await through("transaction", { prepare: false, listen_url: fixture.url }));
  });

  test("in session mode", async () => {
    await work(await through("session", {}));
  });
});
