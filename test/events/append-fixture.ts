/** Appends and recoveries on a server, sent by hand: in the store a batch that fails goes again in another form. */
import type postgres from "postgres";
import { onTestFinished } from "vitest";
import {
  type Append,
  type AppendMode,
  appendFacts,
  insertQuery,
  insertTexts,
  type Outcome,
  readAppended,
} from "../../src/events/append.ts";
import type { PostgresStore } from "../../src/index.ts";
import { resolveOptions } from "../../src/options/resolve.ts";
import { type Query, type Row, StoreConnections } from "../../src/postgres/index.ts";
import { lockAppends } from "../../src/schema/append-lock.ts";
import { type Names, namesOf } from "../../src/schema/names.ts";
import { useDatabase } from "../postgres/fixture.ts";
import { connect } from "../support/database.ts";
import { commit } from "./fixture.ts";

/** A commit to `stream`; the names of its events tell which one it is. */
export const append = (stream: string, expected: number | null, ...events: string[]): Append =>
  commit(stream, {
    expected,
    meta: `{"m":"${stream}"}`,
    events: events.map((name) => ({ name, data: `{"of":"${name}"}`, pii: null, dates: "{}" })),
  });

export type Log = {
  readonly store: PostgresStore;
  /** A store of another process on the same tables. */
  readonly other: PostgresStore;
  readonly names: Names;
  readonly connections: StoreConnections;
  /** Sends one batch, as the queue does. */
  send(batch: readonly Append[], mode?: Partial<Sending>): Promise<readonly Outcome[]>;
  /** The INSERT's one row. */
  insert(batch: readonly Append[], mode?: Partial<Sending>): Promise<Row | undefined>;
  /** The same, rolled back. */
  dryRun(batch: readonly Append[], mode?: Partial<Sending>): Promise<Row | undefined>;
  /** The lock and the INSERT of a batch. */
  queriesOf(batch: readonly Append[], mode?: Partial<Sending>): [lock: Query, insert: Query];
  /** Statements of one transaction that is rolled back. */
  rolledBack(queries: readonly Query[]): Promise<(readonly Row[])[]>;
  transaction(queries: readonly Query[]): Promise<(readonly Row[])[]>;
  /** A statement behind the store's back. */
  sql(text: string): Promise<postgres.Row[]>;
  /** What is announced from now on. */
  announced<T>(read: (payload: string) => T): Promise<T[]>;
};

/** How a batch is sent: by default from a process that has appended nothing yet. */
export type Sending = AppendMode & { readonly latestIds: ReadonlyMap<string, number> };

/** An empty log on the server, for the tests of one file. */
export function useLog(): () => Promise<Log> {
  const fixture = useDatabase();
  return async () => {
    const store = await fixture.seeded();
    const { config } = store;
    const names = namesOf(config.schema, config.table);
    const connections = new StoreConnections(
      resolveOptions({ ...fixture.parts, table: config.table, application_name: fixture.application("log") }),
    );
    onTestFinished(() => connections.close());
    const transaction = (queries: readonly Query[]) => connections.transaction("test", queries);
    const [facts] = await connections.read("test", { text: `select ${appendFacts(names)}` });
    const usual: AppendMode = {
      announce: false,
      headBy: "id",
      sequence: Number(facts?.id_sequence),
      deferred: false,
    };
    const queriesOf: Log["queriesOf"] = (batch, { latestIds, ...over } = {}) => {
      const mode = { ...usual, ...over };
      return [
        lockAppends(names, 0),
        insertQuery(insertTexts(names, mode, "me"), batch, mode.sequence, latestIds),
      ];
    };
    const rolledBack = async (queries: readonly Query[]) => {
      const end = new Error("rolled back");
      const answers: (readonly Row[])[] = [];
      await connections
        .session("test", async (run) => {
          for (const query of queries) answers.push(await run(query));
          throw end;
        })
        .catch((error: unknown) => {
          if (error !== end) throw error;
        });
      return answers;
    };
    const insert = async (batch: readonly Append[], mode: Partial<Sending> = {}) =>
      (await transaction(queriesOf(batch, mode)))[1]?.[0];
    const dryRun = async (batch: readonly Append[], mode: Partial<Sending> = {}) =>
      (await rolledBack(queriesOf(batch, mode)))[1]?.[0];
    return {
      store,
      other: fixture.store({ schema: config.schema, table: config.table }),
      names,
      connections,
      insert,
      dryRun,
      queriesOf,
      rolledBack,
      transaction,
      send: async (batch, mode) => readAppended(batch, await insert(batch, mode)).outcomes,
      sql: async (text) => fixture.sql.unsafe(text),
      announced: async (read) => {
        const payloads: ReturnType<typeof read>[] = [];
        const listener = connect(fixture.url);
        onTestFinished(() => listener.end());
        await listener.listen(names.channel, (payload) => void payloads.push(read(payload)));
        return payloads;
      },
    };
  };
}
