/** A primary and two standbys of a test file's own, with Debian's PostgreSQL; and what the tests do with them. */
import { afterAll, afterEach, beforeAll } from "vitest";
import { createHome, type Home, removeFolders } from "../../dev/postgres/home.ts";
import { PostgresStore, type PostgresStoreOptions } from "../../src/index.ts";
import { eventually } from "../conformance/kit/eventually.ts";
import { follow, initialize, Node } from "../faults/failover/pair.ts";
import { absent, findPostgresTools } from "../faults/failover/programs.ts";
import { deadPort } from "../postgres/proxy.ts";

export const tools = findPostgresTools();
export const reason = absent({ "Debian's pg_basebackup": tools });
export const meta = { correlation: "replicas", causation: {} };

export const ask = (node: Node, text: string) => node.ask(async (sql) => [...(await sql.unsafe(text))]);

export class Cluster {
  #home: Home | undefined;
  readonly #stores: PostgresStore[] = [];
  #schemas = 0;
  #primary: Node | undefined;
  #standbys: Node[] = [];

  /** Made when it is first asked for: nothing is left behind where the tests are skipped. */
  get home(): Home {
    this.#home ??= createHome();
    return this.#home;
  }

  async start(): Promise<void> {
    const [primary, ...standbys] = await Promise.all(
      ["primary", "one", "two"].map(async (name) => new Node(this.home, name, await deadPort())),
    );
    this.#primary = primary;
    this.#standbys = standbys;
    await initialize(this.home, tools ?? "", this.primary);
    await ask(this.primary, "alter system set hot_standby_feedback = on");
    for (const standby of standbys) await follow(this.home, tools ?? "", this.primary, standby);
  }

  get primary(): Node {
    if (!this.#primary) throw new Error("The cluster is not started");
    return this.#primary;
  }

  get standbys(): readonly Node[] {
    return this.#standbys;
  }

  get urls(): string[] {
    return this.#standbys.map(({ url }) => url);
  }

  /** A store on the primary that reads from both standbys; it is disposed of after its test. */
  open(options: PostgresStoreOptions = {}): PostgresStore {
    const store = new PostgresStore({ url: this.primary.url, replicas: this.urls, ...options });
    this.#stores.push(store);
    return store;
  }

  /** Two stores of one new log: one that reads from the standbys, and a process elsewhere that does not. */
  async pair(options: PostgresStoreOptions = {}): Promise<{ store: PostgresStore; other: PostgresStore }> {
    const schema = `s${++this.#schemas}`;
    const other = this.open({ schema, replicas: [] });
    await other.seed();
    return { store: this.open({ schema, ...options }), other };
  }

  /** Resolves once both standbys show everything. */
  async replayed(): Promise<void> {
    const [row] = await ask(this.primary, "select pg_current_wal_insert_lsn() as lsn");
    await eventually(async () => {
      const states = await Promise.all(
        this.#standbys.map((node) =>
          ask(node, `select pg_last_wal_replay_lsn() >= '${row?.lsn}'::pg_lsn as there`),
        ),
      );
      return states.every(([state]) => state?.there === true);
    });
  }

  async hold(): Promise<void> {
    for (const node of this.#standbys) await ask(node, "select pg_wal_replay_pause()");
    await eventually(async () => {
      const states = await Promise.all(
        this.#standbys.map((node) => ask(node, "select pg_get_wal_replay_pause_state() as state")),
      );
      return states.every(([row]) => row?.state === "paused");
    });
  }

  async release(): Promise<void> {
    for (const node of this.#standbys) await ask(node, "select pg_wal_replay_resume()");
  }

  /** After each test. */
  async tidy(): Promise<void> {
    await Promise.all(this.#stores.splice(0).map((store) => store.dispose()));
  }

  async stop(): Promise<void> {
    await this.tidy();
    await Promise.all([this.#primary, ...this.#standbys].map((node) => node?.kill()));
    await removeFolders(this.home.folder);
  }
}

/** Reads that the store's replicas have answered. */
export const readsOf = async (store: PostgresStore): Promise<number> =>
  (await store.health()).replicas.reduce((sum, { reads }) => sum + reads, 0);

/** Resolves once the store reads from each of its replicas. */
export const admitted = (store: PostgresStore): Promise<unknown> =>
  eventually(async () => {
    await store.query(() => {}, { limit: 1 });
    const { replicas } = await store.health();
    return replicas.length > 0 && replicas.every(({ up, reads }) => up && reads > 0);
  });

/** Names of all events of the store. */
export async function namesIn(store: PostgresStore): Promise<string[]> {
  const names: string[] = [];
  await store.query(({ name }) => void names.push(String(name)));
  return names;
}

/** A cluster for the tests of one file, for it takes seconds to start. */
export function useCluster(): Cluster {
  const cluster = new Cluster();
  beforeAll(() => cluster.start(), 60_000);
  afterEach(() => cluster.tidy());
  afterAll(() => cluster.stop());
  return cluster;
}
