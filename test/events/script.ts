/** A queue of appends on connections made of script. */
import type { Backend, Connections, Query, Row, Slot } from "../../src/connections/index.ts";
import { ConnectionError, DatabaseError } from "../../src/errors.ts";
import { type Append, appendStatements } from "../../src/events/append.ts";
import { AppendQueue } from "../../src/events/queue.ts";
import { namesOf } from "../../src/names.ts";

const names = namesOf("public", "events");
const statements = appendStatements(names, undefined);
export const backend: Backend = { pid: 1, started: "now" };

type Group = readonly string[];
export type Sent = {
  readonly group: Group;
  answer(i: number, rows: unknown): void;
  readonly slot: { failure?: Error };
};
export type Script = {
  deadline?: number;
  statementTimeout?: number;
  /** One group on its way: throws as the connection would. */
  send?(sent: Sent): Promise<void> | void;
  open?(): void;
  settle?(given: Backend | undefined, queries: readonly Query[]): readonly (readonly Row[])[];
};

/** The streams of an INSERT, from its first parameter. */
const streamsOf = ({ params }: Query): string[] => {
  const first = String(params?.[0]);
  return first.startsWith("{") ? first.slice(1, -1).replaceAll('"', "").split(",") : [first];
};

/** Heads of -1 and ids from 1, for commits of one event each. */
const landed = (count: number) => {
  const many = (value: (i: number) => number) =>
    `{${Array.from({ length: count }, (_, i) => value(i)).join(",")}}`;
  return [{ heads: many(() => -1), ids: many((i) => i + 1), created: 5 }];
};
export const fine = ({ group, answer }: Sent) => {
  answer(0, [{ xid: "77" }]);
  answer(1, landed(group.length));
};

export function scene(script: Script = {}) {
  const groups: Group[] = [];
  const settled: { given: Backend | undefined; queries: readonly Query[] }[] = [];
  let rests = 0;
  const use = async (_: number, work: (slot: Slot) => Promise<unknown>) => {
    script.open?.();
    const slot: { failure?: Error; backend: Backend } = { backend };
    const pipeline = async (
      [, insert]: readonly Query[],
      _deadline: number,
      answer: (i: number, rows: unknown) => void,
    ) => {
      const group = insert ? streamsOf(insert) : [];
      groups.push(group);
      await (script.send ?? fine)({ group, answer, slot });
    };
    return work(Object.assign(slot, { pipeline }) as unknown as Slot);
  };
  const connections = {
    deadline: script.deadline ?? 0,
    config: { statement_timeout: script.statementTimeout ?? 0 },
    writer: { use, rest: () => void rests++ },
    settle: async (given: Backend | undefined, queries: readonly Query[]) => {
      settled.push({ given, queries });
      if (!script.settle) throw new Error("nobody answers");
      return script.settle(given, queries);
    },
  } as unknown as Connections;
  const queue = new AppendQueue(connections, names, statements);
  return { queue, groups, settled, rests: () => rests };
}

export const one = (
  stream: string,
  over: Partial<Append> & { size?: number; pii?: string } = {},
): Append => ({
  stream,
  expected: -1,
  meta: "",
  events: [{ name: "A", data: "x".repeat(over.size ?? 1), pii: over.pii ?? null, dates: "{}" }],
  ...over,
});

export async function errorOf(promise: Promise<unknown>): Promise<ConnectionError | DatabaseError> {
  const error = await promise.then(
    () => new Error("no error"),
    (reason: unknown) => reason,
  );
  if (error instanceof ConnectionError || error instanceof DatabaseError) return error;
  throw error;
}

export const lost = (sent: Sent, xid?: string): never => {
  if (xid !== undefined) sent.answer(0, [{ xid }]);
  sent.slot.failure = new ConnectionError("CONNECTION_CLOSED", "gone", true);
  throw sent.slot.failure;
};
