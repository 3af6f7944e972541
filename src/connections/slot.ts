/**
 * One connection, from its first use to its first close.
 *
 * postgres.js 3.4.9 loses queries when a backend dies (they never settle), runs the rest of a
 * transaction on a replacement connection (#1133, #1155, #1216) and can crash the process inside
 * `begin` and `reserve` (#1154, #1208). So a slot is a client with `max: 1` that is thrown away on its
 * first close; every operation races that close; and transactions are written out as statements.
 */
import postgres from "postgres";
import type { Config, Endpoint } from "../config.ts";
import { ConnectionError } from "../errors.ts";
import { type OpenSocket, openSocket } from "./socket.ts";

export type Row = Readonly<Record<string, unknown>>;
/** Parameters as the driver takes them: arrays are passed as array literals, JSON as text. */
export type Param = string | number | boolean | null;
export type Query = { readonly text: string; readonly params?: readonly Param[] };

export type Backend = { readonly pid: number; readonly started: string };

export type SlotOptions = {
  readonly config: Config;
  readonly endpoint: Endpoint;
  /** Server settings of this session beside the usual ones. Not sent through a pooler (prepare: false). */
  readonly settings?: Readonly<Record<string, string | number>>;
  /** Called at the server's first answer. Must not throw. */
  readonly answers?: () => void;
};

/** A connection's life as `settings`: what a session starts with. PgBouncer refuses unknown ones. */
function sessionSettings({
  config,
  settings,
}: Pick<SlotOptions, "config" | "settings">): Record<string, string | number> {
  // What statements and answers are written for, whatever the role's or the database's defaults are.
  const common = {
    application_name: config.application_name,
    DateStyle: "ISO, MDY",
    TimeZone: "UTC",
    standard_conforming_strings: "on",
  };
  if (!config.prepare) return common;
  return {
    ...common,
    statement_timeout: config.statement_timeout,
    // Heads must be read after the lock is granted and predicates be checked again under row locks:
    // both need read committed, whatever the database's default is.
    default_transaction_isolation: "read committed",
    array_nulls: "on",
    extra_float_digits: 1,
    // Idle connections are closed from here: the server would end one just as a commit is sent on it.
    idle_session_timeout: 0,
    jit: "off",
    ...settings,
  };
}

/** libpq's sslmode in terms of node's TLS. The driver itself verifies nothing for `require` and `prefer`. */
export function tlsOptions(ssl: Config["ssl"]): boolean | "prefer" | object {
  if (ssl === false || ssl === "disable") return false;
  if (ssl === "allow" || ssl === "prefer") return "prefer";
  if (ssl === "require") return { rejectUnauthorized: false };
  if (ssl === "verify-ca") return { checkServerIdentity: () => undefined };
  return typeof ssl === "object" ? ssl : {};
}

const noop = () => {};

/** How the driver and the socket say that a connection is gone. */
const GONE = new Set([
  "CONNECTION_CLOSED",
  "CONNECTION_DESTROYED",
  "CONNECTION_ENDED",
  "ECONNRESET",
  "EPIPE",
  "ETIMEDOUT",
]);
const isGone = (error: unknown): boolean =>
  typeof error === "object" && error !== null && "code" in error && GONE.has(String(error.code));

/** The server's last words on a connection, a refused password for one: the close follows a moment later. */
const isFatal = (error: unknown): error is Error =>
  error instanceof Error && "severity" in error && (error.severity === "FATAL" || error.severity === "PANIC");

export class Slot {
  /** Why the slot can't be used any more; undefined while it can. */
  failure: Error | undefined;
  /** When it was last handed back, in ms of `performance.now()`. */
  idleSince = 0;
  /** The server process behind it, once asked for: a pid is used again, a pid with its start is not. */
  backend: Backend | undefined;
  /** True once the server has answered on it. */
  answered = false;
  readonly #client: postgres.Sql;
  #socket: OpenSocket | undefined;
  #opened = false;
  #referenced = true;
  #pending = new Set<(error: Error) => void>();
  #jsonBytes = 0;
  #alive: postgres.ListenMeta | undefined;
  readonly #endpoint: Endpoint;
  readonly #tls: boolean;
  readonly #answers: () => void;
  readonly #onClose: (slot: Slot) => void;

  constructor(options: SlotOptions, onClose: (slot: Slot) => void = noop) {
    const { config, endpoint } = options;
    this.#onClose = onClose;
    this.#answers = options.answers ?? noop;
    this.#endpoint = endpoint;
    const tls = tlsOptions(config.ssl);
    this.#tls = tls !== false;
    this.#client = postgres({
      host: endpoint.host,
      port: endpoint.port,
      database: config.database,
      user: config.user,
      password: config.password,
      // Without a host Node would hold the certificate of an address against "localhost".
      ssl: (typeof tls === "object" ? { host: endpoint.host, ...tls } : tls) as boolean,
      max: 1,
      prepare: config.prepare,
      fetch_types: false,
      idle_timeout: 0,
      max_lifetime: 0,
      connect_timeout: Math.ceil(config.connectionTimeoutMillis / 1000) || undefined,
      // As text: the driver leaves out what is 0.
      connection: Object.fromEntries(
        Object.entries(sessionSettings(options)).map(([name, value]) => [name, String(value)]),
      ),
      types: {
        int8: { to: 20, from: [20], serialize: String, parse: Number },
        json: { to: 3802, from: [114, 3802], serialize: String, parse: (text: string) => this.#json(text) },
      },
      onnotice: noop,
      onclose: () => this.#close(this.#lost()),
      socket: () => this.#open(options),
      no_subscribe: true,
    } as postgres.Options<Record<string, postgres.PostgresType>>);
  }

  /** Parses jsonb once, and counts it, so that a read can stop at its budget. */
  #json(text: string): unknown {
    this.#jsonBytes += text.length;
    return JSON.parse(text);
  }

  /** The one socket of this slot. The driver asks for another when that closed: then it is the end. */
  async #open({ config, endpoint }: SlotOptions): Promise<OpenSocket> {
    if (this.#opened) this.#close(this.#lost());
    if (this.failure) throw this.failure;
    this.#opened = true;
    try {
      const socket = await openSocket(endpoint, config.connectionTimeoutMillis);
      if (this.failure) {
        socket.destroy();
        throw this.failure;
      }
      if (!this.#referenced) socket.unref();
      this.#socket = socket;
      return socket;
    } catch (error) {
      this.#close(error instanceof Error ? error : new Error("cannot connect"));
      throw error;
    }
  }

  /** A connection that ends before the server has said anything is another matter than one that is lost. */
  #lost(): ConnectionError {
    if (this.answered) return new ConnectionError("CONNECTION_CLOSED", "the connection was lost", true);
    const { host, port } = this.#endpoint;
    const tls = this.#tls ? ": does it offer TLS? (option ssl)" : "";
    return new ConnectionError(
      "CONNECTION_CLOSED",
      `${host}:${port} closed the connection before it answered${tls}`,
      true,
    );
  }

  #close(error: Error): void {
    if (this.failure) return;
    this.failure = error;
    this.#socket?.destroy();
    for (const reject of this.#pending) reject(error);
    this.#pending.clear();
    this.#onClose(this);
  }

  /** Cuts the connection now; what runs on it rejects with `error`. */
  destroy(error: Error): void {
    this.#close(error);
  }

  /** Says goodbye to the server and closes. Only for a slot nobody uses. */
  async end(): Promise<void> {
    if (this.failure) return;
    this.ref(true);
    await this.#client.end({ timeout: 1 }).catch(noop);
    this.#close(new ConnectionError("CONNECTION_ENDED", "the connection was closed", false));
  }

  /** An unreferenced slot keeps no process alive. */
  ref(wanted: boolean): void {
    if (this.#referenced === wanted) return;
    this.#referenced = wanted;
    if (wanted) this.#socket?.ref();
    else this.#socket?.unref();
  }

  #heard(): void {
    if (this.answered) return;
    this.answered = true;
    this.#answers();
  }

  /** Settles with `work`, with the close of the connection, or with the deadline: never not at all. */
  #race<T>(work: Promise<T>, deadline: number): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const timer =
        deadline > 0
          ? setTimeout(() => {
              const { host, port } = this.#endpoint;
              const text = `no answer from ${host}:${port} within ${deadline} ms: the connection was given up`;
              this.#close(new ConnectionError("DEADLINE", text, true));
            }, deadline)
          : undefined;
      const lost = (error: Error) => {
        clearTimeout(timer);
        reject(error);
      };
      const settle = () => {
        clearTimeout(timer);
        this.#pending.delete(lost);
      };
      this.#pending.add(lost);
      work.then(
        (value) => {
          settle();
          this.#heard();
          resolve(value);
        },
        (error) => {
          settle();
          if (isGone(error)) this.#close(this.#lost());
          if (isFatal(error)) this.#close(error);
          reject(this.failure ?? error);
        },
      );
    });
  }

  #send({ text, params = [] }: Query) {
    return params.length === 0
      ? this.#client.unsafe(text)
      : this.#client.unsafe(text, params as never[], { prepare: true });
  }

  /** One statement, one round trip once it is prepared. `deadline` in ms, 0 for none. */
  run(query: Query, deadline: number): Promise<readonly Row[]> {
    if (this.failure) return Promise.reject(this.failure);
    return this.#race<readonly Row[]>(this.#send(query), deadline);
  }

  /**
   * Like {@link run}, but stops after `budget` characters of JSON: what came until then is returned with
   * `cut: true`, and the connection is thrown away, for the server would go on sending.
   */
  async read(query: Query, deadline: number, budget: number): Promise<{ rows: Row[]; cut: boolean }> {
    if (this.failure) throw this.failure;
    this.#jsonBytes = 0;
    const rows: Row[] = [];
    let cut = false;
    const work = this.#send(query).forEach((row) => {
      if (cut) return;
      rows.push(row);
      cut = this.#jsonBytes > budget;
      if (cut) this.#close(new ConnectionError("BUDGET", "read budget reached", true));
    });
    try {
      await this.#race<unknown>(work, deadline);
    } catch (error) {
      if (!cut) throw error;
    }
    return { rows, cut };
  }

  /**
   * Statements written to the socket at once, without waiting for one another's answers. `seen` hears of
   * each answer as it comes, so that a caller knows how far a lost connection got. Rejects with the
   * first failure, after all have settled.
   */
  async pipeline(
    queries: readonly Query[],
    deadline: number,
    seen: (index: number, rows: readonly Row[]) => void = noop,
  ): Promise<(readonly Row[])[]> {
    if (this.failure) throw this.failure;
    const failures: unknown[] = [];
    const sent = queries.map((query, index) =>
      this.#send(query).then(
        (rows: readonly Row[]) => {
          this.#heard();
          seen(index, rows);
          return rows;
        },
        (error: unknown): readonly Row[] => {
          failures.push(error);
          return [];
        },
      ),
    );
    try {
      const answers = await this.#race(Promise.all(sent), deadline);
      if (failures.length === 0) return answers;
    } catch (error) {
      // A refused password and the like close the connection too: what was said first is the reason.
      if (failures.length === 0) throw error;
    }
    const [first] = failures;
    if (isGone(first)) this.#close(this.#lost());
    if (isFatal(first)) this.#close(first);
    throw isGone(first) ? this.failure : first;
  }

  /**
   * A sign of life from a connection that listens: the driver lets nothing else through on it. LISTEN comes
   * last, so that the session still shows what it is for. Never settles when nobody answers.
   */
  async beat(): Promise<void> {
    if (this.failure) throw this.failure;
    await this.#alive?.unlisten();
    this.#alive = await this.#client.listen("act_drizzle_alive", noop);
  }

  /** The driver's own `listen`, on this connection's client. */
  listen(channel: string, heard: (payload: string) => void, deadline: number): Promise<unknown> {
    if (this.failure) return Promise.reject(this.failure);
    return this.#race<unknown>(this.#client.listen(channel, heard), deadline);
  }
}
