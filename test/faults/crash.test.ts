/**
 * The whole server goes: killed with SIGKILL, stopped at once, one backend crashed, or not there at boot. It
 * writes with fsync on, so what survives is what PostgreSQL promises to survive a crash of its own; a power cut,
 * which takes the operating system's memory too, is not tried here.
 */
import { expect, onTestFinished, test } from "vitest";
import type { RestartMode } from "../../dev/postgres/index.ts";
import { PostgresStore } from "../../src/index.ts";
import { until } from "../order/fence.ts";
import { event, failureOf, meta, useServer } from "../postgres/fixture.ts";
import { deadPort, TcpProxy } from "../postgres/proxy.ts";
import { connect } from "../support/database.ts";
import { react, Seen } from "./kit/app.ts";
import { load, loadOf } from "./kit/clients.ts";
import { backToNormal, FaultRun } from "./kit/fault-run.ts";
import { scale, TIMEOUT } from "./kit/scale.ts";

const own = useServer();
const { fixture } = own;

const LIMITS = { max: 5, statement_timeout: 5_000, connectionTimeoutMillis: 3_000 };
/** Longer than these together with a restart: past it a call has hung. */
const DEADLINE = 40_000;

/** One backend of the store dies as by a fault in its code: the server ends all others, and recovers. */
async function crashBackend({ config }: PostgresStore): Promise<void> {
  const sql = connect(own.server.url);
  try {
    const [row] = await sql`
      select pid from pg_stat_activity where application_name = ${config.application_name} limit 1`;
    if (row) process.kill(Number(row.pid), "SIGKILL");
    // The server ends this connection with the others, sooner or later.
    await sql`select pg_sleep(10)`.catch(() => {});
  } finally {
    await sql.end({ timeout: 1 }).catch(() => {});
  }
}

const FAULTS = [
  { name: "restart (fast)", mode: "fast", rounds: scale(0, 5) },
  { name: "pg_ctl stop -m immediate", mode: "immediate", rounds: scale(0, 10) },
  { name: "kill -9 of the postmaster", mode: "kill", rounds: scale(1, 10) },
  { name: "kill -9 of a backend", mode: "backend", rounds: scale(1, 10) },
] as const satisfies readonly {
  readonly name: string;
  readonly mode: RestartMode | "backend";
  readonly rounds: number;
}[];

for (const fault of FAULTS) {
  const skipped = fault.rounds === 0;
  const name = `${fault.name} under load loses nothing acknowledged`;
  test.skipIf(skipped)(
    `${name}${skipped ? " (takes long: npm run faults)" : ""}`,
    { timeout: TIMEOUT },
    async () => {
      const faultRun = new FaultRun({ item: 2, fault: fault.name, deadline: DEADLINE });
      const { ledger } = faultRun;
      const options = { ...LIMITS, table: `crash_${fault.mode}`, notify: true };
      const stores = [await fixture.seeded(options), await fixture.seeded(options)];
      const received: string[] = [];
      await stores[0]?.notify?.(({ stream }) => received.push(stream));
      const seen = new Seen();
      const app = react(
        await fixture.seeded({ ...options, application_name: fixture.application("app") }),
        seen.note,
        {
          poll: 1_000,
          leaseMillis: 2_000,
        },
      );
      onTestFinished(() => app.shutdown(5_000));
      let done = false;
      const loading = load(ledger, stores, () => done);
      let injected = 0;
      for (; injected < fault.rounds; injected++) {
        const before = ledger.acknowledged.size;
        await until(
          "the load goes on",
          async () => ledger.acknowledged.size > before + scale(50, 500),
          60_000,
        );
        if (fault.mode === "backend") await crashBackend(stores[injected % 2] as PostgresStore);
        else await own.server.restart?.(fault.mode);
      }
      const before = ledger.acknowledged.size;
      await until(
        "the load goes on after the last",
        async () => ledger.acknowledged.size > before + scale(50, 500),
        60_000,
      );
      done = true;
      await loading;
      await until("every event is seen", async () => seen.missing(ledger).length === 0, 60_000);

      await backToNormal(fixture.url, stores);
      await faultRun.conclude(fixture.url, { load: `${loadOf(stores)}, an app`, injected });
      await expect.poll(() => received).toContain("normal");
    },
  );
}

test("stores that boot while the server is down fail clearly, and work once it is there", async () => {
  const faultRun = new FaultRun({ item: 2, fault: "server down at boot, back later", deadline: DEADLINE });
  const port = await deadPort();
  const { user, password, database } = fixture.parts;
  const options = { host: "127.0.0.1", port, user, password, database, table: "boot", notify: true };
  const store = fixture.store({ ...options, ...LIMITS });
  const calls = {
    seed: () => store.seed(),
    commit: () => store.commit("s", [event()], meta),
    query: () => store.query(() => {}),
    claim: () => store.claim(1, 1, "w", 1_000),
    notify: async () => void (await store.notify?.(() => {})),
  };
  let refused = 0;
  for (let round = 0; round < scale(2, 20); round++)
    for (const [operation, call] of Object.entries(calls)) {
      const { error } = await failureOf(call());
      expect(error).toMatchObject({ name: "ERR_STORE", operation, cause: { code: "ECONNREFUSED" } });
      refused++;
    }
  await TcpProxy.before(fixture.parts, { host: "127.0.0.1", port });
  await store.seed();
  const received: string[] = [];
  await store.notify?.(({ stream }) => received.push(stream));
  for (let k = 0; k < 20; k++) expect(await faultRun.ledger.commit(store, "s", k - 1)).toBe(true);
  const other = new PostgresStore({ url: fixture.url, table: "boot", notify: true });
  await other.commit("from-afar", [event()], meta);
  await other.dispose();
  await expect.poll(() => received).toContain("from-afar");
  await backToNormal(fixture.url, [store]);
  await faultRun.conclude(fixture.url, { load: "every verb, then commits", injected: refused });
});
