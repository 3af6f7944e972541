/**
 * What the tests of the framework share: an account to act on, apps on stores of their own, and the
 * store's tables as plain SQL finds them. Handlers note their work in a table, so that what happened is
 * read from the database too.
 */
import { act, InMemoryCache, type Scoped, type Store } from "@rotorsoft/act";
import type postgres from "postgres";
import { afterAll, beforeAll, onTestFinished } from "vitest";
import type { PostgresStore, PostgresStoreOptions } from "../../src/index.ts";
import { DatabaseFixture } from "../postgres/fixture.ts";
import { Account, actor, Deposited } from "./account.ts";

export { Account, actor, Deposited };

/** An app's ports: this store, and a cache that is cold. */
export const on = (store: Store): { readonly scoped: Scoped; readonly settleDebounceMs: number } => ({
  scoped: { store, cache: new InMemoryCache() },
  settleDebounceMs: 0,
});

type Stoppable = { shutdown(options?: { graceMs?: number }): Promise<void> };

/** Shuts the app down when the test ends, before its store is disposed of. */
export function stopping<T extends Stoppable>(app: T): T {
  onTestFinished(() => app.shutdown({ graceMs: 1_000 }));
  return app;
}

type Settling = {
  on(event: "settled", listener: () => void): unknown;
  off(event: "settled", listener: () => void): unknown;
  settle(options?: { streamLimit?: number; eventLimit?: number; leaseMillis?: number }): void;
};

/** Correlates and drains until nothing is left that can be done now. */
export function settled(app: Settling, options: Parameters<Settling["settle"]>[0] = {}): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      app.off("settled", done);
      resolve();
    };
    app.on("settled", done);
    app.settle(options);
  });
}

/** Only appends: no reactions run here. */
export function writer(store: Store) {
  const app = stopping(
    act()
      .withState(Account)
      .build({ ...on(store), drain: false, listen: false }),
  );
  return (stream: string, ...amounts: number[]) =>
    amounts.reduce<Promise<unknown>>(
      (before, amount) => before.then(() => app.do("deposit", { stream, actor }, { amount })),
      Promise.resolve(),
    );
}

export type EventRow = {
  readonly id: number;
  readonly stream: string;
  readonly version: number;
  readonly name: string;
  readonly data: Record<string, unknown>;
  readonly pii: unknown;
  readonly meta: {
    readonly correlation: string;
    readonly causation: { readonly event?: { readonly id: number; readonly stream: string } };
  };
};

export type SubscriptionRow = {
  readonly stream: string;
  readonly source: string | null;
  readonly at: number;
  readonly mark: number | null;
  readonly retry: number;
  readonly blocked: boolean;
  readonly error: string | null;
  readonly leased_by: string | null;
  readonly priority: number;
  readonly lane: string;
  /** ms since the epoch */
  readonly due: number | null;
};

export type Work = { readonly target: string; readonly event: number; readonly by: string };

export class AppFixture extends DatabaseFixture {
  override async open(): Promise<void> {
    await super.open();
    await this.sql`create table work (seq serial, target text, event int, by text)`;
  }

  table({ config }: PostgresStore): postgres.PendingQuery<postgres.Row[]> {
    return this.sql`${this.sql(config.schema)}.${this.sql(config.table)}`;
  }

  /** Another process' store over the same tables. */
  beside({ config }: PostgresStore, options: PostgresStoreOptions = {}): PostgresStore {
    return this.store({ table: config.table, notify: config.notify, ...options });
  }

  events(store: PostgresStore, stream?: string): Promise<EventRow[]> {
    const { sql } = this;
    return sql<EventRow[]>`
      select id::int, stream, version, name, data, pii, meta from ${this.table(store)}
      where ${stream ?? null}::text is null or stream = ${stream ?? null} order by id`;
  }

  subscriptions({ config }: PostgresStore): Promise<SubscriptionRow[]> {
    const { sql } = this;
    return sql<SubscriptionRow[]>`
      select stream, source, at::int, correlated_at::int as mark, retry, blocked, error, leased_by, priority,
        lane, (extract(epoch from deferred_at) * 1000)::float8 as due
      from ${sql(config.schema)}.${sql(`${config.table}_streams`)} order by stream collate "C"`;
  }

  async subscription(store: PostgresStore, stream: string): Promise<SubscriptionRow> {
    const row = (await this.subscriptions(store)).find((each) => each.stream === stream);
    if (!row) throw new Error(`No subscription ${stream}`);
    return row;
  }

  /** Subscriptions that are behind their mark, leased, or blocked: none once everything is done. */
  async unfinished(store: PostgresStore): Promise<string[]> {
    const rows = await this.subscriptions(store);
    const open = rows.filter(({ at, mark, leased_by, blocked }) => at < (mark ?? -1) || leased_by || blocked);
    return open.map(({ stream }) => stream);
  }

  /** Notes what a handler did, where every process can read it. */
  async note(target: string, event: { readonly id: number }, by = "app"): Promise<void> {
    await this.sql`insert into work (target, event, by) values (${target}, ${event.id}, ${by})`;
  }

  /** What the handlers of this test noted, in the order they did. */
  worked(prefix = ""): Promise<Work[]> {
    return this.sql<Work[]>`
      select target, event, by from work where starts_with(target, ${prefix}) order by seq`;
  }
}

/** A fixture for all tests of this file. */
export function useApps(): AppFixture {
  const fixture = new AppFixture();
  beforeAll(() => fixture.open());
  afterAll(() => fixture.close());
  return fixture;
}
