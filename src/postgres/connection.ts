/**
 * One connection, from its first use to its first close. States: new → connecting (its first statement is on the way) →
 * established → closed. A closed connection is never used again.
 *
 * postgres.js 3.4.9 loses queries when a backend dies (they never settle), runs the rest of a transaction on a
 * replacement connection (#1133, #1155, #1216) and can crash the process inside `begin` and `reserve` (#1154, #1208).
 * So a connection is a client with `max: 1` that is thrown away on its first close; every operation races that
 * close; and transactions are sent by a {@link TransactionChannel}.
 */
import type postgres from "postgres";
import { ConnectionError } from "../errors.ts";
import type { ConnectionTarget, Endpoint } from "../options/config.ts";
import { instantIn, lessOf, msUntil } from "./deadline.ts";
import { openDriver } from "./driver.ts";
import { isFatal, isGone } from "./ended.ts";
import { type Answer, forCitus, paramsOf, type Query, type Row } from "./exchange.ts";
import { IDENTITY, toIdentity } from "./identity.ts";
import { askForPassword } from "./password.ts";
import type { SessionSettings } from "./session-settings.ts";
import { type OpenSocket, openSocket } from "./socket.ts";
import { afterPoll } from "./timers.ts";
import { TransactionChannel, TransactionFailure } from "./transaction.ts";

export type Backend = {
  readonly pid: number;
  /** pg_stat_activity.backend_start, as text. PostgreSQL reuses a pid, but never a pid together with its start. */
  readonly started: string;
  /** The session's own application_name. Set where a pooler may give the server process to another client later. */
  readonly mark?: string;
};

export type ConnectionOptions = ConnectionTarget & {
  readonly endpoint: Endpoint;
  /** Server settings of this session beside the usual ones. Not sent through a pooler (prepare: false). */
  readonly settings?: SessionSettings;
  /** Facts about the database that the owner of the connection needs: a select list, read with the first statement. */
  readonly facts?: string;
  /** Set on connections that stores share: how many statements stay prepared. */
  readonly maxPrepared?: number | undefined;
  /** Called at the server's first answer. Must not throw. */
  readonly onEstablished?: (() => void) | undefined;
};

/** The rows of a read, whether it stopped early (`cut`), and their size in characters of JSON or in bytes (`bytes`). */
export type Page = { readonly rows: Row[]; readonly cut: boolean; readonly bytes: number };

const noop = () => {};
const ended = () => new ConnectionError("CONNECTION_ENDED", "the connection was closed", false);

export class Connection {
  /** Why the connection was closed; undefined while it is open. */
  closedWith: Error | undefined;
  /** When it last became idle, in ms of `performance.now()`. */
  idleSince = 0;
  /**
   * The server process behind the connection. Undefined until {@link establish}, and undefined behind a pooler in
   * transaction mode, where it is not known which server process runs a transaction.
   */
  backend: Backend | undefined;
  /** False where a pooler may run each transaction in another session. Then no transaction relies on session settings. */
  ownsSession: boolean;
  /** The database has the extension Citus, for which some statements have another text. Known after {@link establish}. */
  citus = false;
  /** The result of {@link establish}; undefined until then. */
  facts: Row | undefined;
  /** True once the server has answered on it. */
  established = false;
  readonly endpoint: Endpoint;
  readonly #options: ConnectionOptions;
  readonly #client: postgres.Sql;
  readonly #onClose: (connection: Connection) => void;
  #socket: OpenSocket | undefined;
  #password = "";
  #channel: TransactionChannel | undefined;
  #identity: Promise<Row> | undefined;
  /** The server's clock minus `performance.now()`, in ms. */
  #clockOffset = 0;
  #opened = false;
  #ending = false;
  /** When the driver got its socket. The driver sends nothing before. */
  #openedAt = 0;
  #endLogin = noop;
  #referenced = true;
  #pending = new Set<(error: Error) => void>();
  #jsonBytes = 0;
  #pinged: postgres.ListenMeta | undefined;

  constructor(options: ConnectionOptions, onClose: (connection: Connection) => void = noop) {
    const { config, endpoint } = options;
    this.#options = options;
    this.#onClose = onClose;
    this.endpoint = endpoint;
    this.ownsSession = config.prepare;
    this.#client = openDriver(options, {
      password: () => this.#password,
      socket: () => this.#open(),
      json: (text) => this.#json(text),
      loggedIn: () => this.#endLogin(),
      closed: () => this.#close(this.#ending ? ended() : this.#lost()),
    });
  }

  /** Parses jsonb once, and counts it, so that a read can stop at its budget. */
  #json(text: string): unknown {
    this.#jsonBytes += text.length;
    return JSON.parse(text);
  }

  /** Opens the connection's one socket. If the driver asks for a second one, the first is lost, so the connection closes. */
  async #open(): Promise<OpenSocket> {
    if (this.#opened) this.#close(this.#lost());
    if (this.closedWith) throw this.closedWith;
    this.#opened = true;
    try {
      this.#password = await askForPassword(this.#options);
      const unref = !this.#referenced;
      const socket = await openSocket(this.endpoint, this.#options, { unref });
      if (this.closedWith) {
        socket.destroy();
        throw this.closedWith;
      }
      if (this.#referenced) socket.ref();
      else socket.unref();
      this.#socket = socket;
      this.#openedAt = performance.now();
      this.#watchLogin();
      return socket;
    } catch (error) {
      this.#close(error instanceof Error ? error : new Error("cannot connect"));
      throw error;
    }
  }

  /** Limits the login. It gets the connect timeout once more, counted from the moment that the socket is open. */
  #watchLogin(): void {
    const { host, port } = this.endpoint;
    const ms = this.#options.config.connectionTimeoutMillis;
    const text = `${host}:${port} took the connection but did not answer in ${ms} ms`;
    const fail = () => this.#close(new ConnectionError("CONNECT_TIMEOUT", text, false));
    this.#endLogin = afterPoll(ms, fail, () => this.#socket?.bytesRead ?? 0, { unref: !this.#referenced });
  }

  /** The error of a closed connection. Its text tells whether the server had ever answered on it. */
  #lost(): ConnectionError {
    const { host, port } = this.endpoint;
    const text = this.established
      ? "the connection was lost"
      : `${host}:${port} closed the connection before it answered`;
    return new ConnectionError("CONNECTION_CLOSED", text, true);
  }

  #close(error: Error): void {
    if (this.closedWith) return;
    this.closedWith = error;
    this.#endLogin();
    this.#socket?.destroy();
    for (const reject of this.#pending) reject(error);
    this.#pending.clear();
    this.#onClose(this);
  }

  /** Cuts the connection now; what runs on it rejects with `error`. */
  destroy(error: Error): void {
    this.#close(error);
  }

  /** Sends Terminate and closes. Only for a connection that is not in use. */
  async end(): Promise<void> {
    if (this.closedWith) return;
    this.ref(true);
    this.#ending = true;
    await this.#client.end({ timeout: 1 }).catch(noop);
    this.#close(ended());
  }

  /** Sets whether the connection keeps the process alive, like `ref` and `unref` of a socket. */
  ref(wanted: boolean): void {
    if (this.#referenced === wanted) return;
    this.#referenced = wanted;
    if (wanted) this.#socket?.ref();
    else this.#socket?.unref();
  }

  #answered(): void {
    if (this.established) return;
    this.#endLogin();
    this.established = true;
    this.#options.onEstablished?.();
  }

  /** Settles when `work` settles, when the connection closes, or at the deadline, whichever comes first. */
  #race<T>(work: Promise<T>, deadline: number): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const cancel = afterPoll(
        deadline,
        () => {
          const { host, port } = this.endpoint;
          const text = `no answer from ${host}:${port} within ${Math.ceil(deadline)} ms: the connection was given up`;
          this.#close(
            new ConnectionError(this.established ? "DEADLINE" : "CONNECT_TIMEOUT", text, this.established),
          );
        },
        () => this.#socket?.bytesRead ?? 0,
        // A connection that warmUp() opens must not keep the process alive, so its timers must not either.
        { unref: !this.#referenced },
      );
      const lost = (error: Error) => {
        cancel();
        reject(error);
      };
      const finish = () => {
        cancel();
        this.#pending.delete(lost);
      };
      this.#pending.add(lost);
      work.then(
        (value) => {
          finish();
          this.#answered();
          resolve(value);
        },
        (error) => {
          finish();
          this.#closeAfter(error);
          reject(this.closedWith ?? error);
        },
      );
    });
  }

  /** Closes the connection after an error of the driver, and after a FATAL error, which the server sends before it closes. */
  #closeAfter(error: unknown): void {
    if (isGone(error)) this.#close(this.#lost());
    else if (isFatal(error) || error instanceof ConnectionError) this.#close(error);
  }

  #own(query: Query): Query {
    return this.citus ? forCitus(query) : query;
  }

  #send(query: Query) {
    const { text } = this.#own(query);
    const params = paramsOf(query);
    return params.length === 0
      ? this.#client.unsafe(text)
      : this.#client.unsafe(text, [...params], { prepare: this.ownsSession && !query.once });
  }

  /**
   * Runs one statement: one round trip once it is prepared. `deadline` in ms, 0 for none.
   * Rows are collected one by one. The driver does not reset its own row count after an error, so the next result would
   * begin with that many empty elements.
   */
  async run(query: Query, deadline: number): Promise<readonly Row[]> {
    if (this.closedWith) throw this.closedWith;
    const rows: Row[] = [];
    await this.#race<unknown>(
      this.#send(query).forEach((row) => void rows.push(row)),
      deadline,
    );
    return rows;
  }

  /**
   * Connects, and returns facts about the server: `pid`, `started`, `standby`, `read_only`, `pooled` (the login's pid is
   * not that of the process that answers: a pooler is in between), and the columns of the option `facts`.
   */
  establish(deadline: number): Promise<Row> {
    this.#identity ??= this.#identify(deadline).catch((error: unknown) => {
      // The statement may have been cancelled. The next caller asks again.
      this.#identity = undefined;
      throw error;
    });
    return this.#identity;
  }

  /**
   * An upper bound of the server's clock, in ms since the epoch. The clock is read in whole ms, so the bound may be a fraction
   * of a ms too early. It is too late by at most the time from sending the query to the server's reading of its clock.
   */
  serverTime(): number {
    return performance.now() + this.#clockOffset;
  }

  async #identify(deadline: number): Promise<Row> {
    if (this.closedWith) throw this.closedWith;
    const { facts } = this.#options;
    const asked = performance.now();
    const sent = this.#client.unsafe(`select ${IDENTITY}${facts ? `, ${facts}` : ""}`);
    const result = await this.#race(sent, lessOf(deadline, this.#options.config.connectionTimeoutMillis));
    const row: Row = result[0] ?? {};
    const identity = toIdentity(row);
    const pooled = result.state?.pid !== row.pid;
    this.#clockOffset = identity.clock - Math.max(asked, this.#openedAt);
    this.ownsSession &&= !pooled;
    this.citus = identity.citus;
    if (this.ownsSession) this.backend = { pid: identity.pid, started: identity.started };
    this.facts = { ...row, ...identity, pooled };
    return this.facts;
  }

  /**
   * Statements of one transaction, in one message: one round trip, or two with large parameters. Rejects with a
   * {@link TransactionFailure}. `transferred`: see TransactionOptions.
   */
  transact(
    queries: readonly Query[],
    deadline: number,
    transferred?: (bytes: number, ms: number) => void,
  ): Promise<readonly Answer[]> {
    return this.onChannel(deadline, (channel) => {
      const options = { prepare: this.ownsSession, citus: this.citus, transferred };
      return channel.run(this.citus ? queries.map(forCitus) : queries, options);
    });
  }

  /** Runs `work`, which uses the channel alone. Rejects with a {@link TransactionFailure} if the connection is lost. */
  async onChannel<T>(deadline: number, work: (channel: TransactionChannel) => Promise<T>): Promise<T> {
    const end = instantIn(deadline);
    let channel: TransactionChannel | undefined;
    try {
      if (this.closedWith) throw this.closedWith;
      // No await if the channel is open: the next batch is sent before the callers of the previous batch continue.
      channel = this.#channel ?? (await this.#openChannel(deadline));
      return await this.#race(work(channel), msUntil(end));
    } catch (error) {
      if (error instanceof TransactionFailure) throw error;
      const cause = error instanceof Error ? error : new Error("unknown failure");
      // After an unexpected error the state of the connection is unknown, so it is not used again.
      this.#close(cause);
      throw new TransactionFailure(cause, { inDoubt: channel?.committing === true });
    }
  }

  /** Prepares statements for later transactions. Does nothing behind a pooler in transaction mode. */
  async prepare(queries: readonly Query[], deadline: number): Promise<void> {
    const channel = await this.#openChannel(deadline);
    // Citus plans a statement again for each set of parameters.
    if (this.ownsSession && !this.citus) await this.#race(channel.prepare(queries), deadline);
  }

  /** One statement of an open transaction block. It is not prepared by name, and never sent a second time. */
  async step(query: Query, deadline: number): Promise<readonly Row[]> {
    const channel = await this.#openChannel(deadline);
    return (await this.#race(channel.step(this.#own(query)), deadline)).rows;
  }

  async #openChannel(deadline: number): Promise<TransactionChannel> {
    await this.establish(deadline);
    if (this.closedWith) throw this.closedWith;
    if (!this.#socket) throw this.#lost();
    const { maxPrepared } = this.#options;
    this.#channel ??= new TransactionChannel(this.#socket, (error) => this.#close(error), maxPrepared);
    return this.#channel;
  }

  /**
   * Like {@link run}, but stops after `budget` characters of JSON, unless all `limit` rows have arrived by then. It
   * returns the rows so far with `cut: true`, and closes the connection, because the server would go on sending.
   */
  async read(query: Query, deadline: number, budget: number, limit: number): Promise<Page> {
    if (this.closedWith) throw this.closedWith;
    this.#jsonBytes = 0;
    const rows: Row[] = [];
    let cut = false;
    const work = this.#send(query).forEach((row) => {
      if (cut) return;
      rows.push(row);
      cut = this.#jsonBytes > budget && rows.length < limit;
      if (cut) this.#close(new ConnectionError("BUDGET", "read budget reached", true));
    });
    try {
      await this.#race<unknown>(work, deadline);
    } catch (error) {
      if (!cut) throw error;
    }
    return { rows, cut, bytes: this.#jsonBytes };
  }

  /**
   * Checks that a listening connection still works. The driver allows only LISTEN and UNLISTEN on it. LISTEN comes last,
   * so that pg_stat_activity shows it as the session's query. Never settles if the server does not answer.
   */
  async ping(): Promise<void> {
    if (this.closedWith) throw this.closedWith;
    await this.#pinged?.unlisten();
    this.#pinged = await this.#client.listen("act_drizzle_alive", noop);
  }

  /** The driver's own `listen`, on this connection's client. */
  listen(channel: string, received: (payload: string) => void, deadline: number): Promise<unknown> {
    if (this.closedWith) return Promise.reject(this.closedWith);
    return this.#race<unknown>(this.#client.listen(channel, received), deadline);
  }
}
