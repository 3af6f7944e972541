/** The page is built once for all test files of a run: the first one that needs it builds it, the others wait for that. */
import { existsSync, watch } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { buildPage } from "../../scripts/build-page.ts";

async function waitFor(folder: string, file: string): Promise<void> {
  // It watches before it looks, so that nothing is missed in between.
  const watcher = watch(folder);
  await new Promise<void>((resolve, reject) => {
    const look = () => existsSync(join(folder, file)) && resolve();
    watcher.on("change", look).on("error", reject);
    look();
  }).finally(() => watcher.close());
}

/** @param folder Of the run. Returns the folder of the built page, in it. */
export async function sharedPage(folder: string): Promise<string> {
  const page = join(folder, "page");
  const [begun, ended] = ["begun", "ended"];
  // Only one of them can make it.
  const first = await mkdir(join(folder, begun)).then(
    () => true,
    () => false,
  );
  if (first) await buildPage(page).finally(() => writeFile(join(folder, ended), ""));
  else await waitFor(folder, ended);
  if (!existsSync(join(page, "index.html"))) throw new Error("The page could not be built");
  return page;
}
