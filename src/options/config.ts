/** Options with every default applied, in two parts: `Config` may be printed, `Secrets` may not. */
import { inspect } from "node:util";
import { isRecord } from "../values/json-dates.ts";
import type { PiiOptions } from "../values/pii-keys.ts";
import type { InlineProjections } from "./inline.ts";
import type { OnConnect, Password } from "./modes.ts";
import type { ConfigOptions } from "./options.generated.ts";
import { isStoreOption, type SharedDatabase } from "./shared-database.ts";
import type { Values } from "./sources.ts";

export type Endpoint = { readonly host: string; readonly port: number };

/** Options that may be printed. */
export type Config = ConfigOptions & {
  /** Every host with its port; `host` and `port` are the first of them. */
  readonly hosts: readonly Endpoint[];
  /** Whether pii is encrypted at rest. */
  readonly encrypted: boolean;
};

/** Options that are never printed. */
export type Secrets = {
  readonly password: Password;
  /** Options of `tls.connect` in addition to those of the mode `config.ssl`. They may hold a private key. */
  readonly tls: Readonly<Record<string, unknown>> | undefined;
  /** The keys for pii, or a function that provides them. */
  readonly pii: PiiOptions | undefined;
  readonly onConnect: OnConnect | undefined;
  readonly inline: InlineProjections | undefined;
};

/** All that is needed to connect. */
export type ConnectionTarget = { readonly config: Config; readonly secrets: Secrets };

export type ResolvedOptions = ConnectionTarget & {
  /** The target of LISTEN, if it has its own (`listen_url`). */
  readonly listen: ConnectionTarget | undefined;
  /** The connection targets of `replicas`. */
  readonly replicas: readonly ConnectionTarget[];
  /** The options that the config does not show, by name. */
  readonly hidden: Values;
  /** The database whose connections the store shares; undefined if the store has its own. */
  readonly shared: SharedDatabase | undefined;
};

/** The type of `store.config`. `config.password` returns the password, but inspect, JSON and spread do not show it. */
export type StoreConfig = Config & { readonly password: Password };

/**
 * The key of a config under which it keeps the options that it does not show. It is an own property, so that
 * `{ ...store.config }` copies it, and `new PostgresStore({ ...store.config, table: "other" })` can connect.
 *
 * The symbol is global, because each entry of the package is bundled by itself: act-drizzle/projections connects with the
 * config of a store of the main entry.
 */
const HIDDEN = Symbol.for("act-drizzle.hidden");

class HiddenOptions {
  readonly #options: Values;
  /** All hosts: the config shows only the first one as `host` and `port`. */
  readonly #hosts: readonly Endpoint[];
  /** The original config, to find options that a copy has changed. */
  readonly #config: Config;
  readonly #shared: SharedDatabase | undefined;

  constructor({ hidden, config, shared }: ResolvedOptions) {
    this.#options = hidden;
    this.#hosts = config.hosts;
    this.#config = config;
    this.#shared = shared;
  }

  /** The options of a config that was spread, with the hidden ones. Options given beside it take precedence. */
  reveal({ hosts: _hosts, encrypted: _encrypted, ...given }: Values): Values {
    const { ssl, ...options } = this.#options;
    // Another store on the same connections, unless another database is named.
    if (this.#shared && given.database === this.#config.database) {
      const { pii_encryption, inline } = options;
      const changed = Object.entries(given).filter(
        ([name, value]) => isStoreOption(name) || value !== Reflect.get(this.#config, name),
      );
      return { pii_encryption, inline, ...Object.fromEntries(changed), database: this.#shared };
    }
    const [first] = this.#hosts;
    const moved = given.host !== first?.host || given.port !== first?.port;
    return {
      ...options,
      ...given,
      // The config shows `ssl` as true if it is an object.
      ...(given.ssl === true && ssl !== undefined && { ssl }),
      ...(!moved && {
        host: this.#hosts.map(({ host }) => host).join(","),
        port: this.#hosts.map(({ port }) => port).join(","),
      }),
    };
  }

  [inspect.custom](): string {
    return "***";
  }
}

/** Checks the method, not the class, because each entry of the package has its own copy of the class. */
const isHidden = (value: unknown): value is Pick<HiddenOptions, "reveal"> =>
  isRecord(value) && typeof value.reveal === "function";

/** The options as given; if they are a copy of a store's config, with its hidden options. */
export function fromConfig(options: unknown): unknown {
  const hidden: unknown = isRecord(options) ? Reflect.get(options, HIDDEN) : undefined;
  return isRecord(options) && isHidden(hidden) ? hidden.reveal(options) : options;
}

class HiddenPassword {
  readonly #password: Password;
  readonly [HIDDEN]: HiddenOptions;
  constructor(password: Password, hidden: HiddenOptions) {
    this.#password = password;
    this[HIDDEN] = hidden;
  }

  get password(): Password {
    return this.#password;
  }

  [inspect.custom](): object {
    return { ...Object.fromEntries(Object.entries(this)), password: "***" };
  }
}

export const withHiddenPassword = (resolved: ResolvedOptions): StoreConfig =>
  Object.assign(new HiddenPassword(resolved.secrets.password, new HiddenOptions(resolved)), resolved.config);
