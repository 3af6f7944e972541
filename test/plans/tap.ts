/**
 * Plans as the server ran them. `auto_explain` reports the plan of every statement, as it was executed, as a
 * notice on the connection that sent it; a TCP tap between store and server reads the notices off the wire.
 * So these are the store's own statements, parameters, prepared statements and session settings, and the
 * generic plan where the server has changed to one.
 */
import { once } from "node:events";
import net from "node:net";
import type postgres from "postgres";

/** A node of a plan, as far as the tests look at it. */
export type PlanNode = {
  readonly "Node Type": string;
  readonly "Relation Name"?: string;
  readonly "Index Name"?: string;
  readonly "Actual Rows"?: number;
  readonly "Actual Loops"?: number;
  readonly "Rows Removed by Filter"?: number;
  readonly "Rows Removed by Join Filter"?: number;
  readonly "Rows Removed by Index Recheck"?: number;
  readonly "Shared Hit Blocks"?: number;
  readonly "Shared Read Blocks"?: number;
  readonly Plans?: readonly PlanNode[];
};

export type Explained = { readonly "Query Text": string; readonly Plan: PlanNode };

/** Makes every session of this database report its plans. For superusers only. */
export async function reportPlans(sql: postgres.Sql, database: string): Promise<void> {
  const settings = {
    session_preload_libraries: "auto_explain",
    "auto_explain.log_min_duration": "0",
    "auto_explain.log_analyze": "on",
    "auto_explain.log_buffers": "on",
    "auto_explain.log_timing": "off",
    "auto_explain.log_format": "json",
    "auto_explain.log_level": "notice",
  };
  await sql.unsafe("load 'auto_explain'");
  for (const [name, value] of Object.entries(settings))
    await sql.unsafe(`alter database "${database}" set ${name} = '${value}'`);
}

const READY = "Z".charCodeAt(0);
const NOTICE = "N".charCodeAt(0);

export class PlanTap {
  readonly #server: net.Server;
  readonly #sockets = new Set<net.Socket>();
  /** Connections that wait for the server's ReadyForQuery. */
  #busy = new Set<net.Socket>();
  #idle: (() => void)[] = [];
  #plans: Explained[] = [];

  private constructor(target: net.TcpSocketConnectOpts) {
    this.#server = net.createServer((client) => {
      client.setNoDelay(true);
      const upstream = net.connect(target);
      upstream.setNoDelay(true);
      for (const socket of [client, upstream]) {
        this.#sockets.add(socket);
        socket.on("error", () => {});
        socket.once("close", () => this.#sockets.delete(socket));
      }
      client.on("data", () => this.#busy.add(client));
      client.pipe(upstream);
      upstream.on("data", this.#reader(client));
      client.once("close", () => {
        upstream.destroy();
        this.#rest(client);
      });
      upstream.once("close", () => client.destroy());
    });
  }

  static async before(target: net.TcpSocketConnectOpts): Promise<PlanTap> {
    const tap = new PlanTap(target);
    tap.#server.listen({ host: "127.0.0.1", port: 0 });
    await once(tap.#server, "listening");
    return tap;
  }

  get port(): number {
    const address = this.#server.address();
    if (address === null || typeof address === "string") throw new Error("Not listening on a port");
    return address.port;
  }

  /** Reads the server's messages: a type, a length, a body. Passes them on once they are read. */
  #reader(client: net.Socket): (chunk: Buffer) => void {
    let rest: Buffer = Buffer.alloc(0);
    return (chunk) => {
      rest = rest.length > 0 ? Buffer.concat([rest, chunk]) : chunk;
      while (rest.length >= 5 && rest.length > rest.readUInt32BE(1)) {
        const end = rest.readUInt32BE(1) + 1;
        if (rest[0] === NOTICE) this.#note(rest.toString("utf8", 5, end));
        if (rest[0] === READY) this.#rest(client);
        rest = rest.subarray(end);
      }
      client.write(chunk);
    };
  }

  /** A notice: fields of one letter each, ended by zeros; M is the message. */
  #note(fields: string): void {
    const message = fields.split("\0").find((field) => field.startsWith("M"));
    const start = message?.indexOf("plan:\n") ?? -1;
    if (message && start >= 0) this.#plans.push(JSON.parse(message.slice(start + "plan:\n".length)));
  }

  #rest(client: net.Socket): void {
    this.#busy.delete(client);
    if (this.#busy.size > 0) return;
    for (const resolve of this.#idle.splice(0)) resolve();
  }

  /** The plans of the statements that `run` sends. The last one's comes just before the server is ready again. */
  async plansOf(run: () => Promise<unknown>): Promise<Explained[]> {
    this.#plans = [];
    await run();
    if (this.#busy.size > 0) await new Promise<void>((resolve) => this.#idle.push(resolve));
    return this.#plans;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, "close");
  }
}
