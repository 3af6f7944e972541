/**
 * A physical standby shows an exact prefix of the log, also across fail-overs: a million commits, two standbys of which the
 * more advanced one is promoted, and two behind a standby: one is held back again and again, the other applies everything
 * half a second late.
 *
 * Each reader tails its server by the last id that it has seen, through restarts and promotions. At each look the events
 * that it has seen last must still be all there are up to there; in the end it must have seen the log of the last
 * primary, id for id. Only in the long version: test/order/replicas.test.ts is the short one, without fail-overs.
 *
 * Not covered: fail-over to a standby that lacks what another one has shown. Cluster managers choose the most advanced
 * one, as is done here.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createHome, type Home, removeFolders } from "../../../dev/postgres/home.ts";
import { PostgresStore } from "../../../src/index.ts";
import { eventually } from "../../conformance/kit/eventually.ts";
import { absent, findPostgresTools, titled } from "../failover/programs.ts";
import { LONG } from "../kit/scale.ts";
import { Family } from "./family.ts";
import { Reader } from "./reader.ts";

const tools = findPostgresTools();
const reason = [
  absent({ "Debian's pg_basebackup": tools }),
  LONG ? "" : "takes minutes: FAULTS=long runs it, and test/order/replicas.test.ts is its short version",
].filter(Boolean);
const COMMITS = Number(process.env.REPLICA_COMMITS ?? 1_000_000);
const FAIL_OVERS = Number(process.env.REPLICA_FAIL_OVERS ?? 4);
const STORES = 3;
const WRITERS = 64;
const meta = { correlation: "replica", causation: {} };

describe.skipIf(reason.length > 0)(titled("physical standbys", reason.join(", ")), () => {
  let home: Home;
  let family: Family;

  beforeAll(async () => {
    home = createHome();
    family = await Family.start(home, tools ?? "");
  }, 120_000);
  afterAll(async () => {
    await family?.stop();
    await removeFolders(home.folder);
  });

  test("show an exact prefix of the log, across fail-overs", { timeout: 3_600_000 }, async () => {
    const limits = { connectionTimeoutMillis: 5_000, max: 4, statement_timeout: 20_000 };
    const stores = Array.from({ length: STORES }, () => new PostgresStore({ url: family.url, ...limits }));
    await stores[0]?.seed();
    await family.attach();
    const readers = family.nodes.filter(({ name }) => name !== "a").map((node) => new Reader(node));
    const tailing = readers.map((reader) => reader.run());

    const acknowledged: number[] = [];
    let left = COMMITS;
    let failed = 0;
    const write = async (store: PostgresStore, n: number) => {
      while (left-- > 0) {
        const stored = await store.commit(`s-${n}`, [{ name: "E", data: {} }], meta).catch(() => []);
        for (const { id } of stored) acknowledged.push(id);
        if (stored.length > 0) continue;
        failed++;
        left++;
      }
    };
    let done = false;
    const writing = Promise.all(
      stores.flatMap((store, s) => Array.from({ length: WRITERS }, (_, n) => write(store, s * WRITERS + n))),
    ).finally(() => {
      done = true;
    });
    let holds = 0;
    const holding = (async () => {
      while (!done) {
        await family.cascade.ask((sql) => sql`select pg_wal_replay_pause()`);
        const from = left;
        await eventually(() => done || left < from - COMMITS / 50, { within: 600_000 });
        await family.cascade.ask((sql) => sql`select pg_wal_replay_resume()`);
        holds++;
        const caught = left;
        await eventually(() => done || left < caught - COMMITS / 50, { within: 600_000 });
      }
    })();
    const outages: number[] = [];
    for (let n = 1; n <= FAIL_OVERS; n++) {
      await eventually(() => left < COMMITS - (COMMITS / (FAIL_OVERS + 1)) * n, { within: 3_000_000 });
      outages.push(await family.failOver());
    }
    await writing;
    await holding;

    const log = await family.primary.ask(async (sql) => {
      const rows = await sql<{ id: number }[]>`select id::float8 as id from events order by id`;
      return rows.map(({ id }) => id);
    });
    const head = log.at(-1) ?? 0;
    await eventually(() => readers.every(({ last, failure }) => failure || last >= head), {
      within: 60_000,
    }).catch((error: unknown) => {
      const states = readers.map(({ node, last, lost }) => `${node.name} is at ${last}, lost ${lost}`);
      throw new Error(`the log ends at ${head}, and ${states.join("; ")}`, { cause: error });
    });
    for (const reader of readers) reader.stop();
    await Promise.all(tailing);
    await Promise.all(stores.map((store) => store.dispose()));

    console.log(
      `${acknowledged.length} commits acknowledged, ${failed} failed or in doubt, ${log.length} events; ` +
        `${outages.length} fail-overs of ${outages.join(", ")} ms; the cascade was held ${holds} times`,
    );
    for (const { node, ids, looks, lost } of readers)
      console.log(`${node.name}: ${ids.length} events in ${looks} looks, ${lost} lost connections`);
    const there = new Set(log);
    expect(acknowledged.filter((id) => !there.has(id)).length).toBe(0);
    expect(holds).toBeGreaterThan(1);
    expect(outages.length).toBe(FAIL_OVERS);
    for (const { ids, failure } of readers) {
      expect(failure).toBeUndefined();
      // Not toEqual: of a million ids it would print each.
      expect(ids.length).toBe(log.length);
      expect(ids.every((id, n) => id === log[n])).toBe(true);
    }
  });
});
