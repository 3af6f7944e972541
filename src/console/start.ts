/** Starts the console's server. It is loaded by `act-drizzle console` alone. */
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { createAdaptorServer, type ServerType } from "@hono/node-server";
import { Hono } from "hono";
import type { PostgresStoreOptions } from "../index.ts";
import { Audit } from "./audit.ts";
import { Databases, type Tenants } from "./databases.ts";
import { failureOf, isFault } from "./failures.ts";
import { loadStates } from "./fold.ts";
import { Live } from "./live.ts";
import { pageFiles, servePage } from "./page-files.ts";
import { routes } from "./routes.ts";
import { type Access, guard } from "./security.ts";

export type ConsoleOptions = {
  /** The stores' databases. The first one's schema and table are what the page opens with. */
  readonly databases: readonly PostgresStoreOptions[];
  /** Of the first database only its own store and these. Default: all that are found. */
  readonly tenants?: Tenants | undefined;
  /** Default false: nothing can be changed. */
  readonly write?: boolean | undefined;
  /** Default true: personal data can be revealed, event by event. */
  readonly pii?: boolean | undefined;
  /** Who is written to the log of actions. */
  readonly user: string;
  /** A module that exports an app or states, for folded states. */
  readonly app?: string | undefined;
  /** 0 takes a free one. */
  readonly port: number;
  /** Default 127.0.0.1. */
  readonly host?: string | undefined;
  /** Default: a new one. */
  readonly token?: string | undefined;
  /** The folder of the built page. */
  readonly page?: string | undefined;
  /** Gets a line for each action, and for each fault. Default: stderr. */
  readonly tell?: ((line: string) => void) | undefined;
};

export type RunningConsole = {
  /** The console's address, with the token. */
  readonly url: string;
  /** The console's address, without the token. */
  readonly origin: string;
  readonly token: string;
  readonly port: number;
  /** An address for a single use, because other users of the machine can see a browser's command line. */
  once(): string;
  /** Ends live connections, the server, and the connections to the databases. */
  close(): Promise<void>;
};

const LOOPBACK = "127.0.0.1";
const EVERYWHERE = ["0.0.0.0", "::"];

const newToken = () => randomBytes(24).toString("base64url");

/** The package's version. package.json is two folders up from here, both in src/ and in dist/. */
function versionOfPackage(): string {
  const text = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  const read: { readonly version?: unknown } = JSON.parse(text);
  return String(read.version);
}

function listen(server: ServerType, port: number, host: string): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, () => {
      server.off("error", reject);
      const address = server.address() as AddressInfo;
      resolve(address.port);
    });
  });
}

/** @throws Error if the app's module cannot be used, or the port is taken (`code` is then `EADDRINUSE`). */
export async function startConsole(options: ConsoleOptions): Promise<RunningConsole> {
  const { host = LOOPBACK, user, tell = (line) => process.stderr.write(`${line}\n`) } = options;
  const states = options.app === undefined ? undefined : await loadStates(options.app);
  const token = options.token ?? newToken();
  const databases = new Databases(options);
  const live = new Live();
  const audit = new Audit(user, tell);
  const closing = new AbortController();
  const files = pageFiles(options.page);

  const app = new Hono();
  app.onError((error, c) => {
    const { status, body } = failureOf(error);
    // The message of an unknown error could quote data, so only its name and stack are printed.
    if (isFault(error))
      tell(`This is a fault of the console: ${error.name}\n${error.stack?.replace(/^.*?\n(?=\s+at )/s, "")}`);
    return c.json(body, status);
  });
  const anyAddress = EVERYWHERE.includes(host);
  const named = host.includes(":") ? `[${host}]` : host;
  const tickets = new Set<string>();
  const access: Access = { token, tickets, port: options.port, hosts: anyAddress ? [] : [named], anyAddress };
  app.use(guard(access));
  app.route(
    "/api",
    routes({
      ...{ databases, live, audit, states },
      version: versionOfPackage(),
      write: options.write === true,
      pii: options.pii !== false,
      closing: closing.signal,
    }),
  );
  app.all("/api/*", (c) => c.json({ error: { code: "not-found", message: "There is no such route." } }, 404));
  app.get("*", (c) => servePage(c, files));

  const server = createAdaptorServer({ fetch: (request, env) => app.fetch(request, env) });
  try {
    access.port = await listen(server, options.port, host);
  } catch (error) {
    await databases.close();
    throw error;
  }

  const { port } = access;
  const origin = `http://${anyAddress ? LOOPBACK : named}:${port}`;
  return {
    ...{ origin, token, port },
    url: `${origin}/?token=${token}`,
    once: () => {
      const ticket = newToken();
      tickets.add(ticket);
      return `${origin}/?token=${ticket}`;
    },
    close: async () => {
      closing.abort();
      const ended = new Promise<void>((resolve) => server.close(() => resolve()));
      if ("closeAllConnections" in server) server.closeAllConnections();
      await ended;
      await live.close();
      await databases.close();
    },
  };
}
