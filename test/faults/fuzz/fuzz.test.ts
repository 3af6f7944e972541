/**
 * Hostile values in every place of every verb: each call is answered or refused with an error of the contract, and
 * the store is whole afterwards. `SEED=… CALLS=… npx vitest run test/faults/fuzz` repeats a run, `BATCH=n` its nth thousand
 * alone. What the answers are is not compared here: test/model does.
 */
import { ConcurrencyError, StoreError, ValidationError } from "@rotorsoft/act";
import fc from "fast-check";
import { expect, onTestFinished, test } from "vitest";
import type { PostgresStore } from "../../../src/index.ts";
import { contents, fill, outcomeOf, shown } from "../../input/log.ts";
import { slots } from "../../input/slots.ts";
import { seedOfRun } from "../../model/property.ts";
import { event, meta, useDatabase } from "../../postgres/fixture.ts";
import { record } from "../kit/report.ts";
import { LONG, scale } from "../kit/scale.ts";
import { type Call, call } from "./values.ts";

const fixture = useDatabase();
const CALLS = Number(process.env.CALLS ?? scale(3_000, 1_000_000));
const BATCH = 1_000;
const IN_FLIGHT = 24;
/** A call that is not settled by then hangs. */
const DEADLINE = 30_000;

const isTyped = (error: unknown): boolean =>
  error instanceof ValidationError ||
  error instanceof ConcurrencyError ||
  (error instanceof StoreError && error.cause instanceof Error && !(error.cause instanceof StoreError));

/** What is wrong with a call's end, or undefined; and how it ended. */
async function run(
  store: PostgresStore,
  { slot, value }: Call,
): Promise<{ ended: string; wrong?: string; refused?: string }> {
  const place = slots[slot];
  if (!place) return { ended: "no such place" };
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<{ value: string }>((resolve) => {
    timer = setTimeout(() => resolve({ value: "did not settle" }), DEADLINE);
  });
  const outcome = await Promise.race([outcomeOf(() => place.call(store, value as never)), late]);
  clearTimeout(timer);
  const told = (what: unknown) =>
    `${place.verb}, ${place.path}: ${fc.stringify(value).slice(0, 300)} -> ${what}`;
  if ("value" in outcome) {
    const bad = typeof outcome.value === "string" && /^(thrown|did not)/.test(outcome.value);
    return bad ? { ended: "bad", wrong: told(outcome.value) } : { ended: "answered" };
  }
  const { error } = outcome;
  if (!isTyped(error))
    return { ended: "bad", wrong: told(error instanceof Error ? error.stack : shown(error)) };
  if (!(error instanceof StoreError)) return { ended: (error as Error).name };
  const code = error.cause instanceof Error && "code" in error.cause ? String(error.cause.code) : "";
  return { ended: `${error.name} ${code}`, refused: told(error.cause) };
}

/** Nothing may be broken, whatever was asked: read by the store and behind its back. */
async function whole(store: PostgresStore): Promise<void> {
  const { schema, table } = store.config;
  const name = `"${schema}"."${table}"`;
  const [row] = await fixture.sql.unsafe(`
    select (select count(*)::int from ${name}) as events,
      (select count(*)::int from (select distinct stream, version from ${name}) d) as places,
      (select count(*)::int from ${name} where id < 1 or version < 0 and version is null or created is null) as odd,
      (select coalesce(max(id), 0) <= (select last_value from "${schema}"."${table}_id_seq") from ${name}) as sequence_ahead,
      (select count(*)::int from "${schema}"."${table}_streams") as streams,
      (select count(*)::int from "${schema}"."${table}_streams" where retry < -1 or lane is null or priority is null) as odd_streams,
      (select coalesce(bool_and(c.at <= s.at), true) from "${schema}"."${table}_correlated" c
        left join "${schema}"."${table}_correlated" s on s.key = '') as checkpoints`);
  expect(row).toMatchObject({
    places: row?.events,
    odd: 0,
    sequence_ahead: true,
    odd_streams: 0,
    checkpoints: true,
  });
  let ids = -1;
  let rising = true;
  const found = await store.query(({ id }) => {
    rising &&= id > ids;
    ids = id;
  });
  expect({ found, rising }).toEqual({ found: row?.events, rising: true });
  const { count } = await store.query_streams(() => {}, { limit: 1_000_000 });
  expect(count).toBe(row?.streams);
  const fresh = `fresh-${performance.now()}`;
  expect(await store.commit(fresh, [event()], meta, -1)).toMatchObject([{ version: 0, stream: fresh }]);
  expect(await contents(fixture, store)).toContain(fresh);
}

test(
  `${CALLS} calls with hostile values end in an answer or a typed error, and nothing is damaged`,
  async () => {
    const seed = seedOfRun();
    const only = process.env.BATCH === undefined ? undefined : Number(process.env.BATCH);
    const unhandled: unknown[] = [];
    const note = (error: unknown) => void unhandled.push(error);
    process.on("unhandledRejection", note).on("uncaughtException", note);
    onTestFinished(() => void process.off("unhandledRejection", note).off("uncaughtException", note));
    const limits = { max: 8, statement_timeout: 5_000 };
    const key = new Uint8Array(32).fill(7);
    const stores = [
      await fixture.seeded(limits),
      await fixture.seeded({ ...limits, notify: true, dates: "revive", pii_encryption: { key } }),
    ];
    for (const store of stores) await fill(store);
    const ended = new Map<string, number>();
    const wrong: string[] = [];
    const start = performance.now();
    const batches = Math.ceil(CALLS / BATCH);
    for (let batch = 0; batch < batches && wrong.length === 0; batch++) {
      if (only !== undefined && batch !== only) continue;
      const calls = fc.sample(call, { numRuns: Math.min(BATCH, CALLS - batch * BATCH), seed: seed + batch });
      const next = calls.entries();
      const worker = async () => {
        for (const [k, one] of next) {
          const store = stores[k % stores.length];
          if (!store) continue;
          const { ended: how, wrong: what, refused } = await run(store, one);
          // The server's own refusals are rare enough to be looked at.
          if (refused && !ended.has(how)) console.log(refused);
          ended.set(how, (ended.get(how) ?? 0) + 1);
          if (what) wrong.push(`SEED=${seed} BATCH=${batch}, call ${k}: ${what}`);
        }
      };
      await Promise.all(Array.from({ length: IN_FLIGHT }, worker));
      if (batch % 50 === 49 || batch === batches - 1) for (const store of stores) await whole(store);
    }
    const seconds = (performance.now() - start) / 1_000;
    const total = [...ended.values()].reduce((sum, n) => sum + n, 0);
    console.log(
      `SEED=${seed}: ${total} calls, ${Math.round(total / seconds)} per second; ${JSON.stringify(Object.fromEntries([...ended].sort((a, b) => b[1] - a[1])))}`,
    );
    expect(wrong).toEqual([]);
    expect(unhandled).toEqual([]);
    const told = { acknowledged: 0, failed: 0, unknown: 0, lost: 0, duplicated: 0, longestOutageMs: 0 };
    record({
      item: 12,
      fault: "hostile values in all verbs",
      load: `${total} calls, ${IN_FLIGHT} at a time`,
      seconds: Math.round(seconds),
      injected: total,
      ...told,
    });
  },
  LONG ? 3_600_000 : 120_000,
);
