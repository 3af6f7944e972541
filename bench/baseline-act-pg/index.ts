/**
 * act-pg's protocol, written down from its description (statements, round trips, tables, indexes), on
 * node-postgres with a Pool of 20. It is a baseline to measure against, not act-pg itself: where the
 * description leaves room, the faster reading was taken. Verbs that no scenario measures are refused.
 */
import { randomUUID } from "node:crypto";
import type {
  BlockedLease,
  Committed,
  EventMeta,
  Lease,
  Message,
  Query,
  QueryStatsOptions,
  QueryStreams,
  Schema,
  Schemas,
  Store,
  StoreNotification,
  StreamPosition,
  SubscribeInput,
} from "@rotorsoft/act";
import pg from "pg";
import type { OpenOptions } from "../lib/types.ts";
import * as events from "./events.ts";
import { createPool, type Layout, layoutOf, type Names, seed } from "./layout.ts";
import * as streams from "./streams.ts";

const refused = (verb: string) => async () => {
  throw new Error(`${verb} is not part of the baseline`);
};

export class ActPgBaseline implements Store {
  readonly notify?: Store["notify"];
  readonly defer = refused("defer");
  readonly reset = refused("reset");
  readonly unblock = refused("unblock");
  readonly prioritize = refused("prioritize");
  readonly forget_pii = refused("forget_pii");
  readonly #pool: pg.Pool;
  readonly #names: Names;
  readonly #layout: Layout;
  readonly #url: string;
  /** Set when this instance notifies: its signature, so that it never hears itself. */
  readonly #by: string | undefined;

  constructor({ url, schema, table = "events", notify = false, max = 20 }: OpenOptions) {
    this.#url = url;
    this.#names = { schema, table };
    this.#layout = layoutOf(this.#names);
    this.#pool = createPool(url, max);
    // A pool without this listener ends the process when an idle connection is lost.
    this.#pool.on("error", () => {});
    if (notify) {
      this.#by = randomUUID();
      this.notify = (handler) => this.#listen(handler);
    }
  }

  seed = () => seed(this.#pool, this.#names);

  async drop() {
    const { events, streams, correlated } = this.#layout;
    await this.#pool.query(`DROP TABLE IF EXISTS ${events}, ${streams}, ${correlated}`);
  }

  async dispose() {
    if (!this.#pool.ended) await this.#pool.end();
  }

  async commit<E extends Schemas>(
    stream: string,
    msgs: Message<E, keyof E>[],
    meta: EventMeta,
    expectedVersion?: number,
  ): Promise<Committed<E, keyof E>[]> {
    const plain = msgs as Message<Schemas, string>[];
    return events.commit(this.#pool, this.#layout, this.#by, stream, plain, meta, expectedVersion) as never;
  }

  query<E extends Schemas>(callback: (event: Committed<E, keyof E>) => void, query?: Query) {
    return events.query(this.#pool, this.#layout, callback as never, query);
  }

  query_stats<E extends Schemas>(
    input: string[] | { stream?: string; stream_exact?: boolean },
    options?: QueryStatsOptions<E>,
  ) {
    return events.query_stats<E>(this.#pool, this.#layout, input, options);
  }

  truncate(targets: Array<{ stream: string; snapshot?: Schema; meta?: EventMeta }>) {
    return events.truncate(this.#pool, this.#layout, targets);
  }

  restore(
    driver: (callback: (event: Committed<Schemas, keyof Schemas>) => Promise<number>) => Promise<void>,
  ) {
    return events.restore(this.#pool, this.#layout, driver);
  }

  subscribe(
    input: SubscribeInput[],
    correlated_at?: number,
    correlator?: { key: string; by: string; millis: number },
  ) {
    return streams.subscribe(this.#pool, this.#layout, input, correlated_at, correlator);
  }

  claim(lagging: number, leading: number, by: string, millis: number, lane?: string) {
    return streams.claim(this.#pool, this.#layout, lagging, leading, by, millis, lane);
  }

  ack(leases: Lease[]) {
    return streams.ack(this.#pool, this.#layout, leases);
  }

  block(leases: BlockedLease[]) {
    return streams.block(this.#pool, this.#layout, leases);
  }

  query_streams(callback: (position: StreamPosition) => void, query?: QueryStreams) {
    return streams.query_streams(this.#pool, this.#layout, callback, query);
  }

  async #listen(handler: (notification: StoreNotification) => void) {
    const client = new pg.Client({ connectionString: this.#url });
    client.on("error", () => {});
    await client.connect();
    client.on("notification", ({ payload }) => {
      const { by, ...notification } = JSON.parse(payload ?? "{}");
      if (by !== this.#by) handler(notification);
    });
    await client.query(`LISTEN "${this.#layout.channel}"`);
    return () => client.end();
  }
}
