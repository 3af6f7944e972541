/** Faults within the transaction of a commit: what is stored is projected once, and what is run again is nobody's loss. */
import { sql } from "drizzle-orm";
import { expect, test } from "vitest";
import { inline } from "../../../src/projections/index.ts";
import { swallowedCommit } from "../../faults/kit/shapes.ts";
import { TcpProxy } from "../../postgres/proxy.ts";
import { add, deposited, events, meta, useModels } from "./fixture.ts";

const models = useModels();

/** Handlers that count, and do something else the first time. */
function atFirst(
  first: (tx: { execute(query: ReturnType<typeof sql>): PromiseLike<unknown> }) => PromiseLike<unknown>,
) {
  let calls = 0;
  const projections = inline({
    events,
    on: {
      Deposited: async (given, tx) => {
        await add(tx, given);
        if (calls++ === 0) await first(tx);
      },
    },
  });
  return { projections, calls: () => calls };
}

test("a connection that is lost in a handler: the commit runs again, and counts once", async () => {
  const { projections, calls } = atFirst((tx) =>
    tx.execute(sql`select pg_terminate_backend(pg_backend_pid())`),
  );
  const store = await models.open({ inline: projections });
  const [event] = await store.commit("lost-1", [deposited(5)], meta, -1);
  expect(event).toMatchObject({ version: 0 });
  expect(calls()).toBe(2);
  expect(await models.balances("lost-1")).toEqual(await models.folded(store));
});

test("a deadlock that the server resolves: the commits run again, together", async () => {
  const { projections, calls } = atFirst((tx) =>
    tx.execute(sql`do $$ begin raise exception using errcode = '40P01'; end $$`),
  );
  const store = await models.open({ inline: projections });
  await Promise.all(["dead-1", "dead-2"].map((stream) => store.commit(stream, [deposited(5)], meta, -1)));
  expect(calls()).toBe(3);
  expect(await models.balances("dead-%")).toEqual(await models.folded(store));
});

test("an answer to COMMIT that never arrives: the log tells that the commit is stored, and it counts once", async () => {
  const { projections, calls } = atFirst(async () => {});
  const proxy = await TcpProxy.before(models.fixture.parts);
  const store = await models.open({ inline: projections, host: "127.0.0.1", port: proxy.port });
  await store.commit("doubt-0", [deposited(1)], meta, -1);
  const struck = { count: 0 };
  const swallow = swallowedCommit(1, "cut", struck);
  // The statement is sent once for each connection: on a new one it is seen.
  await models.fixture.kill(store);
  proxy.shape = (...args) => (struck.count === 0 ? swallow(...args) : { pieces: [args[0]] });
  const [event] = await store.commit("doubt-1", [deposited(5)], meta, -1);
  expect(event).toMatchObject({ version: 0 });
  expect({ struck: struck.count, calls: calls() }).toEqual({ struck: 1, calls: 2 });
  expect(await models.balances("doubt-%")).toEqual(await models.folded(store));
});

test("a table that was altered meanwhile: the statement is parsed anew", async () => {
  const store = await models.open({
    inline: inline({
      events,
      on: {
        Deposited: async (given, tx) => {
          await add(tx, given);
          await tx.execute(sql`select * from inline_models.altered`);
        },
      },
    }),
  });
  await models.fixture.sql.unsafe("create table inline_models.altered (a int)");
  await store.commit("altered-1", [deposited(1)], meta, -1);
  await models.fixture.sql.unsafe("alter table inline_models.altered add b text");
  await store.commit("altered-1", [deposited(2)], meta, 0);
  expect(await models.balances("altered-1")).toEqual([{ stream: "altered-1", balance: 3, events: 2 }]);
});

test("a store that is disposed of carries out the commits that were made before", async () => {
  const { projections } = atFirst(async () => {});
  const store = await models.open({ inline: projections });
  const commits = Array.from({ length: 10 }, (_, n) => store.commit(`end-${n}`, [deposited(1)], meta));
  await store.dispose();
  await Promise.all(commits);
  expect(await models.balances("end-%")).toHaveLength(10);
});
