/** Options given > URL > environment > defaults. */

import type { PiiOptions } from "../values/pii-keys.ts";
import { checkOptions, setOptions } from "./check.ts";
import type { ConnectionTarget, Endpoint, ResolvedOptions } from "./config.ts";
import { type Environment, readEnvironment } from "./environment.ts";
import type { Options } from "./option-list.ts";
import type { Values } from "./sources.ts";
import { readUrl } from "./url.ts";

/** Throws one Error that names each wrong option. */
export function resolveOptions(options: unknown = {}, env: Environment = process.env): ResolvedOptions {
  const { listen_url } = checkOptions(options ?? {});
  const chosen = withUrl(setOptions(options));
  const target = resolve(chosen, env);
  return { ...target, listen: listen_url === undefined ? undefined : listenTarget(chosen, listen_url, env) };
}

/** The options, and what the URL says of those that are not given. */
function withUrl(given: Values): Values {
  const { url, connectionString } = checkOptions(given);
  const address = url ?? connectionString;
  return { ...(address && readUrl(address)), ...given };
}

function resolve(chosen: Values, env: Environment): ConnectionTarget {
  // A variable that is overridden is not checked: it may be meant for another program.
  const environment = Object.fromEntries(
    Object.entries(readEnvironment(env)).filter(([option]) => !(option in chosen)),
  );
  checkOptions(environment, " from the environment");
  const all = checkOptions({ ...environment, ...chosen });
  const { url: _url, connectionString: _sameUrl, listen_url: _listen, ...resolved } = all;
  const { password, pii_encryption, ssl, ...shown } = resolved;
  const hosts = endpoints(all.host, all.port);
  const [first = { host: all.host, port: 5432 }] = hosts;
  const ownTls = typeof ssl === "object";
  return {
    config: { ...shown, ...first, hosts, ssl: ownTls || ssl, encrypted: pii_encryption !== undefined },
    secrets: { password, tls: ownTls ? ssl : undefined, pii: piiOptions(pii_encryption) },
  };
}

/** The key has two names: that of the peer's adapter beside ours. */
function piiOptions(given: Options["pii_encryption"]): PiiOptions | undefined {
  const key = given?.key ?? given?.keyProvider;
  return given && key ? { key, perStream: given.perStream, unreadable: given.unreadable } : undefined;
}

function endpoints(host: string, port: number | string): Endpoint[] {
  const ports = String(port).split(",").map(Number);
  const hosts = host.split(",");
  if (ports.length > 1 && ports.length !== hosts.length)
    throw new Error(`act-drizzle: option "port": ${ports.length} ports for ${hosts.length} hosts.`);
  return hosts.map((name, i) => ({ host: name.trim(), port: ports[i] ?? ports[0] ?? 5432 }));
}

/** As the store's own, but for what the direct URL says: host and port, and the login if it has one. */
function listenTarget(chosen: Values, url: string, env: Environment): ConnectionTarget {
  const { host: _host, port: _port, ...kept } = chosen;
  return resolve({ ...kept, ...readUrl(url) }, env);
}
