/**
 * The docs as a site: `npm run docs` builds it into docs/.vitepress/dist, `npm run docs:open` serves it on 127.0.0.1.
 * The search index is local and no font or script comes from elsewhere, so it works offline. VitePress supports no
 * relative base, so the pages need a server; set DOCS_BASE to publish them under a path, such as `/act-drizzle/`.
 */
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { defineConfig } from "vitepress";

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

export default defineConfig({
  title: "act-drizzle",
  description: "PostgreSQL event store for @rotorsoft/act, built on Drizzle and postgres.js",
  base: process.env.DOCS_BASE ?? "/",
  // Pages link to files of the repository that are no pages: the changelog, the README.
  ignoreDeadLinks: [/^(\.\.?\/)+(README|CHANGELOG|CONTRIBUTING|examples)/],
  themeConfig: {
    search: { provider: "local" },
    outline: [2, 3],
    nav: [
      { text: "Guides", link: "/guides/getting-started" },
      { text: "Reference", link: "/reference/versioning" },
      { text: "Internals", link: "/internals/architecture" },
    ],
    sidebar: [
      { text: "Guides", items: pages("guides", ["getting-started", "drizzle"]) },
      { text: "Reference", items: pages("reference", ["options", "errors", "verbs"]) },
      { text: "Internals", items: pages("internals", ["architecture"]) },
      { text: "Decisions", collapsed: true, items: pages("internals/adr") },
      { text: "Reports", collapsed: true, items: pages("reports") },
    ],
  },
});
