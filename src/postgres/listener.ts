/**
 * LISTEN on a connection that is opened again when it is lost: on one channel for a single store, on many for stores
 * that share the connection (shared-listener.ts).
 *
 * States: new → connecting → listening → (connection lost) waiting → connecting → …; stopped, from every state. The
 * wait grows from 250 ms to 30 s. When another connection of the store is established, a long wait is replaced by the
 * shortest.
 *
 * The driver's own `listen` reconnects too, but gives up silently when the server stays away, and its timers keep a
 * process alive. So a listener takes an ordinary connection, and reconnects by itself.
 */
import { ConnectionError } from "../errors.ts";
import type { ConnectionTarget } from "../options/config.ts";
import type { Connection } from "./connection.ts";
import { type HostState, openForListen } from "./host-selection.ts";
import { afterPoll } from "./timers.ts";

const FIRST_DELAY = 250;
const LONGEST_DELAY = 30_000;
/** A listening connection sends nothing. Without a heartbeat TCP would report a dead one only after 12 minutes. */
const HEARTBEAT = 30_000;

/** One channel, and the callbacks for it. */
export type ChannelOptions = {
  readonly channel: string;
  /** Called with each payload. Must not throw. */
  readonly onPayload: (payload: string) => void;
  /** Called after each reconnect. Notifications sent in between are lost. Must not throw. */
  readonly onReconnected: () => void;
  /** Called when the connection is lost. */
  readonly onLost?: () => void;
  /** Called by each stop(). The store stops its listeners when it is disposed of. */
  readonly onStopped?: () => void;
};

/** A channel that is listened to, until stop(). */
export type ChannelListener = Pick<Listener, "start" | "stop" | "listening" | "stopped" | "reconnectSoon">;

export type ListenerOptions = ConnectionTarget & ChannelOptions & { readonly heartbeat?: number };

type ListeningOptions = ConnectionTarget & {
  /** Asks for the channels on a new connection. */
  readonly subscribe: (connection: Connection) => Promise<unknown>;
  /** Called after each reconnect. Notifications sent in between are lost. Must not throw. */
  readonly onReconnected: () => void;
  /** Called when the connection is lost. */
  readonly onLost?: () => void;
  /** Called by each stop(). */
  readonly onStopped?: () => void;
  /** ms between two pings. Default 30,000. */
  readonly heartbeat?: number;
};

export class ListeningConnection {
  readonly #options: ListeningOptions;
  readonly #hosts: HostState = { first: 0 };
  #connection: Connection | undefined;
  #timer: NodeJS.Timeout | undefined;
  /** The wait before the next attempt, in ms; undefined in every state but `waiting`. */
  #delay: number | undefined;
  #heartbeat: NodeJS.Timeout | undefined;
  #stopped = false;
  /** An attempt to connect again. */
  #attempt: Promise<void> | undefined;

  constructor(options: ListeningOptions) {
    this.#options = options;
  }

  /** Whether the channel is listened to now. */
  get listening(): boolean {
    return this.#connection?.established === true && !this.#connection.closedWith;
  }

  /** Whether stop() was called. */
  get stopped(): boolean {
    return this.#stopped;
  }

  /** Resolves once the server has confirmed LISTEN. If that fails, it rejects and leaves no connection open. */
  async start(): Promise<void> {
    const { config, secrets, subscribe } = this.#options;
    const connection = await openForListen(
      { config, secrets, settings: { statement_timeout: 0 } },
      this.#hosts,
      (dead) => this.#closed(dead),
    );
    this.#connection = connection;
    try {
      await subscribe(connection);
    } catch (error) {
      // Cleared before destroy(), so that #closed does not schedule a reconnect: the caller handles a failed start.
      if (this.#connection === connection) this.#connection = undefined;
      connection.destroy(new ConnectionError("LISTEN_FAILED", "LISTEN could not start", false));
      throw error;
    }
    if (this.#stopped) return connection.destroy(new ConnectionError("LISTEN_STOPPED", "stopped", false));
    connection.ref(false);
    this.#scheduleHeartbeat(connection);
  }

  /** Pings the server, and closes the connection if no answer comes in time. The timers keep no process alive. */
  #scheduleHeartbeat(connection: Connection): void {
    const { config, heartbeat = HEARTBEAT } = this.#options;
    this.#heartbeat = setTimeout(async () => {
      const cancel = afterPoll(
        config.connectionTimeoutMillis || HEARTBEAT,
        () => connection.destroy(new ConnectionError("LISTEN_SILENT", "the server went silent", true)),
        undefined,
        { unref: true },
      );
      try {
        await connection.ping();
        if (this.#connection === connection) this.#scheduleHeartbeat(connection);
      } catch {
        // The connection is lost: #closed handles it.
      } finally {
        cancel();
      }
    }, heartbeat);
    this.#heartbeat.unref();
  }

  #closed(connection: Connection): void {
    if (this.#connection !== connection) return;
    this.#connection = undefined;
    if (this.#stopped || !connection.established) return;
    this.#options.onLost?.();
    this.#scheduleReconnect(FIRST_DELAY);
  }

  #scheduleReconnect(delay: number): void {
    if (this.#stopped) return;
    this.#delay = delay;
    // Its error is ignored: another attempt follows.
    const again = () => this.#reconnect(delay).catch(() => {});
    this.#timer = setTimeout(again, delay * (0.75 + Math.random() / 4));
    this.#timer.unref();
  }

  /** One attempt at a time. If it fails, the next one follows by itself, after twice the `delay`. */
  #reconnect(delay: number): Promise<void> {
    this.#delay = undefined;
    this.#attempt ??= this.start()
      .then(
        () => {
          if (!this.#stopped) this.#options.onReconnected();
        },
        (error: unknown) => {
          this.#scheduleReconnect(Math.min(delay * 2, LONGEST_DELAY));
          throw error;
        },
      )
      .finally(() => {
        this.#attempt = undefined;
      });
    return this.#attempt;
  }

  /** Connects again at once, if the connection was lost. Rejects if that fails; further attempts follow. */
  async reconnectNow(): Promise<void> {
    if (this.listening || this.#stopped) return;
    clearTimeout(this.#timer);
    await this.#reconnect(this.#delay ?? FIRST_DELAY);
  }

  /** The server is reachable again, so a listener with a long wait tries again soon. */
  reconnectSoon(): void {
    if (this.#delay === undefined || this.#delay <= FIRST_DELAY) return;
    clearTimeout(this.#timer);
    this.#scheduleReconnect(FIRST_DELAY);
  }

  /** Idempotent. Nothing reconnects afterwards. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#options.onStopped?.();
    clearTimeout(this.#timer);
    clearTimeout(this.#heartbeat);
    const connection = this.#connection;
    this.#connection = undefined;
    connection?.destroy(new ConnectionError("LISTEN_STOPPED", "the listener was stopped", false));
  }
}

/** LISTEN on one channel, on a connection of its own. */
export class Listener extends ListeningConnection {
  constructor({ channel, onPayload, ...options }: ListenerOptions) {
    const limit = options.config.connectionTimeoutMillis;
    super({
      ...options,
      subscribe: (connection) =>
        connection.listen(channel, (payload) => this.stopped || onPayload(payload), limit),
    });
  }
}
