/** Appends without a server: the test answers each transaction and each recovery itself. */

import { ConnectionError, DatabaseError, raisedError } from "../../src/errors.ts";
import type { Append } from "../../src/events/append.ts";
import { Appender } from "../../src/events/appender.ts";
import { AppendQueue } from "../../src/events/queue.ts";
import {
  type Answer,
  type Backend,
  type Connection,
  type Query,
  type Row,
  type StoreConnections,
  TransactionFailure,
} from "../../src/postgres/index.ts";
import { ServerError } from "../../src/postgres/protocol.ts";
import { namesOf } from "../../src/schema/names.ts";
import { noSignals } from "../../src/signals.ts";

export const backend: Backend = { pid: 1, started: "now" };

/** A transaction on its way to the server. */
export type Sent = {
  /** The streams of its commits. */
  readonly streams: readonly string[];
  readonly queries: readonly Query[];
  /** ms that it may take. */
  readonly deadline: number;
  readonly transferred: ((bytes: number, ms: number) => void) | undefined;
};
type Answers = readonly Answer[];
type Rows = readonly (readonly Row[])[];

export type Options = {
  readonly deadline?: number;
  readonly prepare?: boolean;
  /** A connection with `prepare: true` of which nobody knows the server process. */
  readonly unknown?: boolean;
  readonly announce?: boolean;
  /** What a new connection says about the database. */
  readonly facts?: Row;
  /** Throws when there is no connection to be had. */
  readonly open?: () => void;
  /** Throws as a connection would. */
  readonly send?: (sent: Sent) => Promise<Answers> | Answers;
  readonly recover?: (given: Backend | undefined, queries: readonly Query[]) => Promise<Rows> | Rows;
};

export const paramsOf = ({ params = [] }: Query) => (typeof params === "function" ? params() : params);

/** The texts of an array literal such as `{"a","b"}`. */
export const textsOf = (array: unknown): string[] =>
  String(array).slice(1, -1).replaceAll('"', "").split(",");

/** The first event of the log that {@link stored} answers with. */
export const FIRST_EVENT = "1 700";

const list = (count: number, value: (i: number) => unknown) =>
  `{${Array.from({ length: count }, (_, i) => value(i)).join(",")}}`;

export const isInsert = (text: string) => text.includes("insert into");

/** The answer to a batch of commits of one event each: all are accepted, with heads of -1 and ids from `from`. */
export function stored({ streams, queries }: Pick<Sent, "streams" | "queries">, from = 1): Answers {
  const row: Row = {
    heads: list(streams.length, () => -1),
    accepted: list(streams.length, () => "t"),
    ids: list(streams.length, (i) => from + i),
    created: 5,
  };
  return queries.map(({ text }) => {
    if (isInsert(text)) return { rows: [row], tag: "SELECT 1" };
    const first = { first_event: FIRST_EVENT, by_commit: true };
    return { rows: text.includes("as first_event") ? [first] : [], tag: "SELECT 1" };
  });
}

/** The answers to the questions of a recovery: of each commit, and the log's first event. */
export const recovered = (
  rows: readonly Row[],
  first: Row = { first_event: FIRST_EVENT, by_commit: true },
): Rows => [[], [], rows, [first]];
export const found = (head: number, ...ids: number[]): Row => ({
  head,
  ids: `{${ids.join(",")}}`,
  created: 3,
});
export const notFound: Row = { head: null, ids: null, created: null, truncated: false };
/** Where the server process is not known, the clock comes first. */
export const recoveredAt = (clock: number, rows: readonly Row[]): Rows => [[{ clock }], ...recovered(rows)];

/** The connection is lost once everything has been sent. */
export function lose(): never {
  throw new TransactionFailure(new ConnectionError("CONNECTION_CLOSED", "gone", true), { inDoubt: true });
}

const serverError = (code: string, { severity = "ERROR", constraint = "" } = {}) =>
  new ServerError(Buffer.from(`V${severity}\0C${code}\0M${code}\0n${constraint}\0\0`));

/** The server refuses statement `failedAt` at this step; by default what the batch itself brought. */
export function refuse(code: string, step: TransactionFailure["step"] = "execute", failedAt = 1): never {
  throw new TransactionFailure(serverError(code), { step, failedAt });
}

/** Behind a pooler the message came later than it may. */
export function refuseAsLate(): never {
  throw new TransactionFailure(raisedError("too_late"), { step: "execute", failedAt: 0 });
}

/** The server finds a value in a unique index: by default the version of a stream. */
export function refuseDuplicate(constraint = "events_stream_ix"): never {
  throw new TransactionFailure(serverError("23505", { constraint }), { step: "execute", failedAt: 1 });
}

/** The server ends the connection before everything has been sent. */
export function end(code: string): never {
  throw new TransactionFailure(serverError(code, { severity: "FATAL" }));
}

/** As many values as the statement has parameters: the server refuses others. */
function expectParameters(query: Query): void {
  const numbers = [...query.text.matchAll(/\$(\d+)/g)].map(([, number]) => Number(number));
  const highest = Math.max(0, ...numbers);
  const given = paramsOf(query).length;
  if (given !== highest) throw new Error(`${given} values for ${highest} parameters`);
}

export function fixture(options: Options = {}) {
  const batches: (readonly string[])[] = [];
  const sent: Sent[] = [];
  const prepared: string[] = [];
  const recoveries: { given: Backend | undefined; queries: readonly Query[]; end: number }[] = [];
  const state = { opened: 0, destroyed: 0, clock: 1_000, established: [] as number[] };

  const newConnection = () => {
    const connection = {
      backend: options.prepare === false || options.unknown ? undefined : backend,
      ownsSession: options.prepare !== false,
      closedWith: undefined as Error | undefined,
      serverTime: () => state.clock,
      establish: async (deadline: number) => {
        state.established.push(deadline);
        return (
          options.facts ?? {
            ids_indexed: true,
            id_sequence: 7,
            last_id: 0,
            unique_keys: { events_stream_ix: "stream" },
          }
        );
      },
      destroy: (error: Error) => {
        state.destroyed++;
        connection.closedWith = error;
      },
      prepare: async (queries: readonly Query[]) => {
        for (const query of queries) {
          expectParameters(query);
          prepared.push(query.text);
        }
      },
      transact: async (queries: readonly Query[], deadline: number, transferred: Sent["transferred"]) => {
        const params = queries.map(paramsOf);
        // A commit alone has a statement of its own, with its stream as a parameter instead of a list.
        const at = queries.findIndex(({ text }) => isInsert(text));
        const isBatch = queries[at]?.text.includes("unnest($1::text[]");
        const streams = isBatch ? textsOf(params[at]?.[0]) : [String(params[at]?.[0])];
        const one: Sent = { streams, queries, deadline, transferred };
        batches.push(streams);
        sent.push(one);
        try {
          return await (options.send ?? stored)(one);
        } catch (error) {
          if (error instanceof TransactionFailure && error.step === undefined)
            connection.closedWith = error.cause;
          throw error;
        }
      },
    };
    return connection;
  };
  let current: ReturnType<typeof newConnection> | undefined;

  const connections = {
    deadline: options.deadline ?? 0,
    config: { prepare: options.prepare ?? true },
    // No statement of these tests counts as slow.
    log: { ended: () => {} },
    writer: {
      warmUp: (work: (connection: Connection) => Promise<unknown>) => {
        current ??= newConnection();
        return work(current as unknown as Connection);
      },
      use: async <T>(work: (connection: Connection) => Promise<T>) => {
        options.open?.();
        if (!current || current.closedWith) {
          current = newConnection();
          state.opened++;
        }
        return work(current as unknown as Connection);
      },
    },
    recover: async (given: Backend | undefined, queries: readonly Query[], end: number) => {
      recoveries.push({ given, queries, end });
      if (!options.recover) throw new Error("nobody answers");
      return options.recover(given, queries);
    },
  } as unknown as StoreConnections;
  const appender = new Appender({
    connections,
    names: namesOf("public", "events"),
    by: "me",
    announce: options.announce ?? false,
  });
  const signals = noSignals();
  return {
    queue: new AppendQueue(connections, appender, signals),
    signals,
    appender,
    batches,
    sent,
    prepared,
    recoveries,
    state,
  };
}

type Commit = Partial<Append> & { readonly size?: number; readonly pii?: string };

let tokens = 0;

/** A commit of one event. `size`: characters of its data. */
export function commit(stream: string, { size = 1, pii, ...over }: Commit = {}): Append {
  const token = `00000000-0000-4000-8000-${String(++tokens).padStart(12, "0")}`;
  const events = [{ name: "A", data: "x".repeat(size), pii: pii ?? null, dates: "{}" }];
  return { stream, expected: -1, meta: "", events, token, ...over };
}

export async function errorOf(promise: Promise<unknown>): Promise<ConnectionError | DatabaseError> {
  const error = await promise.then(
    () => new Error("no error"),
    (reason: unknown) => reason,
  );
  if (error instanceof ConnectionError || error instanceof DatabaseError) return error;
  throw error;
}
