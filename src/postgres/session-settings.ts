/** Server settings of the store's sessions. */
import type { Config } from "../options/config.ts";
import { parseServerOptions } from "../options/server-options.ts";

export type SessionSettings = Readonly<Record<string, string | number>>;

/** What statements and answers are written for, whatever the role's or the database's defaults are. */
const common = (config: Config): SessionSettings => ({
  ...parseServerOptions(config.options).settings,
  application_name: config.application_name,
  DateStyle: "ISO, MDY",
  TimeZone: "UTC",
  standard_conforming_strings: "on",
});

/** Settings that a session keeps. Behind a pooler in transaction mode there is none to keep them. */
export function sessionSettings(config: Config, own: SessionSettings = {}): SessionSettings {
  if (!config.prepare) return common(config);
  const { lock_timeout, idle_in_transaction_session_timeout } = config;
  return {
    ...common(config),
    statement_timeout: config.statement_timeout,
    // Heads must be read after the lock is granted and predicates be checked again under row locks:
    // both need read committed, whatever the database's default is.
    default_transaction_isolation: "read committed",
    // Where a policy would hide rows, an error instead of a stream that seems empty.
    row_security: "off",
    array_nulls: "on",
    extra_float_digits: 1,
    // Idle connections are closed from here: the server would end one just as a commit is sent on it.
    idle_session_timeout: 0,
    // A client that vanished holds its locks until the server notices: in some 11 s, instead of TCP's two hours.
    idle_in_transaction_session_timeout,
    tcp_keepalives_idle: 5,
    tcp_keepalives_interval: 2,
    tcp_keepalives_count: 3,
    tcp_user_timeout: 45_000,
    jit: "off",
    // What is named for the session wins over what only makes it faster.
    ...parseServerOptions(config.options).settings,
    ...(lock_timeout > 0 && { lock_timeout }),
    ...own,
  };
}

/** What is sent at connect: the settings, and what of the option `options` is no setting. */
export function startupParameters(config: Config, own?: SessionSettings): Record<string, string> {
  const { rest } = parseServerOptions(config.options);
  const all = { ...sessionSettings(config, own), ...(rest !== "" && { options: rest }) };
  // As text: the driver leaves out what is 0.
  return Object.fromEntries(Object.entries(all).map(([name, value]) => [name, String(value)]));
}
