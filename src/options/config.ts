/** Options with every default applied: what may be printed, and beside it what may not. */
import { inspect } from "node:util";
import type { PiiOptions } from "../values/pii-keys.ts";
import type { ConfigOptions } from "./options.generated.ts";

export type Endpoint = { readonly host: string; readonly port: number };

/** What may be printed. */
export type Config = ConfigOptions & {
  /** Every host with its port; `host` and `port` are the first of them. */
  readonly hosts: readonly Endpoint[];
  /** Whether pii is encrypted at rest. */
  readonly encrypted: boolean;
};

/** What is never printed. */
export type Secrets = {
  readonly password: string;
  /** Options of `tls.connect`, which may hold a private key. They count instead of `config.ssl`. */
  readonly tls: Readonly<Record<string, unknown>> | undefined;
  /** The keys for pii, or who provides them. */
  readonly pii: PiiOptions | undefined;
};

/** What it takes to connect. */
export type ConnectionTarget = { readonly config: Config; readonly secrets: Secrets };

export type ResolvedOptions = ConnectionTarget & {
  /** Where LISTEN goes, when that is elsewhere. */
  readonly listen: ConnectionTarget | undefined;
};

/** `store.config`: the password is there for whoever asks for it by name, and in no rendering. */
export type StoreConfig = Config & { readonly password: string };

class HiddenPassword {
  readonly #password: string;
  constructor(password: string) {
    this.#password = password;
  }

  get password(): string {
    return this.#password;
  }

  [inspect.custom](): object {
    return { ...this, password: "***" };
  }
}

export const withHiddenPassword = ({ config, secrets }: ConnectionTarget): StoreConfig =>
  Object.assign(new HiddenPassword(secrets.password), config);
