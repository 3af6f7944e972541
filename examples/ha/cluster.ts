/** etcd, two Patroni nodes and HAProxy as processes on 127.0.0.1, in a temporary folder. */
import { chmodSync, copyFileSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { createFolder, createHome, findPostgres, findProgram, launch, type Program } from "./programs.ts";

const LOGIN = "postgres:example";
/** By way of HAProxy. */
export const PROXY_URL = `postgres://${LOGIN}@127.0.0.1:15000/postgres`;
/** Without it: the store looks for the leader itself. */
export const HOSTS_URL = `postgres://${LOGIN}@127.0.0.1:15432,127.0.0.1:15433/postgres?target_session_attrs=read-write`;

const nodes = [
  { name: "a", port: 15_432, rest: 18_008 },
  { name: "b", port: 15_433, rest: 18_009 },
] as const;
export type NodeName = (typeof nodes)[number]["name"];

type Member = { readonly name: string; readonly role: string; readonly state: string };

export class Cluster {
  readonly #home = createHome();
  readonly #running = new Map<string, Program>();

  async start(): Promise<void> {
    const folder = this.#home;
    for (const file of ["patroni.yml", "haproxy.cfg"]) {
      copyFileSync(join(import.meta.dirname, file), join(folder, file));
      chmodSync(join(folder, file), 0o644);
    }
    this.#run("etcd", [
      ...["--name", "one", "--data-dir", join(folder, "etcd")],
      ...[
        "--listen-client-urls",
        "http://127.0.0.1:12379",
        "--advertise-client-urls",
        "http://127.0.0.1:12379",
      ],
      ...[
        "--listen-peer-urls",
        "http://127.0.0.1:12380",
        "--initial-advertise-peer-urls",
        "http://127.0.0.1:12380",
      ],
      ...["--initial-cluster", "one=http://127.0.0.1:12380"],
    ]);
    for (const { name } of nodes) {
      createFolder(join(folder, name));
      this.startNode(name);
    }
    this.#run("haproxy", ["-db", "-f", join(folder, "haproxy.cfg")]);
    await this.until("a leader and a synchronous standby", (members) =>
      ["leader", "sync_standby"].every((role) => members.some((member) => member.role === role)),
    );
  }

  startNode(name: NodeName): void {
    const node = nodes.find((one) => one.name === name);
    if (!node) return;
    this.#run("patroni", [join(this.#home, "patroni.yml")], name, {
      PATRONI_NAME: name,
      PATRONI_RESTAPI_LISTEN: `127.0.0.1:${node.rest}`,
      PATRONI_RESTAPI_CONNECT_ADDRESS: `127.0.0.1:${node.rest}`,
      PATRONI_POSTGRESQL_LISTEN: `127.0.0.1:${node.port}`,
      PATRONI_POSTGRESQL_CONNECT_ADDRESS: `127.0.0.1:${node.port}`,
      PATRONI_POSTGRESQL_DATA_DIR: join(this.#home, name, "data"),
      PATRONI_POSTGRESQL_PGPASS: join(this.#home, name, "pgpass"),
      PATRONI_POSTGRESQL_BIN_DIR: findPostgres(),
    });
  }

  #run(name: string, args: readonly string[], as: string = name, env: NodeJS.ProcessEnv = {}): void {
    this.#running.set(as, launch(this.#home, findProgram(name), args, env));
  }

  async members(): Promise<Member[]> {
    for (const { rest } of nodes)
      try {
        const answer = await fetch(`http://127.0.0.1:${rest}/cluster`, {
          signal: AbortSignal.timeout(2_000),
        });
        const { members } = (await answer.json()) as { readonly members: Member[] };
        return members;
      } catch {
        // Not up, or killed: the other one may answer.
      }
    return [];
  }

  async until(what: string, holds: (members: readonly Member[]) => boolean, seconds = 120): Promise<void> {
    const end = Date.now() + seconds * 1_000;
    let members: Member[] = [];
    while (Date.now() < end) {
      members = await this.members();
      if (holds(members)) return;
      await delay(200);
    }
    const said = [...this.#running].map(([name, { output }]) => `${name}: ${output.slice(-8).join("\n  ")}`);
    throw new Error(`Not within ${seconds} s: ${what}. ${JSON.stringify(members)}\n${said.join("\n")}`);
  }

  async leader(): Promise<NodeName> {
    const leader = (await this.members()).find(({ role }) => role === "leader")?.name;
    const node = nodes.find(({ name }) => name === leader);
    if (!node) throw new Error("There is no leader now");
    return node.name;
  }

  /** SIGKILL to Patroni and to PostgreSQL, as when the machine is gone: nobody says goodbye. */
  async kill(name: NodeName): Promise<void> {
    const patroni = this.#running.get(name);
    // First, or it would start PostgreSQL again.
    patroni?.child.kill("SIGKILL");
    const pid = this.#postmaster(name);
    if (pid) process.kill(pid, "SIGKILL");
    await patroni?.end();
    this.#running.delete(name);
  }

  #postmaster(name: string): number | undefined {
    try {
      const [line] = readFileSync(join(this.#home, name, "data", "postmaster.pid"), "utf8").split("\n");
      const pid = Number(line);
      process.kill(pid, 0);
      return pid;
    } catch {
      return undefined; // Not running.
    }
  }

  async stop(): Promise<void> {
    for (const { name } of nodes) await this.kill(name);
    await Promise.all([...this.#running.values()].map((one) => one.end()));
    rmSync(this.#home, { recursive: true, force: true, maxRetries: 20 });
  }
}
