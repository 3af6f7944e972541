/**
 * LISTEN on one channel. The driver's own `listen` reconnects by itself, but gives up silently when the
 * server stays away, and its timers keep a process alive. So each connection is a slot like any other,
 * and the coming back is ours: back-off from 250 ms to 30 s, on timers and sockets that are unreferenced. It
 * does not wait on when another new connection of the store is answered.
 */
import type { Config } from "../config.ts";
import { ConnectionError } from "../errors.ts";
import { type Hosts, openSlot } from "./open.ts";
import type { Slot } from "./slot.ts";

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
  #slot: Slot | undefined;
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
    return this.#slot?.answered === true && !this.#slot.failure;
  }

  /** Resolves once the server has confirmed LISTEN. Rejects, and leaves nothing behind, when it can't. */
  async start(): Promise<void> {
    const { config, channel, heard } = this.#options;
    const slot = await openSlot({ config, settings: { statement_timeout: 0 } }, this.#hosts, (dead) =>
      this.#closed(dead),
    );
    this.#slot = slot;
    const patience = config.connectionTimeoutMillis;
    try {
      await slot.listen(channel, (payload) => this.#stopped || heard(payload), patience);
    } catch (error) {
      // Taken out first: a failed start is answered by whoever started it, not by a reconnect.
      if (this.#slot === slot) this.#slot = undefined;
      slot.destroy(new ConnectionError("LISTEN_FAILED", "LISTEN could not start", false));
      throw error;
    }
    if (this.#stopped) return slot.destroy(new ConnectionError("LISTEN_STOPPED", "stopped", false));
    slot.ref(false);
    this.#feel(slot);
  }

  /** Gives up the connection when the server does not answer in time; the timers keep no process alive. */
  #feel(slot: Slot): void {
    const { config, heartbeat = HEARTBEAT } = this.#options;
    this.#pulse = setTimeout(async () => {
      const silent = setTimeout(
        () => slot.destroy(new ConnectionError("LISTEN_SILENT", "the server went silent", true)),
        config.connectionTimeoutMillis || HEARTBEAT,
      );
      silent.unref();
      try {
        await slot.beat();
        if (this.#slot === slot) this.#feel(slot);
      } catch {
        // The connection is gone: its close is on the way.
      } finally {
        clearTimeout(silent);
      }
    }, heartbeat);
    this.#pulse.unref();
  }

  #closed(slot: Slot): void {
    if (this.#slot !== slot) return;
    this.#slot = undefined;
    if (this.#stopped || !slot.answered) return;
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
    const slot = this.#slot;
    this.#slot = undefined;
    slot?.destroy(new ConnectionError("LISTEN_STOPPED", "the listener was stopped", false));
  }
}
