/** Text to compressed bytes and back, by the ending of the file's name: `.gz`, `.zst`, or neither. */
import { pipeline, Readable, type Transform } from "node:stream";
import { createGunzip, createGzip, createZstdCompress, createZstdDecompress } from "node:zlib";
import { checkOptionsOf, oneOf, required } from "../values/rules.ts";

/** How a file is compressed. `zstd` is the smallest and the fastest; `gzip` is read everywhere. */
export type Compression = "gzip" | "zstd" | "none";

export const ENDINGS: Readonly<Record<Compression, string>> = { gzip: ".gz", zstd: ".zst", none: "" };

export const compressionOf = (name: string): Compression =>
  name.endsWith(".gz") ? "gzip" : name.endsWith(".zst") ? "zstd" : "none";

function checkCompression(name: string, given: Compression): void {
  checkOptionsOf(name, { compression: given }, { compression: required(oneOf("gzip", "zstd", "none")) });
}

/**
 * Compresses text as UTF-8. An error of the text ends the result with that error.
 *
 * @param text Pieces of any size, as `admin.export()` yields them.
 * @throws TypeError for another compression.
 */
export function compress(text: AsyncIterable<string>, compression: Compression): AsyncIterable<Uint8Array> {
  checkCompression("compress", compression);
  const bytes = Readable.from(encode(text), { objectMode: false });
  if (compression === "none") return bytes;
  return through(bytes, compression === "gzip" ? createGzip() : createZstdCompress());
}

/**
 * The text of compressed bytes, in pieces of any size, as `admin.import()` takes it.
 *
 * @throws TypeError if it is not UTF-8, and an error of zlib if the bytes are not compressed in this way, or are cut
 *   off.
 */
export async function* decompress(
  bytes: AsyncIterable<Uint8Array>,
  compression: Compression,
): AsyncGenerator<string> {
  checkCompression("decompress", compression);
  const source = Readable.from(bytes, { objectMode: false });
  const stream =
    compression === "none"
      ? source
      : through(source, compression === "gzip" ? createGunzip() : createZstdDecompress());
  const decoder = new TextDecoder("utf-8", { fatal: true });
  for await (const chunk of stream) yield decoder.decode(chunk, { stream: true });
  yield decoder.decode();
}

/** If the reader stops early, this also ends `source`, such as a file; pipe() would leave it open. `stream` emits the error. */
function through<T extends Transform>(source: Readable, stream: T): T {
  pipeline(source, stream, () => {});
  return stream;
}

async function* encode(text: AsyncIterable<string>): AsyncGenerator<Uint8Array> {
  for await (const part of text) yield Buffer.from(part);
}
