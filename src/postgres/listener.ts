/**
 * LISTEN on one channel. The driver's own `listen` reconnects by itself, but gives up silently when the
 * server stays away, and its timers keep a process alive. So it takes a connection like any other,
 * and the coming back is ours: back-off from 250 ms to 30 s, on timers and sockets that are unreferenced. It
 * does not wait on when another new connection of the store is answered.
 */

import { ConnectionError } from "../errors.ts";
import type { Config } from "../options/options.ts";
import type { Connection } from "./connection.ts";
import { type Hosts, openForListen } from "./host-selection.ts";
import { afterPoll } from "./timers.ts";

const FIRST_DELAY = 250;
const LONGEST_DELAY = 30_000;
/** A connection that only listens sends nothing, so a silent one would go unnoticed for TCP's 12 minutes. */
const HEARTBEAT = 30_000;

export type ListenerOptions = {
  readonly config: Config;
  readonly channel: string;
  /** Called with each payload. Must not throw. */
  readonly heard: (payload: string) => void;
  /** Called each time the channel is listened to again: what was sent meanwhile is lost. Must not throw. */
  readonly back: () => void;
  /** Called when the connection is lost. */
  readonly lost?: () => void;
  /** ms between two looks whether the server still answers. Default 30,000. */
  readonly heartbeat?: number;
};

export class Listener {
  readonly #options: ListenerOptions;
  readonly #hosts: Hosts = { first: 0 };
  #connection: Connection | undefined;
  #timer: NodeJS.Timeout | undefined;
  /** How long it waits for the next attempt; undefined while it does not wait. */
  #delay: number | undefined;
  #pulse: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(options: ListenerOptions) {
    this.#options = options;
  }

  /** Whether the channel is listened to now. */
  get listening(): boolean {
    return this.#connection?.established === true && !this.#connection.closedWith;
  }

  /** Resolves once the server has confirmed LISTEN. Rejects, and leaves nothing behind, when it can't. */
  async start(): Promise<void> {
    const { config, channel, heard } = this.#options;
    const connection = await openForListen(
      { config, settings: { statement_timeout: 0 } },
      this.#hosts,
      (dead) => this.#closed(dead),
    );
    this.#connection = connection;
    const limit = config.connectionTimeoutMillis;
    try {
      await connection.listen(channel, (payload) => this.#stopped || heard(payload), limit);
    } catch (error) {
      // Taken out first: a failed start is answered by whoever started it, not by a reconnect.
      if (this.#connection === connection) this.#connection = undefined;
      connection.destroy(new ConnectionError("LISTEN_FAILED", "LISTEN could not start", false));
      throw error;
    }
    if (this.#stopped) return connection.destroy(new ConnectionError("LISTEN_STOPPED", "stopped", false));
    connection.ref(false);
    this.#feel(connection);
  }

  /** Gives up the connection when the server does not answer in time; the timers keep no process alive. */
  #feel(connection: Connection): void {
    const { config, heartbeat = HEARTBEAT } = this.#options;
    this.#pulse = setTimeout(async () => {
      const cancel = afterPoll(
        config.connectionTimeoutMillis || HEARTBEAT,
        () => connection.destroy(new ConnectionError("LISTEN_SILENT", "the server went silent", true)),
        undefined,
        { unref: true },
      );
      try {
        await connection.ping();
        if (this.#connection === connection) this.#feel(connection);
      } catch {
        // The connection is gone: its close is on the way.
      } finally {
        cancel();
      }
    }, heartbeat);
    this.#pulse.unref();
  }

  #closed(connection: Connection): void {
    if (this.#connection !== connection) return;
    this.#connection = undefined;
    if (this.#stopped || !connection.established) return;
    this.#options.lost?.();
    this.#again(FIRST_DELAY);
  }

  #again(delay: number): void {
    if (this.#stopped) return;
    this.#delay = delay;
    this.#timer = setTimeout(
      async () => {
        this.#delay = undefined;
        try {
          await this.start();
          if (!this.#stopped) this.#options.back();
        } catch {
          this.#again(Math.min(delay * 2, LONGEST_DELAY));
        }
      },
      delay * (0.75 + Math.random() / 4),
    );
    this.#timer.unref();
  }

  /** The server is there: a listener that waits before it tries again does so soon. */
  hurry(): void {
    if (this.#delay === undefined || this.#delay <= FIRST_DELAY) return;
    clearTimeout(this.#timer);
    this.#again(FIRST_DELAY);
  }

  /** Idempotent. Nothing reconnects afterwards. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#pulse);
    const connection = this.#connection;
    this.#connection = undefined;
    connection?.destroy(new ConnectionError("LISTEN_STOPPED", "the listener was stopped", false));
  }
}
