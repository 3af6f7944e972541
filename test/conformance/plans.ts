/** What queries cost the database, by the server's own counts of the rows that were read. */
import type { Store } from "@rotorsoft/act";
import { expect } from "vitest";
import { gate, within } from "./kit/eventually.ts";
import { analyze, backendsOf, openTransaction, rowsRead, tablesOf } from "./kit/postgres.ts";
import {
  append,
  appendMany,
  at,
  claimAll,
  message,
  meta,
  pending,
  read,
  readAll,
  readStream,
  SNAPSHOT,
} from "./kit/scenario.ts";
import { type DatabaseFixture, section } from "./kit/section.ts";

/** Rows of the events table that were read for this piece of work. */
function cost({ raw, second }: DatabaseFixture, run: (store: Store) => Promise<unknown>): Promise<number> {
  const application = `${raw.table}_measured`;
  return rowsRead(raw, application, async () => {
    const store = await second({ application_name: application });
    await run(store);
    await store.dispose();
  });
}

/** A log of so many streams with ten events each, and the planner's statistics about it. */
async function fill({ store, raw }: DatabaseFixture, streams: number): Promise<void> {
  await Promise.all(Array.from({ length: streams }, (_, n) => appendMany(store, `order-${n}`, 10)));
  await analyze(raw);
}

const needs = ["sql", "shared"] as const;

export const plans = section("query plans", (line) => {
  line(
    "Q7",
    "a load reads the events since the snapshot, not those before it",
    { needs },
    async (fixture) => {
      const { store, raw } = fixture;
      for (let n = 0; n < 3; n++) await appendMany(store, "big", 1_000);
      await appendMany(store, "noise", 1_000);
      await store.commit("big", [message(SNAPSHOT), message("A"), message("B")], meta());
      await analyze(raw);
      const load = { stream: "big", stream_exact: true, with_snaps: true };
      const rows = await cost(fixture, async (other) => expect(await read(other, load)).toHaveLength(3));
      expect(rows).toBeLessThan(50);
    },
  );

  line("Q7", "the snapshot is found by a partial index", { needs: ["sql"] }, async ({ store, raw }) => {
    await appendMany(store, "big", 1_000);
    await append(store, "big", SNAPSHOT);
    await analyze(raw);
    const plan = await raw.sql`explain select max(id) from ${tablesOf(raw).events}
      where stream = 'big' and name = '__snapshot__'`;
    const [partial] = await raw.sql<Array<{ name: string }>>`
      select indexname as name from pg_indexes
      where schemaname = ${raw.schema} and tablename = ${raw.table} and indexdef like '%WHERE%__snapshot__%'`;
    expect(JSON.stringify(plan)).toContain(partial?.name ?? "a partial snapshot index");
  });

  line(
    "Q7",
    "looking for the snapshot of a stream without one reads no other rows",
    { needs },
    async (fixture) => {
      await fill(fixture, 200);
      const load = { stream: "order-7", stream_exact: true, with_snaps: true };
      const rows = await cost(fixture, async (other) => expect(await read(other, load)).toHaveLength(10));
      expect(rows).toBeLessThan(60);
    },
  );

  line("Q9", "^literal$ reads the rows of that stream", { needs }, async (fixture) => {
    await fill(fixture, 300);
    const rows = await cost(fixture, async (other) =>
      expect(await read(other, { stream: "^order-77$" })).toHaveLength(10),
    );
    expect(rows).toBeLessThan(60);
  });

  line("Q9", "^literal reads the rows in its range", { needs }, async (fixture) => {
    await fill(fixture, 300);
    const rows = await cost(fixture, async (other) =>
      expect(await read(other, { stream: "^order-29" })).toHaveLength(110),
    );
    expect(rows).toBeLessThan(600);
  });

  line("Q9", "a drain's fetch reads the rows it returns", { needs }, async (fixture) => {
    await fill(fixture, 300);
    const after = at(await readStream(fixture.store, "order-5"), 4).id;
    const rows = await cost(fixture, async (other) =>
      expect(await read(other, { stream: "order-5", stream_exact: true, after, limit: 10 })).toHaveLength(5),
    );
    expect(rows).toBeLessThan(60);
  });

  line("Q10", "no connection is held while the callback runs", { needs }, async ({ store, second, raw }) => {
    await appendMany(store, "s", 1_000);
    const application = `${raw.table}_reader`;
    const reader = await second({ application_name: application });
    const entered = gate();
    const resume = gate();
    let seen = 0;
    const querying = reader.query(async () => {
      seen += 1;
      if (seen !== 100) return;
      entered.open();
      await resume.passed;
    });
    await entered.passed;
    expect((await backendsOf(raw, application)).filter(({ state }) => state !== "idle")).toEqual([]);
    resume.open();
    expect(await querying).toBe(1_000);
  });

  line(
    "Q10",
    "a pool of one serves the callbacks of its own queries",
    {
      needs: ["sql"],
      options: { max: 1 },
    },
    async ({ store }) => {
      await appendMany(store, "s", 3);
      let nested = 0;
      await within(
        10_000,
        "the nested queries",
        store.query(
          async () => {
            await append(store, "t", "A");
            nested += (await readStream(store, "s")).length;
          },
          { stream: "s", stream_exact: true },
        ),
      );
      expect(nested).toBe(9);
    },
  );

  line(
    "Q10",
    "a query that is abandoned early has not read the log",
    { needs, timeout: 20_000 },
    async (fixture) => {
      const { store, raw } = fixture;
      for (let n = 0; n < 12; n++) await appendMany(store, `s${n}`, 1_000);
      await analyze(raw);
      for (const backward of [false, true]) {
        const rows = await cost(fixture, async (other) => {
          const abandoned = other.query(() => Promise.reject(new Error("enough")), { backward });
          await expect(abandoned).rejects.toThrow("enough");
        });
        expect(rows).toBeLessThan(6_000);
      }
    },
  );

  line("Q10", "events of a megabyte are delivered like others, whatever the limit", async ({ store }) => {
    const text = "x".repeat(1_000_000);
    const commits = Array.from({ length: 24 }, (_, n) =>
      store.commit("s", [message("Big", { n, text })], meta()),
    );
    const ids = (await Promise.all(commits)).flat().map(({ id }) => id);
    const delivered = async (query: Parameters<typeof read>[1]) =>
      (await read(store, query)).map(({ id }) => id);
    expect(await delivered({})).toEqual(ids);
    expect(await delivered({ backward: true })).toEqual([...ids].reverse());
    expect(await delivered({ limit: 21 })).toEqual(ids.slice(0, 21));
    expect(await delivered({ limit: 21, backward: true })).toEqual(ids.slice(3).reverse());
  });

  line(
    "Q10",
    "events that arrive during an unlimited query are delivered once or not at all",
    {
      needs: ["shared"],
    },
    async ({ store, second }) => {
      const other = await second();
      await appendMany(store, "s", 1_500);
      const seen: number[] = [];
      await store.query(async ({ id }) => {
        seen.push(id);
        if (seen.length % 500 === 0 && seen.length <= 1_500) await append(other, "s", "Late");
      });
      const all = (await readAll(store)).map(({ id }) => id);
      expect(seen).toEqual(all.slice(0, seen.length));
      expect(seen.length).toBeGreaterThanOrEqual(1_500);
    },
  );

  line("L1", "a claim does not touch the log", { needs: ["sql"] }, async ({ store, raw }) => {
    await pending(store, "a", "b");
    const { events } = tablesOf(raw);
    const holder = await openTransaction(raw, (sql) => sql`lock table ${events} in access exclusive mode`);
    expect(await within(5_000, "the claim", claimAll(store))).toHaveLength(2);
    await holder.rollback();
  });

  line("R4", "heads of a few streams are not paid for by the others", { needs }, async (fixture) => {
    await fill(fixture, 300);
    const rows = await cost(fixture, async (other) =>
      expect((await other.query_stats(["order-1", "order-2", "absent"])).size).toBe(2),
    );
    expect(rows).toBeLessThan(120);
  });

  line("R4", "a page of heads is not paid for by the streams behind it", { needs }, async (fixture) => {
    await fill(fixture, 1_000);
    const rows = await cost(fixture, async (other) =>
      expect((await other.query_stats({}, { limit: 10 })).size).toBe(10),
    );
    expect(rows).toBeLessThan(200);
  });
});
