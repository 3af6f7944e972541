/**
 * COMMIT of an inline projection waits for a synchronous standby as long as it takes. The time limit of the handlers'
 * statements does not count for it: cut off, the commit would be acknowledged without the standby.
 */
import { sql } from "drizzle-orm";
import { afterAll, beforeAll, expect, test } from "vitest";
import { z } from "zod";
import { type RunningPostgres, startPostgres } from "../../../dev/postgres/index.ts";
import { inline } from "../../../src/projections/index.ts";
import { eventually } from "../../conformance/kit/eventually.ts";
import { DatabaseFixture, meta } from "../../postgres/fixture.ts";

/** ms. */
const LIMIT = 100;

const fixture = new DatabaseFixture();
let server: RunningPostgres | undefined;

// Its own, because every COMMIT of the server waits.
beforeAll(async () => {
  server = await startPostgres({ prefer: "embedded", durable: true });
  await fixture.open(server.url);
});
afterAll(async () => {
  await fixture.close();
  await server?.stop();
});

/** From now on COMMIT waits for this standby; none: it waits for nobody. */
async function waitFor(standby: string): Promise<void> {
  await fixture.sql.unsafe(`alter system set synchronous_standby_names = '${standby}'`);
  await fixture.sql`select pg_reload_conf()`;
  await eventually(async () => {
    const [row] = await fixture.sql`show synchronous_standby_names`;
    return row?.synchronous_standby_names === standby;
  });
}

test("a commit outlasts the time limit of its handler while a standby is waited for", async () => {
  await fixture.sql`create table noted (id int)`;
  const store = await fixture.seeded({
    inline: inline({
      events: { Noted: z.object({}) },
      timeout: LIMIT,
      on: { Noted: ([event], tx) => tx.execute(sql`insert into noted values (${event?.id})`) },
    }),
  });
  const note = () => store.commit("s", [{ name: "Noted", data: {} }], meta);
  // Its statements are prepared.
  await note();
  await waitFor("nobody");
  const commit = note();
  try {
    await eventually(async () => {
      const waiting = await fixture.sql`select from pg_stat_activity
        where wait_event = 'SyncRep' and now() - query_start > ${`${5 * LIMIT} ms`}::interval`;
      return waiting.length === 1;
    });
  } finally {
    await waitFor("");
  }
  expect(await commit).toMatchObject([{ stream: "s", version: 1 }]);
  const rows = await fixture.sql`select id from noted order by id`;
  expect(rows.map(({ id }) => id)).toEqual([1, 2]);
});
