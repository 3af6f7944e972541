/** What is asked about a lost group, as far as transaction ids matter: what comes of the answers is elsewhere. */
import type { TransactionSql } from "postgres";
import { expect, test } from "vitest";
import type { Query } from "../../src/connections/index.ts";
import type { Append } from "../../src/events/append.ts";
import { investigation, recoverQuery, sentQuery } from "../../src/events/recover.ts";
import { namesOf } from "../../src/names.ts";
import { event, meta, useScene } from "../connections/scene.ts";

const scene = useScene();
const lost: Append = {
  stream: "a",
  expected: -1,
  meta: "{}",
  events: [{ name: "A", data: "{}", pii: null, dates: "{}" }],
};

async function written() {
  const store = await scene.seeded();
  await store.commit("a", [event()], meta);
  return namesOf(store.config.schema, store.config.table);
}

const run = (sql: TransactionSql, { text, params = [] }: Query) => sql.unsafe(text, [...params]);

test("an id that is about to be given next is none that the server can be asked about", async () => {
  // One snapshot for both, whatever others do meanwhile.
  const sent = await scene.sql.begin("isolation level repeatable read", async (sql) => {
    const [row] = await sql`select pg_snapshot_xmax(pg_current_snapshot())::text as next`;
    return run(sql, sentQuery([lost], String(row?.next)));
  });
  expect(sent).toMatchObject([{ status: null }]);
});

test("an id of a later epoch is found by the 32 bits that rows keep of it", async () => {
  const names = await written();
  const rows = await scene.sql.begin(async (sql) => {
    const [row] = await sql.unsafe(`select xmin::text as xid from ${names.events}`);
    return run(sql, recoverQuery(names, [lost], String(BigInt(row?.xid) + 2n ** 32n), 0));
  });
  expect(rows).toMatchObject([{ ids: "{1}" }]);
});

test.each([undefined, "3"])(
  "the questions are a transaction that writes, so that its COMMIT waits for whom the lost one's waited (%s)",
  async (xid) => {
    const names = await written();
    const [row] = await scene.sql.begin(async (sql) => {
      for (const query of investigation(names, [lost], { xid, after: 0 })) await run(sql, query);
      return sql`select pg_current_xact_id_if_assigned()::text as own`;
    });
    expect(row?.own).toMatch(/^\d+$/);
  },
);
