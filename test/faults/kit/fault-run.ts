/** One fault, from the first call to the verdict: what every test of this folder does the same way. */
import { expect, onTestFinished } from "vitest";
import type { PostgresStore } from "../../../src/index.ts";
import { eventually } from "../../conformance/kit/eventually.ts";
import { connect } from "../../support/database.ts";
import { Ledger } from "./ledger.ts";
import { type FaultRecord, record } from "./report.ts";
import type { Verdict } from "./verify.ts";

export type TrialOptions = Pick<FaultRecord, "item" | "fault"> & {
  /** ms within which every call must settle. */
  readonly deadline?: number;
};

export class FaultRun {
  readonly ledger: Ledger;
  readonly #options: TrialOptions;
  readonly #start = performance.now();

  /** Inside a test: ends its watch over the process with it. */
  constructor(options: TrialOptions) {
    this.#options = options;
    this.ledger = new Ledger(options);
    onTestFinished(this.ledger.watch());
  }

  get seconds(): number {
    return (performance.now() - this.#start) / 1_000;
  }

  /** Records the fault, and fails if the store has broken a promise. `injected` must not be 0. */
  async conclude(url: string, { load, injected }: Pick<FaultRecord, "load" | "injected">): Promise<Verdict> {
    const { acknowledged, failed, unknown, longestOutageMs, codes } = this.ledger;
    const { item, fault } = this.#options;
    const seconds = Math.round(this.seconds * 10) / 10;
    const verdict = await this.ledger.verify(url);
    const told = { acknowledged: acknowledged.size, failed: failed.size, unknown: unknown.size };
    const harm = { lost: verdict.lost.length, duplicated: verdict.duplicated.length };
    const figures = { load, seconds, injected, ...told, ...harm };
    const summary = { item, fault, ...figures, longestOutageMs: Math.round(longestOutageMs) };
    console.log(JSON.stringify({ ...summary, codes: Object.fromEntries(codes), landed: verdict.landed }));
    record(summary);
    expect(verdict.damage).toEqual([]);
    expect(injected).toBeGreaterThan(0);
    expect(acknowledged.size).toBeGreaterThan(0);
    return verdict;
  }
}

/** Resolves once every store works as before the fault, with no more connections than it may have; ms it took. */
export async function backToNormal(
  url: string,
  stores: readonly PostgresStore[],
  within = 5_000,
): Promise<number> {
  const sql = connect(url);
  const start = performance.now();
  const normal = async () => {
    for (const store of stores) await isNormal(sql, store);
    return true;
  };
  try {
    // A server that recovers tells nobody.
    await eventually(normal, { within, every: 50 });
    return performance.now() - start;
  } finally {
    await sql.end();
  }
}

async function isNormal(sql: ReturnType<typeof connect>, store: PostgresStore): Promise<void> {
  const { max, notify, application_name } = store.config;
  const reads = Array.from({ length: max }, () => store.query(() => {}, { limit: 1 }));
  const commit = store.commit("normal", [{ name: "Calm", data: {} }], {
    correlation: "normal",
    causation: {},
  });
  await Promise.all([...reads, commit, store.claim(1, 1, "normal", 0, "a lane of nobody")]);
  const [row] = await sql`
    select count(*)::int as n from pg_stat_activity where application_name = ${application_name}`;
  // The listener's connection comes on top.
  const allowed = max + (notify ? 1 : 0);
  if (Number(row?.n) > allowed) throw new Error(`${row?.n} connections, ${allowed} allowed`);
}
