/** Where archives go: a folder, or an object of the user's with these two functions, such as for an object store. */
import { createReadStream, createWriteStream } from "node:fs";
import { mkdir, rename } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { checkOptionsOf, NAME, required } from "../values/rules.ts";

/** Where archived files go: {@link folder}, or an object store behind two functions. */
export type ArchiveTarget = {
  /** Resolves once the object is durable. One of the same name is replaced. */
  readonly write: (name: string, content: AsyncIterable<Uint8Array>) => Promise<void>;
  /** The bytes of an object, as they were written. It fails if there is none of this name. */
  readonly read: (name: string) => AsyncIterable<Uint8Array>;
};

/**
 * A folder, created if absent. A file has its name only once it is complete.
 *
 * @throws TypeError without a path.
 */
export function folder(path: string): ArchiveTarget {
  checkOptionsOf("folder", { path }, { path: required(NAME) });
  return {
    write: async (name, content) => {
      await mkdir(path, { recursive: true });
      const file = join(path, name);
      await pipeline(content, createWriteStream(`${file}.partial`, { flush: true }));
      await rename(`${file}.partial`, file);
    },
    read: (name) => createReadStream(join(path, name)),
  };
}
