/** Links between pages, in the repository and in what npm ships, and the paths of pages that sources name. */
import { existsSync, globSync, readFileSync, statSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { expect, test } from "vitest";

const root = join(import.meta.dirname, "../..");
const posix = (path: string) => path.replaceAll("\\", "/");
const read = (path: string) => readFileSync(join(root, path), "utf8");
const find = (...patterns: string[]) => globSync(patterns, { cwd: root }).map(posix).sort();

const pages = find("*.md", "docs/**/*.md", "examples/**/*.md");

/** A page without its blocks and spans of code, in which nothing is a link. */
const prose = (text: string) => text.replaceAll(/^```.*?^```/gms, "").replaceAll(/`[^`\n]*`/g, "code");

/** Where the relative links and images of a page lead. */
function linksOf(page: string): { readonly target: string; readonly anchor: string }[] {
  return [...prose(read(page)).matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, link = ""]) => link)
    .filter((link) => !/^[a-z]+:/.test(link))
    .map((link) => {
      const [path = "", anchor = ""] = link.split("#");
      return { target: path === "" ? page : posix(join(dirname(page), path)), anchor };
    });
}

/** The anchors of a page's headings, as GitHub makes them. */
function anchorsOf(page: string): string[] {
  const text = read(page).replaceAll(/^```.*?^```/gms, "");
  return [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading = ""]) =>
    heading
      .trim()
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, "")
      .replaceAll(" ", "-"),
  );
}

/** Whether npm packs a file: what `files` names, and what npm adds by itself. */
const manifest: { readonly files: readonly string[]; readonly scripts: Readonly<Record<string, string>> } =
  JSON.parse(read("package.json"));
const packed = [...manifest.files, "README.md", "LICENSE", "package.json"];
const isPacked = (path: string) => packed.some((entry) => path === entry || path.startsWith(`${entry}/`));

test.each(pages)("the relative links of %s lead to files, and their anchors to headings", (page) => {
  const broken = linksOf(page).filter(({ target, anchor }) => {
    if (!existsSync(join(root, target))) return true;
    if (anchor === "" || statSync(join(root, target)).isDirectory()) return anchor !== "";
    return !anchorsOf(target).includes(anchor);
  });
  expect(broken).toEqual([]);
});

test.each(pages.filter(isPacked))("the relative links of %s lead to files that npm ships too", (page) => {
  const outside = linksOf(page)
    .map(({ target }) => target)
    .filter((target) => !isPacked(target));
  expect(outside).toEqual([]);
});

/** Pages that people wrote. The reports name files as they were when they ran. */
const written = pages.filter((page) => !/^(docs\/reports\/|CHANGELOG)/.test(page));

test.each(written)("the files of the repository and the npm scripts that %s names are there", (page) => {
  const text = read(page);
  const code = [...text.matchAll(/`([^`\n]+)`/g)].map(([, span = ""]) => span).join("\n");
  const folders = "src|test|scripts|bench|dev|examples|docs|drizzle";
  const paths = [...code.matchAll(new RegExp(`(?<![\\w./-])(?:${folders})/[\\w./-]*`, "g"))];
  const scripts = [...text.matchAll(/\bnpm run ([\w:-]+)/g)].map(([, name = ""]) => name);
  const problems = [
    ...paths.map(([path]) => path).filter((path) => !existsSync(join(root, path.replace(/\.$/, "")))),
    ...scripts.filter((name) => !(name in manifest.scripts)).map((name) => `npm run ${name}`),
  ];
  expect(problems).toEqual([]);
});

test("every page under docs that a source, a test or a script names is there", () => {
  const sources = find("{src,dev,test,bench,scripts,examples}/**/*.{ts,md}", ".github/**/*.yml", "*.md");
  const missing = sources.flatMap((file) =>
    [...read(file).matchAll(/\bdocs\/[\w/-]+\.md\b|\bdocs\/internals\/adr\/\d{4}/g)]
      .map(([path]) => path)
      .filter((path) => find(path, `${path}-*.md`).length === 0)
      .map((path) => `${file}: ${path}`),
  );
  expect(missing).toEqual([]);
});

test("every page in the guides and the reference is reached from README by links", () => {
  const reached = new Set<string>();
  const visit = (page: string) => {
    if (reached.has(page) || !page.endsWith(".md") || !existsSync(join(root, page))) return;
    reached.add(page);
    for (const { target } of linksOf(page)) visit(target);
  };
  visit("README.md");
  const shipped = find("docs/guides/**/*.md", "docs/reference/**/*.md");
  expect(shipped.filter((page) => !reached.has(relative(root, join(root, page))))).toEqual([]);
});

test("a page runs files of the repository by npx node: an older node of the reader's own knows no .ts", () => {
  // The reports record what was run.
  const shown = pages.filter((page) => !page.startsWith("docs/reports/"));
  const inRepository = /(npx )?\bnode (?:--\S+ )*((?:bench|dev|scripts|src|test)\/[\w./-]+\.ts)/g;
  const commands = shown.flatMap((page) =>
    [...read(page).matchAll(inRepository)].map(([text, npx, file = ""]) => ({ page, text, npx, file })),
  );
  const exist = commands.filter(({ file }) => existsSync(join(root, file)));
  expect(exist.filter(({ npx }) => npx === undefined).map(({ page, text }) => `${page}: ${text}`)).toEqual(
    [],
  );
  expect(exist.length).toBeGreaterThan(5);
});
