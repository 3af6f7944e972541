/** Messages of PostgreSQL's protocol, as bytes. */
import { describe, expect, test } from "vitest";
import {
  type Message,
  MessageReader,
  MessageWriter,
  readColumns,
  readRow,
  ServerError,
} from "../../src/postgres/protocol.ts";
import { dataRow, errorResponse, int, message, ready, rowDescription } from "./fake-server.ts";

/** A message of the client. */
function written(write: (writer: MessageWriter) => void): Buffer {
  const writer = new MessageWriter();
  write(writer);
  return writer.take();
}

const bodyOf = (bytes: Buffer) => bytes.subarray(5);

/** What a reader makes of these chunks; bodies are copied. */
function read(...chunks: readonly Buffer[]): [string, string][] {
  const reader = new MessageReader();
  const messages: Message[] = [];
  for (const chunk of chunks) messages.push(...reader.read(chunk));
  return messages.map(({ type, body }) => [type, body.toString("latin1")]);
}

describe("a message of the client", () => {
  test.each([
    ["parse", (w: MessageWriter) => w.parse("s1", "select 1"), message("P", "s1", "select 1", int(0, 2))],
    ["describe", (w: MessageWriter) => w.describe("s1"), message("D", "Ss1")],
    ["execute", (w: MessageWriter) => w.execute("p1"), message("E", "p1", 0)],
    ["query", (w: MessageWriter) => w.query("rollback"), message("Q", "rollback")],
    ["sync", (w: MessageWriter) => w.sync(), message("S")],
    ["flush", (w: MessageWriter) => w.flush(), message("H")],
    [
      "bind without parameters",
      (w: MessageWriter) => w.bind("", "", []),
      message("B", "", "", int(0, 2), int(0, 2), int(0, 2)),
    ],
  ])("is written as the protocol says: %s", (_, write, bytes) => {
    expect(written(write)).toEqual(bytes);
  });

  test("has its parameters as text, whatever they are, and none for null", () => {
    const params = ["text", "", "ä€😀", 12.5, -1, true, false, null];
    const texts = ["text", "", "ä€😀", "12.5", "-1", "true", "false"].map((text) => Buffer.from(text));
    expect(written((writer) => writer.bind("p", "s", params))).toEqual(
      message(
        "B",
        "p",
        "s",
        int(0, 2),
        int(8, 2),
        ...texts.flatMap((text) => [int(text.length, 4), text]),
        int(-1, 4),
        int(0, 2),
      ),
    );
  });

  test("may be of any length: the buffer grows, and what was written before stays", () => {
    for (const length of [8_180, 8_191, 8_192, 8_193, 100_000, 5_000_000]) {
      const text = "€".repeat(length);
      const bytes = written((writer) => {
        writer.describe("before");
        writer.bind("", "s", [text, text]);
        writer.sync();
      });
      const value = Buffer.from(text);
      const parts = [int(value.length, 4), value];
      const bind = message("B", "", "s", int(0, 2), int(2, 2), ...parts, ...parts, int(0, 2));
      expect(bytes.equals(Buffer.concat([message("D", "Sbefore"), bind, message("S")]))).toBe(true);
    }
  });

  test("has multi-byte text counted in bytes, in names and statements too", () => {
    expect(written((writer) => writer.parse("ü", "select '😀'"))).toEqual(
      message("P", "ü", "select '😀'", int(0, 2)),
    );
  });

  test("is taken once, and what was taken is not written over", () => {
    const writer = new MessageWriter();
    writer.sync();
    expect(writer.length).toBe(5);
    const first = writer.take();
    expect(writer.length).toBe(0);
    writer.query("x".repeat(100));
    expect(first).toEqual(message("S"));
    expect(writer.take()).toEqual(message("Q", "x".repeat(100)));
    expect(writer.take().length).toBe(0);
  });
});

describe("messages of the server", () => {
  const stream = Buffer.concat([
    message("1"),
    dataRow(["ä€😀", null, ""]),
    message("C", "SELECT 1"),
    errorResponse({ code: "22P02" }),
    ready("I"),
  ]);
  const whole = read(stream);

  test("are cut from the stream", () => {
    expect(whole.map(([type]) => type).join("")).toBe("1DCEZ");
    expect(whole[4]).toEqual(["Z", "I"]);
  });

  test("are the same wherever the stream was split", () => {
    for (let at = 0; at <= stream.length; at++)
      expect(read(stream.subarray(0, at), stream.subarray(at)), `at byte ${at}`).toEqual(whole);
  });

  test("are the same when each byte comes by itself", () => {
    expect(read(...Array.from(stream, (byte) => Buffer.of(byte)))).toEqual(whole);
  });

  test("may be large, and come in many chunks", () => {
    const row = dataRow(["x".repeat(3_000_000), "y"]);
    const bytes = Buffer.concat([row, ready("T")]);
    const chunks = Array.from({ length: Math.ceil(bytes.length / 65_536) }, (_, i) =>
      bytes.subarray(i * 65_536, (i + 1) * 65_536),
    );
    const [first, second] = read(...chunks);
    expect(first?.[1].length).toBe(bodyOf(row).length);
    expect(second).toEqual(["Z", "T"]);
  });

  test("that nobody has asked for stay in the rest", () => {
    const reader = new MessageReader();
    for (const { type } of reader.read(Buffer.concat([ready("I"), message("N", "x"), Buffer.from("S")])))
      if (type === "Z") break;
    expect(reader.rest()).toEqual(Buffer.concat([message("N", "x"), Buffer.from("S")]));
  });

  test("leave no rest if nothing came behind them", () => {
    const reader = new MessageReader();
    expect(reader.rest().length).toBe(0);
    expect([...reader.read(ready("I"))].length).toBe(1);
    expect(reader.rest().length).toBe(0);
  });
});

describe("a row", () => {
  const columns = [
    ["int8", 20],
    ["int4", 23],
    ["float8", 701],
    ["bool", 16],
    ["other_bool", 16],
    ["jsonb", 3802],
    ["json", 114],
    ["text", 25],
    ["uuid", 2950],
    ["größe", 25],
  ] as const;

  test("has its columns' names and types", () => {
    expect(readColumns(bodyOf(rowDescription(columns)))).toEqual(
      columns.map(([name, type]) => ({ name, type })),
    );
    expect(readColumns(bodyOf(rowDescription([])))).toEqual([]);
  });

  test("has numbers, booleans and JSON parsed, and everything else as text", () => {
    const values = ["9007199254740991", "-7", "1.5e3", "t", "f", '{"a": "😀"}', "[1]", "", "0af", "ä€😀"];
    expect(readRow(bodyOf(dataRow(values)), readColumns(bodyOf(rowDescription(columns))))).toEqual({
      int8: 9007199254740991,
      int4: -7,
      float8: 1500,
      bool: true,
      other_bool: false,
      jsonb: { a: "😀" },
      json: [1],
      text: "",
      uuid: "0af",
      größe: "ä€😀",
    });
  });

  test("has null for NULL, whatever the type is, and the values behind it", () => {
    const types = [20, 16, 3802, 25].flatMap((type, i): [string, number][] => [
      [`null${i}`, type],
      [`one${i}`, 23],
    ]);
    const values = types.map((_, i) => (i % 2 === 0 ? null : "1"));
    const row = readRow(bodyOf(dataRow(values)), readColumns(bodyOf(rowDescription(types))));
    expect(Object.values(row)).toEqual([null, 1, null, 1, null, 1, null, 1]);
  });
});

describe("an error of the server", () => {
  test("has its code, severity, message, routine, constraint and table", () => {
    const fields = "VERROR\0C23505\0Mduplicate key\0ndoc_ix\0tdocs\0R_bt_check_unique\0\0";
    const error = new ServerError(Buffer.from(fields));
    expect(error).toMatchObject({
      name: "ServerError",
      severity: "ERROR",
      code: "23505",
      message: "duplicate key",
      constraint_name: "doc_ix",
      table_name: "docs",
      routine: "_bt_check_unique",
    });
  });

  test("has the severity that is not translated, and no detail, context, position or internal query", () => {
    const fields = "SFEHLER\0VFATAL\0C57P01\0Mends\0Dsecret\0Wsecret\0P5\0qsecret\0Hsecret\0\0";
    const error = new ServerError(Buffer.from(fields));
    expect(error.severity).toBe("FATAL");
    expect(JSON.stringify({ ...error, message: error.message, stack: error.stack })).not.toContain("secret");
  });

  test("without fields is one all the same", () => {
    for (const body of ["\0", ""])
      expect(new ServerError(Buffer.from(body))).toMatchObject({
        severity: "ERROR",
        code: "XX000",
        message: "unknown error",
      });
  });
});
