/** A lost connection's server process is ended before anybody asks what became of its transaction. */
import { describe, expect, onTestFinished, test } from "vitest";
import { resolveOptions } from "../../src/options/resolve.ts";
import { endBackend } from "../../src/postgres/end-backend.ts";
import { type Backend, StoreConnections } from "../../src/postgres/index.ts";
import { gate } from "../conformance/kit/eventually.ts";
import { until } from "../order/fence.ts";
import { connect } from "../support/database.ts";
import { useDatabase } from "./fixture.ts";
import { TcpProxy } from "./proxy.ts";

const fixture = useDatabase();

function layerOf(options: object = {}): StoreConnections {
  const layer = new StoreConnections(
    resolveOptions({ ...fixture.parts, application_name: fixture.application("recovery"), ...options }),
  );
  onTestFinished(() => layer.close());
  return layer;
}

/** A table, and a transaction on a connection of its own that waits for a lock before it writes to it. */
async function waiting(layer: StoreConnections, table: string) {
  await fixture.sql.unsafe(`create table ${table} (n int)`);
  const holder = connect(fixture.url);
  onTestFinished(() => holder.end());
  await holder`select pg_advisory_lock(77)`;
  const known = gate();
  let backend: Backend | undefined;
  const transaction = layer.writer.use(async (connection) => {
    await connection.establish(0);
    backend = connection.backend;
    known.open();
    return connection.transact(
      [
        { text: "select pg_advisory_xact_lock(77)" },
        { text: `insert into ${table} values (1)`, bindFirst: true },
      ],
      0,
    );
  });
  transaction.catch(() => {});
  await known.passed;
  await until("it waits for the lock", async () => {
    const [row] =
      await fixture.sql`select from pg_stat_activity where pid = ${backend?.pid ?? 0} and wait_event = 'advisory'`;
    return row !== undefined;
  });
  if (!backend) throw new Error("no backend");
  return { backend, transaction, release: () => holder.unsafe("select pg_advisory_unlock(77)") };
}

const isAlive = async ({ pid }: Backend) =>
  (await fixture.sql`select from pg_stat_activity where pid = ${pid}`).length > 0;

describe("a look for what became of a transaction", () => {
  test("ends its server process first: what it waited for is not done later", async () => {
    const layer = layerOf();
    const { backend, transaction, release } = await waiting(layer, "first_ended");
    const count = { text: "select count(*)::int as n from first_ended" };
    expect(await layer.recover(backend, [count])).toEqual([[{ n: 0 }]]);
    expect(await isAlive(backend)).toBe(false);
    await release();
    await expect(transaction).rejects.toMatchObject({ inDoubt: true });
    expect(await layer.recover(backend, [count])).toEqual([[{ n: 0 }]]);
  });

  test("spares a server process that has got the same id later", async () => {
    const layer = layerOf();
    const { backend, transaction, release } = await waiting(layer, "same_pid");
    await layer.recover({ ...backend, started: "2020-01-01 00:00:00+00" }, [{ text: "select 1" }]);
    expect(await isAlive(backend)).toBe(true);
    await release();
    expect(await transaction).toHaveLength(2);
  });

  test("spares a server process that runs another session meanwhile, and ends it while it runs the lost one", async () => {
    const layer = layerOf();
    const { backend, transaction, release } = await waiting(layer, "handed_on");
    await layer.recover({ ...backend, mark: `${fixture.application("recovery")}/1` }, [{ text: "select 1" }]);
    expect(await isAlive(backend)).toBe(true);
    await layer.recover({ ...backend, mark: fixture.application("recovery") }, [{ text: "select 1" }]);
    expect(await isAlive(backend)).toBe(false);
    await expect(transaction).rejects.toMatchObject({ inDoubt: true });
    await release();
  });

  test("does not end the process that it works on itself, which a pooler may have handed on to it", async () => {
    const layer = layerOf();
    await layer.writer.use(async (connection) => {
      await connection.establish(0);
      const { backend } = connection;
      if (!backend) throw new Error("no backend");
      await endBackend(connection, backend, () => 0);
      expect(await connection.run({ text: "select 1 as n" }, 0)).toEqual([{ n: 1 }]);
    });
  });

  test("ends none where none is known", async () => {
    const layer = layerOf();
    const { backend, transaction, release } = await waiting(layer, "not_known");
    await layer.recover(undefined, [{ text: "select 1" }]);
    expect(await isAlive(backend)).toBe(true);
    await release();
    expect(await transaction).toHaveLength(2);
  });

  test("does not trust idle connections: they may have been lost with the first", async () => {
    const proxy = await TcpProxy.before(fixture.parts);
    const layer = layerOf({ host: "127.0.0.1", port: proxy.port });
    const closed = await fixture.closedGate(78);
    const reads = [1, 2, 3].map(() => layer.read("query", closed));
    await until("each read has a connection of its own", async () => (await closed.waiting()) === 3);
    await closed.open();
    await Promise.all(reads);
    proxy.trap();
    expect(await layer.recover(undefined, [{ text: "select 1 as n" }])).toEqual([[{ n: 1 }]]);
  });
});

describe("a transaction of several statements", () => {
  test("is unknown if its connection is lost after it was sent", async () => {
    const proxy = await TcpProxy.before(fixture.parts);
    const layer = layerOf({ host: "127.0.0.1", port: proxy.port });
    await layer.read("query", { text: "select 1" });
    proxy.freeze();
    const transaction = layer.transaction("truncate", [{ text: "select 1" }, { text: "select 2" }]);
    transaction.catch(() => {});
    await until("it is on its way", async () => proxy.swallowed > 0);
    proxy.cut();
    await expect(transaction).rejects.toMatchObject({
      operation: "truncate",
      cause: { code: "OUTCOME_UNKNOWN" },
    });
  });

  test("that the server has undone for the sake of others is sent again", async () => {
    const layer = layerOf();
    await fixture.sql.unsafe(`create sequence attempts;
      create function undone_once() returns int language plpgsql as $$
        begin if nextval('attempts') = 1 then raise exception 'undone' using errcode = '40001'; end if; return 7; end $$`);
    expect(await layer.transaction("truncate", [{ text: "select undone_once() as n" }])).toEqual([
      [{ n: 7 }],
    ]);
  });
});
