/**
 * One connection that listens for several stores, its members. Stores with the same tables share a channel. The connection
 * is opened for the first member.
 *
 * States: closed → opening (its first members wait for it) → listening → (lost) reconnecting, by listener.ts → listening
 * → …; closed again when the last member has gone.
 */
import type { ConnectionTarget } from "../options/config.ts";
import { log } from "../values/log.ts";
import type { Connection } from "./connection.ts";
import { type ChannelListener, type ChannelOptions, ListeningConnection } from "./listener.ts";

const hasUnlisten = (value: unknown): value is { unlisten(): Promise<unknown> } =>
  typeof value === "object" && value !== null && "unlisten" in value;

const ignore = () => {};

export class SharedListener {
  readonly #target: ConnectionTarget;
  /** The members of each channel. */
  readonly #members = new Map<string, Set<Member>>();
  /** The channels of the current connection, each with the driver's answer to LISTEN, whose `unlisten` ends it. */
  #channels = new Map<string, Promise<unknown>>();
  #current: Connection | undefined;
  #listening: ListeningConnection | undefined;
  #opening: Promise<void> | undefined;

  constructor(target: ConnectionTarget) {
    this.#target = target;
  }

  get listening(): boolean {
    return this.#listening?.listening === true;
  }

  reconnectSoon(): void {
    this.#listening?.reconnectSoon();
  }

  member(options: ChannelOptions): ChannelListener {
    return new Member(this, options);
  }

  /** Resolves once the server has confirmed LISTEN for the member's channel. */
  async add(member: Member): Promise<void> {
    const { channel } = member.options;
    const members = this.#members.get(channel) ?? new Set();
    this.#members.set(channel, members.add(member));
    await this.#open();
    if (this.#current) await this.#listen(this.#current, channel);
  }

  remove(member: Member): void {
    const { channel } = member.options;
    const members = this.#members.get(channel);
    if (!members?.delete(member) || members.size > 0) return;
    this.#members.delete(channel);
    const asked = this.#channels.get(channel);
    this.#channels.delete(channel);
    if (this.#members.size > 0) {
      asked?.then((meta) => (hasUnlisten(meta) ? meta.unlisten() : undefined)).catch(ignore);
      return;
    }
    void this.#listening?.stop();
    this.#listening = undefined;
    this.#opening = undefined;
    this.#current = undefined;
  }

  /** Members that are added while the connection opens share the attempt, and its error. */
  #open(): Promise<void> {
    if (this.#opening) return this.#opening;
    if (this.#listening) return this.#listening.reconnectNow();
    const listening: ListeningConnection = new ListeningConnection({
      ...this.#target,
      subscribe: (connection) => this.#subscribe(listening, connection),
      onLost: () => {
        log().warn(
          "[act-drizzle] the connection that listens for the stores of a database was lost; until it is back, events of other processes are found by polling only",
        );
        this.#tell("onLost");
      },
      onReconnected: () => {
        log().info(
          "[act-drizzle] listening again for the stores of a database; each reads the events that it missed",
        );
        this.#tell("onReconnected");
      },
    });
    this.#listening = listening;
    const opening = listening
      .start()
      .catch(async (error: unknown) => {
        if (this.#listening === listening) this.#listening = undefined;
        await listening.stop();
        throw error;
      })
      .finally(() => {
        if (this.#opening === opening) this.#opening = undefined;
      });
    this.#opening = opening;
    return opening;
  }

  async #subscribe(listening: ListeningConnection, connection: Connection): Promise<void> {
    // All members left while it was being opened.
    if (this.#listening !== listening) return;
    this.#current = connection;
    this.#channels = new Map();
    await Promise.all([...this.#members.keys()].map((channel) => this.#listen(connection, channel)));
  }

  #listen(connection: Connection, channel: string): Promise<unknown> {
    const known = this.#channels.get(channel);
    if (known) return known;
    const receive = (payload: string) => {
      // If a member leaves and returns quickly, the driver may have two listeners on the channel.
      if (this.#channels.get(channel) !== asked) return;
      for (const member of this.#members.get(channel) ?? []) member.options.onPayload(payload);
    };
    const asked: Promise<unknown> = connection.listen(
      channel,
      receive,
      this.#target.config.connectionTimeoutMillis,
    );
    this.#channels.set(channel, asked);
    asked.catch(() => {
      if (this.#channels.get(channel) === asked) this.#channels.delete(channel);
    });
    return asked;
  }

  #tell(what: "onLost" | "onReconnected"): void {
    for (const members of [...this.#members.values()]) for (const { options } of members) options[what]?.();
  }
}

class Member implements ChannelListener {
  readonly options: ChannelOptions;
  readonly #listener: SharedListener;
  #stopped = false;

  constructor(listener: SharedListener, options: ChannelOptions) {
    this.#listener = listener;
    this.options = options;
  }

  get listening(): boolean {
    return !this.#stopped && this.#listener.listening;
  }

  get stopped(): boolean {
    return this.#stopped;
  }

  reconnectSoon(): void {
    this.#listener.reconnectSoon();
  }

  async start(): Promise<void> {
    await this.#listener.add(this);
    if (this.#stopped) this.#listener.remove(this);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.options.onStopped?.();
    this.#listener.remove(this);
  }
}
