/**
 * A server that speaks just enough of PostgreSQL's protocol for the driver and for the store's transactions: it keeps
 * statements and portals, skips what follows an error up to Sync, runs nothing, and answers as the test says. The texts
 * of statements can be any words, but for `begin`, `commit` and `rollback`.
 */
import { once } from "node:events";
import net from "node:net";
import { onTestFinished } from "vitest";
import { type Gate, gate } from "../conformance/kit/eventually.ts";

export type Statement = { readonly text: string; readonly params: readonly (string | null)[] };
export type Result = {
  readonly columns?: readonly (readonly [name: string, type: number])[];
  readonly rows?: readonly (readonly (string | null)[])[];
  readonly tag?: string;
};
export type Kind = "parse" | "describe" | "bind" | "execute" | "query" | "flush" | "sync";
export type Refusal = {
  readonly code: string;
  readonly severity?: string;
  readonly routine?: string;
  readonly message?: string;
};

const KINDS: Readonly<Record<string, Kind>> = {
  P: "parse",
  D: "describe",
  B: "bind",
  E: "execute",
  Q: "query",
  H: "flush",
  S: "sync",
};

/** A message of the server. */
export function message(type: string, ...parts: readonly (string | number | Buffer)[]): Buffer {
  // Strings end with a zero byte, numbers are int32.
  const body = Buffer.concat(
    parts.map((part) => {
      if (typeof part === "string") return Buffer.from(`${part}\0`);
      return typeof part === "number" ? int(part, 4) : part;
    }),
  );
  return Buffer.concat([Buffer.from(type), int(body.length + 4, 4), body]);
}

export function int(value: number, bytes: 2 | 4): Buffer {
  const buffer = Buffer.alloc(bytes);
  if (bytes === 2) buffer.writeInt16BE(value);
  else buffer.writeInt32BE(value);
  return buffer;
}

export const ready = (status: string): Buffer => message("Z", Buffer.from(status));

export function errorResponse({ code, severity = "ERROR", routine, message: text = code }: Refusal): Buffer {
  const fields = {
    S: "FEHLER",
    V: severity,
    C: code,
    M: text,
    D: "a detail",
    ...(routine ? { R: routine } : {}),
  };
  const parts = Object.entries(fields).map(([field, value]) => Buffer.from(`${field}${value}\0`));
  return message("E", ...parts, Buffer.from([0]));
}

export function rowDescription(columns: NonNullable<Result["columns"]>): Buffer {
  const parts = columns.map(([name, type]) =>
    Buffer.concat([
      Buffer.from(`${name}\0`),
      int(0, 4),
      int(0, 2),
      int(type, 4),
      int(-1, 2),
      int(-1, 4),
      int(0, 2),
    ]),
  );
  return message("T", int(columns.length, 2), ...parts);
}

export function dataRow(values: readonly (string | null)[]): Buffer {
  const parts = values.map((value) => {
    if (value === null) return int(-1, 4);
    const bytes = Buffer.from(value);
    return Buffer.concat([int(bytes.length, 4), bytes]);
  });
  return message("D", int(values.length, 2), ...parts);
}

type Hold = { readonly kind: Kind; readonly text: string; readonly reached: Gate; readonly released: Gate };
type Rule = { readonly kind: Kind; readonly text: string; readonly refusal: Refusal; times: number };

export class FakeSession {
  /** What came, such as `bind insert`, up to now. */
  readonly received: string[] = [];
  readonly socket: net.Socket;
  readonly pid: number;
  readonly #server: FakeServer;
  #input: Buffer = Buffer.alloc(0);
  #output: Buffer[] = [];
  #turn: Promise<void> = Promise.resolve();
  #started: boolean;
  #status = "I";
  #skipping = false;
  readonly #statements = new Map<string, string>();
  readonly #portals = new Map<string, Statement>();

  constructor(server: FakeServer, socket: net.Socket, pid: number) {
    this.#server = server;
    this.socket = socket;
    this.pid = pid;
    this.#started = !server.startup;
    socket.on("error", () => {});
    socket.on("data", (bytes: Buffer) => {
      this.#input = Buffer.concat([this.#input, bytes]);
      for (let next = this.#cut(); next; next = this.#cut()) {
        const { type, body } = next;
        this.#turn = this.#turn.then(() => this.#receive(type, body)).catch(() => void socket.destroy());
      }
    });
  }

  #cut(): { type: string; body: Buffer } | undefined {
    const header = this.#started ? 1 : 0;
    if (this.#input.length < header + 4) return undefined;
    const end = header + this.#input.readInt32BE(header);
    if (this.#input.length < end) return undefined;
    const type = this.#started ? this.#input.toString("latin1", 0, 1) : "startup";
    const body = this.#input.subarray(header + 4, end);
    this.#input = this.#input.subarray(end);
    this.#started = true;
    return { type, body };
  }

  /** Sends bytes now, behind those that wait. */
  send(...bytes: readonly Buffer[]): void {
    this.#output.push(...bytes);
    if (this.#output.length > 0) this.socket.write(Buffer.concat(this.#output));
    this.#output = [];
  }

  async #receive(type: string, body: Buffer): Promise<void> {
    if (type === "startup") return this.send(message("R", 0), message("K", this.pid, 1), ready("I"));
    if (type === "X") return void this.socket.end();
    const kind = KINDS[type];
    if (!kind) return;
    const text = this.#textOf(kind, body);
    const named = isIdentity(text) ? "identity" : text;
    await this.#server.pass(kind, named);
    this.received.push(text ? `${kind} ${text}` : kind);
    if (kind === "flush") return this.send();
    const refusal = this.#skipping && kind !== "sync" ? undefined : this.#server.refusalOf(kind, named);
    if (kind === "sync") return this.#sync(refusal);
    if (this.#skipping) return;
    // In a failed block nothing runs but its end.
    if (kind === "execute" && this.#status === "E" && !/^(commit|rollback)/.test(text))
      return this.#refuse({ code: "25P02" }, false);
    if (refusal) return this.#refuse(refusal, kind === "query");
    if (kind === "query") {
      this.#run({ text, params: [] }, true);
      return this.#sync(undefined);
    }
    this.#handle(kind, text, body);
  }

  /** The text of the statement that a message is about. */
  #textOf(kind: Kind, body: Buffer): string {
    const strings = body.toString("utf8").split("\0");
    const [first = "", second = ""] = strings;
    if (kind === "query") return first;
    if (kind === "parse") return second;
    if (kind === "describe")
      return this.#statements.get(first.slice(1)) ?? this.#portals.get(first.slice(1))?.text ?? "?";
    if (kind === "bind") return this.#statements.get(second) ?? "?";
    return kind === "execute" ? (this.#portals.get(first)?.text ?? "?") : "";
  }

  #handle(kind: Kind, text: string, body: Buffer): void {
    const [name = "", second = ""] = body.toString("utf8").split("\0");
    if (kind === "parse") {
      this.#server.parsed(name);
      this.#statements.set(name, text);
      this.#output.push(message("1"));
    } else if (kind === "describe") {
      const { columns } = this.#server.answer({ text, params: [] }, this);
      if (name.startsWith("S")) this.#output.push(message("t", int(0, 2)));
      this.#output.push(columns ? rowDescription(columns) : message("n"));
    } else if (kind === "bind") {
      const at = Buffer.byteLength(name) + Buffer.byteLength(second) + 2;
      this.#portals.set(name, { text, params: readParams(body, at) });
      this.#output.push(message("2"));
    } else if (kind === "execute") this.#run(this.#portals.get(name) ?? { text, params: [] }, false);
  }

  #run(statement: Statement, describe: boolean): void {
    this.#server.ran.push(statement);
    const [word] = statement.text.split(" ");
    let { columns, rows = [], tag = word?.toUpperCase() ?? "" } = this.#server.answer(statement, this);
    if (word === "begin") this.#status = "T";
    if (word === "commit" || word === "rollback") {
      if (this.#status === "E") tag = "ROLLBACK";
      this.#status = "I";
    }
    if (describe && columns) this.#output.push(rowDescription(columns));
    this.#output.push(...rows.map(dataRow), message("C", tag));
  }

  #refuse(refusal: Refusal, ready: boolean): void {
    this.#output.push(errorResponse(refusal));
    if (this.#status === "T") this.#status = "E";
    if (refusal.severity === "FATAL") {
      this.send();
      this.socket.end();
    } else if (ready) this.#sync(undefined);
    else this.#skipping = true;
  }

  #sync(refusal: Refusal | undefined): void {
    this.#skipping = false;
    if (refusal) this.#output.push(errorResponse(refusal));
    this.send(ready(this.#status));
  }
}

function readParams(body: Buffer, start: number): (string | null)[] {
  let at = start + 2 + 2 * body.readInt16BE(start);
  const params: (string | null)[] = [];
  const count = body.readInt16BE(at);
  at += 2;
  for (let i = 0; i < count; i++) {
    const length = body.readInt32BE(at);
    at += 4;
    params.push(length < 0 ? null : body.toString("utf8", at, at + length));
    at += Math.max(0, length);
  }
  return params;
}

/** What a new connection asks the server about itself; as the text of a hold or a refusal it is `identity`. */
const isIdentity = (text: string) => text.startsWith("select pg_backend_pid()");

const INT4 = 23;
const TEXT = 25;
const BOOL = 16;

export class FakeServer {
  readonly sessions: FakeSession[] = [];
  /** The statements that were executed, on all sessions. */
  readonly ran: Statement[] = [];
  /** False: sessions are connected already, without a word. */
  readonly startup: boolean;
  /** How statements are answered; what a new connection asks for is answered already. */
  respond: (statement: Statement, session: FakeSession) => Result = () => ({});
  /** The server process that runs a statement of a session; a pooler answers with another than at connect. */
  processOf: (session: FakeSession) => number = (session) => session.pid;
  /** Called with the name of each statement that is parsed. */
  parsed: (name: string) => void = () => {};
  readonly #server: net.Server;
  readonly #rules: Rule[] = [];
  readonly #holds: Hold[] = [];

  private constructor(startup: boolean) {
    this.startup = startup;
    this.#server = net.createServer((socket) => {
      this.sessions.push(new FakeSession(this, socket, 100 + this.sessions.length));
    });
  }

  /** On a free port of 127.0.0.1, until the test ends. */
  static async start({ startup = true }: { startup?: boolean } = {}): Promise<FakeServer> {
    const server = new FakeServer(startup);
    server.#server.listen(0, "127.0.0.1");
    await once(server.#server, "listening");
    onTestFinished(async () => {
      for (const { socket } of server.sessions) socket.destroy();
      server.#server.close();
      await once(server.#server, "close");
    });
    return server;
  }

  get port(): number {
    const address = this.#server.address();
    if (address === null || typeof address === "string") throw new Error("Not listening on a port");
    return address.port;
  }

  /** The session that was opened last. */
  get session(): FakeSession {
    const session = this.sessions.at(-1);
    if (!session) throw new Error("Nobody has connected");
    return session;
  }

  answer(statement: Statement, session: FakeSession): Result {
    if (!isIdentity(statement.text)) return this.respond(statement, session);
    const columns = [
      ["pid", INT4],
      ["started", TEXT],
      ["clock", TEXT],
      ["standby", BOOL],
      ["read_only", TEXT],
    ] as const;
    const pid = String(this.processOf(session));
    return {
      columns,
      rows: [[pid, "2026-01-01", "1970-01-01 00:00:01.000999+00", "f", "off"]],
      tag: "SELECT 1",
    };
  }

  /** Refuses a message of this kind about this statement. */
  refuse(kind: Kind, text: string, refusal: Refusal, times = 1): void {
    this.#rules.push({ kind, text, refusal, times });
  }

  refusalOf(kind: Kind, text: string): Refusal | undefined {
    const rule = this.#rules.find((one) => one.kind === kind && one.text === text && one.times > 0);
    if (rule) rule.times--;
    return rule?.refusal;
  }

  /** The next message of this kind about this statement is left unread, with all behind it, until it is released. */
  hold(kind: Kind, text = ""): { readonly reached: Promise<void>; release(): void } {
    const hold: Hold = { kind, text, reached: gate(), released: gate() };
    this.#holds.push(hold);
    return { reached: hold.reached.passed, release: () => hold.released.open() };
  }

  async pass(kind: Kind, text: string): Promise<void> {
    const index = this.#holds.findIndex((one) => one.kind === kind && one.text === text);
    const [hold] = index < 0 ? [] : this.#holds.splice(index, 1);
    hold?.reached.open();
    await hold?.released.passed;
  }
}
