/** Exports a log to a file and imports it into another schema, in a process of its own, so that its peak memory is theirs. */
import { createReadStream, createWriteStream } from "node:fs";
import { pipeline } from "node:stream/promises";
import { Admin, compress, decompress } from "../../src/admin/index.ts";
import { peakRss } from "../lib/memory.ts";
import { type JobContext, openTarget, type PreparedJob } from "./types.ts";

export type TransferParams = { readonly into: string; readonly file: string; readonly events: number };
/** Events per second; `rss` is the peak of the whole process in MB. */
export type TransferResult = { readonly exported: number; readonly imported: number; readonly rss: number };

/** Result: a `TransferResult`. */
export async function transferJob({ target }: JobContext, params: TransferParams): Promise<PreparedJob> {
  const { into, file, events } = params;
  const source = await openTarget(target);
  const copy = await openTarget({ ...target, options: { ...target.options, schema: into } });
  await copy.seed();
  const perSecond = async (work: () => Promise<unknown>) => {
    const start = performance.now();
    await work();
    return (1_000 * events) / (performance.now() - start);
  };
  return {
    run: async (): Promise<TransferResult> => {
      const exported = await perSecond(() =>
        pipeline(compress(new Admin(source).export(), "zstd"), createWriteStream(file)),
      );
      const imported = await perSecond(async () => {
        const done = await new Admin(copy).import(decompress(createReadStream(file), "zstd"));
        if (done.events !== events) throw new Error(`${done.events} of ${events} events were imported`);
      });
      return { exported, imported, rss: (peakRss() * 2 ** 20) / 1e6 };
    },
  };
}
