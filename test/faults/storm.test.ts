/**
 * Every backend of the stores is terminated again and again while commits, claims, queries and restores run.
 * postgres.js 3.4.9 loses queries, continues transactions on a new connection and crashes the process when
 * backends die; whether the layer before it keeps the promises all the same is what this looks at. A server
 * that dies as a whole, with what it had not written, is in crash.test.ts.
 */
import type { Committed, Schemas } from "@rotorsoft/act";
import { expect, test } from "vitest";
import type { PostgresStore } from "../../src/index.ts";
import { useScene } from "../connections/scene.ts";
import { connect } from "../support/database.ts";
import type { Ledger } from "./kit/ledger.ts";
import { scale, TIMEOUT } from "./kit/scale.ts";
import { backToNormal, Trial } from "./kit/trial.ts";

const scene = useScene();
const STORM = scale(5_000, 60_000);
/** Between two blows, in ms; to the shorter the stores hardly get to work. */
const CALM = scale(110, 50);
const MAX = 5;
const LIMITS = { max: MAX, statement_timeout: 3_000, connectionTimeoutMillis: 3_000 };

const headOf = async (store: PostgresStore, stream: string) =>
  (await store.query_stats([stream])).get(stream)?.head.version ?? -1;

/** One client that runs until the storm is over. */
type Client = (store: PostgresStore, ledger: Ledger, k: number) => Promise<unknown>;

/** Alone on its stream and always guarded: it may lose to nobody but the connection. */
const alone: Client = async (store, ledger, k) => {
  const head = await ledger.attempt(() => headOf(store, `own-${k}`));
  if (head === undefined) return;
  for (let version = head; version < head + 20; version += 1 + (k % 3))
    if (!(await ledger.commit(store, `own-${k}`, version, 1 + (k % 3)))) return;
};

/** Many on one stream: conflicts beside failures. */
const contended: Client = async (store, ledger) => {
  const head = await ledger.attempt(() => headOf(store, "shared"));
  if (head !== undefined) await ledger.commit(store, "shared", head, 2);
};

const unguarded: Client = (store, ledger, k) => ledger.commit(store, `any-${k % 2}`);

/** What was acknowledged before a query began is in its answer, in order of id. */
const reader: Client = async (store, ledger) => {
  const before = [...ledger.acknowledged].slice(-50).flatMap(([, { placed }]) => placed.map(({ id }) => id));
  const seen = new Set<number>();
  let last = 0;
  const after = Math.min(...before) - 1;
  const count = await ledger.attempt(() =>
    store.query<Schemas>(
      ({ id }) => {
        if (id <= last) ledger.untyped.push(new Error(`event ${id} came after ${last}`));
        last = id;
        seen.add(id);
      },
      Number.isFinite(after) ? { after } : undefined,
    ),
  );
  const missing = before.filter((id) => !seen.has(id));
  if (count !== undefined && missing.length > 0) ledger.untyped.push(new Error(`${missing} not found`));
};

/** Claims, and acks what it holds; a lease that was lost with its connection expires. */
const worker: Client = async (store, ledger, k) => {
  await ledger.attempt(() => store.subscribe([{ stream: `t-${k}`, correlated_at: 1_000_000 }]));
  const leases = await ledger.claim(store, `w-${k}`, 300);
  await ledger.ack(
    store,
    leases.map((lease) => ({ ...lease, at: Math.min(lease.at + 1, ledger.head) })),
  );
};

async function killUntil(over: () => boolean): Promise<{ kills: number; peaks: Map<string, number> }> {
  const sql = connect(scene.url);
  const peaks = new Map<string, number>();
  let kills = 0;
  while (!over()) {
    const killed = await sql<{ application: string }[]>`
      select application_name as application, pg_terminate_backend(pid) from pg_stat_activity
      where application_name like ${scene.application("t%")}`;
    kills += killed.length;
    for (const [application, rows] of Map.groupBy(killed, (row) => row.application))
      peaks.set(application, Math.max(peaks.get(application) ?? 0, rows.length));
    await new Promise((resolve) => setTimeout(resolve, CALM * (0.5 + Math.random())));
  }
  await sql.end();
  return { kills, peaks };
}

test("killed backends lose no acknowledged commit, and apply none that failed", {
  timeout: TIMEOUT,
}, async () => {
  // Longer than all limits together, and a call has hung.
  const trial = new Trial({ item: 1, fault: `every backend ended each ${CALM} ms`, deadline: 20_000 });
  const { ledger } = trial;
  const options = { ...LIMITS, table: "storm", notify: true };
  const stores = [await scene.seeded(options), await scene.seeded(options)];
  const heard: string[] = [];
  await stores[0]?.notify?.(({ stream }) => heard.push(stream));
  const end = performance.now() + STORM;
  const over = () => performance.now() > end;
  const clients = [alone, alone, alone, contended, contended, unguarded, reader, worker, worker];
  const running = trial.run(
    over,
    clients.flatMap((client, k) =>
      stores.map((store, s) => () => client(store, ledger, k * stores.length + s)),
    ),
  );
  const tailing = ledger.tail(stores[1] as PostgresStore, over);
  const { kills, peaks } = await killUntil(over);
  await Promise.all([running, tailing]);

  await backToNormal(scene.url, stores);
  await trial.conclude(scene.url, { load: `${clients.length * 2} clients, 2 stores`, injected: kills });
  expect(kills).toBeGreaterThan(20);
  // The listener's connection comes on top of `max`.
  for (const [application, peak] of peaks) expect(peak, application).toBeLessThanOrEqual(MAX + 1);
  await expect.poll(() => heard, { timeout: 15_000 }).toContain("normal");
});

type Event = Committed<Schemas, keyof Schemas>;

test("a restore whose backend is killed leaves the old log or the new one, never a mixture", {
  timeout: TIMEOUT,
}, async () => {
  const trial = new Trial({ item: 1, fault: `restore, its backend ended`, deadline: 20_000 });
  const options = { ...LIMITS, table: "source" };
  const source = await scene.seeded(options);
  for (let k = 0; k < 200; k++) await trial.ledger.commit(source, `s${k % 7}`, undefined, 5);
  const events: Event[] = [];
  await source.query<Schemas>((event) => events.push(event));
  const target = await scene.seeded({ ...LIMITS, table: "tested" });
  await target.restore(async (insert) => {
    for (const event of events.slice(0, 10)) await insert(event);
  });
  const end = performance.now() + STORM / 2;
  const sizes = new Set<number>();
  let restored = 0;
  const running = trial.run(
    () => performance.now() > end,
    [
      async () => {
        // One of two logs, in turn: what is there afterwards tells which restore it was.
        const size = restored % 2 === 0 ? events.length : events.length / 2;
        const done = await trial.ledger.attempt(async () => {
          await target.restore(async (insert) => {
            for (const event of events.slice(0, size)) await insert(event);
          });
          return true;
        });
        if (done) restored++;
      },
      async () => {
        const count = await trial.ledger.attempt(() => target.query(() => {}));
        if (count !== undefined) sizes.add(count);
      },
    ],
  );
  const { kills } = await killUntil(() => performance.now() > end);
  await running;

  await backToNormal(scene.url, [source]);
  await trial.conclude(scene.url, { load: "1 restore after another, 1 reader", injected: kills });
  expect(restored).toBeGreaterThan(0);
  // Each is a whole log. A page of a long query may be of the next log, so queries are not compared further.
  const whole = [10, events.length, events.length / 2];
  expect(whole).toContain(await target.query(() => {}));
  expect(sizes.size).toBeGreaterThan(0);
});
