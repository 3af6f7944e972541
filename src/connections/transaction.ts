/**
 * A transaction in one message: Parse, Bind and Execute for each statement, then a single Sync. The server skips
 * everything behind a statement that failed, up to Sync, so no statement can run outside the transaction, and only
 * Sync commits. postgres.js ends every query with a Sync of its own and sends some of them a second time by itself;
 * a statement behind a BEGIN that had failed then committed alone (docs/adr/0009). So the driver opens the
 * connection, and while a transaction runs its bytes are ours.
 *
 * States of a {@link TransactionChannel}: idle (the driver reads the socket) → sending (a large message: parameters
 * are on their way, nothing has run) → running (Sync is sent) → idle; or closed with the connection, from any state.
 */
import type { Socket } from "node:net";
import {
  type Message,
  MessageReader,
  MessageWriter,
  type Param,
  type ResultColumn,
  readColumns,
  readRow,
  ServerError,
} from "./protocol.ts";

export type Row = Readonly<Record<string, unknown>>;

export type Query = {
  readonly text: string;
  /** Arrays as array literals, JSON as text. A function is asked when its statement is sent. */
  readonly params?: readonly Param[] | (() => readonly Param[]);
  /**
   * Its parameters are on the server before the transaction's first statement runs, so that no lock is held while
   * they travel. Only for statements that modify rows: the server takes their snapshot when they run, a SELECT's
   * when it is bound.
   */
  readonly bindFirst?: boolean;
};

export const paramsOf = ({ params = [] }: Query): readonly Param[] =>
  typeof params === "function" ? params() : params;

/** What a statement returned. `tag` is its command tag, such as `INSERT 0 1`. */
export type Answer = { readonly rows: readonly Row[]; readonly tag: string };

/** The transaction was not acknowledged. */
export class TransactionFailure extends Error {
  override readonly cause: Error;
  /** What the server refused; undefined: it refused nothing, the connection was lost. */
  readonly step: "parse" | "bind" | "execute" | "commit" | undefined;
  /** Index of the statement that it refused. */
  readonly failedAt: number | undefined;
  /** It may have been committed: the connection was lost after everything had been sent. */
  readonly inDoubt: boolean;

  constructor(cause: Error, { step, failedAt, inDoubt = false }: Partial<TransactionFailure> = {}) {
    super(cause.message);
    this.cause = cause;
    this.step = step;
    this.failedAt = failedAt;
    this.inDoubt = inDoubt;
  }
}

type Prepared = { readonly name: string; columns: readonly ResultColumn[] };
type Step = {
  readonly kind: "parse" | "describe" | "bind" | "execute";
  readonly index: number;
  readonly text: string;
  readonly prepared: Prepared;
};

/** Parameters of more bytes are sent, and confirmed, before the rest: a slow network shows only there. */
const LARGE_BYTES = 65_536;
const BEGIN: Query = { text: "begin isolation level read committed" };
const COMMIT: Query = { text: "commit" };

const stepOf = (failed: Step | undefined): TransactionFailure["step"] =>
  failed?.kind === "describe" ? "parse" : (failed?.kind ?? "commit");

/** The statement is gone or has changed: the server has rolled back, and it may run again once it is parsed anew. */
const isStale = (error: ServerError): boolean =>
  error.code === "26000" || (error.code === "0A000" && error.routine === "RevalidateCachedQuery");

export type TransactionOptions = {
  /** Keep statements prepared. False behind a pooler in transaction mode, where BEGIN also says the isolation. */
  readonly prepare: boolean;
  /** Told of each transfer of large parameters: bytes, and the milliseconds until the server had them. */
  readonly transferred?: ((bytes: number, ms: number) => void) | undefined;
};

export class TransactionChannel {
  readonly #socket: Socket;
  readonly #fatal: (error: ServerError) => void;
  readonly #prepared = new Map<string, Prepared>();
  #names = 0;
  /** Sync is on its way: from here on a lost connection leaves the outcome in doubt. */
  committing = false;

  /** `fatal` is called with the server's last words on a connection. */
  constructor(socket: Socket, fatal: (error: ServerError) => void) {
    this.#socket = socket;
    this.#fatal = fatal;
  }

  /** Runs all in one transaction. Never settles when the connection is lost: the caller watches that. */
  async run(queries: readonly Query[], options: TransactionOptions): Promise<readonly Answer[]> {
    this.committing = false;
    // A transaction block of its own sets the isolation, whatever the session's default is.
    const all = options.prepare ? queries : [BEGIN, ...queries, COMMIT];
    const offset = options.prepare ? 0 : 1;
    for (let attempt = 1; ; attempt++) {
      const exchange = this.#plan(all, options);
      const { answers, error, failed, status } = await exchange.run();
      if (status !== "I") await this.#rollback();
      if (error && attempt === 1 && isStale(error)) {
        this.#prepared.clear();
        continue;
      }
      if (error) {
        const failedAt = failed ? failed.index - offset : queries.length;
        const step = failedAt === queries.length ? "commit" : stepOf(failed);
        throw new TransactionFailure(error, { step, failedAt });
      }
      const tag = answers.at(-1)?.tag;
      if (!options.prepare && tag !== "COMMIT")
        throw new TransactionFailure(new Error(`COMMIT was answered by ${tag}`), { step: "commit" });
      return answers.slice(offset, offset + queries.length);
    }
  }

  /** One statement of a transaction block that goes on. Rejects if the server does not say that it does. */
  async step(query: Query): Promise<Answer> {
    const { answers, error, status } = await this.#plan([query], { prepare: false }).run();
    if (error) throw error;
    const [answer] = answers;
    const ends = answer?.tag === "COMMIT";
    if (!answer || status !== (ends ? "I" : "T"))
      throw new Error(`the transaction was no longer open after ${answer?.tag ?? "a statement"}`);
    return answer;
  }

  #plan(queries: readonly Query[], options: TransactionOptions): Exchange {
    const head: Step[] = [];
    const tail: Step[] = [];
    queries.forEach((query, index) => {
      const { text } = query;
      // BEGIN comes first of all.
      const early = query.bindFirst === true || query === BEGIN;
      const steps = early ? head : tail;
      const known = options.prepare ? this.#prepared.get(text) : undefined;
      const name = options.prepare ? `act_${this.#names + 1}` : "";
      const prepared = known ?? { name, columns: [] };
      const step = (kind: Step["kind"]) => ({ kind, index, text, prepared });
      if (!known) {
        this.#names++;
        steps.push(step("parse"), step("describe"));
      }
      steps.push(step("bind"));
      (query === BEGIN ? head : tail).push(step("execute"));
    });
    return new Exchange(this.#socket, queries, head, tail, {
      ...options,
      parsed: ({ text, prepared }) => void (prepared.name !== "" && this.#prepared.set(text, prepared)),
      fatal: this.#fatal,
      committing: () => {
        this.committing = true;
      },
    });
  }

  async #rollback(): Promise<void> {
    const writer = new MessageWriter();
    writer.query("rollback");
    await listenUntilReady(this.#socket, writer.take(), () => {});
  }
}

type ExchangeOptions = TransactionOptions & {
  readonly parsed: (step: Step) => void;
  readonly fatal: (error: ServerError) => void;
  readonly committing: () => void;
};

type Result = {
  readonly answers: readonly Answer[];
  readonly error: ServerError | undefined;
  /** The step that the server refused; undefined if there is none, or if it was the commit. */
  readonly failed: Step | undefined;
  /** I: idle, T: in a transaction block, E: in a failed one. */
  readonly status: string;
};

/** One round trip: messages up to Sync, and their answers up to ReadyForQuery. */
class Exchange {
  readonly #socket: Socket;
  readonly #queries: readonly Query[];
  readonly #head: readonly Step[];
  readonly #tail: readonly Step[];
  readonly #options: ExchangeOptions;
  readonly #answers: { rows: Row[]; tag: string }[];
  #done = 0;
  #error: ServerError | undefined;
  /** Set while large parameters travel: called once they have arrived. */
  #headDone: (() => void) | undefined;

  constructor(
    socket: Socket,
    queries: readonly Query[],
    head: readonly Step[],
    tail: readonly Step[],
    options: ExchangeOptions,
  ) {
    this.#socket = socket;
    this.#queries = queries;
    this.#head = head;
    this.#tail = tail;
    this.#options = options;
    this.#answers = queries.map(() => ({ rows: [], tag: "" }));
  }

  async run(): Promise<Result> {
    const writer = new MessageWriter();
    for (const step of this.#head) this.#write(writer, step);
    const large = writer.length > LARGE_BYTES;
    const tail = () => {
      for (const step of this.#tail) this.#write(writer, step);
      writer.sync();
      this.#options.committing();
      return writer.take();
    };
    if (large) {
      const start = performance.now();
      const bytes = writer.length;
      writer.flush();
      this.#headDone = () => {
        this.#headDone = undefined;
        if (!this.#error) this.#options.transferred?.(bytes, performance.now() - start);
        // After an error everything up to Sync is skipped, so it can be sent all the same.
        this.#socket.write(tail());
      };
    }
    const status = await listenUntilReady(this.#socket, large ? writer.take() : tail(), (message) =>
      this.#receive(message),
    );
    return {
      answers: this.#answers,
      error: this.#error,
      failed: this.#step(),
      status,
    };
  }

  #write(writer: MessageWriter, { kind, index, text, prepared }: Step): void {
    // A named portal lives as long as its transaction block: a block that goes on takes the unnamed one again.
    const portal = this.#queries.length === 1 ? "" : String(index);
    switch (kind) {
      case "parse":
        return writer.parse(prepared.name, text);
      case "describe":
        return writer.describe(prepared.name);
      case "bind":
        return writer.bind(portal, prepared.name, paramsOf(this.#queries[index] ?? { text }));
      case "execute":
        return writer.execute(portal);
    }
  }

  /** The step whose answer comes next. */
  #step(): Step | undefined {
    return this.#head[this.#done] ?? this.#tail[this.#done - this.#head.length];
  }

  #receive({ type, body }: Message): void {
    const step = this.#step();
    const answer = this.#answers[step?.index ?? -1];
    switch (type) {
      case "1": // ParseComplete
        if (step) this.#options.parsed(step);
        return this.#next();
      case "T": // RowDescription
        if (step) step.prepared.columns = readColumns(body);
        return this.#next();
      case "n": // NoData
      case "2": // BindComplete
      case "I": // EmptyQueryResponse
        return this.#next();
      case "D": // DataRow
        if (step) answer?.rows.push(readRow(body, step.prepared.columns));
        return;
      case "C": // CommandComplete
        if (answer) answer.tag = body.toString("utf8", 0, body.length - 1);
        return this.#next();
      case "E":
        return this.#refuse(new ServerError(body));
    }
  }

  #next(): void {
    this.#done++;
    if (this.#done === this.#head.length) this.#headDone?.();
  }

  #refuse(error: ServerError): void {
    if (error.severity === "FATAL" || error.severity === "PANIC") return this.#options.fatal(error);
    this.#error ??= error;
    this.#headDone?.();
  }
}

/** Writes `bytes` in the driver's stead and hands on each answer, until ReadyForQuery; resolves to its status. */
function listenUntilReady(
  socket: Socket,
  bytes: Buffer,
  receive: (message: Message) => void,
): Promise<string> {
  // Node types them as Function; they are what was given to on().
  const driver = socket.listeners("data") as ((chunk: Buffer) => void)[];
  const reader = new MessageReader();
  socket.removeAllListeners("data");
  return new Promise<string>((resolve, reject) => {
    const giveBack = () => {
      socket.removeListener("data", listen);
      for (const listener of driver) socket.on("data", listener);
    };
    const listen = (chunk: Buffer) => {
      try {
        for (const message of reader.read(chunk)) {
          if (message.type !== "Z") {
            receive(message);
            continue;
          }
          giveBack();
          const rest = reader.rest();
          if (rest.length > 0) socket.emit("data", rest);
          return resolve(message.body.toString("latin1"));
        }
      } catch (error) {
        giveBack();
        reject(error);
      }
    };
    socket.on("data", listen);
    socket.write(bytes);
  });
}
