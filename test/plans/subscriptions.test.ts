/**
 * Plans of the subscription verbs on 100,000 subscriptions, with 0, 10 and all of them pending, and with all of them
 * deferred and due; with the statistics of a table that was small and idle when it was last analyzed, with none, and
 * with new ones.
 */
import { beforeAll, describe, expect, test } from "vitest";
import { Admin, type SubscriptionsOptions } from "../../src/admin/index.ts";
import type { PostgresStore } from "../../src/index.ts";
import { type Bounds, costOf, expectWithin } from "./cost.ts";
import { mayExplain, usePlans } from "./fixture.ts";

const COUNT = 100_000;
const PENDING = { none: 0, ten: 10, all: COUNT, due: COUNT, later: COUNT } as const;
type Pending = keyof typeof PENDING;
const pendings: readonly Pending[] = ["none", "ten", "all", "due", "later"];
/** When what is deferred is due. */
const DEFERRED: Partial<Record<Pending, string>> = {
  due: "now() - interval '1 minute'",
  later: "now() + interval '1 day'",
};

/** Either finds a subscription by its name. */
const byName = ["streams_order_ix", "streams_pkey"];

/** Either reads the schedule; which one depends on the lane. */
const due = ["streams_due_ix", "streams_lane_due_ix"];

const name = (n: number) => `sub-${String(n).padStart(6, "0")}`;
const range = (count: number) => Array.from({ length: count }, (_, n) => n);

const reason = (await mayExplain()) ? "" : " [skipped: auto_explain needs a superuser]";

describe.skipIf(reason !== "")(`subscriptions${reason}`, () => {
  const plans = usePlans();
  const stores = new Map<Pending, PostgresStore>();

  let many: PostgresStore | undefined;

  const of = (pending: Pending): PostgresStore => {
    const store = stores.get(pending);
    if (!store) throw new Error(`No store with ${pending} pending`);
    return store;
  };

  /** Subscriptions in four lanes, scattered over the pages, so many of COUNT behind their marks. */
  const insert = (table: string, from: number, count: number, pending: number, at = "null") => `
    insert into ${plans.named(`${table}_streams`)} (stream, source, at, priority, lane, correlated_at, deferred_at)
    select 'sub-' || lpad(n::text, 6, '0'), 'src-' || n, n, n % 3, (array['default', 'a', 'b', 'c'])[n % 4 + 1],
      n + case when ${pending} > 0 and n % ${COUNT / Math.max(1, pending)} = 0 then 5 else 0 end, ${at}
    from (select ${from} + g * 7919 % ${count} as n from generate_series(0, ${count - 1}) g) numbers`;

  beforeAll(async () => {
    for (const pending of pendings) {
      const table = `subs_${pending}`;
      const log = `
        insert into ${plans.named(table)} (stream, version, name, data, meta)
        select 's', g, 'Tested', '{}', '{}' from generate_series(0, 4999) g`;
      // ANALYZE reads every row: from a sample the bounds of its histogram fall elsewhere each time, and a prefix
      // that holds one by chance is taken for a hundredth of the table, for which a scan is the right plan.
      const exact = `alter table ${plans.named(`${table}_streams`)} alter column stream set statistics 400`;
      const before = [exact, insert(table, COUNT, 100, 0)];
      // Not by an UPDATE: while anything on the server still sees the rows as they were, indexes take these in, too.
      const fill = [log, insert(table, 0, COUNT, PENDING[pending], DEFERRED[pending])];
      stores.set(pending, await plans.filled(table, before, fill));
    }
    const idle = (from: number, count: number) => `
      insert into ${plans.named("many_streams")} (stream, at, correlated_at)
      select 'sub-' || lpad(n::text, 6, '0'), n, n from generate_series(${from}, ${from + count - 1}) n`;
    many = await plans.filled("many", [idle(0, 100)], [idle(100, 49_900)]);
  });

  for (const statistics of ["old", "none", "new"] as const) {
    describe(`${statistics} statistics`, () => {
      beforeAll(async () => {
        for (const store of stores.values()) await plans.have(statistics, store);
      });

      const within = async (
        store: PostgresStore,
        run: (store: PostgresStore, n: number) => Promise<unknown>,
        bounds: Bounds,
      ) => expectWithin(await plans.costs(store, (n) => run(store, n)), bounds);

      const claims = async (pending: Pending, indexes: Bounds["indexes"], lane?: string) => {
        // Ten leases: each row is found once and updated once, or sorted among the other arm's. Of what is due 320
        // are looked at.
        const limits = {
          none: { rows: 0, pages: 20 },
          ten: { rows: 40, pages: 250 },
          all: { rows: 40, pages: 250 },
          due: { rows: 400, pages: 800 },
          later: { rows: 0, pages: 20 },
        }[pending];
        // Without statistics a lane is taken for a two-hundredth of the table, and all that is due in it is sorted.
        if (pending === "due" && lane && statistics === "none")
          Object.assign(limits, { rows: 51_000, pages: 4_000 });
        await within(of(pending), (store) => store.claim(5, 5, "w", 0, lane), { indexes, ...limits });
      };

      for (const pending of ["none", "ten", "all"] as const) {
        test(`claim with ${PENDING[pending]} pending`, () =>
          claims(pending, [due, "streams_fair_ix", byName, "streams_prio_ix"]));

        test(`claim in a lane with ${PENDING[pending]} pending`, () =>
          claims(
            pending,
            ["streams_lane_due_ix", "streams_lane_fair_ix", byName, "streams_lane_prio_ix"],
            "default",
          ));
      }

      for (const pending of ["due", "later"] as const) {
        const when = pending === "due" ? "all due at once" : "all deferred";
        test(`claim with ${when}`, () =>
          claims(pending, ["streams_due_ix", "streams_fair_ix", byName, "streams_prio_ix"]));

        test(`claim in a lane with ${when}`, () =>
          claims(
            pending,
            ["streams_lane_due_ix", "streams_lane_fair_ix", byName, "streams_lane_prio_ix"],
            "a",
          ));
      }

      test("leases and counts with all pending", async () => {
        const indexes = [
          ["streams_due_ix", "streams_lane_due_ix"],
          "streams_fair_ix",
          "streams_lane_fair_ix",
          "streams_lane_prio_ix",
          "streams_prio_ix",
        ];
        const bounds = { rows: 36_000, pages: 40_000 };
        await within(of("all"), (store) => new Admin(store).leases(), { indexes, ...bounds });
        const counted = [
          "pkey",
          "correlated_pkey",
          "streams_pkey",
          "streams_order_ix",
          "streams_at_ix",
          "streams_blocked_ix",
        ];
        await within(of("all"), (store) => new Admin(store).overview(), {
          indexes: [[...indexes.flat(), ...counted]],
          ...{ rows: 60_000, pages: 60_000 },
        });
      });

      test("pages by state, of all pending or all deferred, and the events that were skipped", async () => {
        const log = ["pkey", "stream_id_ix", "stream_ix"];
        const page =
          (options: SubscriptionsOptions) =>
          (store: PostgresStore, n: number): Promise<unknown> =>
            n < 2 ? new Admin(store).subscriptions({ limit: 20, ...options }) : Promise.resolve();
        const ordered = {
          indexes: [[...log, "streams_due_ix", "streams_fair_ix"]],
          rows: 40_200,
          pages: 45_000,
        };
        await within(of("all"), page({ state: "behind", sort: "at" }), ordered);
        await within(of("later"), page({ state: "behind" }), ordered);
        await within(of("later"), page({ state: "deferred" }), ordered);
        // None is deferred, and none is leased.
        const none = { indexes: [[...log, "streams_due_ix", "streams_lane_due_ix"]], rows: 10, pages: 40 };
        await within(of("all"), page({ state: "deferred" }), none);
        const searched = [...due, "streams_fair_ix", "streams_lane_fair_ix", ...byName];
        const arms = ["streams_lane_prio_ix", "streams_prio_ix"];
        const leased = { indexes: [[...log, ...searched, ...arms]], rows: 60_000, pages: 60_000 };
        await within(of("all"), page({ state: "leased" }), leased);
        const skipped = { indexes: ["streams_skipped_ix"], rows: 0, pages: 20 };
        await within(of("all"), (store) => new Admin(store).skipped(), skipped);
      });

      test("lag, also of a lane whose neighbours have much that is pending or deferred", async () => {
        const log = ["pkey", "stream_id_ix", "stream_ix"];
        const lagging = (lane?: string) => (store: PostgresStore) => new Admin(store).lag({ lane });
        const bounds = { rows: 110, pages: 400 };
        const all = { indexes: [[...log, "streams_due_ix", "streams_fair_ix"]], ...bounds };
        const ofLane = { indexes: [[...log, "streams_lane_due_ix", "streams_lane_fair_ix"]], ...bounds };
        for (const pending of ["all", "later"] as const) {
          await within(of(pending), lagging(), all);
          await within(of(pending), lagging("a"), ofLane);
          await within(of(pending), lagging("no such"), { ...ofLane, rows: 0, pages: 20 });
        }
      });

      test("ack of ten", async () => {
        const leases = await of("all").claim(80, 0, "acks", 60_000);
        const bounds = { indexes: [byName], rows: 20, pages: 400 };
        await within(of("all"), (store, n) => store.ack(leases.slice(n * 10, n * 10 + 10)), bounds);
      });

      test("block of ten, and their release by name", async () => {
        const leases = await of("all").claim(80, 0, "blocks", 60_000);
        const ten = (n: number) => leases.slice(n * 10, n * 10 + 10).map((l) => ({ ...l, error: "poison" }));
        const bounds = { indexes: [byName], rows: 20, pages: 400 };
        await within(of("all"), (store, n) => store.block(ten(n)), bounds);
        const page = { indexes: ["pkey", ["streams_blocked_ix"]], rows: 81, pages: 200 };
        await within(of("all"), (store) => store.query_streams(() => {}, { blocked: true }), page);
        await within(of("all"), (store, n) => store.unblock(ten(n).map(({ stream }) => stream)), {
          indexes: [[...byName, "streams_blocked_ix"]],
          rows: 200,
          pages: 600,
        });
        // None is left.
        const none = { indexes: ["pkey", "streams_blocked_ix"], rows: 1, pages: 150 };
        await within(of("all"), (store) => store.query_streams(() => {}, { blocked: true }), none);
      });

      const subscribing = ["correlated_pkey", "streams_at_ix", byName];

      test("subscribe that raises the marks of ten", async () => {
        const at = { old: 200_000, none: 300_000, new: 400_000 }[statistics];
        const entries = (n: number) =>
          range(10).map((k) => ({ stream: name(5_001 + k), correlated_at: at + n }));
        const bounds = { indexes: subscribing, rows: 30, pages: 400 };
        await within(of("ten"), (store, n) => store.subscribe(entries(n), 1_000 + n), bounds);
      });

      test("subscribe of ten new ones", async () => {
        const entries = (n: number) => range(10).map((k) => ({ stream: `${statistics}-${n}-${k}` }));
        const bounds = { indexes: subscribing, rows: 30, pages: 400 };
        await within(of("none"), (store, n) => store.subscribe(entries(n)), bounds);
      });

      test("subscribe of a hundred that changes nothing", async () => {
        const entries = range(100).map((k) => ({ stream: name(2_000 + 4 * k), correlated_at: 1 }));
        const bounds = { indexes: subscribing, rows: 110, pages: 500 };
        await within(of("none"), (store) => store.subscribe(entries), bounds);
      });

      test("subscribe of nothing, which asks for the highest watermark", async () => {
        const bounds = { indexes: ["correlated_pkey", "streams_at_ix"], rows: 3, pages: 12 };
        await within(of("none"), (store) => store.subscribe([]), bounds);
      });

      test("a page of positions, and those of a prefix", async () => {
        const bounds = { indexes: ["pkey", "streams_order_ix"], rows: 110, pages: 150 };
        for (const query of [
          { after: name(50_000), limit: 100 },
          { stream: "^sub-0123", limit: 100 },
        ])
          await within(of("none"), (store) => store.query_streams(() => {}, query), bounds);
      });

      test("defer and reset by name, priorities by prefix", async () => {
        const names = [name(12_345), name(12_346)];
        const bounds = { indexes: [byName], rows: 8, pages: 120 };
        await within(of("ten"), (store) => store.defer(names, Date.now() - 1), bounds);
        await within(of("ten"), (store) => store.reset(names), bounds);
        // A scan of a bitmap counts the dead entries, too, that the runs before have left.
        await within(of("ten"), (store, n) => store.prioritize({ stream: "^sub-01234" }, n), {
          ...bounds,
          rows: 250,
          pages: 400,
        });
      });

      // Without statistics the scan that finds a page may be of the whole table.
      if (statistics !== "none")
        test("a change of very many subscriptions, each page by its own range of names", async () => {
          const store = many;
          if (!store) throw new Error("It is filled before the first test");
          await plans.have(statistics, store);
          const found = await plans.tap.plansOf(() => store.reset({}));
          const pages = found
            .filter((plan) => plan["Query Text"].includes("update"))
            .map((plan) => costOf(plan, store.config.table));
          expect(pages.length).toBeGreaterThan(2);
          expectWithin(pages, { indexes: [byName], rows: 41_000, pages: 2_000_000 });
        });
    });
  }
});
