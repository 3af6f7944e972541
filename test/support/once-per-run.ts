/** What several test files need and takes long to make is made once per run: by the first that needs it; the others wait. */
import { existsSync, watch } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

async function waitFor(folder: string, file: string): Promise<void> {
  // It watches before it looks, so that nothing is missed in between.
  const watcher = watch(folder);
  await new Promise<void>((resolve, reject) => {
    const look = () => existsSync(join(folder, file)) && resolve();
    watcher.on("change", look).on("error", reject);
    look();
  }).finally(() => watcher.close());
}

/**
 * @param folder Of the run.
 * @param name Of what is made.
 * @param make Makes it in the folder that it gets, which exists.
 * @returns that folder.
 */
export async function oncePerRun(
  folder: string,
  name: string,
  make: (target: string) => Promise<unknown>,
): Promise<string> {
  const target = join(folder, name);
  const [made, ended] = [join(folder, `${name}.made`), `${name}.ended`];
  // Only one of them can make the folder.
  const first = await mkdir(target).then(
    () => true,
    () => false,
  );
  if (first)
    await make(target)
      .then(() => writeFile(made, ""))
      .finally(() => writeFile(join(folder, ended), ""));
  else await waitFor(folder, ended);
  if (!existsSync(made)) throw new Error(`Another test file could not make the ${name}`);
  return target;
}
