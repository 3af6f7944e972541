/**
 * A physical standby shows an exact prefix of the log: whoever tails it never finds an event behind those he has seen. That
 * follows from the append lock, which is held until the commit record is written: the order of ids is the order of commit
 * records, and a standby replays these in their order. Here it is looked at, on two asynchronous standbys, of which one is
 * held back and catches up, and on a third one that follows the first.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createHome, type Home, removeFolders } from "../../dev/postgres/home.ts";
import { PostgresStore } from "../../src/index.ts";
import { eventually } from "../conformance/kit/eventually.ts";
import { follow, initialize, Node } from "../faults/failover/pair.ts";
import { absent, findPostgresTools, titled } from "../faults/failover/programs.ts";
import { scale } from "../faults/kit/scale.ts";
import { deadPort } from "../postgres/proxy.ts";
import { connect } from "../support/database.ts";
import { tail, throughSql } from "./tail.ts";

const tools = findPostgresTools();
const reason = absent({ "Debian's pg_basebackup": tools });
const COMMITS = scale(6_000, 1_000_000);
const STORES = 3;
const WRITERS = 8;
const PAGE = 5_000;
const names = { schema: "public", table: "events" };
const meta = { correlation: "replica", causation: {} };

const ask = (node: Node, text: string) => node.ask(async (sql) => [...(await sql.unsafe(text))]);

describe.skipIf(!tools)(titled("physical standbys", reason), () => {
  let home: Home;
  const nodes: Node[] = [];

  async function node(name: string): Promise<Node> {
    const made = new Node(home, name, await deadPort());
    nodes.push(made);
    return made;
  }

  async function primary(): Promise<Node> {
    const made = await node("primary");
    await initialize(home, tools ?? "", made);
    // A reader of a standby must not be cancelled; its copies take this over.
    await ask(made, "alter system set hot_standby_feedback = on");
    return made;
  }

  async function standbyOf(source: Node, name: string): Promise<Node> {
    const made = await node(name);
    await follow(home, tools ?? "", source, made);
    return made;
  }

  beforeAll(() => {
    home = createHome();
  });
  afterAll(async () => {
    await Promise.all(nodes.map((one) => one.kill()));
    await removeFolders(home.folder);
  });

  test("show no event behind what they have shown, whatever they lag", {
    timeout: scale(120_000, 1_800_000),
  }, async () => {
    const source = await primary();
    const store = new PostgresStore({ url: source.url });
    await store.seed();
    await store.commit("first", [{ name: "Begun", data: {} }], meta);
    const near = await standbyOf(source, "near");
    const held = await standbyOf(source, "held");
    const far = await standbyOf(near, "far");

    const stores = [
      store,
      ...Array.from({ length: STORES - 1 }, () => new PostgresStore({ url: source.url })),
    ];
    let left = COMMITS;
    const writer = async (own: PostgresStore, k: number) => {
      while (left-- > 0)
        await own.commit(
          `s-${k}`,
          Array.from({ length: 1 + (left % 3) }, () => ({ name: "E", data: {} })),
          meta,
        );
    };
    const writing = Promise.all(
      stores.flatMap((own, s) => Array.from({ length: WRITERS }, (_, k) => writer(own, s * WRITERS + k))),
    );
    let done = false;
    void writing.finally(() => {
      done = true;
    });
    let holds = 0;
    const holding = (async () => {
      while (!done) {
        await ask(held, "select pg_wal_replay_pause()");
        const from = left;
        await eventually(() => done || left < from - COMMITS / 8, { within: 600_000 });
        await ask(held, "select pg_wal_replay_resume()");
        holds++;
      }
    })();
    // What the primary has replayed everywhere ends the tails: they read on until nothing more comes.
    const replayed = writing.then(async () => {
      const [row] = await ask(source, "select pg_current_wal_lsn() as lsn");
      await holding;
      await eventually(
        async () => {
          const states = await Promise.all(
            [near, held, far].map((server) =>
              ask(server, `select pg_last_wal_replay_lsn() >= '${row?.lsn}'::pg_lsn as there`),
            ),
          );
          return states.every(([state]) => state?.there === true);
        },
        { within: 120_000 },
      );
    });
    const tails = await Promise.all(
      [near, held, far].map(async (server) => {
        const sql = connect(server.url);
        try {
          return await tail(throughSql(sql, { url: server.url, ...names }), replayed, PAGE);
        } finally {
          await sql.end();
        }
      }),
    );
    const rows = await ask(source, "select id::float8 as id from events order by id");
    const log = rows.map(({ id }) => Number(id));
    await Promise.all(stores.map((own) => own.dispose()));
    expect(holds).toBeGreaterThan(1);
    for (const [n, { ids, pages }] of tails.entries()) {
      console.log(`${["near", "held", "far"][n]}: ${ids.length} events in ${pages} looks`);
      // Not toEqual: of a million ids it would print each.
      expect(ids.length).toBe(log.length);
      expect(ids.every((id, k) => id === log[k])).toBe(true);
    }
  });
});
