/** The page of the console: Vite bundles src/console/page into a folder. Nothing in it is loaded from elsewhere. */
import { join } from "node:path";
import react from "@vitejs/plugin-react";
import { build } from "vite";

const PAGE = join(import.meta.dirname, "../src/console/page");

export async function buildPage(folder: string): Promise<void> {
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
      // The Content-Security-Policy allows files of the server only: no script or style inside the page, no data: URL.
      assetsInlineLimit: 0,
      modulePreload: { polyfill: false },
      sourcemap: false,
      chunkSizeWarningLimit: 700,
    },
  });
}

if (import.meta.main) await buildPage(join(import.meta.dirname, "../dist/console"));
