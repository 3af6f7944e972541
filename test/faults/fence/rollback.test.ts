/**
 * PostgreSQL answers the COMMIT of a failed transaction with ROLLBACK, and that is no error to a driver. Whatever
 * the reason, a call whose transaction ended so has done nothing, and must say so.
 */
import { StoreError } from "@rotorsoft/act";
import { expect, test } from "vitest";
import type { PostgresStore } from "../../../src/index.ts";
import { everyVerb } from "../../input/verbs.ts";
import { event, meta, useDatabase } from "../../postgres/fixture.ts";
import { TcpProxy } from "../../postgres/proxy.ts";
import { commitsRolledBack } from "./rollback.ts";

const fixture = useDatabase();
const LIMITS = { max: 2, statement_timeout: 2_000, connectionTimeoutMillis: 2_000 };

/** A store with something in each table, and the same by way of a proxy that turns COMMIT into ROLLBACK. */
async function behindProxy(prepare: boolean) {
  const direct = await fixture.seeded();
  const { table } = direct.config;
  const names = ["Noted", "__snapshot__", "Noted"];
  await direct.commit(
    "s",
    names.map((name) => ({ ...event(name), pii: { mail: "somebody" } })),
    meta,
  );
  await direct.subscribe([{ stream: "s", source: "s", correlated_at: 3 }, { stream: "t" }], 3);
  const proxy = await TcpProxy.before(fixture.parts);
  const struck = { count: 0 };
  proxy.shape = commitsRolledBack(struck);
  const store = fixture.store({ ...LIMITS, table, prepare, host: "127.0.0.1", port: proxy.port });
  return { direct, store, struck, proxy };
}

/** All that the store's tables hold. */
async function contents({ config: { schema, table } }: PostgresStore): Promise<string> {
  const all = ["", "_streams", "_correlated"].map(
    (suffix) =>
      fixture.sql`select t::text as row from ${fixture.sql(schema)}.${fixture.sql(table + suffix)} t`,
  );
  return (await Promise.all(all)).map((rows) => rows.map(({ row }) => row).sort()).join("\n");
}

const calls = (store: PostgresStore): Readonly<Record<string, () => Promise<unknown>>> => ({
  ...everyVerb(store),
  "guarded commit": () => store.commit("s", [event()], meta, 2),
  "commits of one group": () => Promise.any(["s", "s", "u"].map((s) => store.commit(s, [event()], meta))),
  "windowed truncate": () => store.truncate([{ stream: "s", before: new Date(Date.now() + 3_600_000) }]),
  drop: () => store.drop(),
});

const TRANSACTIONS = [
  ...["commit", "guarded commit", "commits of one group"],
  ...["truncate", "windowed truncate", "restore", "drop"],
];
/** One statement each: a transaction only where the session has no settings of its own. */
const STATEMENTS = ["forget_pii", "subscribe", "claim", "block", "defer", "reset", "prioritize"];
/** With prepare: true the others are one message that Sync ends: there is no COMMIT to be answered. */
const WITH_COMMIT = ["restore", "drop"];
const CASES = [
  ...WITH_COMMIT.map((verb) => ({ verb, prepare: true })),
  ...[...TRANSACTIONS, ...STATEMENTS].map((verb) => ({ verb, prepare: false })),
];

test.each(CASES)(
  "$verb is not acknowledged when its COMMIT is answered by ROLLBACK (prepare: $prepare)",
  async ({ verb, prepare }) => {
    const { direct, store, struck } = await behindProxy(prepare);
    const before = await contents(direct);
    const told = await (calls(store)[verb]?.() ?? Promise.resolve()).then(
      () => "acknowledged",
      (error: unknown) => error,
    );
    expect(await contents(direct)).toBe(before);
    expect(struck.count).toBeGreaterThan(0);
    const reason = told instanceof AggregateError ? told.errors[0] : told;
    expect(reason).toBeInstanceOf(StoreError);
  },
);

test("seed does not succeed when its COMMIT is answered by ROLLBACK", async () => {
  const { proxy } = await behindProxy(true);
  const absent = fixture.store({ ...LIMITS, host: "127.0.0.1", port: proxy.port });
  await expect(absent.seed()).rejects.toThrow(StoreError);
});

test("after a ROLLBACK the store goes on as if the call had not been", async () => {
  const { direct, store, proxy } = await behindProxy(false);
  await store.commit("s", [event()], meta).catch(() => {});
  proxy.shape = undefined;
  const [next] = await store.commit("s", [event("Next")], meta);
  expect(next?.version).toBe(3);
  expect((await fixture.rows(direct)).map(({ version }) => version)).toEqual([0, 1, 2, 3]);
});
