/** How long calls wait while a tenant moves, on a short and on a long log: under the lock only the last changes are copied. */
import { setTimeout as sleep } from "node:timers/promises";
import { Admin } from "../../src/admin/index.ts";
import { PostgresStore } from "../../src/index.ts";
import { fillEvents } from "../lib/data.ts";
import { META, message, openFresh } from "../lib/store.ts";
import type { Bench, Scenario } from "../lib/types.ts";

/** ms between the commits that go on meanwhile. */
const PACE_MS = 5;
const long = (bench: Bench) => (bench.full ? 1_000_000 : 100_000);
const SHORT = 10_000;

/** Returns for how many ms calls waited. */
async function move(bench: Bench, from: PostgresStore, into: string): Promise<number> {
  const target = new PostgresStore({ url: bench.url, schema: into });
  let moved = false;
  const committing = (async () => {
    for (let n = 0; !moved; n++) {
      // The log is refused once it has moved.
      const stored = await from.commit(`live-${n % 10}`, [message(n)], META).catch(() => undefined);
      if (!stored) return;
      await sleep(PACE_MS);
    }
  })();
  try {
    return (await new Admin(from).move(target)).lockedMs;
  } finally {
    moved = true;
    await committing;
    await target.dispose();
  }
}

const scenario: Scenario = {
  name: "move",
  title: "A tenant moves to another place, while a process commits every 5 ms",
  extra: true,
  alone: true,
  minutes: 20,
  rows: (bench) =>
    [
      { id: "short", events: SHORT },
      { id: "long", events: long(bench) },
    ].map(({ id, events }) => ({
      id: `move-${id}`,
      label: `calls wait during the move of a log of ${events.toLocaleString("en-US")} events`,
      metric: `${id}Ms`,
      unit: "ms",
      better: "less",
    })),
  prepare: async (bench, subject) => {
    const measure = async (events: number) => {
      const { store, schema } = await openFresh(bench, subject);
      await store.dispose();
      await fillEvents(bench.admin, { schema, streams: 1_000, perStream: events / 1_000 });
      const source = new PostgresStore({ url: bench.url, schema });
      const into = await bench.freshSchema();
      const lockedMs = await move(bench, source, into);
      await source.dispose();
      for (const name of [into, schema, `${schema}_moved`])
        await bench.admin.unsafe(`drop schema if exists "${name}" cascade`);
      return lockedMs;
    };
    return {
      run: async () => ({ shortMs: await measure(SHORT), longMs: await measure(long(bench)) }),
      close: async () => {},
    };
  },
};

export const moveScenarios: readonly Scenario[] = [scenario];
