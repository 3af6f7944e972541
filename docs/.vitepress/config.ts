/**
 * The docs as a site: `npm run docs` builds it into docs/.vitepress/dist, `npm run docs:open` shows it on
 * 127.0.0.1 as it changes. The API reference is part of it once `npm run docs:api` has run, which `npm run docs` does.
 * The search index is local and no font or script comes from elsewhere, so it works offline. VitePress supports no
 * relative base, so the pages need a server; set DOCS_BASE to publish them under a path, such as `/act-drizzle/`.
 */
import { existsSync, globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { defineConfig, type MarkdownRenderer } from "vitepress";

type StateCore = { readonly tokens: ReturnType<MarkdownRenderer["parse"]> };

const docs = join(import.meta.dirname, "..");

/** The pages of a folder by their headings; `first` come first. */
function pages(folder: string, first: readonly string[] = []) {
  const names = globSync("*.md", { cwd: join(docs, folder) }).map((file) => file.replace(/\.md$/, ""));
  const rank = (name: string) => (first.includes(name) ? first.indexOf(name) : first.length);
  return names
    .sort((a, b) => rank(a) - rank(b) || a.localeCompare(b))
    .map((name) => {
      const heading = /^# (.*)$/m.exec(readFileSync(join(docs, folder, `${name}.md`), "utf8"));
      return { text: heading?.[1] ?? name, link: `/${folder}/${name}` };
    });
}

/** Takes the links off that lead to files outside this folder, such as the README: they are no pages of the site. */
function unlinkFilesOutside({ tokens }: StateCore): void {
  for (const token of tokens) {
    let outside = false;
    token.children =
      token.children?.filter((child) => {
        if (child.type === "link_open") outside = /^(\.\.\/)+[A-Z]+\.md/.test(child.attrGet("href") ?? "");
        if (!outside || (child.type !== "link_open" && child.type !== "link_close")) return true;
        outside = child.type === "link_open";
        return false;
      }) ?? null;
  }
}

/** Where scripts/api-reference.ts has written it. */
const api = existsSync(join(docs, "api/index.md")) ? [{ text: "API", link: "/api/" }] : [];

export default defineConfig({
  title: "act-drizzle",
  description: "PostgreSQL event store for @rotorsoft/act, built on Drizzle and postgres.js",
  base: process.env.DOCS_BASE ?? "/",
  markdown: { config: (md) => md.core.ruler.push("links-out", unlinkFilesOutside) },
  themeConfig: {
    search: { provider: "local" },
    outline: [2, 3],
    nav: [
      { text: "Guides", link: "/guides/getting-started" },
      { text: "Reference", link: "/reference/versioning" },
      ...api,
      { text: "Internals", link: "/internals/architecture" },
    ],
    sidebar: [
      { text: "Guides", items: pages("guides", ["getting-started", "drizzle"]) },
      { text: "Reference", items: pages("reference", ["options", "errors", "verbs"]) },
      ...api,
      { text: "Internals", items: pages("internals", ["architecture"]) },
      { text: "Decisions", collapsed: true, items: pages("internals/adr") },
      { text: "Reports", collapsed: true, items: pages("reports") },
    ],
  },
});
