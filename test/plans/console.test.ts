/**
 * Plans of what the console reads, on 300,000 events and 50,000 subscriptions: no statement reads a table in full, and
 * each stays below a bound that does not depend on the log; with the statistics of a small table, with none, and new.
 */
import { beforeAll, describe, test } from "vitest";
import { Admin, type EventView, folder } from "../../src/admin/index.ts";
import { nextEvents } from "../../src/admin/next-events.ts";
import { cutsQuery } from "../../src/backup/cuts.ts";
import { SubscriptionsCopy } from "../../src/backup/move/copy-subscriptions.ts";
import type { Cut } from "../../src/backup/stream-pages.ts";
import { contextOf } from "../../src/context.ts";
import type { PostgresStore } from "../../src/index.ts";
import { readByIndex } from "../../src/postgres/by-index.ts";
import type { Query } from "../../src/postgres/index.ts";
import { type Bounds, expectWithin } from "./cost.ts";
import { mayExplain, usePlans } from "./fixture.ts";

const EVENTS = 300_000;
const SUBSCRIPTIONS = 50_000;
/** Ids of the largest part that one statement of a searching page reads. */
const PART = 200_000;
const ACTOR_PART = 20_000;
/** Tombstones, or streams, that one statement of an archive looks at, and streams that were archived before. */
const LOOK = 10_000;
const ARCHIVED = 8 * LOOK;
const target = folder("unused");

/** A stream of thirty events, of which version 10 is a snapshot, as in every stream. */
const STREAM = "s-5000";

const log = (events: string, from: number, count: number) => `
  insert into ${events} (stream, version, name, data, meta, dates)
  select 's-' || g % 10000, g / 10000, case when g % 50000 = 7 then 'Rare' when g / 10000 = 10 then '__snapshot__' when g % 2 = 0 then 'Opened' else 'Closed' end, '{}',
    jsonb_build_object('correlation', 'c-' || g / 5, 'causation', jsonb_build_object('action', jsonb_build_object('name', 'a',
      'stream', 's', 'actor', jsonb_build_object('id', case when g = 11 then 'rare' else 'u-' || g % 7 end)))), '{}'
  from generate_series(${from}, ${from + count - 1}) g`;

/** Streams whose events were archived: a tombstone is left of one half, a snapshot of the other. */
const archivedLog = (events: string, from: number, count: number) => `
  insert into ${events} (stream, version, name, data, meta)
  select 'a-' || g, 0, case g % 2 when 0 then '__tombstone__' else '__snapshot__' end, '{}', '{}'
  from generate_series(${from}, ${from + count - 1}) g`;

const subscriptions = (streams: string, from: number, count: number) => `
  insert into ${streams} (stream, source, at, priority, lane, correlated_at, blocked)
  select 'sub-' || lpad(g::text, 6, '0'), case when g % 500 = 0 then '^s-' || g % 100 else 's-' || g % 10000 end,
    g, g % 3, 'default', g + case when g % 1000 = 0 then 5 else 0 end, g % 5000 = 3
  from generate_series(${from}, ${from + count - 1}) g`;

const reason = (await mayExplain()) ? "" : " [skipped: auto_explain needs a superuser]";

describe.skipIf(reason !== "")(`the console${reason}`, () => {
  const plans = usePlans();
  let store: PostgresStore;
  let admin: Admin;
  let event: EventView;
  let archived: PostgresStore;

  beforeAll(async () => {
    const table = "con";
    const [events, streams] = [plans.named(table), plans.named(`${table}_streams`)];
    const before = [log(events, 0, 100), subscriptions(streams, 0, 100)];
    const fill = [log(events, 100, EVENTS - 100), subscriptions(streams, 100, SUBSCRIPTIONS - 100)];
    store = await plans.filled(table, before, fill);
    admin = new Admin(store);
    const [found] = await admin.events({ after: EVENTS / 2, before: EVENTS / 2 + 2, limit: 1 });
    if (!found) throw new Error("the log is filled");
    event = found;
    const empty = plans.named("arc");
    archived = await plans.filled("arc", [archivedLog(empty, 0, 100)], [archivedLog(empty, 100, ARCHIVED)]);
  });

  const anyIndex = (...indexes: string[]): Bounds["indexes"] => [indexes];

  for (const statistics of ["old", "none", "new"] as const)
    describe(`${statistics} statistics`, () => {
      beforeAll(() => plans.have(statistics, store));

      const within = async (run: (n: number) => Promise<unknown>, bounds: Bounds) =>
        expectWithin(await plans.costs(store, run), bounds);

      test("the newest page of the log, and one in the middle of it", async () => {
        const bounds = { indexes: ["pkey"], rows: 110, pages: 60 };
        await within(() => admin.log({ limit: 100 }), bounds);
        await within(() => admin.log({ limit: 100, before: EVENTS / 2 }), bounds);
        await within(() => admin.log({ limit: 100, after: EVENTS / 2 }), bounds);
      });

      test("a page of a rare name", () =>
        within(() => admin.log({ names: ["Rare"], limit: 100 }), {
          indexes: ["name_id_ix", "pkey"],
          ...{ rows: 110, pages: 60 },
        }));

      test("a page of one stream", () =>
        within(() => admin.log({ stream: STREAM, streamExact: true, limit: 100 }), {
          indexes: ["pkey", ["stream_id_ix", "stream_ix"]],
          ...{ rows: 120, pages: 120 },
        }));

      test("a page of a correlation", () =>
        within(() => admin.log({ correlation: event.correlation, limit: 100 }), {
          indexes: ["correlation_ix", "pkey"],
          ...{ rows: 60, pages: 60 },
        }));

      test("a page of what no index finds reads a part of the log, and no more", async () => {
        const contains = () => admin.log({ stream: "no-such", limit: 100 });
        await within(contains, { indexes: ["pkey"], rows: PART + 10, pages: PART / 10 });
        const actor = () => admin.log({ actor: "rare", limit: 100 });
        await within(actor, { indexes: ["pkey"], rows: ACTOR_PART + 10, pages: ACTOR_PART / 10 });
      });

      test("what an event is connected to", () =>
        within(() => admin.relations(event), {
          indexes: anyIndex("correlation_ix", "pkey", "stream_ix", "stream_id_ix"),
          ...{ rows: 60, pages: 120 },
        }));

      test("one event, its personal data, versions of a stream, its snapshot", async () => {
        await within(() => admin.personal(event.id), { indexes: ["pkey"], rows: 2, pages: 8 });
        await within(() => admin.versions(STREAM, { from: 3, to: 8 }), {
          indexes: anyIndex("stream_ix", "stream_id_ix"),
          ...{ rows: 40, pages: 60 },
        });
        await within(() => admin.snapshotAt(STREAM, 20), {
          indexes: anyIndex("snapshot_ix", "stream_ix", "stream_id_ix"),
          ...{ rows: 40, pages: 60 },
        });
      });

      test("who reads a stream, by name or by a pattern", async () => {
        const bounds = {
          indexes: anyIndex(
            "pkey",
            "stream_id_ix",
            "stream_ix",
            "snapshot_ix",
            "streams_order_ix",
            "streams_pkey",
          ),
          ...{ rows: 10_100, pages: 11_000 },
        };
        await within(() => admin.stream(STREAM), bounds);
        await within(() => admin.readers("s-no-such"), bounds);
      });

      test("finished subscriptions are looked for page by page", () =>
        // Twice are enough: there are five pages of them.
        within((n) => (n < 2 ? admin.reap({ dryRun: true }) : Promise.resolve()), {
          indexes: ["correlated_pkey", "stream_ix", "streams_pkey"],
          ...{ rows: 30_100, pages: 60_000 },
        }));

      test("names of streams", () =>
        within(() => admin.streamNames({ prefix: "s-5", limit: 20 }), {
          indexes: anyIndex("stream_id_ix"),
          ...{ rows: 60, pages: 200 },
        }));

      test("the next event of a name for a subscription to one stream, and how many wait", () => {
        const behind = { stream: "sub", source: "s-77", at: -1, correlatedAt: EVENTS };
        return within(() => nextEvents(contextOf(store), [behind], () => ["Opened"]), {
          indexes: [["stream_id_ix", "stream_ix"]],
          ...{ rows: 130, pages: 150 },
        });
      });

      test("an export of streams by name", () =>
        within(
          async () => {
            for await (const _ of admin.export({ streams: [STREAM, "s-7", "s-no-such"] }));
          },
          { indexes: ["pkey", ["stream_id_ix", "stream_ix"]], rows: 130, pages: 400 },
        ));

      test("an export by a pattern", async () => {
        const exported = (stream: string) => async () => {
          for await (const _ of admin.export({ stream }));
        };
        // Both indexes begin with the stream: which one is used depends on the sample of the statistics.
        const byPrefix = { indexes: ["pkey", ["stream_id_ix", "stream_ix"]], rows: 200, pages: 400 };
        await within(exported("^s-5000$"), byPrefix);
        await within(exported("^s-5000"), byPrefix);
        await within(exported("^s-500[0-1]$"), { ...byPrefix, rows: 800, pages: 1_000 });
        const part = { indexes: ["pkey"], rows: PART + 10, pages: PART / 10 };
        await within((n) => (n < 2 ? exported("no-such")() : Promise.resolve()), part);
      });

      test("what an archive would move: a page of snapshots, the first and one in the middle, and of tombstones", async () => {
        const { connections, names } = contextOf(store);
        const cuts = (after: Cut | undefined, before: Date | undefined) => () =>
          readByIndex(connections, "test", cutsQuery(names, after, 100, before));
        const bounds = {
          indexes: anyIndex("snapshot_ix", "stream_id_ix", "stream_ix"),
          rows: 420,
          pages: 1_600,
        };
        const before = new Date(Date.now() + 60_000);
        await within(cuts(undefined, before), bounds);
        await within(cuts({ stream: STREAM, id: 0 }, before), bounds);
        const stream = ["stream_id_ix", "stream_ix"];
        await within(cuts(undefined, undefined), { indexes: ["name_id_ix", stream], rows: 0, pages: 10 });
      });

      test("a statement of an archive ends, although it has found nothing to move", async () => {
        const dryRun = (before?: Date) => (n: number) =>
          n < 2 ? new Admin(archived).archive({ target, before, dryRun: true }) : Promise.resolve();
        const within = async (run: (n: number) => Promise<unknown>, bounds: Bounds) =>
          expectWithin(await plans.costs(archived, run), bounds);
        await plans.have(statistics, archived);
        const stream = ["stream_id_ix", "stream_ix"];
        const bounds = { rows: 3 * LOOK + 10, pages: 13 * LOOK };
        await within(dryRun(), { ...bounds, indexes: ["name_id_ix", stream] });
        const snapshots = { ...bounds, indexes: ["snapshot_ix", stream] };
        await within(dryRun(new Date(Date.now() + 60_000)), snapshots);
      });

      test("subscriptions by their sources are looked at page by page, also if none matches", () => {
        const absent = () => store.query_streams(() => {}, { source_matches: ["absent"] });
        const indexes = ["pkey", "streams_order_ix"];
        return within(absent, { indexes, rows: 10_010, pages: 11_000 });
      });

      test("the first page of subscriptions that a move copies", async () => {
        const copied = async (n: number) => {
          if (n > 1) return;
          const { connections, names } = contextOf(store);
          const pages = (query: Query) => readByIndex(connections, "test", query);
          const copy = new SubscriptionsCopy(
            names,
            contextOf(await plans.filled(`to_${statistics}_${n}`, [], [])),
          );
          await copy.copy((query) => connections.read("test", query), pages);
        };
        await within(copied, { indexes: anyIndex("streams_order_ix"), rows: 5_010, pages: 6_000 });
      });

      test("events of the last minute, by halving", () =>
        within(() => admin.growth(), { indexes: ["pkey"], rows: 200, pages: 400 }));

      test("reactions by name, blocked ones, and those that are behind", async () => {
        const byName = () => admin.subscriptions({ limit: 50 });
        const indexes = [
          "streams_blocked_ix",
          "streams_due_ix",
          "streams_fair_ix",
          "streams_order_ix",
          "pkey",
        ];
        const anyOf = anyIndex(
          ...indexes,
          "stream_id_ix",
          "stream_ix",
          "streams_lane_fair_ix",
          "streams_pkey",
        );
        await within(byName, { indexes: anyOf, rows: 31_000, pages: 12_000 });
        await within(() => admin.subscriptions({ state: "blocked" }), {
          indexes: anyOf,
          rows: 5_000,
          pages: 2_000,
        });
        await within(() => admin.subscriptions({ state: "behind", sort: "at", limit: 20 }), {
          indexes: anyOf,
          ...{ rows: 30_000, pages: 12_000 },
        });
      });
    });
});
