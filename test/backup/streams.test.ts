/** Text that comes in pieces: lines of any length, and what is closed when a reader stops early. */
import { expect, test } from "vitest";
import { type Compression, compress, decompress } from "../../src/admin/index.ts";
import { linesOf } from "../../src/backup/lines.ts";

async function allOf<T>(source: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const one of source) all.push(one);
  return all;
}

async function* piecesOf(...pieces: string[]): AsyncGenerator<string> {
  yield* pieces;
}

test("lines come whole, wherever the pieces end", async () => {
  const text = "one\n\ntwo\n three";
  const lines = ["one", "", "two", " three"];
  for (let size = 1; size <= text.length; size++) {
    const pieces = text.match(new RegExp(`[^]{1,${size}}`, "g")) ?? [];
    expect(await allOf(linesOf(piecesOf(...pieces)))).toEqual(lines);
  }
  expect(await allOf(linesOf(piecesOf("one\n", "", "\n")))).toEqual(["one", ""]);
});

test("a line of many pieces takes time in proportion to its length", async () => {
  const pieces = Array.from({ length: 3_000 }, () => "x".repeat(8_192));
  const start = performance.now();
  const [line, ...others] = await allOf(linesOf(piecesOf(...pieces, "\n")));
  expect([line?.length, others]).toEqual([3_000 * 8_192, []]);
  expect(performance.now() - start).toBeLessThan(10_000);
});

test.each([
  ["of several pieces", ["one\ntwo\n", "123456", "789012"]],
  ["within a piece", ["one\ntwo\n12345678901\nfour"]],
  ["that begins in a piece and ends the text", ["one\ntwo\n12345678901"]],
])("a line %s that is longer than any text is refused with its number", async (_, pieces) => {
  const read: string[] = [];
  const reading = async () => {
    for await (const line of linesOf(piecesOf(...pieces), 10)) read.push(line);
  };
  await expect(reading()).rejects.toThrow("line 3: the line is too long");
  expect(read).toEqual(["one", "two"]);
});

test.each<Compression>(["gzip", "zstd", "none"])(
  "%s: a reader that stops early closes what it reads from",
  async (compression) => {
    const closed = Promise.withResolvers<string>();
    async function* endless<T>(name: string, piece: () => T): AsyncGenerator<T> {
      try {
        for (;;) yield piece();
      } finally {
        closed.resolve(name);
      }
    }
    const text = () => `${Math.random()}`.repeat(1_000);
    for await (const _ of compress(endless("text", text), compression)) break;
    expect(await closed.promise).toBe("text");
  },
);

test.each<Compression>(["gzip", "zstd", "none"])(
  "%s: a reader of the text that stops early closes the file",
  async (compression) => {
    const bytes = await allOf(compress(piecesOf("x".repeat(1_000_000), "\n"), compression));
    const closed = Promise.withResolvers<void>();
    async function* file(): AsyncGenerator<Uint8Array> {
      try {
        for (;;) yield* bytes;
      } finally {
        closed.resolve();
      }
    }
    for await (const _ of decompress(file(), compression)) break;
    await closed.promise;
  },
);
