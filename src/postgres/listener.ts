/**
 * LISTEN on one channel.
 *
 * States: new → connecting → listening → (connection lost) waiting → connecting → …; stopped, from any state. The wait
 * grows from 250 ms to 30 s. When another connection of the store is established, a long wait ends at once.
 *
 * The driver's own `listen` reconnects too, but gives up silently when the server stays away, and its timers keep a
 * process alive. So a listener takes a connection like any other, and reconnects by itself.
 */
import { ConnectionError } from "../errors.ts";
import type { ConnectionTarget } from "../options/config.ts";
import type { Connection } from "./connection.ts";
import { type Hosts, openForListen } from "./host-selection.ts";
import { afterPoll } from "./timers.ts";

const FIRST_DELAY = 250;
const LONGEST_DELAY = 30_000;
/** A listening connection sends nothing. Without a heartbeat TCP would report a dead one only after 12 minutes. */
const HEARTBEAT = 30_000;

export type ListenerOptions = ConnectionTarget & {
  readonly channel: string;
  /** Called with each payload. Must not throw. */
  readonly onPayload: (payload: string) => void;
  /** Called after each reconnect. Notifications sent in between are lost. Must not throw. */
  readonly onReconnected: () => void;
  /** Called when the connection is lost. */
  readonly onLost?: () => void;
  /** ms between two pings. Default 30,000. */
  readonly heartbeat?: number;
};

export class Listener {
  readonly #options: ListenerOptions;
  readonly #hosts: Hosts = { first: 0 };
  #connection: Connection | undefined;
  #timer: NodeJS.Timeout | undefined;
  /** The wait before the next attempt, in ms; undefined in every state but `waiting`. */
  #delay: number | undefined;
  #heartbeat: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(options: ListenerOptions) {
    this.#options = options;
  }

  /** Whether the channel is listened to now. */
  get listening(): boolean {
    return this.#connection?.established === true && !this.#connection.closedWith;
  }

  /** It was ended, and does not come back. */
  get stopped(): boolean {
    return this.#stopped;
  }

  /** Resolves once the server has confirmed LISTEN. Rejects, and leaves nothing behind, when it can't. */
  async start(): Promise<void> {
    const { config, secrets, channel, onPayload } = this.#options;
    const connection = await openForListen(
      { config, secrets, settings: { statement_timeout: 0 } },
      this.#hosts,
      (dead) => this.#closed(dead),
    );
    this.#connection = connection;
    const limit = config.connectionTimeoutMillis;
    try {
      await connection.listen(channel, (payload) => this.#stopped || onPayload(payload), limit);
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
    this.#timer = setTimeout(
      async () => {
        this.#delay = undefined;
        try {
          await this.start();
          if (!this.#stopped) this.#options.onReconnected();
        } catch {
          this.#scheduleReconnect(Math.min(delay * 2, LONGEST_DELAY));
        }
      },
      delay * (0.75 + Math.random() / 4),
    );
    this.#timer.unref();
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
    clearTimeout(this.#timer);
    clearTimeout(this.#heartbeat);
    const connection = this.#connection;
    this.#connection = undefined;
    connection?.destroy(new ConnectionError("LISTEN_STOPPED", "the listener was stopped", false));
  }
}
