/** The read models of worker.ts: sums that show an event which was applied twice or not at all, to the unit. */

import { bigint, integer, pgTable, text } from "drizzle-orm/pg-core";
import type postgres from "postgres";
import type { PostgresStore } from "../../../src/index.ts";

/** One target for all, a target per stream, batches, folded state. */
export const PREFIXES = { one: "one", each: "each", batch: "batch", state: "state" } as const;

export const counters = pgTable("counters", {
  stream: text("stream").primaryKey(),
  total: integer("total").notNull(),
  events: integer("events").notNull(),
});
export const folds = pgTable("folds", {
  stream: text("stream").primaryKey(),
  balance: integer("balance").notNull(),
  version: integer("version").notNull(),
  event_id: bigint("event_id", { mode: "number" }).notNull(),
});

export type Difference = { readonly model: string; readonly stream: string; readonly told: string };

export type Differences = {
  readonly events: number;
  readonly found: Difference[];
  /** Events that are missing in a counter, and that are in one too often. */
  readonly lost: number;
  readonly duplicated: number;
};

/** Where the read models are not what the log says: nowhere. */
export async function differences(
  log: postgres.Sql,
  { config }: PostgresStore,
  models: postgres.Sql,
): Promise<Differences> {
  const events = log`${log(config.schema)}.${log(config.table)}`;
  const truth = await log<{ stream: string; total: number; events: number; version: number; id: number }[]>`
    select stream, sum((data ->> 'amount')::int)::int as total, count(*)::int as events,
      max(version)::int as version, max(id)::int as id
    from ${events} where name = 'Deposited' group by stream`;
  const counted = await models<{ stream: string; total: number; events: number }[]>`
    select stream, total, events from counters`;
  const folded = await models<{ stream: string; balance: number; version: number; event_id: number }[]>`
    select stream, balance, version, event_id::int from folds`;
  const byStream = new Map(counted.map((row) => [row.stream, row]));
  const byFold = new Map(folded.map((row) => [row.stream, row]));
  const found: Difference[] = [];
  let lost = 0;
  let duplicated = 0;
  const expectEqual = (model: string, stream: string, is: string, mustBe: string) => {
    if (is !== mustBe) found.push({ model, stream, told: `${is} instead of ${mustBe}` });
  };
  for (const { stream, total, events: count, version, id } of truth) {
    for (const model of [PREFIXES.one, PREFIXES.each, PREFIXES.batch]) {
      const row = byStream.get(`${model}:${stream}`);
      lost += Math.max(0, count - (row?.events ?? 0));
      duplicated += Math.max(0, (row?.events ?? 0) - count);
      expectEqual(model, stream, `${row?.total} in ${row?.events}`, `${total} in ${count}`);
    }
    const fold = byFold.get(stream);
    expectEqual(
      "state",
      stream,
      `${fold?.balance} @${fold?.version} #${fold?.event_id}`,
      `${total} @${version} #${id}`,
    );
  }
  expectEqual(
    "rows",
    "all",
    `${byStream.size} and ${byFold.size}`,
    `${3 * truth.length} and ${truth.length}`,
  );
  return { events: truth.reduce((sum, row) => sum + row.events, 0), found, lost, duplicated };
}
