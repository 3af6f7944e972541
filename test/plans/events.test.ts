/**
 * Plans of the verbs that read and write the log, on 500,000 events in 100,000 streams; with the statistics
 * of a log that had a thousand events when it was last analyzed, with none, and with new ones.
 */
import type { Query } from "@rotorsoft/act";
import { beforeAll, describe, test } from "vitest";
import type { PostgresStore } from "../../src/index.ts";
import { type Bounds, expectWithin } from "./cost.ts";
import { mayExplain, usePlans } from "./fixture.ts";

const TABLE = "log";
const STREAMS = 100_000;
const ORDERS = 490_000;
/** One stream is long, with a snapshot after every thousand events. */
const LEDGER = 10_050;

const reason = (await mayExplain()) ? "" : " [skipped: auto_explain needs a superuser]";
/** Either finds the events of a stream, where their order is left open. */
const byStream = ["stream_id_ix", "stream_ix"];

/** One event a minute. Made in this order, as the log is. */
const START = Date.UTC(2026, 0, 1);
const created = (n: number) => new Date(START + n * 60_000);
/** Streams and a name that are no longer written. */
const OLD = 5_000;

const meta = { correlation: "plans", causation: {} };
const order = (n: number) => `order-${String(n).padStart(6, "0")}`;

describe.skipIf(reason !== "")(`events${reason}`, () => {
  const plans = usePlans();
  let store: PostgresStore;

  const into = () => `insert into ${plans.named(TABLE)} (stream, version, name, data, meta, created)`;
  const at = (g: string) => `timestamptz '2026-01-01Z' + ${g} * interval '1 minute'`;
  const orders = (from: number, to: number) => `${into()}
    select 'order-' || lpad((g % ${STREAMS})::text, 6, '0'), g / ${STREAMS},
      (array['Placed', 'Paid', 'Packed', 'Shipped'])[g * 7 % 4 + 1],
      jsonb_build_object('n', g), jsonb_build_object('correlation', 'c-' || g / 5, 'causation', '{}'::jsonb), ${at("g")}
    from generate_series(${from}, ${to}) g`;
  const ledger = () => `${into()}
    select 'ledger', g, case when g % 1000 = 999 then '__snapshot__' else 'Booked' end,
      jsonb_build_object('n', g), '{"correlation": "l", "causation": {}}', ${at(String(ORDERS / 2))}
    from generate_series(0, ${LEDGER - 1}) g`;

  const old = () => `${into()}
    select 'old:' || g, 0, 'Gone', '{}', '{"correlation": "o", "causation": {}}', ${at("1000")}
    from generate_series(1, ${OLD}) g`;

  beforeAll(async () => {
    const half = ORDERS / 2;
    const fill = [old(), orders(1_000, half), ledger(), orders(half + 1, ORDERS - 1)];
    store = await plans.filled(TABLE, [orders(0, 999)], fill);
  });

  for (const statistics of ["old", "none", "new"] as const) {
    describe(`${statistics} statistics`, () => {
      beforeAll(() => plans.have(statistics, store));
      /** Without statistics the planner may take a bitmap of the rows, and each is counted as an entry and as a row. */
      const twice = statistics === "none" ? 2 : 1;

      const within = async (run: (n: number) => Promise<unknown>, bounds: Bounds) =>
        expectWithin(await plans.costs(store, run), bounds);
      const read = (query: Query, bounds: Bounds) => within(() => store.query(() => {}, query), bounds);

      test("a load starts at the snapshot", () =>
        read(
          { stream: "ledger", stream_exact: true, with_snaps: true },
          { indexes: ["snapshot_ix", "stream_id_ix"], rows: 60 * twice, pages: 30 },
        ));

      test("a load without a snapshot reads its stream", () =>
        read(
          { stream: order(50_000), stream_exact: true, with_snaps: true },
          { indexes: ["snapshot_ix", "stream_id_ix"], rows: 8, pages: 30 },
        ));

      test("a load with a cache asks for what is new", () =>
        read(
          { stream: "ledger", stream_exact: true, with_snaps: true, after: 260_040 },
          { indexes: ["stream_id_ix"], rows: 30, pages: 20 },
        ));

      test("a drain's fetch reads the events it returns, in the middle of a long stream too", async () => {
        const bounds = { indexes: ["stream_id_ix"], rows: 12, pages: 30 };
        await read({ stream: order(50_000), stream_exact: true, after: 100_000, limit: 10 }, bounds);
        await read({ stream: "ledger", stream_exact: true, after: 255_000, limit: 10 }, bounds);
      });

      test("a fetch without a source, and a correlator's scan, read as many events as they ask for", async () => {
        const bounds = { indexes: ["pkey"], rows: 12, pages: 20 };
        await read({ after: 100_000, limit: 10 }, bounds);
        await read({ after: 100_000, limit: 100 }, { ...bounds, rows: 102 });
        await read({ backward: true, limit: 1 }, { ...bounds, rows: 1 });
      });

      test("^literal$ reads its stream", () =>
        read({ stream: `^${order(50_000)}$` }, { indexes: ["stream_id_ix"], rows: 5 * twice, pages: 20 }));

      test("an event's correlation is looked up, with and without a limit", async () => {
        const bounds = { indexes: ["correlation_ix", "pkey"], rows: 12, pages: 40 };
        await read({ correlation: "c-500" }, bounds);
        await read({ correlation: "c-500", limit: 10 }, bounds);
        await read({ correlation: "c-500", limit: 10, backward: true }, bounds);
        await read({ correlation: "absent", limit: 1 }, { ...bounds, rows: 0, pages: 10 });
      });

      test("a narrow prefix reads its range, with and without a limit", async () => {
        const bounds = { indexes: ["stream_id_ix", "pkey"], rows: 200, pages: 300 };
        await read({ stream: "^order-09999" }, bounds);
        await read({ stream: "^order-09999", after: 100_000, limit: 10 }, bounds);
        await read({ stream: "^order-09999", backward: true, limit: 1 }, bounds);
      });

      test("a wide prefix reads its page in order of id, also when it has caught up", async () => {
        const bounds = { indexes: ["stream_id_ix", "pkey"], rows: 2_100, pages: 2_500 };
        await read({ stream: "^order-", after: 100_000, limit: 10 }, bounds);
        await read({ stream: "^order-", after: 499_000, limit: 10 }, bounds);
        await read({ stream: "^order-", backward: true, limit: 1 }, bounds);
      });

      test("a prefix of thousands that ended long ago is found by its index, with what follows it too", async () => {
        // 301 entries, 500 events, and then the 5,000 entries, but not the log of 500,000.
        const bounds = { indexes: ["stream_id_ix", "pkey"], rows: 12_000, pages: 6_500 };
        await read({ stream: "^old:", backward: true, limit: 10 }, bounds);
        await read({ stream: "^old:.*$", backward: true, limit: 10 }, bounds);
        await read({ stream: "^old:[0-9]+$", after: 20_000, limit: 10 }, bounds);
      });

      test("a wide prefix with another filter reads no more entries than the second step may", async () => {
        // 301 entries, 500 events, and 20,001 entries; then the entries of the name, or of the day, one by one. Before VACUUM
        // each entry costs a look at the table.
        const bounds = { rows: 23_000, pages: statistics === "new" ? 900 : 22_000 };
        await read(
          { stream: "^order-", names: ["Absent"], limit: 10 },
          { ...bounds, indexes: ["name_id_ix", "stream_id_ix", "pkey"] },
        );
        const window = { created_after: created(300_000), created_before: created(301_440) };
        await read(
          { stream: "^order-", ...window, limit: 10 },
          { ...bounds, indexes: ["created_id_ix", "stream_id_ix", "pkey"] },
        );
        await read(
          { stream: "^order-", correlation: "c-500", limit: 10 },
          { indexes: ["correlation_ix", "stream_id_ix", "pkey"], rows: 20, pages: 60 },
        );
      });

      test("a bound on one side of created reads what lies on that side, up to the second step's limit", async () => {
        const bounds = { indexes: ["created_id_ix", "pkey"], rows: 3_000, pages: 1_500 };
        await read({ created_before: created(1_500), after: 300_000, limit: 10 }, { ...bounds, rows: 8_000 });
        await read({ created_before: created(1_500), backward: true, limit: 10 }, { ...bounds, rows: 8_000 });
        await read({ created_after: created(488_500), limit: 10 }, bounds);
      });

      test("names and a range of ids read the names in order", () =>
        read(
          { names: ["Placed"], after: 20_000, before: 480_000, limit: 1_000 },
          { indexes: ["name_id_ix"], rows: 1_100, pages: 1_300 },
        ));

      test("a quiet stream with another filter reads that stream", async () => {
        const bounds = { rows: 60, pages: 60 };
        const quiet = { stream: order(50_000), stream_exact: true };
        const within = { ...bounds, indexes: [byStream, "name_id_ix", "pkey"] };
        await read({ ...quiet, names: ["Placed"], limit: 10 }, within);
        await read({ ...quiet, names: ["Placed", "Paid"] }, within);
        await read(
          { ...quiet, correlation: "l", limit: 10 },
          { ...bounds, indexes: [byStream, "correlation_ix", "pkey"] },
        );
      });

      test("a busy stream with another filter reads up to the page's end, or the few entries of the filter", async () => {
        const busy = { stream: "ledger", stream_exact: true };
        const byName = { indexes: ["stream_id_ix", "name_id_ix", "pkey"], rows: 30, pages: 30 };
        await read({ ...busy, names: ["Booked"], limit: 10 }, byName);
        await read({ ...busy, names: ["Booked"], backward: true, limit: 10 }, byName);
        // The next 500, and then on until the page is full.
        await read({ ...busy, names: ["Booked"], limit: 100 }, { ...byName, rows: 700, pages: 100 });
        // The next 1,000 twice, and no entry of the name.
        await read({ ...busy, names: ["Absent"], limit: 10 }, { ...byName, rows: 2_100, pages: 150 });
        const byCorrelation = { indexes: ["stream_id_ix", "correlation_ix", "pkey"], rows: 30, pages: 40 };
        await read({ ...busy, correlation: "l", limit: 10 }, byCorrelation);
        await read({ ...busy, correlation: "l", after: 255_000, limit: 10 }, byCorrelation);
        await read(
          { ...busy, correlation: "c-77", limit: 10 },
          { ...byCorrelation, rows: 2_100, pages: 150 },
        );
        await read(
          { ...busy, names: ["__snapshot__"], with_snaps: true, backward: true },
          { indexes: ["snapshot_ix"], rows: 20, pages: 30 },
        );
      });

      test("every page of a busy stream reads what it returns", () =>
        read(
          { stream: "ledger", stream_exact: true },
          { indexes: ["stream_id_ix"], rows: 2_100, pages: 150 },
        ));

      test("a name that nobody uses any more costs nothing, forward, backward and among others", async () => {
        const bounds = { indexes: ["name_id_ix"], rows: 10, pages: 30 };
        await read({ names: ["Absent"], limit: 10 }, { ...bounds, rows: 0 });
        await read({ names: ["Gone"], after: 20_000, limit: 10 }, { ...bounds, rows: 0 });
        await read({ names: ["Gone"], backward: true, limit: 10 }, bounds);
        await read(
          { names: ["Gone", "Absent"], backward: true, limit: 10 },
          {
            indexes: ["name_id_ix", "pkey"],
            rows: 20,
            pages: 80,
          },
        );
        await read(
          { names: ["Placed", "Paid", "Gone"], after: 20_000, limit: 10 },
          {
            indexes: ["name_id_ix", "pkey"],
            rows: 60,
            pages: 150,
          },
        );
      });

      test("a created window reads what is in it, forward and backward", async () => {
        const bounds = { indexes: ["created_id_ix", "pkey"], rows: 1_000, pages: 1_000 };
        const [day, next] = [created(300_000), created(301_440)];
        await read({ created_after: created(489_900), limit: 10 }, bounds);
        await read({ created_before: created(100), backward: true, limit: 10 }, bounds);
        await read({ created_after: created(600_000), limit: 10 }, { ...bounds, rows: 0, pages: 10 });
        // A day: 301 entries, 500 events, then its 1,440 entries.
        const window = { created_after: day, created_before: next };
        await read({ ...window, backward: true, limit: 10 }, { ...bounds, rows: 2_400, pages: 1_100 });
        await read({ ...window, limit: 10 }, { ...bounds, rows: 2_400, pages: 1_100 });
      });

      test("the last page of a window, or of a prefix, that ends in the middle of the log is not looked for behind it", async () => {
        // The next 16,000 events, whether there are more, and then the entries of the index; the log has 500,000 events.
        const bounds = { rows: 50_000, pages: 9_000 };
        const window = { created_after: created(300_000), created_before: created(302_500) };
        await read(window, { ...bounds, indexes: ["created_id_ix", "pkey"] });
        await read({ ...window, backward: true }, { ...bounds, indexes: ["created_id_ix", "pkey"] });
        await read({ stream: "^old:", after: 1_500 }, { ...bounds, indexes: ["stream_id_ix", "pkey"] });
      });

      test("a page of heads reads two rows for each stream on it", async () => {
        const bounds = { indexes: ["stream_id_ix"], rows: 110, pages: 600 };
        await within(() => store.query_stats({}, { limit: 50, after: order(50_000) }), bounds);
        await within(() => store.query_stats({ stream: "^order-0500" }, { limit: 50 }), bounds);
      });

      test("a page of counts, names and tails reads the events of the streams on it", () =>
        within(
          () =>
            store.query_stats({}, { limit: 50, after: order(50_000), count: true, names: true, tail: true }),
          {
            indexes: [byStream],
            rows: 500 * twice,
            pages: 1_500,
          },
        ));

      test("heads of named streams are one look-up each", () =>
        within(() => store.query_stats([order(1), "ledger", "absent"], { exclude: ["__snapshot__"] }), {
          indexes: ["stream_id_ix"],
          rows: 4,
          pages: 40,
        }));

      test("heads of quiet streams are not looked for in the log of the busy ones", () =>
        within(() => store.query_stats(["absent", "ledger", "none"], { tail: true }), {
          indexes: ["stream_id_ix"],
          rows: 4,
          pages: 40,
        }));

      test("heads before an id are found without a walk from the end of their streams", () =>
        within(() => store.query_stats(["ledger", order(50_000)], { before: 247_000, tail: true }), {
          indexes: ["stream_id_ix"],
          rows: 4,
          pages: 40,
        }));

      test("a commit reads the head of its stream, guarded or not", async () => {
        const bounds = { indexes: ["pkey", "stream_id_ix", "stream_ix"], rows: 4, pages: 120 };
        const version = { old: 4, none: 5, new: 6 }[statistics];
        const message = [{ name: "Placed", data: {} }];
        await within((n) => store.commit(`${statistics}-${n}`, message, meta), bounds);
        await within((n) => store.commit(order(n), message, meta, version), bounds);
      });

      test("truncate and forget_pii read their stream", async () => {
        const digit = { old: 1, none: 2, new: 3 }[statistics];
        await within((n) => store.truncate([{ stream: order(70_000 + 10 * n + digit) }]), {
          // Once to delete, and once to see whether a trigger keeps some of them.
          indexes: ["pkey", byStream],
          rows: 20,
          pages: 150,
        });
        await within(() => store.forget_pii(order(50_000)), {
          // The newest id of the log, too.
          indexes: ["pkey", byStream],
          rows: 5 * twice + 1,
          pages: 20,
        });
      });
    });
  }
});
