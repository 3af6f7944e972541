/** The page of the console: Vite bundles src/console/page into a folder. Nothing in it is loaded from elsewhere. */
import { join, resolve } from "node:path";
import react from "@vitejs/plugin-react";
import { build } from "vite";

const PAGE = join(import.meta.dirname, "../src/console/page");

export async function buildPage(folder: string): Promise<void> {
  // Vite takes NODE_ENV over the mode: within a test run it would bundle React for development.
  const { NODE_ENV } = process.env;
  process.env.NODE_ENV = "production";
  try {
    await build({
      configFile: false,
      root: PAGE,
      base: "/",
      logLevel: "warn",
      plugins: [react()],
      build: {
        outDir: folder,
        emptyOutDir: true,
        target: "es2022",
        cssMinify: true,
        // The Content-Security-Policy allows files of the server only: nothing inside the page, no data: URL.
        assetsInlineLimit: 0,
        modulePreload: { polyfill: false },
        sourcemap: false,
        chunkSizeWarningLimit: 700,
      },
    });
  } finally {
    if (NODE_ENV === undefined) delete process.env.NODE_ENV;
    else process.env.NODE_ENV = NODE_ENV;
  }
}

if (import.meta.main)
  await buildPage(resolve(process.argv[2] ?? join(import.meta.dirname, "../dist/console")));
