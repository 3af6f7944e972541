/** A primary and its synchronous standby, with Debian's PostgreSQL: killed, promoted, and made a pair again. */
import { chownSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type postgres from "postgres";
import { createHome, type Home, removeFolders } from "../../../dev/postgres/home.ts";
import { eventually } from "../../conformance/kit/eventually.ts";
import { deadPort } from "../../postgres/proxy.ts";
import { connect } from "../../support/database.ts";
import { accepts, launch, type Program, runProgram } from "./programs.ts";

const PASSWORD = "pair";

/** One server of a cluster; its password is the cluster's. */
export class Node {
  readonly name: string;
  readonly port: number;
  readonly folder: string;
  #program: Program | undefined;

  constructor(home: Home, name: string, port: number) {
    this.name = name;
    this.port = port;
    this.folder = join(home.folder, name);
  }

  get url(): string {
    return `postgres://postgres:${PASSWORD}@127.0.0.1:${this.port}/postgres`;
  }

  async start(home: Home, tools: string): Promise<void> {
    const settings = {
      ...{ listen_addresses: "127.0.0.1", port: this.port, unix_socket_directories: "" },
      // By this name the primary knows its standby.
      cluster_name: this.name,
      // In its folder, which is deleted: what is killed leaves its shared memory behind.
      dynamic_shared_memory_type: "mmap",
      wal_retrieve_retry_interval: "100ms",
    };
    const args = Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
    this.#program = launch(home, join(tools, "postgres"), ["-D", this.folder, ...args]);
    await accepts(this.port, this.#program);
    await this.ask((sql) => sql`select 1`);
  }

  /** SIGKILL to the postmaster; its backends end as soon as they notice. */
  async kill(): Promise<void> {
    await this.#program?.end();
  }

  /** Stops what receives from the primary, or lets it go on. */
  signal(signal: "SIGSTOP" | "SIGCONT"): Promise<void> {
    return this.ask(async (sql) => {
      const receivers = await sql`select pid from pg_stat_wal_receiver`;
      for (const { pid } of receivers) process.kill(pid, signal);
    });
  }

  async ask<T>(question: (sql: postgres.Sql) => Promise<T>): Promise<T> {
    const sql = connect(this.url);
    try {
      const answer = await eventually(async () => ({ value: await question(sql) }), { within: 30_000 });
      return answer.value;
    } finally {
      await sql.end({ timeout: 1 });
    }
  }
}

/** A new cluster, started. */
export async function initialize(home: Home, tools: string, node: Node): Promise<void> {
  const password = join(home.folder, "password");
  writeFileSync(password, PASSWORD);
  const { uid, gid } = home.account;
  if (uid !== undefined && gid !== undefined) chownSync(password, uid, gid);
  await runProgram(home, join(tools, "initdb"), [
    ...[`--pgdata=${node.folder}`, "--username=postgres", `--pwfile=${password}`],
    ...["--auth=scram-sha-256", "--locale=C", "--encoding=UTF8", "--no-sync"],
  ]);
  await node.start(home, tools);
}

/** A standby, copied from a primary or from another standby, started. */
export async function follow(home: Home, tools: string, source: Node, standby: Node): Promise<void> {
  rmSync(standby.folder, { recursive: true, force: true });
  await runProgram(home, join(tools, "pg_basebackup"), [
    ...["-D", standby.folder, "-d", source.url, "-R", "-X", "stream", "--checkpoint=fast", "--no-sync"],
  ]);
  await standby.start(home, tools);
}

export class Pair {
  readonly #home = createHome();
  readonly #tools: string;
  #primary: Node;
  #standby: Node;

  private constructor(tools: string, ports: readonly [number, number]) {
    this.#tools = tools;
    this.#primary = new Node(this.#home, "a", ports[0]);
    this.#standby = new Node(this.#home, "b", ports[1]);
  }

  static async start(tools: string): Promise<Pair> {
    const pair = new Pair(tools, [await deadPort(), await deadPort()]);
    try {
      await pair.#init();
      return pair;
    } catch (error) {
      await pair.stop();
      throw error;
    }
  }

  /** Both hosts, as a client would be configured for good. */
  get url(): string {
    const hosts = [this.#primary, this.#standby].map(({ port }) => `127.0.0.1:${port}`).sort();
    return `postgres://postgres:${PASSWORD}@${hosts.join(",")}/postgres?target_session_attrs=read-write`;
  }

  get primaryUrl(): string {
    return this.#primary.url;
  }

  get standbyUrl(): string {
    return this.#standby.url;
  }

  /** From now on the standby confirms nothing, so that every COMMIT waits; until the function it returns is called. */
  async hold(): Promise<() => Promise<void>> {
    const standby = this.#standby;
    await standby.signal("SIGSTOP");
    return () => standby.signal("SIGCONT");
  }

  async #init(): Promise<void> {
    await initialize(this.#home, this.#tools, this.#primary);
    await this.attach();
  }

  /** A standby, copied from the primary; resolves once commits wait for it. */
  async attach(): Promise<void> {
    const [primary, standby] = [this.#primary, this.#standby];
    await follow(this.#home, this.#tools, primary, standby);
    await primary.ask(async (sql) => {
      await sql.unsafe(`alter system set synchronous_standby_names = '${standby.name}'`);
      await sql`select pg_reload_conf()`;
    });
    await eventually(
      async () => {
        const [row] = await primary.ask((sql) => sql`select sync_state from pg_stat_replication`);
        return row?.sync_state === "sync";
      },
      { within: 30_000 },
    );
  }

  /** Kills the primary and promotes the standby; ms from the one to the other's readiness to write. */
  async failOver(): Promise<number> {
    const start = performance.now();
    await this.#primary.kill();
    [this.#primary, this.#standby] = [this.#standby, this.#primary];
    const { folder } = this.#primary;
    await runProgram(this.#home, join(this.#tools, "pg_ctl"), ["promote", "-D", folder, "-w"]);
    // Else every commit would wait for a standby that is not there.
    await this.#primary.ask(async (sql) => {
      await sql`alter system reset synchronous_standby_names`;
      await sql`select pg_reload_conf()`;
    });
    return performance.now() - start;
  }

  async stop(): Promise<void> {
    await Promise.all([this.#primary.kill(), this.#standby.kill()]);
    await removeFolders(this.#home.folder);
  }
}
