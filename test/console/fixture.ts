/** A console on a store of the test file's own, and a client that is logged in as a browser is. */
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { Admin } from "../../src/admin/index.ts";
import type { Failure, Routes } from "../../src/console/api.ts";
import { type ConsoleOptions, type RunningConsole, startConsole } from "../../src/console/start.ts";
import type { PostgresStore, PostgresStoreOptions } from "../../src/index.ts";
import type { DatabaseFixture } from "../postgres/fixture.ts";
import { type Broken, breakStore, positionsOf } from "./broken-store.ts";

/** What `--app` is given. */
export const APP = join(import.meta.dirname, "app.ts");

/** A seeded store with everything that the table in broken-store.ts lists. */
export async function brokenStore(
  fixture: DatabaseFixture,
  options: PostgresStoreOptions = {},
): Promise<Broken & { readonly store: PostgresStore }> {
  const store = await fixture.seeded(options);
  const admin = new Admin(store);
  const broken = await breakStore(store, (skip) => admin.skip(skip));
  return { store, ...broken };
}

export async function withPositions(
  fixture: DatabaseFixture,
  { config }: PostgresStore,
  last: number,
): Promise<void> {
  await fixture.sql.unsafe(positionsOf(config.schema, last)).simple();
  onTestFinished(async () => {
    await fixture.sql.unsafe(`drop table "${config.schema}".act_positions`);
  });
}

export type TestConsole = RunningConsole & {
  /** What it has told in its terminal. */
  readonly told: readonly string[];
};

/** Until the test ends. By default it may write, and knows the app of app.ts. */
export async function startOn(
  fixture: DatabaseFixture,
  store: PostgresStore,
  options: Partial<ConsoleOptions> = {},
): Promise<TestConsole> {
  const { schema, table } = store.config;
  const told: string[] = [];
  const running = await startConsole({
    databases: [
      { ...fixture.parts, schema, table, connectionTimeoutMillis: 3_000, statement_timeout: 5_000 },
    ],
    ...{ write: true, user: "tester", port: 0, app: APP },
    tell: (line) => told.push(line),
    ...options,
  });
  onTestFinished(() => running.close());
  return { ...running, told };
}

export type Answer<T> = { readonly status: number; readonly body: T; readonly headers: Headers };

type Path = keyof Routes & string;
type PathOf<Method extends string> = Path extends infer P
  ? P extends `${Method} ${infer Rest}`
    ? Rest
    : never
  : never;

/** One server-sent event. */
export type Sse = { readonly event: string; readonly data: unknown; readonly id: string | undefined };

/** Talks to a console with the cookie that it gave for its token. */
export class Client {
  readonly origin: string;
  readonly #cookie: string;

  private constructor(origin: string, cookie: string) {
    this.origin = origin;
    this.#cookie = cookie;
  }

  static async of({ url, origin }: Pick<RunningConsole, "url" | "origin">): Promise<Client> {
    const response = await fetch(url, { redirect: "manual" });
    const [cookie = ""] = response.headers.getSetCookie();
    return new Client(origin, cookie.split(";")[0] ?? "");
  }

  get headers(): Record<string, string> {
    return { cookie: this.#cookie };
  }

  async #answer<T>(response: Response): Promise<Answer<T>> {
    return { status: response.status, headers: response.headers, body: (await response.json()) as T };
  }

  /** The answer, whatever its status. */
  async ask<P extends PathOf<"GET">>(
    path: P | (string & {}),
    headers: Record<string, string> = {},
  ): Promise<Answer<Routes[`GET ${P}`] & Partial<Failure>>> {
    return this.#answer(await fetch(`${this.origin}${path}`, { headers: { ...this.headers, ...headers } }));
  }

  /** The body of a good answer of a route, with its parameters. */
  async get<P extends PathOf<"GET">>(
    path: P,
    parameters: Readonly<Record<string, string | number | undefined>> = {},
    id?: number,
  ): Promise<Routes[`GET ${P}`]> {
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries(parameters))
      if (value !== undefined) query.set(name, String(value));
    const { status, body } = await this.ask<P>(`${path.replace(":id", String(id))}?${query}`);
    if (status !== 200) throw new Error(`${path} answered ${status}: ${JSON.stringify(body)}`);
    return body;
  }

  async post<P extends PathOf<"POST">>(
    path: P,
    body: unknown,
    headers: Record<string, string> = {},
  ): Promise<Answer<Routes[`POST ${P}`] & Partial<Failure>>> {
    const own = { ...this.headers, "content-type": "application/json", "x-act-console": "1", ...headers };
    return this.#answer(
      await fetch(`${this.origin}${path}`, { method: "POST", headers: own, body: JSON.stringify(body) }),
    );
  }

  /** Server-sent events, until the caller leaves the loop. */
  async *live(path: string, headers: Record<string, string> = {}): AsyncGenerator<Sse, void> {
    const gone = new AbortController();
    try {
      const response = await fetch(`${this.origin}${path}`, {
        headers: { ...this.headers, ...headers },
        signal: gone.signal,
      });
      if (!response.body || response.status !== 200) throw new Error(`${path} answered ${response.status}`);
      let text = "";
      for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
        text += chunk;
        const blocks = text.split("\n\n");
        text = blocks.pop() ?? "";
        for (const block of blocks) {
          const field = (name: string) => new RegExp(`^${name}: (.*)$`, "m").exec(block)?.[1];
          const event = field("event");
          if (event !== undefined)
            yield { event, data: JSON.parse(field("data") ?? "null"), id: field("id") };
        }
      }
    } finally {
      gone.abort();
    }
  }
}

/** A console that connects with nothing but SELECT on the store's tables, where such a role can be made. */
async function readerOf(
  fixture: DatabaseFixture,
  { config: { schema, table } }: PostgresStore,
): Promise<Partial<ConsoleOptions>> {
  const role = await fixture.role();
  if (!role) return {};
  for (const name of [table, `${table}_streams`, `${table}_correlated`])
    await fixture.sql.unsafe(`grant select on "${schema}"."${name}" to ${role.user}`);
  return { databases: [{ ...fixture.parts, ...role, schema, table }] };
}

/** A broken store, and a client of a console that may only read it. */
export async function openBroken(fixture: DatabaseFixture, options: Partial<ConsoleOptions> = {}) {
  const broken = await brokenStore(fixture);
  const running = await startOn(fixture, broken.store, {
    ...(await readerOf(fixture, broken.store)),
    ...options,
  });
  return { ...broken, client: await Client.of(running) };
}
