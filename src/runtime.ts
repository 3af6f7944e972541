/** What a store is made of, and how it ends. */
import { randomUUID } from "node:crypto";
import type { Context } from "./context.ts";
import { type Append, appendFacts } from "./events/append.ts";
import { Appender } from "./events/appender.ts";
import { eventReader } from "./events/event-rows.ts";
import { AppendQueue, type Stored } from "./events/queue.ts";
import { Notifier } from "./notifications/notify.ts";
import { Operations } from "./operations.ts";
import type { Config, resolveConfig } from "./options/options.ts";
import { Database } from "./postgres/index.ts";
import { namesOf } from "./schema/names.ts";
import { PiiCipher } from "./values/pii-encryption.ts";

/** ms for which dispose() waits for running calls where statements have no limit. */
const DISPOSE_LIMIT = 65_000;

export class Runtime {
  readonly config: Config;
  readonly context: Context;
  /** Only with `notify: true`. */
  readonly notifier: Notifier | undefined;
  readonly operations = new Operations();
  readonly #appender: Appender;
  readonly #queue: AppendQueue;
  #disposed: Promise<void> | undefined;

  constructor(resolved: ReturnType<typeof resolveConfig>) {
    const { listen, key } = resolved;
    // As it is shown. What else it carries stays here.
    const config: Config = resolved;
    this.config = config;
    const names = namesOf(config.schema, config.table);
    const connections = new Database(config, listen, appendFacts(names));
    const cipher = key ? new PiiCipher(key) : undefined;
    const by = randomUUID();
    const reader = eventReader(config.dates, cipher);
    this.context = { names, connections, cipher, reader, by, notify: config.notify };
    this.#appender = new Appender({ connections, names, by, announce: config.notify });
    this.#queue = new AppendQueue(connections, this.#appender);
    this.notifier = config.notify ? new Notifier(this.context) : undefined;
  }

  /** Opens the connection for appends before the first commit needs it. */
  warmUp(): void {
    this.#appender.warmUp();
  }

  readonly append = (append: Append): Promise<Stored> => {
    const appended = this.#queue.push(append);
    this.notifier?.track(appended);
    return appended;
  };

  dispose(): Promise<void> {
    this.operations.leave();
    this.#disposed ??= this.#dispose();
    return this.#disposed;
  }

  async #dispose(): Promise<void> {
    const { connections } = this.context;
    this.#queue.limitRecovery();
    await Promise.all([this.notifier?.stop(), this.operations.close(connections.deadline || DISPOSE_LIMIT)]);
    await this.#queue.close();
    await connections.close();
  }
}
