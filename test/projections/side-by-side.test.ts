/** rebuild(): of several that run side by side, one goes on, and the others are told so or rebuild after it. */
import { setTimeout as pause } from "node:timers/promises";
import { sql } from "drizzle-orm";
import { expect, test } from "vitest";
import { rebuild } from "../../src/projections/index.ts";
import { Deposited, useApps, writer } from "../framework/fixture.ts";
import { count, counted, counters, type Db, folded, onNodePostgres, onPostgresJs } from "./fixture.ts";

const fixture = useApps();
const ROUNDS = 15;

for (const [driver, open] of Object.entries({ "node-postgres": onNodePostgres, "postgres.js": onPostgresJs }))
  for (const restart of [false, true])
    test(`on ${driver}, rebuilds side by side succeed or say REBUILD_RUNS, and leave nothing (restart: ${restart})`, async () => {
      const db = (await open()) as unknown as Db;
      const store = await fixture.seeded();
      const deposit = writer(store);
      for (let n = 1; n <= 7; n++) await deposit(`s${n % 3}`, n);
      const right = await folded(fixture, store);
      for (let round = 0; round < ROUNDS; round++) {
        const run = async (after: number) => {
          await pause(after);
          return rebuild({
            db,
            store,
            projection: "counts",
            events: { Deposited },
            tables: { counters },
            restart,
            batchSize: 3,
            apply: async (events, tx, tables) => {
              for (const event of events) await count(tx, event, tables.counters);
            },
          });
        };
        const ends = await Promise.allSettled([run(0), run(round), run(2 * round)]);
        for (const end of ends)
          if (end.status === "rejected") expect(end.reason).toMatchObject({ code: "REBUILD_RUNS" });
        expect(ends.some(({ status }) => status === "fulfilled")).toBe(true);
        expect(await counted(db)).toEqual(right);
        const left = await db
          .select({ name: sql<string>`nspname` })
          .from(sql`pg_namespace`)
          .where(sql`nspname like 'act_rebuild%'`);
        expect(left).toEqual([]);
      }
    });
