/** The server settings (SET) of the store's sessions. */
import type { Config } from "../options/config.ts";
import { parseServerOptions } from "../options/server-options.ts";

export type SessionSettings = Readonly<Record<string, string | number>>;

/** Settings that the statements and the parsing of results rely on. They override those of the role and the database. */
const common = (config: Config): SessionSettings => ({
  ...parseServerOptions(config.options).settings,
  application_name: config.application_name,
  DateStyle: "ISO, MDY",
  TimeZone: "UTC",
  standard_conforming_strings: "on",
});

/** Settings of one session. Behind a pooler in transaction mode only the ones that the pooler accepts at connect. */
export function sessionSettings(config: Config, own: SessionSettings = {}): SessionSettings {
  if (!config.prepare) return common(config);
  const { lock_timeout, idle_in_transaction_session_timeout } = config;
  return {
    ...common(config),
    statement_timeout: config.statement_timeout,
    // Heads must be read after the lock is granted, and predicates be checked again under row locks. Both need read
    // committed, and the database may have another default.
    default_transaction_isolation: "read committed",
    // If a policy would hide rows, the statement fails. Otherwise a stream could seem empty.
    row_security: "off",
    array_nulls: "on",
    extra_float_digits: 1,
    // The pool closes idle connections. The server might close one just as a commit is sent on it.
    idle_session_timeout: 0,
    // A client that vanished holds its locks until the server notices: after 11 s with these, after two hours without.
    idle_in_transaction_session_timeout,
    tcp_keepalives_idle: 5,
    tcp_keepalives_interval: 2,
    tcp_keepalives_count: 3,
    tcp_user_timeout: 45_000,
    jit: "off",
    // The option `options` overrides the settings above; the option `lock_timeout` and the pool's settings override it.
    ...parseServerOptions(config.options).settings,
    ...(lock_timeout > 0 && { lock_timeout }),
    ...own,
  };
}

/** Parameters of the startup message: the settings, and the part of the option `options` that is not a setting. */
export function startupParameters(config: Config, own?: SessionSettings): Record<string, string> {
  const { rest } = parseServerOptions(config.options);
  const all = { ...sessionSettings(config, own), ...(rest !== "" && { options: rest }) };
  // As text, because the driver leaves out a number 0.
  return Object.fromEntries(Object.entries(all).map(([name, value]) => [name, String(value)]));
}

/**
 * Settings of connections for appends. The server ends the session of a client that vanished, so that its append lock is
 * released. The statement that appends needs only one plan for all batches, so a generic plan saves planning.
 */
export const writerSettings = ({ idle_in_transaction_session_timeout: limit }: Config): SessionSettings => ({
  idle_in_transaction_session_timeout: Math.min(limit || 10_000, 10_000),
  plan_cache_mode: "force_generic_plan",
});
