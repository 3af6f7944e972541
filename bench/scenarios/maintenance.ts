/** The rare and heavy verbs: restore, truncate, seed. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Committed, Schemas } from "@rotorsoft/act";
import postgres from "postgres";
import type { TransferParams, TransferResult } from "../jobs/transfer.ts";
import { runBundled } from "../lib/bundled.ts";
import { fillEvents, streamName } from "../lib/data.ts";
import { median, timed } from "../lib/measure.ts";
import { META, message, onStore, openFresh } from "../lib/store.ts";
import type { Bench, Prepared, Scenario } from "../lib/types.ts";

const restored = (bench: Bench) => (bench.full ? 100_000 : 20_000);

function* history(count: number): Generator<Committed<Schemas, string>> {
  const start = Date.UTC(2026, 0, 1);
  for (let n = 0; n < count; n++)
    yield {
      id: n + 1,
      stream: streamName(n % 1_000),
      version: Math.floor(n / 1_000),
      created: new Date(start + n),
      meta: META,
      ...message(n),
    };
}

/** Multi-row INSERTs of 50 on one connection, in one transaction. */
async function insertFloor(bench: Bench): Promise<Prepared> {
  const sql = postgres(bench.url, { max: 1, fetch_types: false, onnotice: () => {} });
  const schema = await bench.freshSchema();
  await sql.unsafe(`create schema "${schema}"`);
  await sql.unsafe(`create table "${schema}".events (id bigint primary key, name text, data jsonb, stream text,
    version int, created timestamptz, meta jsonb)`);
  await sql.unsafe(`create unique index on "${schema}".events (stream, version)`);
  const text = `insert into "${schema}".events select * from jsonb_to_recordset($1::text::jsonb)
    r(id bigint, name text, data jsonb, stream text, version int, created timestamptz, meta jsonb)`;
  return {
    run: async () => {
      const millis = await timed(async () => {
        await sql.unsafe("begin");
        await sql.unsafe(`truncate "${schema}".events`);
        let batch: unknown[] = [];
        for (const event of history(restored(bench))) {
          batch.push(event);
          if (batch.length < 50) continue;
          await sql.unsafe(text, [JSON.stringify(batch)], { prepare: true });
          batch = [];
        }
        await sql.unsafe("commit");
      });
      return { perSecond: (1_000 * restored(bench)) / millis };
    },
    close: () => sql.end(),
  };
}

const restore: Scenario = {
  name: "restore",
  title: "Restoring a log, event by event as the framework's driver does",
  rows: (bench) => [
    {
      id: "restore",
      label: `restore of ${restored(bench).toLocaleString("en-US")} events`,
      metric: "perSecond",
      unit: "events/s",
      better: "more",
      must: { times: 8 },
      goal: "≥ 8 ×",
      published: "2,294",
    },
  ],
  prepare: async (bench, subject) => {
    const { store } = await openFresh(bench, subject);
    return onStore(store, async () => {
      let last = 0;
      const millis = await timed(async () => {
        await store.restore?.(async (insert) => {
          for (const event of history(restored(bench))) last = await insert(event);
        });
      });
      if (last !== restored(bench)) throw new Error(`The last id was ${last}`);
      return { perSecond: (1_000 * last) / millis };
    });
  },
  floor: { note: "50-row INSERTs in one transaction, no index but two unique ones", prepare: insertFloor },
};

const TRUNCATED = 1_000;

const truncate: Scenario = {
  name: "truncate",
  title: "Closing 1,000 streams of 10 events in one call, while another stream is appended to",
  rows: () => [
    {
      id: "truncate",
      label: "truncate of 1,000 streams",
      metric: "took",
      unit: "ms",
      better: "less",
      must: { times: 8 },
      goal: "≤ ⅛",
      published: "573",
    },
    {
      id: "truncate-stall",
      label: "longest commit stall during it",
      metric: "stall",
      unit: "ms",
      better: "less",
      must: { times: 8 },
      goal: "≤ ⅛",
      published: "777",
    },
  ],
  prepare: async (bench, subject) => {
    const { store, schema } = await openFresh(bench, subject);
    let round = 0;
    return onStore(store, async () => {
      round++;
      const prefix = `t${round}-`;
      await fillEvents(bench.admin, { schema, streams: TRUNCATED, perStream: 10, prefix });
      const targets = Array.from({ length: TRUNCATED }, (_, n) => ({ stream: streamName(n, prefix) }));
      let over = false;
      let stall = 0;
      let warm = 0;
      const warmed = Promise.withResolvers<void>();
      const committing = (async () => {
        for (let turn = 0; !over; turn++) {
          const took = await timed(() => store.commit(`live-${round}`, [message(turn)], META));
          if (++warm === 20) warmed.resolve();
          if (warm > 20) stall = Math.max(stall, took);
        }
      })();
      await warmed.promise;
      const took = await timed(async () => {
        const { size } = await store.truncate(targets);
        if (size !== TRUNCATED) throw new Error(`Expected ${TRUNCATED} streams, got ${size}`);
      });
      over = true;
      await committing;
      return { took, stall };
    });
  },
};

const seed: Scenario = {
  name: "seed",
  title: "seed() on a schema that is up to date, as every worker runs it at boot",
  rows: () => [
    {
      id: "seed",
      label: "seed() on an up-to-date schema",
      metric: "p50",
      unit: "ms",
      better: "less",
      must: { atMost: 5 },
      goal: "≤ 5 ms",
      published: "25",
    },
  ],
  prepare: async (bench, subject) => {
    const { store } = await openFresh(bench, subject);
    return onStore(store, async () => {
      const durations: number[] = [];
      for (let turn = 0; turn < 20; turn++) durations.push(await timed(() => store.seed()));
      return { p50: median(durations) };
    });
  },
};

const transferred = (bench: Bench) => (bench.full ? 1_000_000 : 100_000);

const transfer: Scenario = {
  name: "transfer",
  title: "Export of a log to a compressed file and its import into an empty one, in a process of its own",
  alone: true,
  // 10⁶ events take three minutes on a quiet machine.
  minutes: 20,
  rows: (bench) => {
    const events = transferred(bench).toLocaleString("en-US");
    return [
      {
        id: "transfer",
        label: `peak memory of export and import, ${events} events`,
        metric: "rss",
        unit: "MB",
        better: "less",
        must: { atMost: 150 },
        goal: "≤ 150 MB",
      },
      {
        id: "transfer-export",
        label: `export of ${events} events`,
        metric: "exported",
        unit: "events/s",
        better: "more",
      },
      {
        id: "transfer-import",
        label: `import of ${events} events`,
        metric: "imported",
        unit: "events/s",
        better: "more",
      },
    ];
  },
  prepare: async (bench, subject) => {
    const { store, schema } = await openFresh(bench, subject);
    await fillEvents(bench.admin, {
      schema,
      streams: 1_000,
      perStream: transferred(bench) / 1_000,
      rich: true,
    });
    const folder = await mkdtemp(join(tmpdir(), "act-drizzle-transfer-"));
    return {
      run: async () => {
        const params: TransferParams = {
          url: bench.url,
          from: schema,
          into: await bench.freshSchema(),
          file: join(folder, "log.jsonl.zst"),
          events: transferred(bench),
        };
        try {
          return await runBundled<TransferResult>("jobs/transfer.ts", params);
        } finally {
          await bench.admin.unsafe(`drop schema if exists "${params.into}" cascade`);
        }
      },
      close: async () => {
        await rm(folder, { recursive: true });
        await store.dispose();
      },
    };
  },
};

export const maintenanceScenarios: readonly Scenario[] = [restore, truncate, seed, transfer];
