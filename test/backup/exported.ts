/** What the tests of exports and archives share. */
import { Readable } from "node:stream";
import type { ArchiveTarget } from "../../src/admin/index.ts";

/** The ids of an export's events, in their order. */
export async function exportedIds(pages: AsyncIterable<string>): Promise<number[]> {
  let text = "";
  for await (const part of pages) text += part;
  return text
    .split("\n")
    .slice(1, -2)
    .map((line) => JSON.parse(line).id);
}

/** Objects in memory; `tamper` changes what is read back. */
export function memory(tamper?: (bytes: Buffer) => Buffer) {
  const objects = new Map<string, Buffer>();
  const target: ArchiveTarget = {
    write: async (name, content) => {
      const parts: Uint8Array[] = [];
      for await (const part of content) parts.push(part);
      objects.set(name, Buffer.concat(parts));
    },
    read: (name) => {
      const bytes = objects.get(name) ?? Buffer.alloc(0);
      return Readable.from([tamper ? tamper(bytes) : bytes]);
    },
  };
  return { target, objects };
}
