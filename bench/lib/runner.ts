/** Runs scenarios: subjects alternate round by round on one server, and none goes first twice in a row. */
import type { Round, ScenarioResult } from "./results.ts";
import type { Server } from "./server.ts";
import type { Bench, Prepared, Scenario, Subject } from "./types.ts";
import { watchUsage } from "./usage.ts";

export type RunOptions = {
  readonly rounds: number;
  readonly full: boolean;
  readonly millis: number;
  readonly floors: boolean;
  readonly log: (line: string) => void;
};

/** A bench on the server's database, and the way to drop all that it made. */
export function createBench({ url, admin }: Server, { full, millis }: RunOptions) {
  let schemas = 0;
  const datasets = new Map<string, Promise<string>>();
  const bench: Bench = {
    url,
    admin,
    full,
    millis,
    freshSchema: async () => {
      const schema = `bench_${++schemas}`;
      await admin.unsafe(`drop schema if exists "${schema}" cascade`);
      return schema;
    },
    dataset: (subject, key, fill) => {
      const id = `${subject.id}:${key}`;
      const known = datasets.get(id);
      if (known) return known;
      const made = bench.freshSchema().then(async (schema) => {
        await fill(schema);
        return schema;
      });
      datasets.set(id, made);
      return made;
    },
  };
  const clean = async () => {
    datasets.clear();
    for (; schemas > 0; schemas--) await admin.unsafe(`drop schema if exists "bench_${schemas}" cascade`);
  };
  return { bench, clean };
}

type Contender = { readonly id: string; readonly prepared: Prepared; readonly rounds: Round[] };

export async function runScenario(
  bench: Bench,
  scenario: Scenario,
  subjects: readonly Subject[],
  postmaster: number | undefined,
  { rounds, floors, log }: RunOptions,
): Promise<ScenarioResult> {
  const failures: Record<string, string> = {};
  const contenders: Contender[] = [];
  const enter = async (id: string, prepare: () => Promise<Prepared>) => {
    try {
      contenders.push({ id, prepared: await prepare(), rounds: [] });
    } catch (error) {
      failures[id] = reason(error);
      log(`  ${id}: ${failures[id]}`);
    }
  };
  for (const subject of subjects) await enter(subject.id, () => scenario.prepare(bench, subject));
  const { floor } = scenario;
  if (floors && floor) await enter("floor", () => floor.prepare(bench));

  for (let round = 0; round < rounds; round++) {
    const order = round % 2 ? contenders.toReversed() : contenders;
    for (const { id, prepared, rounds: done } of order) {
      if (failures[id]) continue;
      globalThis.gc?.();
      const usage = watchUsage(postmaster);
      try {
        const metrics = await inTime(prepared.run(), scenario.minutes);
        done.push({ metrics, usage: usage() });
      } catch (error) {
        usage();
        failures[id] = reason(error);
        log(`  ${id}: ${failures[id]}`);
      }
    }
  }
  for (const { prepared } of contenders) await prepared.close();
  return {
    name: scenario.name,
    title: scenario.title,
    note: floors ? floor?.note : undefined,
    rows: scenario.rows(bench),
    rounds: Object.fromEntries(contenders.map(({ id, rounds }) => [id, rounds])),
    failures,
  };
}

/** A round that hangs must not hang the run. */
async function inTime<T>(round: Promise<T>, minutes = 5): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new Error(`The round did not end within ${minutes} minutes`)),
      minutes * 60_000,
    );
  });
  try {
    return await Promise.race([round, late]);
  } finally {
    clearTimeout(timer);
  }
}

function reason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause instanceof Error ? `: ${error.cause.message}` : "";
  return `${error.message}${cause}`;
}
