/**
 * Plans on a log that act-pg's last layout had before: its indexes of the store's names had other columns and
 * conditions, with which a page of query_stats took 2,029 ms on this log, and a ^prefix 23 ms.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { PostgresStore } from "../../src/index.ts";
import { createHistoric, historicLayouts } from "../migrations/act-pg-history.ts";
import { type Bounds, expectWithin } from "./cost.ts";
import { mayExplain, usePlans } from "./fixture.ts";

const EVENTS = 200_000;
const STREAMS = 20_000;
const TABLE = "adopted";
const reason = (await mayExplain()) ? "" : " [skipped: auto_explain needs a superuser]";

describe.skipIf(reason !== "")(`an adopted log${reason}`, () => {
  const plans = usePlans();
  let store: PostgresStore;

  beforeAll(async () => {
    const { url, schema } = plans.database;
    const layout = historicLayouts.at(-1);
    if (!layout) throw new Error("there are layouts");
    await createHistoric(plans.sql, { url, schema, table: TABLE }, layout);
    await plans.sql.unsafe(`insert into ${plans.named(TABLE)} (stream, version, name, data, meta)
      select 'order-' || lpad((g % ${STREAMS})::text, 6, '0'), g / ${STREAMS}, 'Placed', jsonb_build_object('n', g),
        jsonb_build_object('correlation', 'c-' || g / 5, 'causation', '{}'::jsonb)
      from generate_series(0, ${EVENTS - 1}) g`);
    await plans.sql.unsafe(`insert into ${plans.named(`${TABLE}_streams`)} (stream, at)
      select 'target-' || g, g from generate_series(1, ${STREAMS}) g`);
    await plans.sql.unsafe(`analyze ${plans.named(TABLE)}, ${plans.named(`${TABLE}_streams`)}`);
    store = new PostgresStore({
      ...plans.parts,
      host: "127.0.0.1",
      port: plans.tap.port,
      table: TABLE,
      max: 2,
    });
    await store.seed();
  }, 180_000);
  afterAll(() => store?.dispose());

  const within = async (run: (n: number) => Promise<unknown>, bounds: Bounds) =>
    expectWithin(await plans.costs(store, run), bounds);

  test("a page of query_stats walks the streams, not the events", () =>
    within(() => store.query_stats({}, { limit: 50 }), {
      indexes: ["stream_id_ix"],
      rows: 500,
      pages: 500,
    }));

  // A hundred events: their ids come from the index, and each is then found by its id.
  test("a ^prefix is a range of the index", () =>
    within((n) => store.query(() => {}, { stream: `^order-00${String(100 + n)}` }), {
      indexes: ["stream_id_ix", "pkey"],
      rows: 400,
      pages: 600,
    }));

  test("every stream is counted within the limit of a statement", async () => {
    expect((await store.query_stats({})).size).toBe(STREAMS + 6);
  });

  test("max(at), which subscribe answers, is one look at an index", () =>
    within(() => store.subscribe([]), { indexes: ["streams_at_ix", "correlated_pkey"], rows: 5, pages: 10 }));
});
