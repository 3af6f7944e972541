/** A broken store with the console on it and a browser before it, shared by the tests of a file. */
import { inject } from "vitest";
import { buildPage } from "../../scripts/build-page.ts";
import { Admin } from "../../src/admin/index.ts";
import { type ConsoleOptions, type RunningConsole, startConsole } from "../../src/console/start.ts";
import { PostgresStore } from "../../src/index.ts";
import { DatabaseFixture } from "../postgres/fixture.ts";
import { oncePerRun } from "../support/once-per-run.ts";
import { type Broken, breakStore, positionsOf } from "./broken-store.ts";
import { PageBrowser, type PageWindow } from "./browser.ts";
import { APP } from "./fixture.ts";

export class Stage {
  readonly fixture = new DatabaseFixture();
  readonly told: string[] = [];
  readonly #windows: PageWindow[] = [];
  #store: PostgresStore | undefined;
  #browser: PageBrowser | undefined;
  #running: RunningConsole | undefined;
  #broken: Broken | undefined;

  /** `server`: the URL of another PostgreSQL than that of the test run. */
  async open({
    server,
    ...options
  }: Partial<ConsoleOptions> & { readonly server?: string } = {}): Promise<void> {
    await this.fixture.open(server);
    this.#store = new PostgresStore({ ...this.fixture.parts, notify: true });
    await this.#store.seed();
    const admin = new Admin(this.#store);
    this.#broken = await breakStore(this.#store, (skip) => admin.skip(skip));
    await this.fixture.sql.unsafe(positionsOf(this.#store.config.schema, this.#broken.last)).simple();
    this.#browser = await PageBrowser.open(await oncePerRun(inject("runFolder"), "page", buildPage));
    this.#running = await this.start(options);
  }

  /** Another console on the same store. */
  start(options: Partial<ConsoleOptions> = {}): Promise<RunningConsole> {
    return startConsole({
      databases: [{ ...this.fixture.parts, connectionTimeoutMillis: 3_000, statement_timeout: 5_000 }],
      ...{ write: true, user: "tester", port: 0, app: APP, page: this.browser.folder },
      tell: (line) => this.told.push(line),
      ...options,
    });
  }

  async close(): Promise<void> {
    await this.#browser?.close();
    await this.#running?.close();
    await this.#store?.dispose();
    await this.fixture.close();
  }

  get store(): PostgresStore {
    return of(this.#store);
  }
  get browser(): PageBrowser {
    return of(this.#browser);
  }
  get running(): RunningConsole {
    return of(this.#running);
  }
  get broken(): Broken {
    return of(this.#broken);
  }

  /** The store's subscriptions table, to look behind the page's back. */
  async subscription(stream: string) {
    const { schema, table } = this.store.config;
    const [row] = await this.fixture.sql`
      select at::int, blocked, retry, priority, error, leased_by, deferred_at, jsonb_array_length(coalesce(skipped, '[]')) as skipped
      from ${this.fixture.sql(schema)}.${this.fixture.sql(`${table}_streams`)} where stream = ${stream}`;
    return row;
  }

  async look(path = "/", options?: Parameters<PageBrowser["look"]>[2]): Promise<PageWindow> {
    const window = await this.browser.look(this.running, path, options);
    this.#windows.push(window);
    return window;
  }

  /** Requests of all windows to anywhere but the console, and errors of the page. */
  complaints(): string[] {
    const { origin } = this.running;
    return this.#windows.flatMap(({ requests, errors }) => [
      ...requests.filter((url) => !url.startsWith(`${origin}/`)),
      ...errors,
    ]);
  }

  /** Closes the windows that are open. */
  async closeWindows(): Promise<void> {
    await Promise.all(this.#windows.map((window) => window.close()));
  }
}

function of<Value>(value: Value | undefined): Value {
  if (value === undefined) throw new Error("The stage is opened before the first test");
  return value;
}
