/**
 * A primary, two standbys, and two behind a standby, of which one is late: killed, promoted, pointed at the new primary.
 *
 * Both cascades follow a standby, never the primary: what they have received, the server that is promoted has too. A
 * standby that is ahead of the promoted one could not follow it, and may have shown events that are lost.
 */
import { join } from "node:path";
import type { Home } from "../../../dev/postgres/home.ts";
import { eventually } from "../../conformance/kit/eventually.ts";
import { deadPort } from "../../postgres/proxy.ts";
import { follow, initialize, Node } from "../failover/pair.ts";
import { runProgram } from "../failover/programs.ts";

const LATE = "500ms";

/** Makes a standby follow another server, without a restart. */
async function followNow(standby: Node, source: Node): Promise<void> {
  const { hostname, port, username, password } = new URL(source.url);
  const info = `host=${hostname} port=${port} user=${username} password=${password} application_name=${standby.name}`;
  await standby.ask(async (sql) => {
    await sql.unsafe(`alter system set primary_conninfo = '${info}'`);
    await sql`select pg_reload_conf()`;
  });
}

const positionOf = async (standby: Node): Promise<bigint> => {
  const [row] = await standby.ask(
    (sql) => sql<{ at: string }[]>`select (pg_last_wal_receive_lsn() - '0/0'::pg_lsn)::text as at`,
  );
  return BigInt(row?.at ?? 0);
};

export class Family {
  readonly #home: Home;
  readonly #tools: string;
  readonly nodes: readonly Node[];
  primary: Node;
  /** Either may be promoted. */
  #standbys: Node[] = [];
  readonly cascade: Node;
  readonly late: Node;

  private constructor(home: Home, tools: string, ports: readonly number[]) {
    this.#home = home;
    this.#tools = tools;
    const node = (n: number) => new Node(home, "abcde"[n] ?? "", ports[n] ?? 0);
    const [a, b, c, d, e] = [node(0), node(1), node(2), node(3), node(4)];
    this.nodes = [a, b, c, d, e];
    this.primary = a;
    this.#standbys = [b, c];
    this.cascade = d;
    this.late = e;
  }

  /** The primary alone. */
  static async start(home: Home, tools: string): Promise<Family> {
    const ports: number[] = [];
    for (let n = 0; n < 5; n++) ports.push(await deadPort());
    const family = new Family(home, tools, ports);
    await initialize(home, tools, family.primary);
    await family.primary.ask(async (sql) => {
      // Servers are killed here, the machine is not.
      await sql`alter system set fsync = off`;
      await sql`alter system set wal_keep_size = '2GB'`;
      await sql`alter system set hot_standby_feedback = on`;
      await sql`select pg_reload_conf()`;
    });
    return family;
  }

  /** The servers that are or may become the primary. */
  get url(): string {
    const { password } = new URL(this.primary.url);
    const hosts = this.nodes.slice(0, 3).map(({ port }) => `127.0.0.1:${port}`);
    return `postgres://postgres:${password}@${hosts.join(",")}/postgres?target_session_attrs=read-write`;
  }

  /** Starts the standbys. */
  async attach(): Promise<void> {
    for (const standby of this.#standbys) await follow(this.#home, this.#tools, this.primary, standby);
    const [first] = this.#standbys;
    if (first)
      for (const behind of [this.cascade, this.late]) await follow(this.#home, this.#tools, first, behind);
    await this.late.ask(async (sql) => {
      await sql.unsafe(`alter system set recovery_min_apply_delay = '${LATE}'`);
      await sql`select pg_reload_conf()`;
    });
    await this.#wait();
  }

  /** Commits wait for one of the two standbys. */
  async #wait(): Promise<void> {
    await this.primary.ask(async (sql) => {
      const names = this.#standbys.map(({ name }) => name).join(", ");
      await sql.unsafe(`alter system set synchronous_standby_names = 'ANY 1 (${names})'`);
      await sql`select pg_reload_conf()`;
    });
  }

  /**
   * Kills the primary and promotes the more advanced standby; the others follow that one, and the killed server becomes its
   * standby. Returns the ms until the promoted one could write.
   */
  async failOver(): Promise<number> {
    const start = performance.now();
    const former = this.primary;
    await former.kill();
    const { url } = former;
    // What the receivers still had on the way counts: they end once the connection is closed.
    for (const standby of this.#standbys)
      await eventually(
        async () => (await standby.ask((sql) => sql`select from pg_stat_wal_receiver`)).length === 0,
        { within: 30_000 },
      ).catch((error: unknown) => {
        throw new Error(`${standby.name} still receives from ${new URL(url).port}`, { cause: error });
      });
    const positions = await Promise.all(this.#standbys.map(positionOf));
    const at = (positions[1] ?? 0n) > (positions[0] ?? 0n) ? 1 : 0;
    const [promoted] = this.#standbys.splice(at, 1);
    if (!promoted) throw new Error("There is no standby to promote");
    const [other] = this.#standbys;
    this.primary = promoted;
    await runProgram(this.#home, join(this.#tools, "pg_ctl"), ["promote", "-D", promoted.folder, "-w"]);
    await promoted.ask(async (sql) => {
      // The other one and the former primary have to be pointed at it first.
      await sql`alter system reset synchronous_standby_names`;
      await sql`select pg_reload_conf()`;
    });
    const took = Math.round(performance.now() - start);
    if (other) {
      await followNow(other, promoted);
      for (const behind of [this.cascade, this.late]) await followNow(behind, other);
    }
    await follow(this.#home, this.#tools, promoted, former);
    this.#standbys.push(former);
    await this.#wait();
    return took;
  }

  async stop(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.kill()));
  }
}
