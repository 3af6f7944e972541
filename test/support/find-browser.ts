/** The browser for the tests of the console's page: `CHROMIUM_PATH`, or what the PATH has. .ci/run looks for the same. */
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";

export function findBrowser(): string | undefined {
  const folders = (process.env.PATH ?? "").split(delimiter);
  const names = ["chromium", "chromium-browser", "google-chrome"];
  const places = names.flatMap((name) => folders.map((folder) => join(folder, name)));
  return [process.env.CHROMIUM_PATH ?? "", ...places].find((path) => path !== "" && existsSync(path));
}

/** Why tests in a browser are left out. */
export const NO_BROWSER = "left out: no Chromium; install the package chromium, or set CHROMIUM_PATH";
