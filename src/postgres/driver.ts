/** The driver's client behind one connection. The driver's own timers, TLS, type queries and reconnects are turned off. */
import postgres from "postgres";
import type { ConnectionTarget, Endpoint } from "../options/config.ts";
import { type SessionSettings, startupParameters } from "./session-settings.ts";
import type { OpenSocket } from "./socket.ts";

export type DriverTarget = Pick<ConnectionTarget, "config"> & {
  readonly endpoint: Endpoint;
  readonly settings?: SessionSettings;
};

/** What the connection does for its client. */
export type DriverHooks = {
  /** The password of the login. Called after `socket`. */
  password(): string;
  /** Opens the socket. Called again when the driver wants a second one. */
  socket(): Promise<OpenSocket>;
  /** Reads a value of json or jsonb. */
  json(text: string): unknown;
  /** Called when the server reports a setting, which it does after the login. May be called again. */
  loggedIn(): void;
  closed(): void;
};

const noop = () => {};

export const openDriver = ({ config, endpoint, settings }: DriverTarget, hooks: DriverHooks): postgres.Sql =>
  postgres({
    host: endpoint.host,
    port: endpoint.port,
    database: config.database,
    user: config.user,
    password: hooks.password,
    // openSocket() has already set up TLS.
    ssl: false,
    max: 1,
    prepare: config.prepare,
    fetch_types: false,
    idle_timeout: 0,
    max_lifetime: 0,
    // The driver's timer would keep the process alive. The connection has its own.
    connect_timeout: 0,
    connection: startupParameters(config, settings),
    types: {
      int8: { to: 20, from: [20], serialize: String, parse: Number },
      json: { to: 3802, from: [114, 3802], serialize: String, parse: hooks.json },
    },
    onnotice: noop,
    onparameter: hooks.loggedIn,
    onclose: hooks.closed,
    socket: hooks.socket,
    no_subscribe: true,
  } as postgres.Options<Record<string, postgres.PostgresType>>);
