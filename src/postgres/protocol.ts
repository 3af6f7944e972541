/**
 * The messages of PostgreSQL's extended query protocol that a transaction needs, written and read as bytes.
 * Parameters and results are text. https://www.postgresql.org/docs/current/protocol-message-formats.html
 */
export type Param = string | number | boolean | null;

const INITIAL_BYTES = 1_024;

/** Messages for the server, collected in one buffer. */
export class MessageWriter {
  #buffer: Buffer;
  #length = 0;

  /** `bytes`: an estimate of how many bytes will be written. */
  constructor(bytes = 0) {
    this.#buffer = Buffer.allocUnsafe(INITIAL_BYTES + bytes);
  }

  /** Bytes written so far. */
  get length(): number {
    return this.#length;
  }

  /** The bytes since the last call; the writer is empty afterwards. */
  take(): Buffer {
    const bytes = this.#buffer.subarray(0, this.#length);
    this.#buffer = Buffer.allocUnsafe(INITIAL_BYTES);
    this.#length = 0;
    return bytes;
  }

  /** Prepares `text` as the statement `name`; the empty name is the unnamed statement. */
  parse(name: string, text: string): void {
    const end = this.#begin("P");
    this.#text(name);
    this.#text(text);
    this.#int16(0);
    end();
  }

  /** Asks for the parameters and columns of a prepared statement. */
  describe(name: string): void {
    const end = this.#begin("D");
    this.#raw("S");
    this.#text(name);
    end();
  }

  /** Forgets a prepared statement. The server answers CloseComplete, also if there is none of that name. */
  close(name: string): void {
    const end = this.#begin("C");
    this.#raw("S");
    this.#text(name);
    end();
  }

  bind(portal: string, statement: string, params: readonly Param[]): void {
    const end = this.#begin("B");
    this.#text(portal);
    this.#text(statement);
    this.#int16(0);
    this.#int16(params.length);
    for (const param of params) {
      if (param === null) {
        this.#int32(-1);
        continue;
      }
      const text = String(param);
      const bytes = Buffer.byteLength(text);
      this.#int32(bytes);
      this.#room(bytes);
      this.#length += this.#buffer.write(text, this.#length);
    }
    this.#int16(0);
    end();
  }

  /** A simple query: one or more statements without parameters. */
  query(text: string): void {
    const end = this.#begin("Q");
    this.#text(text);
    end();
  }

  execute(portal: string): void {
    const end = this.#begin("E");
    this.#text(portal);
    this.#int32(0);
    end();
  }

  /** Ends the transaction, unless BEGIN made it explicit, and asks for ReadyForQuery. */
  sync(): void {
    this.#begin("S")();
  }

  /** Asks for the answers so far. */
  flush(): void {
    this.#begin("H")();
  }

  /** Starts a message. The function that it returns fills in the message's length. */
  #begin(type: string): () => void {
    this.#raw(type);
    const start = this.#length;
    this.#int32(0);
    return () => this.#buffer.writeInt32BE(this.#length - start, start);
  }

  #room(bytes: number): void {
    const needed = this.#length + bytes;
    if (needed <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafe(Math.max(needed, this.#buffer.length * 2));
    this.#buffer.copy(larger, 0, 0, this.#length);
    this.#buffer = larger;
  }

  #raw(character: string): void {
    this.#room(1);
    this.#length += this.#buffer.write(character, this.#length, "latin1");
  }

  /** A string with the zero byte that ends it. */
  #text(text: string): void {
    this.#room(Buffer.byteLength(text) + 1);
    this.#length += this.#buffer.write(text, this.#length);
    this.#length = this.#buffer.writeUInt8(0, this.#length);
  }

  #int16(value: number): void {
    this.#room(2);
    this.#length = this.#buffer.writeInt16BE(value, this.#length);
  }

  #int32(value: number): void {
    this.#room(4);
    this.#length = this.#buffer.writeInt32BE(value, this.#length);
  }
}

/** A message's type and its length. */
const HEADER = 5;

/** A message of the server: its type and its body. */
export type Message = { readonly type: string; readonly body: Buffer };

/** Cuts the bytes that arrive into messages. */
export class MessageReader {
  #chunks: Buffer[] = [];
  #bytes = 0;
  /** How many bytes the next complete message needs. */
  #needed = HEADER;

  /** The messages that are complete with `chunk`. */
  *read(chunk: Buffer): Generator<Message> {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    if (this.#bytes < this.#needed) return;
    let buffer = this.rest();
    while (buffer.length >= HEADER) {
      const end = 1 + buffer.readInt32BE(1);
      this.#needed = end;
      if (end > buffer.length) break;
      const message = { type: String.fromCharCode(buffer.readUInt8(0)), body: buffer.subarray(HEADER, end) };
      buffer = buffer.subarray(end);
      this.#chunks = [buffer];
      this.#bytes = buffer.length;
      this.#needed = HEADER;
      yield message;
    }
  }

  /** The bytes after the last complete message. */
  rest(): Buffer {
    const [only] = this.#chunks;
    const buffer = only && this.#chunks.length === 1 ? only : Buffer.concat(this.#chunks);
    this.#chunks = [buffer];
    return buffer;
  }
}

export type ResultColumn = { readonly name: string; readonly type: number };

/** The body of RowDescription. */
export function readColumns(body: Buffer): ResultColumn[] {
  const columns: ResultColumn[] = [];
  let at = 2;
  for (let left = body.readInt16BE(0); left > 0; left--) {
    const end = body.indexOf(0, at);
    // After the name: the table's oid (4 bytes), the column's number (2), the type (4), and three more fields (8).
    columns.push({ name: body.toString("utf8", at, end), type: body.readUInt32BE(end + 7) });
    at = end + 19;
  }
  return columns;
}

const BOOLEAN = 16;
const NUMBERS = new Set([20, 21, 23, 26, 700, 701]);
const JSON_TYPES = new Set([114, 3802]);

/** Integers, floats, booleans and JSON are parsed. Everything else stays text, `numeric` too. */
export function readValue(text: string, type: number): unknown {
  if (NUMBERS.has(type)) return Number(text);
  if (JSON_TYPES.has(type)) return JSON.parse(text);
  return type === BOOLEAN ? text === "t" : text;
}

/** The body of DataRow. */
export function readRow(body: Buffer, columns: readonly ResultColumn[]): Record<string, unknown> {
  const row: Record<string, unknown> = {};
  let at = 2;
  for (const { name, type } of columns) {
    const length = body.readInt32BE(at);
    at += 4;
    row[name] = length < 0 ? null : readValue(body.toString("utf8", at, at + length), type);
    if (length > 0) at += length;
  }
  return row;
}

const ERROR_FIELDS: Readonly<Record<string, string>> = {
  V: "severity",
  // In the server's language. PgBouncer sends only this field, in English.
  S: "localSeverity",
  C: "code",
  M: "message",
  n: "constraint_name",
  t: "table_name",
  R: "routine",
};

/** The server's error. Detail, context and position are left out: they can quote rows. */
export class ServerError extends Error {
  override readonly name = "ServerError";
  readonly severity: string;
  /** SQLSTATE. */
  readonly code: string;
  readonly routine: string | undefined;
  readonly constraint_name: string | undefined;
  readonly table_name: string | undefined;

  /** From the body of ErrorResponse. */
  constructor(body: Buffer) {
    const fields: Record<string, string | undefined> = {};
    for (let at = 0; at < body.length && body[at] !== 0; ) {
      const end = body.indexOf(0, at);
      const field = ERROR_FIELDS[String.fromCharCode(body.readUInt8(at))];
      if (field) fields[field] = body.toString("utf8", at + 1, end);
      at = end + 1;
    }
    super(fields.message ?? "unknown error");
    this.severity = fields.severity ?? fields.localSeverity ?? "ERROR";
    this.code = fields.code ?? "XX000";
    this.routine = fields.routine;
    this.constraint_name = fields.constraint_name;
    this.table_name = fields.table_name;
  }
}
