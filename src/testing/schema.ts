/** A schema of a test's own on a server that many tests share, and everything in it. */
import { randomBytes } from "node:crypto";
import type { PostgresStoreOptions } from "../options/options.generated.ts";
import { LogConnection } from "../projections/log-connection.ts";
import { PostgresStore } from "../store.ts";

/** Wakes an app: it drains when it is notified of an event that it reacts to. */
type Wake = Parameters<NonNullable<PostgresStore["notify"]>>[0];

/** A store that can wake its app. Nothing is announced to other processes: a test has its log for itself. */
export class TestStore extends PostgresStore {
  #wake: Wake = () => {};

  constructor(options: PostgresStoreOptions) {
    super({ ...options, notify: false });
    Object.assign(this, {
      notify: async (wake: Wake) => {
        this.#wake = wake;
        return async () => {};
      },
    });
  }

  /** Makes the app look for work with these events. */
  wake(names: readonly string[]): void {
    this.#wake({ stream: "", events: names.map((name) => ({ id: 0, name })) });
  }
}

/** The URL of the server: the option, or the variables that CI and `npm run postgres` set. */
export function serverOf(url: string | undefined): string {
  const server = url ?? process.env.TEST_DATABASE_URL ?? process.env.DATABASE_URL;
  if (!server)
    throw new Error(
      "act-drizzle/testing: no server: give testKit({ url }), or set TEST_DATABASE_URL or DATABASE_URL.",
    );
  return server;
}

export class TestSchema {
  readonly name = `act_test_${randomBytes(8).toString("hex")}`;
  /** The server's URL with the test's schema as `search_path`, where tables without a schema are created and found. */
  readonly url: string;
  readonly store: TestStore;
  readonly #connection: LogConnection;

  constructor(server: string, options: PostgresStoreOptions) {
    this.url = withSearchPath(server, this.name);
    // The store names its tables with their schema, so it needs no search_path.
    this.store = new TestStore({ max: 4, ...options, url: server, schema: this.name });
    this.#connection = new LogConnection(this.store);
  }

  /** Creates the user's tables first. The store's tables may be among them, and seed() completes those. */
  async create(statements: readonly string[]): Promise<void> {
    if (statements.length > 0) {
      // One text, so that all of it runs on one connection with one search_path.
      const schema = [`create schema "${this.name}"`, `set local search_path to "${this.name}"`];
      const body = [...schema, ...statements].join(";\n").split("--> statement-breakpoint").join("");
      await this.#connection.run("testKit", `do ${quote(body)}`, []);
    }
    await this.store.seed();
  }

  /** Drops the schema with everything in it. */
  async drop(): Promise<void> {
    await this.store.dispose();
    await this.#connection.run("testKit", `drop schema if exists "${this.name}" cascade`, []);
    await this.#connection.close();
  }
}

/** The URL with `search_path` beside the `options` that it has. */
function withSearchPath(server: string, schema: string): string {
  // The error of `new URL` would show the password.
  if (!URL.canParse(server))
    throw new Error(
      "act-drizzle/testing: url must have one host and percent-encoded parts: postgres://user:password@host:5432/database. The store can read more, but the driver of your Drizzle database gets this URL too.",
    );
  const url = new URL(server);
  const given = url.searchParams.get("options");
  url.searchParams.set("options", [...(given ? [given] : []), `-c search_path=${schema}`].join(" "));
  // libpq, and so the store, reads a plus as a plus and not as a space.
  url.search = url.search.replaceAll("+", "%20");
  return url.href;
}

/** A plpgsql block as a literal. */
const quote = (body: string) => `$act_test$ begin\n${body};\nend $act_test$`;
