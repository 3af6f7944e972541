/**
 * A rebuild, by shadows and in place, that is killed at each of its steps, while events are appended, two workers project
 * them, and a reader looks on. It does not cover a power cut of the server.
 */
import { fork } from "node:child_process";
import { once } from "node:events";
import { act, projection } from "@rotorsoft/act";
import { sql } from "drizzle-orm";
import { expect, onTestFinished, test } from "vitest";
import { exactlyOnce, rebuild } from "../../../src/projections/index.ts";
import { Account, Deposited, on, stopping, useApps } from "../../framework/fixture.ts";
import { count, counted, drained, folded, onNodePostgres, positions } from "../../projections/fixture.ts";
import { bundled } from "../kit/bundled.ts";
import { record } from "../kit/report.ts";
import { scale } from "../kit/scale.ts";
import { counters, counting, type RebuildWorkerOptions, STEPS } from "./counts.ts";

const fixture = useApps();
const KILLS = scale(10, 60);
const STREAMS = 7;
const meta = { correlation: "test", causation: {} };

test.each([
  ["by shadows", "and no reader sees a half", false],
  ["in place", "and nothing is skipped or doubled", true],
])(
  `${KILLS} kills of a rebuild %s under load leave the counters equal to a fold of the log, %s`,
  {
    timeout: scale(300_000, 3_000_000),
  },
  async (how, _, inPlace) => {
    const start = performance.now();
    const db = await onNodePostgres({ counters, positions });
    const store = await fixture.seeded({ notify: true });
    const deposit = (n: number) =>
      store.commit(`s${n % STREAMS}`, [{ name: "Deposited", data: { amount: 1 + (n % 5) } }], meta);
    const history = scale(3_000, 20_000);
    await Promise.all(Array.from({ length: history }, (_, n) => deposit(n)));
    const build = () => {
      const handlers = exactlyOnce({ db, projection: "counts" });
      const counts = projection()
        .on({ Deposited })
        .do(handlers.do((event, tx) => count(tx, event)))
        .to(({ stream }) => ({ target: `counts:${stream}`, source: stream }))
        .build();
      // A worker that once finds every target leased by the other stops looking, unless its store tells it to go on.
      const own = fixture.beside(store, { pollIntervalMillis: 250 });
      const app = act().withState(Account).withProjection(counts).build(on(own));
      return stopping(app);
    };
    const apps = [build(), build()];
    const options = counting(db, store);
    // A first swap, so that the reader has all of the history from the beginning.
    await rebuild(options);

    let done = false;
    let sent = history;
    const seen: number[] = [];
    const load = async () => {
      while (!done) {
        await deposit(sent++);
        for (const app of apps) app.settle();
      }
    };
    const look = async () => {
      while (!done) {
        const { rows } = await db.execute(sql`select coalesce(sum(events), 0)::int as n from counters`);
        seen.push(Number(rows[0]?.n));
      }
    };
    const running = [load(), look()];
    const killed: string[] = [];
    const program = await bundled(new URL("./worker.ts", import.meta.url));
    while (killed.length < KILLS) {
      const step = STEPS[killed.length % STEPS.length] ?? "applying";
      const given: RebuildWorkerOptions = {
        log: { url: fixture.url, table: store.config.table },
        readModels: db.$client.options.connectionString ?? "",
        step,
        inPlace,
      };
      const child = fork(program, [JSON.stringify(given)], {
        execArgv: [],
        env: { ...process.env, NODE_ENV: "production", LOG_LEVEL: "fatal" },
      });
      onTestFinished(() => void child.kill("SIGKILL"));
      const [, signal] = await once(child, "exit");
      expect([step, signal]).toEqual([step, "SIGKILL"]);
      killed.push(step);
    }
    done = true;
    await Promise.all(running);
    // Where one was killed handlers are held until it has ended.
    if (inPlace) await rebuild({ ...options, inPlace });
    await drained(apps[0] ?? build(), fixture, store);
    // Live and shadow, compared before the one becomes the other.
    const live = await counted(db);
    await rebuild(options);
    const shadow = await counted(db);
    const log = await folded(fixture, store);
    const differing = log.filter((row, n) => row.events !== shadow[n]?.events);
    const off = (sign: number) =>
      log.reduce((sum, row, n) => sum + Math.max(0, sign * (row.events - (shadow[n]?.events ?? 0))), 0);
    const told = {
      acknowledged: sent,
      failed: 0,
      unknown: 0,
      longestOutageMs: 0,
      lost: off(1),
      duplicated: off(-1),
    };
    const seconds = Math.round((performance.now() - start) / 100) / 10;
    record({
      item: 17,
      fault: `SIGKILL at each step of a rebuild ${how}`,
      load: "1 writer, 2 workers, 1 reader",
      seconds,
      injected: KILLS,
      ...told,
    });
    expect(differing).toEqual([]);
    expect(live).toEqual(log);
    expect(shadow).toEqual(log);
    if (inPlace) return;
    const fell = seen.filter((n, at) => n < (seen[at - 1] ?? 0));
    expect(fell).toEqual([]);
    expect(seen[0]).toBeGreaterThanOrEqual(history);
  },
);
