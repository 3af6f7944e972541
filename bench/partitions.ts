/**
 * `node bench/partitions.ts [--events N] [--parts N] [--rounds N] [--json file]`: what partitions of the log cost and
 * give. Four logs with the same events on one server, alternately: one table; ranges of ids; ranges of ids with
 * a table of their own for the unique (stream, version); hashes of the stream. Results: ADR 0022.
 */
import "./lib/quiet.ts";
import { writeFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import type postgres from "postgres";
import { PostgresStore } from "../src/index.ts";
import { closedLoop, median, percentile, timed } from "./lib/measure.ts";
import { startServer } from "./lib/server.ts";

const { values: args } = parseArgs({
  options: {
    events: { type: "string", default: "10000000" },
    parts: { type: "string", default: "10" },
    rounds: { type: "string", default: "5" },
    millis: { type: "string", default: "3000" },
    json: { type: "string" },
  },
});
const EVENTS = Number(args.events);
const PARTS = Number(args.parts);
const ROUNDS = Number(args.rounds);
const MILLIS = Number(args.millis);
/** Half of the events are of streams that live as long as the log, the other half of streams of ten events in a row. */
const LIVE = Math.max(1, Math.floor(EVENTS / 200));
const SHORT = Math.max(1, Math.floor(EVENTS / 20));
const META = { correlation: "bench", causation: {} };
const log = (line: string) => process.stderr.write(`${line}\n`);

const LAYOUTS = ["plain", "range", "range_unique", "hash"] as const;
type Layout = (typeof LAYOUTS)[number];

const INDEXES = [
  `create index on "$".events (stream text_pattern_ops, id)`,
  `create index on "$".events (stream, id) where name = '__snapshot__'`,
  `create index on "$".events (name, id)`,
  `create index on "$".events (created, id)`,
  `create index on "$".events using brin (created)`,
  `create index on "$".events ((meta ->> 'correlation'))`,
];

/** The keys that a layout can have: a unique index of a partitioned table has to contain the partition key. */
const KEYS: Readonly<Record<Layout, readonly string[]>> = {
  plain: [
    `alter table "$".events add primary key (id)`,
    `create unique index on "$".events (stream, version)`,
  ],
  range: [`alter table "$".events add primary key (id)`, `create index on "$".events (stream, version)`],
  range_unique: [
    `alter table "$".events add primary key (id)`,
    `create index on "$".events (stream, version)`,
    `create table "$".versions (stream text, version int)`,
    `insert into "$".versions select stream, version from "$".events`,
    `alter table "$".versions add primary key (stream, version)`,
    `create function "$".keep() returns trigger language plpgsql as $f$
      begin insert into "$".versions select stream, version from added; return null; end $f$`,
    `create trigger keep after insert on "$".events referencing new table as added
      for each statement execute function "$".keep()`,
  ],
  hash: [`alter table "$".events add primary key (stream, version)`, `create index on "$".events (id)`],
};

const PARTITIONED: Readonly<Record<Layout, string>> = {
  plain: "",
  range: "partition by range (id)",
  range_unique: "partition by range (id)",
  hash: "partition by hash (stream)",
};

function partitions(layout: Layout): string[] {
  if (layout === "plain") return [];
  if (layout === "hash")
    return Array.from(
      { length: PARTS },
      (_, n) =>
        `create table "hash".events_${n} partition of "hash".events for values with (modulus ${PARTS}, remainder ${n})`,
    );
  const size = Math.ceil(EVENTS / PARTS);
  // One more for what is appended, and one that is empty, as an operator would make ahead of time.
  return Array.from(
    { length: PARTS + 2 },
    (_, n) =>
      `create table "${layout}".events_${n} partition of "${layout}".events for values from (${n * size + 1}) to (${(n + 1) * size + 1})`,
  );
}

async function build(sql: postgres.Sql, layout: Layout): Promise<void> {
  await sql.unsafe(`drop schema if exists "${layout}" cascade`);
  const run = (text: string) => sql.unsafe(text.replaceAll('"$"', `"${layout}"`));
  await run(`create schema "$"`);
  await run(`create sequence "$".events_id_seq`);
  await run(`create table "$".events (id bigint not null default nextval('"$".events_id_seq'), name text not null,
    data jsonb not null, stream text not null, version int not null, created timestamptz not null default now(),
    meta jsonb not null, pii jsonb, dates jsonb, token uuid) ${PARTITIONED[layout]}`);
  await run(`alter sequence "$".events_id_seq owned by "$".events.id`);
  for (const text of partitions(layout)) await sql.unsafe(text);
  const step = 1_000_000;
  for (let from = 0; from < EVENTS; from += step)
    await run(`insert into "$".events (name, data, stream, version, created, meta, dates)
      select case when g % 1000 = 7 then 'Rare' else 'Incremented' end, jsonb_build_object('n', g),
        case when g % 2 = 0 then 'live-' || g / 2 % ${LIVE} else 'order-' || g / 20 end,
        case when g % 2 = 0 then g / 2 / ${LIVE} else g / 2 % 10 end,
        timestamptz '2026-01-01' + g * interval '10 ms', jsonb_build_object('correlation', 'c-' || g / 10, 'causation', '{}'::jsonb), '{}'
      from generate_series(${from}, ${Math.min(from + step, EVENTS) - 1}) g`);
  for (const text of [...KEYS[layout], ...INDEXES]) await run(text);
  log(`${layout}: filled`);
}

const figures = new Map<string, Partial<Record<Layout, number[]>>>();

function note(row: string, layout: Layout, value: number): void {
  const of = figures.get(row) ?? {};
  of[layout] = [...(of[layout] ?? []), value];
  figures.set(row, of);
}

const pick = (below: number) => Math.floor(Math.random() * below);

/** The median of calls one after the other, in ms. */
async function reads(calls: number, call: () => Promise<unknown>): Promise<number> {
  const took: number[] = [];
  for (let n = 0; n < calls; n++) took.push(await timed(call));
  return median(took);
}

async function appends(store: PostgresStore, layout: Layout, round: number): Promise<void> {
  for (const inFlight of [1, 32]) {
    const { latencies, seconds } = await closedLoop(inFlight, MILLIS, (caller, turn) =>
      turn % 2 === 0
        ? store.commit(`live-${pick(LIVE)}`, [{ name: "Incremented", data: { n: turn } }], META)
        : store.commit(
            `new-${round}-${inFlight}-${caller}-${turn}`,
            [{ name: "Incremented", data: { n: turn } }],
            META,
            -1,
          ),
    );
    note(`append, ${inFlight} in flight (commits/s)`, layout, latencies.length / seconds);
    note(`append, ${inFlight} in flight, p99 (ms)`, layout, percentile(latencies, 0.99));
  }
}

async function loads(store: PostgresStore, layout: Layout): Promise<void> {
  const load = (stream: string) => store.query(() => {}, { stream, stream_exact: true, with_snaps: true });
  note("load of 10 events in a row (ms)", layout, await reads(200, () => load(`order-${pick(SHORT)}`)));
  note(
    "load of 100 events all over the log (ms)",
    layout,
    await reads(100, () => load(`live-${pick(LIVE)}`)),
  );
  const after = () => pick(EVENTS - 2_000);
  const page = () => store.query(() => {}, { after: after(), limit: 100 });
  note("page of 100 of the log (ms)", layout, await reads(100, page));
  const prefix = () => store.query(() => {}, { stream: `^order-${pick(SHORT / 100)}`, limit: 100 });
  note("^prefix, 100 of about 1,000 (ms)", layout, await reads(30, prefix));
  const tail = () => store.query(() => {}, { stream: "^live-1", after: EVENTS - 1_000, limit: 100 });
  note("^prefix behind the last 1,000 (ms)", layout, await reads(50, tail));
  const names = () => store.query(() => {}, { names: ["Rare"], after: after(), limit: 10 });
  note("10 events of a rare name (ms)", layout, await reads(50, names));
  const stats = () => store.query_stats({ stream: "^live-" }, { limit: 50, count: true });
  note("query_stats of 50 streams, with count (ms)", layout, await reads(5, stats));
}

/** How many pages a statement touches, and how long it takes to plan: the same on a busy machine. */
async function costs(sql: postgres.Sql, layout: Layout): Promise<void> {
  const statements = {
    "load of 10 events in a row": (n: number) =>
      `select * from $ e where e.stream = any(array['order-${n % SHORT}']) order by e.stream using ~<~, e.id limit 2000`,
    "load of 100 events": (n: number) =>
      `select * from $ e where e.stream = any(array['live-${n % LIVE}']) order by e.stream using ~<~, e.id limit 2000`,
    "head of a stream by id": (n: number) =>
      `select version from $ e where e.stream = any(array['live-${n % LIVE}']) order by e.stream using ~>~, e.id desc limit 1`,
    "head of a new stream": (n: number) =>
      `select version from $ e where e.stream = 'new-${n}' order by e.version desc limit 1`,
    "page of 100": (n: number) => `select * from $ e where e.id > ${n % EVENTS} order by e.id limit 100`,
  };
  for (const [what, text] of Object.entries(statements))
    for (let n = 0; n < 20; n++) {
      const [row] = await sql.unsafe(
        `explain (analyze, buffers, format json) ${text(pick(EVENTS)).replace("$", `"${layout}".events`)}`,
      );
      const [plan] = row?.["QUERY PLAN"] ?? [];
      note(`${what}: pages`, layout, plan.Plan["Shared Hit Blocks"] + plan.Plan["Shared Read Blocks"]);
      note(`${what}: planning (ms)`, layout, plan["Planning Time"]);
    }
}

/** The sizes on disk. */
async function sizes(sql: postgres.Sql, layout: Layout): Promise<void> {
  const [row] = await sql<{ heap: string; indexes: string }[]>`
    select sum(pg_table_size(c.oid)) as heap, sum(pg_indexes_size(c.oid)) as indexes from pg_class c
    join pg_namespace n on n.oid = c.relnamespace where n.nspname = ${layout} and c.relkind = 'r'
      and (c.relname ~ '^events(_[0-9]+)?$' or c.relname = 'versions')`;
  note("rows (MB)", layout, Number(row?.heap) / 2 ** 20);
  note("indexes (MB)", layout, Number(row?.indexes) / 2 ** 20);
}

/** The oldest part goes: by DELETE and VACUUM from one table, by DETACH from ranges. */
async function retire(sql: postgres.Sql, store: PostgresStore, layout: Layout): Promise<void> {
  if (layout === "hash") return;
  let over = false;
  let stall = 0;
  const committing = (async () => {
    for (let turn = 0; !over; turn++) {
      const took = await timed(() => store.commit("stall", [{ name: "E", data: { turn } }], META));
      stall = Math.max(stall, took);
    }
  })();
  const size = Math.ceil(EVENTS / PARTS);
  const name = "retire the oldest range";
  if (layout === "plain") {
    note(
      `${name}: DELETE, or DETACH and DROP (ms)`,
      layout,
      await timed(() => sql.unsafe(`delete from "plain".events where id <= ${size}`)),
    );
    note(`${name}: VACUUM afterwards (ms)`, layout, await timed(() => sql.unsafe(`vacuum "plain".events`)));
  } else {
    const took = await timed(async () => {
      await sql.unsafe(`alter table "${layout}".events detach partition "${layout}".events_0 concurrently`);
      await sql.unsafe(`drop table "${layout}".events_0`);
    });
    note(`${name}: DELETE, or DETACH and DROP (ms)`, layout, took);
    if (layout === "range_unique")
      note(
        `${name}: VACUUM afterwards (ms)`,
        layout,
        await timed(async () => {
          await sql.unsafe(`delete from "range_unique".versions v where not exists
          (select from "range_unique".events e where e.stream = v.stream and e.version = v.version)`);
          await sql.unsafe(`vacuum "range_unique".versions`);
        }),
      );
  }
  over = true;
  await committing;
  note(`${name}: longest commit meanwhile (ms)`, layout, stall);
}

async function main(): Promise<void> {
  const server = await startServer(log);
  const { admin, url } = server;
  const stores = new Map<Layout, PostgresStore>();
  try {
    // Else the fill is a series of checkpoints.
    for (const setting of ["max_wal_size = '8GB'", "maintenance_work_mem = '512MB'"])
      await admin.unsafe(`alter system set ${setting}`);
    await admin.unsafe("select pg_reload_conf()");
    for (const layout of LAYOUTS) {
      const took = await timed(() => build(admin, layout));
      note("fill and index (s)", layout, took / 1_000);
      note(
        "VACUUM ANALYZE of the new log (s)",
        layout,
        (await timed(() => admin.unsafe(`vacuum (analyze) "${layout}".events`))) / 1_000,
      );
      stores.set(layout, new PostgresStore({ url, schema: layout }));
    }
    await admin.unsafe("checkpoint");
    for (const layout of LAYOUTS) {
      await sizes(admin, layout);
      await costs(admin, layout);
    }
    for (let round = 0; round < ROUNDS; round++)
      for (const [layout, store] of stores) {
        await loads(store, layout);
        await appends(store, layout, round);
        log(`round ${round + 1} of ${ROUNDS}: ${layout}`);
      }
    for (const layout of stores.keys())
      note(
        "VACUUM after the appends (ms)",
        layout,
        await timed(() => admin.unsafe(`vacuum "${layout}".events`)),
      );
    for (const [layout, store] of stores) await retire(admin, store, layout);
  } finally {
    for (const store of stores.values()) await store.dispose();
    await server.stop();
  }

  const table = [...figures].map(([row, of]) => ({
    row,
    ...Object.fromEntries(LAYOUTS.map((layout) => [layout, of[layout] ? median(of[layout]) : undefined])),
  }));
  console.table(
    Object.fromEntries(
      table.map(({ row, ...of }) => [
        row,
        Object.fromEntries(
          Object.entries(of).map(([layout, value]) => [
            layout,
            value === undefined ? "" : Number(Number(value).toPrecision(3)),
          ]),
        ),
      ]),
    ),
  );
  if (args.json)
    await writeFile(
      args.json,
      `${JSON.stringify({ about: server.about, events: EVENTS, parts: PARTS, table }, null, 2)}\n`,
    );
}

await main().catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
