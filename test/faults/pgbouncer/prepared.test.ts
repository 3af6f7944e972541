/** What a store that is not set up for a pooler says, instead of waiting for ever. */
import { StoreError } from "@rotorsoft/act";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { PostgresStore, type PostgresStoreOptions } from "../../../src/index.ts";
import { everyVerb } from "../../input/verbs.ts";
import { event, failureOf, meta } from "../../postgres/fixture.ts";
import { connect, createDatabase, serverUrl, type TestDatabase } from "../../support/database.ts";
import { absent, findProgram, titled } from "../failover/programs.ts";
import { LONG } from "../kit/scale.ts";
import { type Bouncer, type BouncerOptions, startBouncer } from "./bouncer.ts";

const reason = absent({ pgbouncer: findProgram("pgbouncer") });
let database: TestDatabase;
let tables = 0;

const storeBy = (url: string, options: PostgresStoreOptions = {}) => {
  const store = new PostgresStore({ url, schema: database.schema, table: `p${tables++}`, ...options });
  onTestFinished(() => store.dispose());
  return store;
};

async function bouncerWith(options?: BouncerOptions): Promise<Bouncer> {
  const bouncer = await startBouncer(serverUrl(), options);
  onTestFinished(() => bouncer.stop());
  return bouncer;
}

describe.skipIf(reason !== "")(titled("with prepare: true behind PgBouncer", reason), () => {
  beforeAll(async () => {
    database = await createDatabase();
  });
  afterAll(() => database.drop());

  test("seed, commit and query say that prepare: false is needed, and every verb fails in time", async () => {
    const bouncer = await bouncerWith();
    const store = storeBy(bouncer.through(database.url));
    const verbs = everyVerb(store);
    for (const [operation, call] of Object.entries({ seed: () => store.seed(), ...verbs })) {
      const { error, millis } = await failureOf(call());
      expect(error, operation).toMatchObject({ name: "ERR_STORE", operation });
      expect(millis, operation).toBeLessThan(5_000);
    }
    for (const call of [() => store.seed(), verbs.commit, verbs.query]) {
      const { error } = await failureOf(call?.() ?? Promise.resolve());
      expect(error).toMatchObject({
        cause: { code: "08P01", message: expect.stringContaining("prepare: false") },
      });
    }
  });

  // The pooler is told to swallow the session's settings: then only the statements can tell.
  const hidden = "every call settles, and failures name prepare: false, when the pooler hides it";
  test.skipIf(!LONG)(titled(hidden, LONG ? "" : "takes a while, FAULTS=long runs it"), async () => {
    const ignore_startup_parameters =
      "statement_timeout,default_transaction_isolation,jit,idle_in_transaction_session_timeout,plan_cache_mode,row_security";
    const bouncer = await bouncerWith({ poolSize: 2, settings: { ignore_startup_parameters } });
    const limits = { statement_timeout: 1_000, connectionTimeoutMillis: 2_000 };
    const store = storeBy(bouncer.through(database.url), limits);
    const other = storeBy(bouncer.through(database.url), { ...limits, table: store.config.table });
    await storeBy(database.url, { table: store.config.table }).seed();
    // Each server connection knows the statements that were prepared on it, and the next call gets any.
    const causes = new Set<string>();
    let count = 0;
    for (let round = 0; round < 100 && ![...causes].join().includes("prepare: false"); round++) {
      const calls = [store, other].flatMap((one) => [
        ...Array.from({ length: 20 }, (_, n) => one.commit(`s${n}`, [event()], meta)),
        ...Array.from({ length: 20 }, () => one.query(() => {})),
        ...Object.values(everyVerb(one)).map((call) => call()),
      ]);
      const start = performance.now();
      for (const result of await Promise.allSettled(calls)) {
        count++;
        if (result.status === "fulfilled") continue;
        expect(result.reason).toBeInstanceOf(StoreError);
        causes.add(String(result.reason.cause));
      }
      // Nothing waits for longer than statement_timeout, a grace of 5 s, and once more for another connection.
      expect(performance.now() - start).toBeLessThan(30_000);
    }
    console.log(`${count} calls: ${[...causes].join(" | ")}`);
    expect([...causes].join("\n")).toContain("prepare: false");
  });

  test("LISTEN through the pooler delivers nothing, commits and queries work all the same", async () => {
    const bouncer = await bouncerWith();
    const options = { prepare: false, notify: true };
    const store = storeBy(bouncer.through(database.url), options);
    await store.seed();
    const listener = storeBy(bouncer.through(database.url), { ...options, table: store.config.table });
    const direct = storeBy(bouncer.through(database.url), {
      ...options,
      table: store.config.table,
      listen_url: database.url,
    });
    const received: string[] = [];
    const told: string[] = [];
    await listener.notify?.(({ stream }) => received.push(stream));
    await direct.notify?.(({ stream }) => told.push(stream));
    await store.commit("s", [event()], meta);
    await expect.poll(() => told).toEqual(["s"]);
    expect(received).toEqual([]);
    expect(await listener.query(() => {})).toBe(1);
  });
});

describe.skipIf(reason !== "")(titled("with prepare: false behind PgBouncer", reason), () => {
  test("nulls and numbers are as they were written, whatever the settings of the role are", async () => {
    const own = await createDatabase();
    onTestFinished(() => own.drop());
    const sql = connect(own.url);
    onTestFinished(() => sql.end());
    const [row] = await sql`select current_database() as name`;
    const role = `alter role current_user in database "${row?.name}"`;
    onTestFinished(async () => void (await sql.unsafe(`${role} reset all`)));
    await sql.unsafe(`${role} set array_nulls = off`);
    await sql.unsafe(`${role} set extra_float_digits = -15`);
    const bouncer = await bouncerWith();
    const store = new PostgresStore({ url: bouncer.through(own.url), schema: own.schema, prepare: false });
    onTestFinished(() => store.dispose());
    await store.seed();
    const before = Date.now();
    const [committed] = await store.commit("s", [event()], meta);
    expect(Math.abs(Number(committed?.created) - before)).toBeLessThan(60_000);
    const read: Date[] = [];
    await store.query(({ created }) => void read.push(created));
    expect(read).toEqual([committed?.created]);
    expect((await store.query_stats(["s"])).get("s")?.head.created).toEqual(committed?.created);
    await store.subscribe([
      { stream: "without", correlated_at: 5 },
      { stream: "of", source: "s" },
    ]);
    const [lease] = await store.claim(1, 0, "w", 60_000);
    await store.defer(["of"], before + 3_600_000);
    const positions: unknown[] = [];
    await store.query_streams(({ stream, source, leased_until, deferred_at }) => {
      positions.push({ stream, source, leased: Number(leased_until) > before, deferred_at });
    });
    expect(positions).toMatchObject([
      { stream: "of", source: "s", deferred_at: before + 3_600_000 },
      { stream: "without", source: undefined, leased: true },
    ]);
    expect(await store.ack(lease ? [{ ...lease, at: 5 }] : [])).toHaveLength(1);
    const [truncated] = (await store.truncate([{ stream: "s" }])).values();
    expect(Math.abs(Number(truncated?.committed?.created) - before)).toBeLessThan(60_000);
  });
});
