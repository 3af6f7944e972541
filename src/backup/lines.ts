/** Text in pieces of any size as lines. */
import { kind } from "../values/validate.ts";
import { ImportError } from "./event-order.ts";

/** Characters of a line. No text of JavaScript holds many more. */
const LONGEST_LINE = 500_000_000;

/**
 * The lines of a text whose pieces may end anywhere. The pieces of a long line are joined once, when it ends: joined with
 * each piece, a line of 8 MB in pieces of 8 kB took 7 s.
 *
 * @throws ImportError if a line is longer than `longest` characters, such as in a file that is not text.
 */
export async function* linesOf(
  source: AsyncIterable<string>,
  longest = LONGEST_LINE,
): AsyncGenerator<string, void> {
  let line = 1;
  let begun: string[] = [];
  let length = 0;
  for await (const piece of source) {
    const text: unknown = piece;
    if (typeof text !== "string")
      throw new ImportError(
        `the source gives ${text instanceof Uint8Array ? "bytes" : kind(text)} instead of text: set the stream's encoding to utf8, or use decompress(stream, "none")`,
        { line },
      );
    for (const [index, part] of text.split("\n").entries()) {
      if (index > 0) {
        yield begun.join("");
        line++;
        begun = [];
        length = 0;
      }
      length += part.length;
      if (length > longest) throw new ImportError("the line is too long", { line });
      begun.push(part);
    }
  }
  if (length > 0) yield begun.join("");
}
