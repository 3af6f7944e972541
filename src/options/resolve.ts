/** Merges the sources of options. Precedence: the given options, the URL, the environment, the defaults. */

import { isRecord } from "../values/json-dates.ts";
import type { PiiOptions } from "../values/pii-keys.ts";
import { checkOptions, givenOptions } from "./check.ts";
import { type ConnectionTarget, type Endpoint, fromConfig, type ResolvedOptions } from "./config.ts";
import { type Environment, obeyEnvironment, readEnvironment, type Stronger } from "./environment.ts";
import type { Options } from "./option-list.ts";
import { isStoreOption, refuseOptions, type SharedDatabase, sharedDatabaseOf } from "./shared-database.ts";
import type { Values } from "./sources.ts";
import { chooseTls } from "./tls-files.ts";
import { override } from "./tls-mode.ts";
import { parametersOf, readUrl } from "./url.ts";

/** Throws one Error that names each wrong option. */
export function resolveOptions(options: unknown = {}, env: Environment = process.env): ResolvedOptions {
  const given = fromConfig(options ?? {});
  const database = sharedDatabaseOf(given);
  if (database) return resolveShared(given, database);
  const { listen_url, replicas: urls } = checkOptions(given);
  const chosen = withUrl(givenOptions(given), env);
  const { url, connectionString } = chosen;
  const stronger: Stronger = {
    parameters: new Set(parametersOf(String(url ?? connectionString ?? ""))),
    ssl: givenOptions(given).ssl !== undefined,
  };
  const target = resolve(chosen, env, stronger);
  const listen = listen_url === undefined ? undefined : listenTarget(chosen, listen_url, env, stronger);
  const replicas = urls.map((url) => replicaTarget(chosen, url, env, stronger));
  const { pii_encryption, inline, ssl } = chosen;
  const { password, onConnect } = target.secrets;
  const hidden = {
    password,
    onConnect,
    listen_url,
    replicas: chosen.replicas,
    pii_encryption,
    inline,
    ...(typeof ssl === "object" && { ssl }),
  };
  return { ...target, listen, replicas, hidden: givenOptions(hidden), shared: undefined };
}

/** The property of a PostgresDatabase with its resolved options. Global, because each entry is bundled by itself. */
export const RESOLVED = Symbol.for("act-drizzle.resolved");

function connectionsOf(database: SharedDatabase): ResolvedOptions {
  const resolved: ResolvedOptions | undefined = Reflect.get(database, RESOLVED);
  if (resolved === undefined)
    throw new TypeError('act-drizzle: option "database": a PostgresDatabase of this release is needed');
  return resolved;
}

/** A store's own options, and those of the connections that it shares. */
function resolveShared(options: unknown, database: SharedDatabase): ResolvedOptions {
  const { database: _database, ...own } = givenOptions(options);
  refuseOptions(
    own,
    (name) => !isStoreOption(name),
    "this store shares the connections of its database: give it to new PostgresDatabase({ … })",
  );
  const unknown = isRecord(options) ? { ...options, database: undefined } : options;
  const { schema, table, notify, pollIntervalMillis, dates, inline, pii_encryption } = checkOptions(unknown);
  const { config, secrets, listen, replicas, hidden } = connectionsOf(database);
  const encrypted = pii_encryption !== undefined;
  return {
    config: { ...config, schema, table, notify, pollIntervalMillis, dates, encrypted },
    secrets: { ...secrets, pii: piiOptions(pii_encryption), inline },
    listen,
    replicas,
    hidden: { ...hidden, ...givenOptions({ pii_encryption, inline }) },
    shared: database,
  };
}

/**
 * The options of connections that stores share: those of a store, without the ones that each store has for itself.
 *
 * Throws one Error that names each wrong option, and a TypeError for options of a store.
 */
export function resolveDatabase(options: unknown = {}, env: Environment = process.env): ResolvedOptions {
  const named = isRecord(options) ? givenOptions(options) : {};
  const given = sharedDatabaseOf(named) ? named : withUrl(named, env);
  refuseOptions(
    given,
    (name) => isStoreOption(name) || sharedDatabaseOf(given) !== undefined,
    "it belongs to a store: give it to new PostgresStore({ database, … })",
  );
  return resolveOptions(options, env);
}

/** The given options, and those of the URL that are not given. */
function withUrl(given: Values, env: Environment): Values {
  const { url, connectionString } = checkOptions(given);
  if (url !== undefined && connectionString !== undefined && url !== connectionString)
    throw new Error(
      'act-drizzle: options "url" and "connectionString" are two names of one option, and name different databases: leave one out',
    );
  const address = url ?? connectionString;
  return override(address === undefined ? {} : readUrl(address), given, readEnvironment(env));
}

function resolve(chosen: Values, env: Environment, stronger: Stronger): ConnectionTarget {
  // A variable that is overridden is not checked: it may be meant for another program.
  const environment = Object.fromEntries(
    Object.entries(readEnvironment(env)).filter(([option]) => !(option in chosen)),
  );
  checkOptions(environment, " from the environment");
  const merged = override(environment, chosen);
  const all = checkOptions(merged);
  const { url: _url, connectionString: _sameUrl, listen_url: _listen, ...resolved } = all;
  const { password, pii_encryption, inline, onConnect, replicas: _replicas, ...shown } = resolved;
  const hosts = endpoints(all.host, all.port);
  const [first = { host: all.host, port: 5432 }] = hosts;
  const mode = obeyEnvironment(env, {
    ...stronger,
    hosts,
    named: "host" in chosen,
    mode: "ssl" in merged ? all.ssl : undefined,
    sslrootcert: all.sslrootcert,
  });
  const { ssl, tls } = chooseTls({ ...all, ssl: mode });
  return {
    config: { ...shown, ...first, hosts, ssl, encrypted: pii_encryption !== undefined },
    secrets: { password, tls, pii: piiOptions(pii_encryption), inline, onConnect },
  };
}

/** The key has two names: `keyProvider` is act-pg's. */
function piiOptions(given: Options["pii_encryption"]): PiiOptions | undefined {
  const key = given?.key ?? given?.keyProvider;
  return given && key ? { key, perStream: given.perStream, unreadable: given.unreadable } : undefined;
}

function endpoints(host: string, port: number | string): Endpoint[] {
  const ports = String(port).split(",").map(Number);
  const hosts = host.split(",").map((name) => name.trim());
  const empty = hosts.indexOf("");
  if (empty >= 0)
    throw new Error(
      `act-drizzle: option "host": number ${empty + 1} of ${hosts.length} hosts is empty: name it, or leave out the comma`,
    );
  if (ports.length > 1 && ports.length !== hosts.length)
    throw new Error(`act-drizzle: option "port": ${ports.length} ports for ${hosts.length} hosts.`);
  return hosts.map((name, i) => ({ host: name, port: ports[i] ?? ports[0] ?? 5432 }));
}

/** The options of a second target: the store's without host and port, overridden by those of the target's URL. */
function secondTarget(
  { host: _host, port: _port, ...kept }: Values,
  url: string,
  own: Values,
  env: Environment,
  { parameters, ssl }: Stronger,
): ConnectionTarget {
  return resolve(override(kept, own, readEnvironment(env)), env, {
    parameters: new Set([...parameters, ...parametersOf(url)]),
    ssl,
  });
}

/**
 * The store's own options, overridden by all that the URL names. The store's host, port and target_session_attrs select
 * the primary, so they are left out.
 */
function replicaTarget(chosen: Values, url: string, env: Environment, stronger: Stronger): ConnectionTarget {
  const own = { target_session_attrs: "any", ...readUrl(url, "replicas") };
  return secondTarget(chosen, url, own, env, stronger);
}

/** The store's own options without host and port, overridden by all that `listen_url` names. */
function listenTarget(chosen: Values, url: string, env: Environment, stronger: Stronger): ConnectionTarget {
  return secondTarget(chosen, url, readUrl(url, "listen_url"), env, stronger);
}
