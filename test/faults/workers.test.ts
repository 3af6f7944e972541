/**
 * Worker processes that end in the middle of their handlers: by SIGKILL, after which others take over what they
 * held once its lease has run out, and by SIGTERM, after which nothing is left to take over.
 */
import { expect, onTestFinished, test } from "vitest";
import type { PostgresStore } from "../../src/index.ts";
import { Program } from "../examples/program.ts";
import { until } from "../order/fence.ts";
import { useDatabase } from "../postgres/fixture.ts";
import { FaultRun } from "./kit/fault-run.ts";
import type { Ledger } from "./kit/ledger.ts";
import { scale, TIMEOUT } from "./kit/scale.ts";

const fixture = useDatabase();
const DEADLINE = 30_000;
/** How long the framework's correlator keeps its lease. */
const CORRELATOR = 5_000;
/** For processes to start on a busy machine. */
const SLACK = 10_000;
let tables = 0;

type Pace = { readonly poll: number; readonly leaseMillis: number; readonly work: number };

/** A store that commits, and workers of other processes on its table. */
async function workshop(pace: Pace) {
  const table = `work${tables++}`;
  const { schema } = fixture.database;
  const store = await fixture.seeded({ table, notify: true });
  const all: Program[] = [];
  const start = async (): Promise<Program> => {
    const options = {
      url: fixture.url,
      schema,
      table,
      notify: true,
      application_name: fixture.application(`${table}_w`),
    };
    const worker = new Program("test/faults/kit/worker.ts", [JSON.stringify(options), JSON.stringify(pace)], {
      LOG_LEVEL: "fatal",
    });
    onTestFinished(async () => void (await worker.end("SIGKILL")));
    await worker.says(/^ready$/m);
    all.push(worker);
    return worker;
  };
  const done = () => all.flatMap((worker) => said(worker, "done"));
  return { store, start, done };
}

const said = ({ output }: Program, word: "start" | "done"): string[] =>
  [...output.matchAll(new RegExp(`^${word} (\\S+)$`, "gm"))].map(([, key = ""]) => key);

const inHand = (worker: Program): boolean => said(worker, "start").length > said(worker, "done").length;

const expected = ({ acknowledged }: Ledger): string[] =>
  [...acknowledged].flatMap(([token, { size }]) =>
    Array.from({ length: size }, (_, part) => `${token}/${part}`),
  );

async function blocked(store: PostgresStore): Promise<string[]> {
  const streams: string[] = [];
  await store.query_streams(({ stream }) => streams.push(stream), { blocked: true });
  return streams;
}

test("of workers killed in the middle of handlers others take over every event", {
  timeout: TIMEOUT,
}, async () => {
  const faultRun = new FaultRun({ item: 8, fault: "SIGKILL of a worker in a handler", deadline: DEADLINE });
  const { ledger } = faultRun;
  const pace = { poll: 500, leaseMillis: 1_500, work: 20 };
  const { store, start, done } = await workshop(pace);
  const rounds = scale(1, 20);
  const workers = [await start(), await start()];
  let over = false;
  let caught = 0;
  const committing = (async () => {
    for (let k = 0; !over; k++) {
      await ledger.commit(store, `s${k % 24}`, undefined, 1 + (k % 3));
      // The pace of the load.
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  })();
  for (let round = 0; round < rounds; round++) {
    const victim = workers.shift() as Program;
    await until("the worker is in a handler", async () => inHand(victim), 30_000);
    await victim.end("SIGKILL");
    if (inHand(victim)) caught++;
    workers.push(await start());
  }
  over = true;
  await committing;
  const ended = performance.now();
  const wanted = expected(ledger);
  const missing = () => {
    const known = new Set(done());
    return wanted.filter((key) => !known.has(key));
  };
  await until("every event is handled", async () => missing().length === 0, 60_000);
  const seconds = (performance.now() - ended) / 1_000;
  const handled = done();
  console.log(
    `all handled ${seconds.toFixed(1)} s after the last, ${handled.length - new Set(handled).size} again`,
  );
  // Whatever the last victim held is free again by then; so is the lease of the correlator, if it was that.
  expect(seconds * 1_000).toBeLessThan(pace.leaseMillis + CORRELATOR + pace.poll + SLACK);
  expect(await blocked(store)).toEqual([]);
  await faultRun.conclude(fixture.url, { load: "2 workers, a writer, handlers of 20 ms", injected: caught });
});

test("a worker told to end finishes its handlers, frees its leases, and is gone in 2 s", {
  timeout: TIMEOUT,
}, async () => {
  const faultRun = new FaultRun({ item: 8, fault: "SIGTERM of a worker in a handler", deadline: DEADLINE });
  const { ledger } = faultRun;
  // A lease that would be missed: it outlasts the test.
  const { store, start } = await workshop({ poll: 500, leaseMillis: 600_000, work: 300 });
  const rounds = scale(1, 10);
  for (let round = 0; round < rounds; round++) {
    const worker = await start();
    for (let k = 0; k < 8; k++) expect(await ledger.commit(store, `s${k}`)).toBe(true);
    await until("the worker is in a handler", async () => inHand(worker), 30_000);
    const told = performance.now();
    expect(await worker.end("SIGTERM")).toBe(0);
    expect(performance.now() - told).toBeLessThan(2_000);
    expect(said(worker, "start").sort()).toEqual(said(worker, "done").sort());
    expect(await leases(store)).toEqual([]);
  }
  // Another is not kept from anything.
  const last = await start();
  for (let k = 0; k < 8; k++) expect(await ledger.commit(store, `s${k}`)).toBe(true);
  await until("the rest is handled", async () => said(last, "done").length >= 8, 30_000);
  expect(await last.end("SIGTERM")).toBe(0);
  expect(await blocked(store)).toEqual([]);
  await faultRun.conclude(fixture.url, { load: "a worker, handlers of 300 ms", injected: rounds });
});

/** Leases of streams and of correlators that are live. */
async function leases({ config: { schema, table } }: PostgresStore): Promise<string[]> {
  const of = (name: string) => fixture.sql`${fixture.sql(schema)}.${fixture.sql(name)}`;
  const rows = await fixture.sql<{ name: string }[]>`
    select stream as name from ${of(`${table}_streams`)} where leased_until > now()
    union all
    select 'correlator ' || key from ${of(`${table}_correlated`)} where leased_until > now()`;
  return rows.map(({ name }) => name);
}
