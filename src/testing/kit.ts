/**
 * testKit(): an app on a store of a test's own, for tests of events, reactions and read models. It needs no test
 * framework and works with all of them, because it throws an error for each failure.
 */
import { deepStrictEqual } from "node:assert/strict";
import {
  type Committed,
  InMemoryCache,
  type Schemas,
  type Scoped,
  type StreamPosition,
} from "@rotorsoft/act";
import type { PostgresStoreOptions } from "../options/options.generated.ts";
import { ANY, checkOptionsOf, FUNCTION, type Rules, required, TEXT, TIME_LIMIT } from "../values/rules.ts";
import { type Drainable, drained } from "./drained.ts";
import { statementsFor } from "./drizzle-kit.ts";
import { serverOf, TestSchema, type TestStore } from "./schema.ts";

/** An app of `act()…build()`. */
export type TestableApp = Drainable & {
  /** Ends the app: it takes no more work, and handlers that run get `graceMs` ms to end. */
  shutdown(options?: { graceMs?: number }): Promise<void>;
};

/** What an app is built with. */
export type TestSetup = {
  /** For `build()` of the app: its own store and an empty cache; settle() is not debounced. */
  readonly options: { readonly scoped: Scoped; readonly settleDebounceMs: number };
  readonly store: TestStore;
  /** The schema of this test. */
  readonly schema: string;
  /** For your own Drizzle database: tables without a schema are found in the one of this test. */
  readonly url: string;
  /** Called by `dispose()`, last first: close what you opened. */
  onDispose(close: () => unknown): void;
};

/** How the app of a test is made, and on which server. */
export type TestKitOptions<App extends TestableApp> = {
  /** Makes the app of this test. */
  readonly build: (setup: TestSetup) => App | Promise<App>;
  /** The server. Default `TEST_DATABASE_URL`, then `DATABASE_URL`. */
  readonly url?: string | undefined;
  /** Your Drizzle tables, such as the module of your schema. drizzle-kit's statements create them in the test's schema. */
  readonly tables?: Record<string, unknown> | undefined;
  /** Options of the store, such as `table`. */
  readonly store?: Omit<PostgresStoreOptions, "url" | "schema" | "notify"> | undefined;
};

const RULES: Rules<TestKitOptions<TestableApp>> = { build: ANY, url: TEXT, tables: ANY, store: ANY };

type EventsOf<App> = App extends { readonly registry: { readonly events: infer Register } }
  ? {
      readonly [Name in keyof Register]: Register[Name] extends {
        readonly schema: { readonly _output: infer Data };
      }
        ? Data
        : never;
    }
  : never;

/** An event of the app: its name, and its data by its name. */
export type TestEvent<App> = {
  [Name in keyof EventsOf<App> & string]: { readonly name: Name; readonly data: EventsOf<App>[Name] };
}[keyof EventsOf<App> & string];

type Found = { readonly stream: string; readonly name: string; readonly data: unknown };

/** One test in the form given, when, then. */
export type Scenario<App> = {
  /** The events of each stream before the action. Reactions to them are done before the action, too. */
  readonly given?: { readonly [stream: string]: readonly TestEvent<App>[] } | undefined;
  /** The action that is tried. */
  readonly when: (app: App) => unknown;
  /** The new events that must follow, in order, including those of reactions. Default: new events are not checked. */
  readonly thenEvents?: readonly (TestEvent<App> & { readonly stream?: string })[] | undefined;
  /** The error that the action has to throw: a part of its message, a pattern, or its class. */
  readonly thenThrows?: ErrorLike | undefined;
};
type ErrorLike = string | RegExp | (new (...args: never[]) => Error);

/** An app on a schema of a test's own. */
export type TestKit<App extends TestableApp> = Omit<TestSetup, "options" | "onDispose"> & {
  readonly app: App;
  /** Appends events, as history: no action is tried, and no invariant is checked. */
  given(stream: string, ...events: readonly TestEvent<App>[]): Promise<void>;
  /** Given events, when an action is tried, then these events follow. Throws an AssertionError if not. */
  scenario(scenario: Scenario<App>): Promise<void>;
  /**
   * Resolves once every reaction and projection is done, and what follows from them. It does not wait for deferred work.
   * `timeout` in ms, default 10,000.
   */
  drained(options?: { readonly timeout?: number | undefined }): Promise<void>;
  /** The events of the log, or of a stream. */
  events(stream?: string): Promise<Committed<Schemas, string>[]>;
  /** How far each target is, and which are blocked. */
  positions(): Promise<StreamPosition[]>;
  /** Ends the app, and drops the schema with all that is in it. */
  dispose(): Promise<void>;
  /** The same as `dispose()`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>;
};

const SCENARIO_RULES: Rules<Scenario<TestableApp>> = {
  given: ANY,
  when: required(FUNCTION),
  thenEvents: ANY,
  thenThrows: ANY,
};
type DrainedOptions = { readonly timeout?: number | undefined };
const DRAINED_RULES: Rules<DrainedOptions> = { timeout: TIME_LIMIT };

const META = { correlation: "test", causation: {} };

class Kit<App extends TestableApp> {
  readonly app: App;
  readonly store: TestStore;
  readonly schema: string;
  readonly url: string;
  readonly #space: TestSchema;
  readonly #closing: readonly (() => unknown)[];
  #disposed: Promise<void> | undefined;

  constructor(app: App, space: TestSchema, closing: readonly (() => unknown)[]) {
    this.app = app;
    this.store = space.store;
    this.schema = space.name;
    this.url = space.url;
    this.#space = space;
    this.#closing = closing;
  }

  async given(stream: string, ...events: readonly TestEvent<App>[]): Promise<void> {
    const messages = events.map(({ name, data }) => ({ name, data: data as Schemas[string] }));
    await this.store.commit(stream, messages, META);
  }

  async scenario(scenario: Scenario<App>): Promise<void> {
    checkOptionsOf("scenario", scenario, SCENARIO_RULES);
    const { given = {}, when, thenEvents, thenThrows } = scenario;
    for (const [stream, events] of Object.entries(given)) await this.given(stream, ...events);
    await this.drained();
    const before = (await this.events()).at(-1)?.id ?? -1;
    let error: unknown;
    try {
      await when(this.app);
    } catch (thrown) {
      error = thrown;
    }
    if (thenThrows !== undefined) expectError(error, thenThrows);
    else if (error !== undefined) throw error;
    await this.drained();
    if (!thenEvents) return;
    const found = (await this.events()).filter(({ id }) => id > before);
    const expected = [...thenEvents];
    deepStrictEqual(
      found.map((event, n): Partial<Found> => {
        const { stream, name, data } = event;
        return expected[n]?.stream === undefined ? { name, data } : { stream, name, data };
      }),
      expected,
    );
  }

  async drained(options: DrainedOptions = {}): Promise<void> {
    checkOptionsOf("drained", options, DRAINED_RULES);
    const { timeout = 10_000 } = options;
    await drained(this.app, this.store, timeout);
  }

  async events(stream?: string): Promise<Committed<Schemas, string>[]> {
    const events: Committed<Schemas, string>[] = [];
    const filter = stream === undefined ? undefined : { stream, stream_exact: true };
    await this.store.query<Schemas>((event) => void events.push(event), filter);
    return events;
  }

  async positions(): Promise<StreamPosition[]> {
    const positions: StreamPosition[] = [];
    await this.store.query_streams((position) => void positions.push(position), {
      limit: Number.MAX_SAFE_INTEGER,
    });
    return positions;
  }

  dispose(): Promise<void> {
    this.#disposed ??= this.#dispose();
    return this.#disposed;
  }

  /** Takes every step, also after one that fails. The first failure is thrown. */
  async #dispose(): Promise<void> {
    const failures: unknown[] = [];
    const steps = [
      () => this.app.shutdown({ graceMs: 2_000 }),
      ...this.#closing.toReversed(),
      () => this.#space.drop(),
    ];
    for (const step of steps) await (async () => step())().catch((error: unknown) => failures.push(error));
    if (failures.length > 0) throw failures[0];
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }
}

function expectError(error: unknown, expected: ErrorLike): void {
  if (error === undefined) throw new Error("act-drizzle/testing: scenario: the action did not throw.");
  const said = error instanceof Error ? error.message : String(error);
  const matches =
    typeof expected === "string"
      ? said.includes(expected)
      : expected instanceof RegExp
        ? expected.test(said)
        : error instanceof expected;
  if (!matches)
    throw new Error(
      `act-drizzle/testing: scenario: the action threw another error than ${typeof expected === "function" ? expected.name : String(expected)}.`,
      { cause: error },
    );
}

/**
 * An app on a schema of its own, in which a test sees its own events only: tests may run in parallel on one server.
 * Dispose of it at the end of the test; then nothing is left of it.
 *
 * @throws Error if there is no server, or the schema cannot be made; nothing is left behind then, if the schema can be dropped.
 * @example
 * ```ts
 * await using kit = await testKit({
 *   tables: { balances, positions },
 *   build: ({ options, url, onDispose }) => {
 *     const pool = new pg.Pool({ connectionString: url });
 *     onDispose(() => pool.end());
 *     return buildApp(drizzle(pool), options);
 *   },
 * });
 * await kit.scenario({
 *   given: { a1: [{ name: "Opened", data: { owner: "Ann" } }] },
 *   when: (app) => app.do("deposit", { stream: "a1", actor }, { amount: 5 }),
 *   thenEvents: [{ name: "Deposited", data: { amount: 5 } }],
 * });
 * ```
 */
export async function testKit<App extends TestableApp>(options: TestKitOptions<App>): Promise<TestKit<App>> {
  if (typeof options?.build !== "function")
    throw new Error("act-drizzle/testing: testKit must get build, a function that makes the app.");
  checkOptionsOf("testKit", options, RULES);
  const space = new TestSchema(serverOf(options.url), options.store ?? {});
  const closing: (() => unknown)[] = [];
  try {
    await space.create(options.tables ? await statementsFor(options.tables) : []);
    const app = await options.build({
      options: { scoped: { store: space.store, cache: new InMemoryCache() }, settleDebounceMs: 0 },
      store: space.store,
      schema: space.name,
      url: space.url,
      onDispose: (close) => void closing.push(close),
    });
    return new Kit(app, space, closing);
  } catch (error) {
    // The first error is thrown, those of the cleanup are dropped.
    for (const close of closing.toReversed()) await (async () => close())().catch(() => {});
    await space.drop().catch(() => {});
    throw error;
  }
}
