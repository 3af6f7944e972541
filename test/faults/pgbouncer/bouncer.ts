/** A PgBouncer in transaction mode before the server of the tests. */
import { chownSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createHome, removeFolders } from "../../../dev/postgres/home.ts";
import { deadPort } from "../../postgres/proxy.ts";
import { accepts, findProgram, launch } from "../failover/programs.ts";

export type Bouncer = {
  /** A server's URL, by way of PgBouncer. */
  through(url: string): string;
  stop(): Promise<void>;
};

export type BouncerOptions = {
  /** Server connections per database and user. */
  readonly poolSize?: number;
  /** Other lines of the [pgbouncer] section. */
  readonly settings?: Readonly<Record<string, string>>;
};

/**
 * `ignore_startup_parameters` of docs/guides/pgbouncer.md for session mode: what a store sends at its login, and sets itself
 * later.
 */
export const LOGIN_SETTINGS = [
  "statement_timeout,default_transaction_isolation,array_nulls,extra_float_digits,idle_session_timeout",
  "idle_in_transaction_session_timeout,tcp_keepalives_idle,tcp_keepalives_interval,tcp_keepalives_count",
  "tcp_user_timeout,jit,plan_cache_mode,row_security",
].join();

/** The configuration of docs/guides/pgbouncer.md. */
const settingsOf = ({ poolSize = 20, settings = {} }: BouncerOptions) => ({
  pool_mode: "transaction",
  default_pool_size: String(poolSize),
  max_client_conn: "2000",
  max_db_connections: "0",
  ...settings,
});

export async function startBouncer(server: string, options: BouncerOptions = {}): Promise<Bouncer> {
  const file = findProgram("pgbouncer");
  if (!file) throw new Error("pgbouncer is not installed");
  const { hostname, port: serverPort, username, password } = new URL(server);
  const home = createHome();
  const port = await deadPort();
  const put = (name: string, text: string) => {
    const path = join(home.folder, name);
    writeFileSync(path, text, { mode: 0o600 });
    const { uid, gid } = home.account;
    if (uid !== undefined && gid !== undefined) chownSync(path, uid, gid);
    return path;
  };
  const users = put("users.txt", `"${decodeURIComponent(username)}" "${decodeURIComponent(password)}"\n`);
  const own = {
    listen_addr: "127.0.0.1",
    listen_port: String(port),
    unix_socket_dir: "",
    auth_type: "scram-sha-256",
    auth_file: users,
    ...settingsOf(options),
  };
  const config = put(
    "pgbouncer.ini",
    [
      "[databases]",
      `* = host=${hostname.replace(/^\[|\]$/g, "")} port=${serverPort || "5432"}`,
      "[pgbouncer]",
      ...Object.entries(own).map(([name, value]) => `${name} = ${value}`),
      "",
    ].join("\n"),
  );
  const program = launch(home, file, [config]);
  await accepts(port, program);
  return {
    through: (url) => {
      const by = new URL(url);
      by.hostname = "127.0.0.1";
      by.port = String(port);
      return by.href;
    },
    stop: async () => {
      await program.end();
      await removeFolders(home.folder);
    },
  };
}
