/**
 * One exchange with the server: a message of several statements and one Sync, written past the driver, and the answers
 * up to ReadyForQuery. While it runs, this module reads the socket instead of the driver.
 *
 * The message has two parts. The head is Close of statements that are no longer kept prepared, BEGIN, the settings of
 * the transaction, those with `runFirst` among them, and Parse, Describe and Bind of the statements with `bindFirst`. The
 * tail is all the rest. If the head is large, it is sent alone, so that its parameters have arrived before any other
 * statement runs.
 *
 * States of an exchange: sending the head (only if it is large; at most BEGIN and the settings have run) → running (the
 * tail and Sync are sent) → done at ReadyForQuery. After an error the server skips everything up to Sync.
 */
import type { Socket } from "node:net";
import type { Raised } from "../errors.ts";
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
import { readUserRow } from "./user-values.ts";

export type Row = Readonly<Record<string, unknown>>;

export type Query = {
  readonly text: string;
  /** The text for a server with Citus, if that refuses `text` or runs it differently. Called when the statement is sent. */
  readonly citus?: (() => string) | undefined;
  /** The bind variables $1, $2, …: arrays as array literals, JSON as text. A function is called when the statement is sent. */
  readonly params?: readonly Param[] | (() => readonly Param[]);
  /**
   * Sends its parameters before the transaction's first statement runs, so that no lock is held while they travel. Only
   * for statements that modify rows: their snapshot is taken when they run, that of a SELECT when it is bound.
   */
  readonly bindFirst?: boolean;
  /**
   * A setting that runs before the transaction's first statement, in the order of those with `bindFirst`, so that these are
   * planned under it.
   */
  readonly runFirst?: boolean;
  /**
   * The statement's text varies, or it runs rarely on a connection. So it is not kept prepared: the server would keep
   * every text. A transaction on a single store's connection keeps it all the same: there are few such texts there.
   */
  readonly once?: boolean;
  /** Its parameters and results are the same under every value of array_nulls and extra_float_digits. */
  readonly ignoresSettings?: boolean;
  /** The errors that this statement's text raises on purpose. The same message from another statement is none of them. */
  readonly raises?: readonly Raised[];
  /** Takes each row as it arrives, with its size in bytes. The answer has no rows then. */
  readonly onRow?: (row: Row, bytes: number) => void;
  /** For a user's own statement: gets its columns and rows, with values as user-values.ts reads them. */
  readonly answer?: (columns: readonly string[], rows: readonly (readonly unknown[])[]) => void;
};

/**
 * The statement's parameters. None may be undefined, which happens when a caller without types omits an argument: the driver
 * would never answer the next statement of the connection, and a transaction would store the text "undefined".
 */
export function paramsOf({ params = [] }: Query): readonly Param[] {
  const given = typeof params === "function" ? params() : params;
  for (const [at, param] of given.entries())
    if (param === undefined) throw new TypeError(`an argument is missing: parameter $${at + 1} is undefined`);
  return given;
}

/**
 * The statement in its form for Citus, without `bindFirst`: Citus chooses the node when it binds a statement, and the
 * table may have moved before the statement runs.
 */
export const forCitus = ({ citus, bindFirst: _, ...query }: Query): Query =>
  citus ? { ...query, text: citus() } : query;

/** What a statement returned. `tag` is its command tag, such as `INSERT 0 1`. */
export type Answer = { readonly rows: readonly Row[]; readonly tag: string };

export type Prepared = { readonly name: string; columns: readonly ResultColumn[] };
export type Step = {
  readonly kind: "close" | "parse" | "describe" | "bind" | "execute";
  readonly index: number;
  readonly text: string;
  readonly prepared: Prepared;
};

/** A head of more bytes is sent and confirmed before the tail. Its transfer shows how fast the network is. */
const LARGE_BYTES = 65_536;
/** A message of more bytes may not fit into one network packet. */
const PACKET_BYTES = 1_000;

/** Whether the parameters of a statement are surely sent in one packet, so that the server gets all of them or none. */
export const fitsInPacket = (query: Query): boolean =>
  paramsOf(query).reduce((sum: number, param) => sum + Buffer.byteLength(String(param)), 0) <= PACKET_BYTES;

export type TransactionOptions = {
  /** Keep statements prepared. False behind a pooler in transaction mode; then BEGIN names the isolation level. */
  readonly prepare: boolean;
  /**
   * The server has Citus. It runs several statements of one message, without BEGIN and COMMIT, as separate
   * transactions. Citus does not always commit in two phases. So if COMMIT is answered with an error, one node may
   * have committed its part all the same.
   */
  readonly citus?: boolean;
  /** Called after each transfer of a large head, with its bytes and the ms until the server had them. */
  readonly transferred?: ((bytes: number, ms: number) => void) | undefined;
};

export type ExchangeOptions = TransactionOptions & {
  readonly described: (step: Step) => void;
  readonly fatal: (error: ServerError) => void;
  readonly committing: () => void;
  /**
   * Prefix of the portals' names. A portal lives as long as its transaction block, and this exchange may be a later message
   * of the block.
   */
  readonly portals?: string;
};

export type ExchangeResult = {
  readonly answers: readonly Answer[];
  readonly error: ServerError | undefined;
  /**
   * The step that the server refused; undefined if there is none, or if Sync was refused: without COMMIT, Sync commits.
   */
  readonly failed: Step | undefined;
  /** I: idle, T: in a transaction block, E: in a failed one. */
  readonly status: string;
};

/** One round trip: messages up to Sync, and their answers up to ReadyForQuery. */
export class Exchange {
  readonly #socket: Socket;
  readonly #queries: readonly Query[];
  readonly #head: readonly Step[];
  readonly #tail: readonly Step[];
  readonly #options: ExchangeOptions;
  readonly #answers: { rows: Row[]; tag: string }[];
  readonly #userRows = new Map<number, unknown[][]>();
  #done = 0;
  #error: ServerError | undefined;
  /** Set while a large head travels. Sends the tail once the head has arrived. */
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

  async run(): Promise<ExchangeResult> {
    const writer = new MessageWriter(this.#size());
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
        // After an error the server skips everything up to Sync, so sending the tail does no harm.
        this.#socket.write(tail());
      };
    }
    // The tail is one write. Without large parameters and long texts it fits into one packet. If the client vanishes,
    // the server then gets all of it or nothing.
    const messages = large
      ? [writer.take()]
      : writer.length > PACKET_BYTES
        ? [writer.take(), tail()]
        : [tail()];
    const status = await listenUntilReady(this.#socket, messages, (message) => this.#receive(message));
    return {
      answers: this.#answers,
      error: this.#error,
      failed: this.#step(),
      status,
    };
  }

  /** An estimate of the bytes to send: the number of characters, most of which take one byte. */
  #size(): number {
    const sizeOf = (params: readonly Param[]) =>
      params.reduce((sum: number, param) => sum + 8 + (typeof param === "string" ? param.length : 8), 0);
    const parsed = [...this.#head, ...this.#tail].filter(({ kind }) => kind === "parse");
    return (
      this.#queries.reduce((sum, { params }) => sum + (Array.isArray(params) ? sizeOf(params) : 64), 0) +
      parsed.reduce((sum, { text }) => sum + text.length, 0)
    );
  }

  #write(writer: MessageWriter, { kind, index, text, prepared }: Step): void {
    // A named portal lives until its transaction ends, so each message of a block uses other names. A single statement uses
    // the unnamed portal, which the next one replaces.
    const portal = this.#queries.length === 1 ? "" : `${this.#options.portals ?? ""}${index}`;
    switch (kind) {
      case "close":
        writer.close(prepared.name);
        break;
      case "parse":
        writer.parse(prepared.name, text);
        break;
      case "describe":
        writer.describe(prepared.name);
        break;
      case "bind":
        writer.bind(portal, prepared.name, paramsOf(this.#queries[index] ?? { text }));
        break;
      case "execute":
        writer.execute(portal);
        break;
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
      case "T": // RowDescription
        if (step) step.prepared.columns = readColumns(body);
        this.#described(step);
        break;
      case "n": // NoData
        this.#described(step);
        break;
      case "1": // ParseComplete
      case "2": // BindComplete
      case "3": // CloseComplete
      case "I": // EmptyQueryResponse
        this.#next();
        break;
      case "D": // DataRow
        if (step) this.#readRow(step, body);
        break;
      case "C": // CommandComplete
        if (answer) answer.tag = body.toString("utf8", 0, body.length - 1);
        if (step) this.#answer(step);
        this.#next();
        break;
      case "E":
        this.#refuse(new ServerError(body));
        break;
    }
  }

  #readRow(step: Step, body: Buffer): void {
    const query = this.#queries[step.index];
    if (query?.answer) this.#keepUserRow(step, body);
    else if (query?.onRow) query.onRow(readRow(body, step.prepared.columns), body.length);
    else this.#answers[step.index]?.rows.push(readRow(body, step.prepared.columns));
  }

  #keepUserRow({ index, prepared }: Step, body: Buffer): void {
    const rows = this.#userRows.get(index) ?? [];
    rows.push(readUserRow(body, prepared.columns));
    this.#userRows.set(index, rows);
  }

  #answer({ index, prepared }: Step): void {
    this.#queries[index]?.answer?.(
      prepared.columns.map(({ name }) => name),
      this.#userRows.get(index) ?? [],
    );
  }

  /** The statement can be reused from now on: its columns are known, and without them its rows could not be read. */
  #described(step: Step | undefined): void {
    if (step) this.#options.described(step);
    this.#next();
  }

  #next(): void {
    this.#done++;
    if (this.#done === this.#head.length) this.#headDone?.();
  }

  #refuse(error: ServerError): void {
    if (error.severity === "FATAL" || error.severity === "PANIC") this.#options.fatal(error);
    else {
      this.#error ??= error;
      this.#headDone?.();
    }
  }
}

/** Writes messages past the driver, and calls `receive` for each answer until ReadyForQuery. Resolves to its status. */
export function listenUntilReady(
  socket: Socket,
  messages: readonly Buffer[],
  receive: (message: Message) => void,
): Promise<string> {
  // Node types listeners as Function. These are the ones that the driver has passed to on().
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
    for (const bytes of messages) socket.write(bytes);
  });
}
