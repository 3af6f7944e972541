import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, expect, test } from "vitest";
import { buildPage } from "../../scripts/build-page.ts";

const LIMIT = 400_000;

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "act-drizzle-page-"));
  await buildPage(folder);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

test("the built page is at most 400 kB compressed", async () => {
  const files = await readdir(folder, { recursive: true, withFileTypes: true });
  let bytes = 0;
  for (const file of files)
    if (file.isFile()) bytes += gzipSync(await readFile(join(file.parentPath, file.name))).length;
  expect(bytes).toBeGreaterThan(50_000);
  expect(bytes).toBeLessThanOrEqual(LIMIT);
});

test("the page loads files of its server only, and holds no script or style itself", async () => {
  const html = await readFile(join(folder, "index.html"), "utf8");
  const loaded = [...html.matchAll(/\b(?:src|href)="([^"]*)"/g)].map(([, to]) => to);
  expect(loaded.length).toBeGreaterThan(1);
  for (const to of loaded) expect(to).toMatch(/^\/assets\/[\w.-]+$/);
  expect(html).not.toMatch(/<style|\sstyle=|<script(?![^>]*\bsrc=)|\son\w+=/i);
});

test("React is built for production", async () => {
  const names = (await readdir(join(folder, "assets"))).filter((name) => name.endsWith(".js"));
  for (const name of names)
    expect(await readFile(join(folder, "assets", name), "utf8")).not.toContain("jsxDEV");
});
