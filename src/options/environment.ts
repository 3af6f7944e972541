/** Reads the options from the variables that libpq reads. An empty variable counts as not set. */
import { givenOptions } from "./check.ts";
import type { Endpoint } from "./config.ts";
import { VARIABLES, type Variable } from "./environment-variables.ts";
import type { Ssl } from "./modes.ts";
import { readSource, type Values } from "./sources.ts";
import { bindChannel, isOff } from "./tls-mode.ts";
import { refusalOf } from "./url-parameters.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

export const readEnvironment = (env: Environment): Values =>
  givenOptions(readSource("env", (name) => env[name] || undefined));

/** What options and URLs say, which win over the environment. */
export type Stronger = {
  /** Parameters of the URLs. */
  readonly parameters: ReadonlySet<string>;
  /** The option `ssl` is given. */
  readonly ssl: boolean;
};

/** What is known of a target. */
export type Facts = Stronger & {
  readonly hosts: readonly Endpoint[];
  /** An option or the URL names the host. */
  readonly named: boolean;
  /** The mode of TLS; undefined if no source names one. */
  readonly mode: Ssl | undefined;
  readonly sslrootcert: string;
};

const isSocket = ({ host }: Endpoint) => host.startsWith("/");

/**
 * Refuses variables that are not options, if the store cannot do what they ask for. Returns the mode of TLS: that of the
 * facts, or one that also does what PGCHANNELBINDING asks for.
 */
export function obeyEnvironment(env: Environment, facts: Facts): Ssl | undefined {
  const { hosts, named, mode, parameters, ssl, sslrootcert } = facts;
  const tls = !ssl && !hosts.every(isSocket);
  const counts = {
    always: true,
    tls: tls && !isOff(mode),
    socket: hosts.some(isSocket),
    host: !named,
  } satisfies Record<Variable["counts"], boolean>;
  if (!named && env.PGHOST && env.PGHOSTADDR && env.PGHOST !== env.PGHOSTADDR)
    throw refused(["PGHOST and PGHOSTADDR: they name two hosts, and only one is read"]);
  const reasons = Object.entries(VARIABLES).flatMap(([name, variable]) => {
    const value = env[name];
    if (!value || !counts[variable.counts] || parameters.has(variable.parameter)) return [];
    const reason = refusalOf(variable.parameter, value)?.replace(": leave it out", "");
    return reason === undefined ? [] : [`${name}: ${reason}`];
  });
  if (reasons.length > 0) throw refused(reasons);
  if (env.PGCHANNELBINDING !== "require" || !tls || parameters.has("channel_binding")) return mode;
  const bound = bindChannel(mode, sslrootcert !== "");
  if (bound === undefined)
    throw refused(["PGCHANNELBINDING: it needs a server that is verified: ask for sslmode=verify-full"]);
  return bound;
}

const refused = (reasons: readonly string[]) =>
  new Error(
    `act-drizzle: variables of the environment are refused: ${reasons.join("; ")}. Follow that, or unset them for this process`,
  );
