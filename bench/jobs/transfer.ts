/**
 * Exports a log to a file and imports it into another schema, as the command does. It runs bundled and in a process of its
 * own: what Node needs to read TypeScript would be a third of its memory.
 */
import { createReadStream, createWriteStream } from "node:fs";
import { pipeline } from "node:stream/promises";
import { Admin, compress, decompress } from "../../src/admin/index.ts";
import { keepHeapSmall } from "../../src/cli/heap.ts";
import { PostgresStore } from "../../src/index.ts";
import { peakRss } from "../lib/memory.ts";

export type TransferParams = {
  readonly url: string;
  readonly from: string;
  readonly into: string;
  readonly file: string;
  readonly events: number;
};
/** Events per second; `rss` is the peak of the whole process in MB. */
export type TransferResult = { readonly exported: number; readonly imported: number; readonly rss: number };

async function transfer({ url, from, into, file, events }: TransferParams): Promise<TransferResult> {
  const source = new PostgresStore({ url, schema: from, max: 3 });
  const copy = new PostgresStore({ url, schema: into, max: 3 });
  await copy.seed();
  const onProgress = keepHeapSmall();
  const perSecond = async (work: () => Promise<unknown>) => {
    const start = performance.now();
    await work();
    return (1_000 * events) / (performance.now() - start);
  };
  const exported = await perSecond(() =>
    pipeline(compress(new Admin(source).export({ onProgress }), "zstd"), createWriteStream(file)),
  );
  const imported = await perSecond(async () => {
    const text = decompress(createReadStream(file), "zstd");
    const done = await new Admin(copy).import(text, { onProgress });
    if (done.events !== events) throw new Error(`${done.events} of ${events} events were imported`);
  });
  await Promise.all([source.dispose(), copy.dispose()]);
  return { exported, imported, rss: (peakRss() * 2 ** 20) / 1e6 };
}

process.once("message", (params: TransferParams) => {
  transfer(params).then(
    (result) => process.send?.(result, () => process.disconnect()),
    (error: unknown) => {
      console.error(error);
      process.exit(1);
    },
  );
});
