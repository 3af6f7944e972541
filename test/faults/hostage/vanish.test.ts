/**
 * A client that vanishes in the middle of what it sends: from then on nothing comes from it, and nobody is told, as
 * when its machine loses power or its network. What it held is free again within a bounded time.
 */
import { expect, onTestFinished, test } from "vitest";
import type { PostgresStore, PostgresStoreOptions } from "../../../src/index.ts";
import { within } from "../../conformance/kit/eventually.ts";
import { until } from "../../order/fence.ts";
import { event, meta, useDatabase } from "../../postgres/fixture.ts";
import { TcpProxy } from "../../postgres/proxy.ts";
import { titled } from "../failover/programs.ts";
import { LONG, scale, TIMEOUT } from "../kit/scale.ts";
import { type Recording, record, vanishAfter } from "./links.ts";

const fixture = useDatabase();

/** ms until the others go on, when a commit or a truncate is cut off: statement_timeout and 5 s, and some for noise. */
const LIMIT = 8_000;
const STATEMENT_TIMEOUT = 1_000;
/** And a restore: its driver may take its time, but not for ever. */
const RESTORE_LIMIT = 60_000;
/** How many places in the bytes of one call are tried. */
const CUTS = scale(5, 12);

type Work = (store: PostgresStore, stream: string) => Promise<unknown>;

const commitOf =
  (bytes: number): Work =>
  (store, stream) =>
    store.commit(stream, [event("Sent", { fill: "x".repeat(bytes) })], meta);
const truncateOne: Work = (store, stream) =>
  store.truncate([{ stream, snapshot: { fill: "x".repeat(500) } }]);

const WORKS: readonly { readonly what: string; readonly work: Work }[] = [
  { what: "a commit of 500 bytes", work: commitOf(500) },
  { what: "a commit of 200 KB", work: commitOf(200_000) },
  { what: "a truncate", work: truncateOne },
];
const OPTIONS: readonly { readonly how: string; readonly options: PostgresStoreOptions }[] = [
  { how: "with the defaults", options: {} },
  { how: "with max: 1", options: { max: 1 } },
  { how: "with prepare: false", options: { prepare: false } },
];

/** Behind each message, in the middle of each, and before the last byte of all; as many as there is time for. */
function cutsOf({ ends, bytes }: Recording): number[] {
  const starts = [0, ...ends];
  const middles = ends.map((end, k) => end - Math.ceil((end - (starts[k] ?? 0)) / 2));
  const all = [...new Set([...ends, ...middles, bytes - 1])].filter((cut) => cut > 0 && cut <= bytes);
  const sorted = all.sort((a, b) => a - b);
  const step = Math.max(1, (sorted.length - 1) / (CUTS - 1));
  const chosen = Array.from({ length: CUTS }, (_, k) => sorted[Math.round(k * step)]);
  return chosen.filter((cut) => cut !== undefined);
}

/** A store behind a proxy, warm, and one beside it. */
async function pair(options: PostgresStoreOptions) {
  const bystander = await fixture.seeded({ statement_timeout: 2 * RESTORE_LIMIT });
  const proxy = await TcpProxy.before(fixture.parts);
  const { table } = bystander.config;
  const way = { host: "127.0.0.1", port: proxy.port };
  const victim = fixture.store({
    statement_timeout: STATEMENT_TIMEOUT,
    ...options,
    ...way,
    table,
    application_name: fixture.application(`${table}_v`),
  });
  // Behind a connection that has ended, what the victim still waits for ends too.
  onTestFinished(() => proxy.close());
  return { bystander, victim, proxy };
}

/** What a store's sessions do now; undefined while one is at work. */
async function standOf({ config }: PostgresStore): Promise<string | undefined> {
  const rows = await fixture.sql`
    select pid, state, state_change::text, wait_event_type from pg_stat_activity
    where application_name = ${config.application_name} order by pid`;
  if (rows.some((row) => row.wait_event_type === null)) return undefined;
  return JSON.stringify(rows);
}

/** Everything that has come from a store has been worked on: its sessions wait for more, or for a lock. */
async function servedAll(store: PostgresStore): Promise<void> {
  let before: string | undefined;
  await until("the server has done what it was sent", async () => {
    const now = await standOf(store);
    if (now !== undefined && now === before) return true;
    before = now;
    // Nothing tells that the last bytes have come.
    await new Promise((resolve) => setTimeout(resolve, 100));
    return false;
  });
}

/** ms until somebody else's commit goes through, or `limit`. */
async function waitOf(bystander: PostgresStore, limit: number): Promise<number> {
  const start = performance.now();
  const commit = bystander.commit("bystander", [event()], meta);
  commit.catch(() => {});
  await within(limit, "a commit", commit).catch(() => {});
  return Math.round(performance.now() - start);
}

type Cut = { readonly cut: string; readonly waited: number };

type Pair = Awaited<ReturnType<typeof pair>>;

/** The client vanishes after so many bytes of its call; how long that keeps another waiting. */
async function vanish({ bystander, victim, proxy }: Pair, work: Work, choose: (sent: Recording) => number) {
  await bystander.commit("gone", [event(), event()], meta);
  // Names of one length: so the same call sends as many bytes each time.
  for (const stream of ["warm", "warm", "also"]) await work(victim, stream);
  const recording = await record(proxy, () => work(victim, "note"));
  const cut = choose(recording);
  const gone = vanishAfter(proxy, cut);
  const settled = work(victim, "gone").catch(() => {});
  await within(5_000, `a cut after ${cut} of ${recording.bytes} bytes`, Promise.race([gone, settled]));
  await servedAll(victim);
  const waited = await waitOf(bystander, LIMIT + 500);
  await proxy.close();
  return { cut: `after ${cut} of ${recording.bytes} bytes`, waited };
}

for (const { what, work } of WORKS)
  test(`a client that vanishes in ${what} keeps nobody waiting for more than ${LIMIT / 1_000} s`, {
    timeout: TIMEOUT,
  }, async () => {
    const cases: { readonly how: string; readonly k: number; readonly stores: Pair }[] = [];
    for (const { how, options } of OPTIONS)
      for (let k = 0; k < CUTS; k++) cases.push({ how, k, stores: await pair(options) });
    const cuts: Cut[] = await Promise.all(
      cases.map(async ({ how, k, stores }) => {
        const { cut, waited } = await vanish(stores, work, (sent) => cutsOf(sent)[k] ?? sent.bytes);
        return { cut: `${how}, ${cut}`, waited };
      }),
    );
    console.log(`${what}: ${cuts.map(({ cut, waited }) => `${cut}: ${waited} ms`).join("; ")}`);
    expect(cuts.filter(({ waited }) => waited > LIMIT)).toEqual([]);
  });

const restoring = (how: string) =>
  titled(
    `a client that vanishes in a restore, ${how}, keeps nobody waiting for more than ${RESTORE_LIMIT / 1_000} s`,
    LONG ? "" : "takes minutes, FAULTS=long runs it",
  );
for (const { how, options } of OPTIONS)
  test.skipIf(!LONG)(restoring(how), { timeout: TIMEOUT }, async () => {
    const { bystander, victim, proxy } = await pair(options);
    await bystander.commit("cut", [event(), event()], meta);
    const events = (from: number) =>
      Array.from({ length: 1_200 }, (_, k) => ({
        ...event("Restored", { fill: "x".repeat(200) }),
        id: 0,
        stream: "restored",
        version: from + k,
        created: new Date(0),
        meta,
      }));
    // In the first round the driver hangs with its client; in the second the client goes in the middle of a batch.
    const waits: Cut[] = [];
    for (const cut of ["between two batches", "in the middle of a batch"]) {
      let gone: Promise<void> | undefined;
      const reached = new Promise<void>((resolve) => {
        victim
          .restore(async (insert) => {
            for (const each of events(0)) await insert(each);
            gone = vanishAfter(proxy, cut === "between two batches" ? 0 : 50_000);
            resolve();
            for (const each of events(1_200)) await insert(each);
            await new Promise(() => {});
          })
          .catch(() => {});
      });
      await reached;
      await gone;
      await servedAll(victim);
      waits.push({ cut, waited: await waitOf(bystander, RESTORE_LIMIT + 10_000) });
      // The way is open again, for the next round.
      proxy.shape = undefined;
      proxy.mode = "forward";
      proxy.hidesCloses = false;
      proxy.cut();
    }
    console.log(`a restore, ${how}: ${waits.map(({ cut, waited }) => `${cut} ${waited} ms`).join(", ")}`);
    expect(waits.filter(({ waited }) => waited > RESTORE_LIMIT)).toEqual([]);
  });
