/**
 * A connection to the log's database for LISTEN, and for statements that the Store port has no verb for, such as
 * NOTIFY.
 */
import type { PostgresStoreOptions } from "../options/options.generated.ts";
import { resolveOptions } from "../options/resolve.ts";
import { type Listener, poolsOf, type Row, StoreConnections } from "../postgres/index.ts";
import type { Param } from "../postgres/protocol.ts";
import { type Names, namesOf } from "../schema/names.ts";
import type { PostgresStore } from "../store.ts";

export class LogConnection {
  readonly names: Names;
  readonly #database: StoreConnections;

  /** Opens nothing yet. `options`: how to connect, if not as the store does. */
  constructor({ config }: Pick<PostgresStore, "config">, options?: PostgresStoreOptions) {
    this.names = namesOf(config.schema, config.table);
    const target = resolveOptions(options ?? { ...config });
    const shared = target.shared && { pools: poolsOf(target.shared) };
    // Two connections: one for reads, and one for appends, which is never opened.
    this.#database = new StoreConnections({ ...target, config: { ...target.config, max: 2 } }, "", shared);
  }

  /** Runs one statement. If its connection turns out to be dead, it runs again, so it must do no harm twice. */
  run(operation: string, text: string, params: Param[]): Promise<readonly Row[]> {
    return this.#database.read(operation, { text, params });
  }

  /** Sends a notification. It may be lost, so its receivers poll as well. */
  async notify(channel: string, payload: string): Promise<void> {
    await this.run("notify", "select pg_notify($1::text, $2::text)", [channel, payload]);
  }

  listen(
    channel: string,
    onPayload: (payload: string) => void,
    onReconnected: () => void,
  ): Promise<Listener> {
    return this.#database.listen({ channel, onPayload, onReconnected });
  }

  close(): Promise<void> {
    return this.#database.close();
  }
}
