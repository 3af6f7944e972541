/** The generated parts of the docs, each between `<!-- generated:NAME -->` and `<!-- /generated -->`. */

export type Generator = {
  /** The page, from the root of the repository. */
  readonly file: string;
  /** The name in the page's marker. */
  readonly name: string;
  /** The text between the markers, without the lines of the markers. Throws if the page would tell a lie. */
  readonly render: () => string | Promise<string>;
  /** Files that the part shows, such as plots, as path → content. */
  readonly files?: () => Promise<readonly (readonly [path: string, content: string])[]>;
};

const CLOSE = "<!-- /generated -->";

/** The page with `content` as its part `name`. Throws if the page has no such part, or more than one. */
export function fill(page: string, name: string, content: string): string {
  const open = `<!-- generated:${name} -->`;
  const [before = "", after, ...more] = page.split(open);
  if (after === undefined || more.length > 0) throw new Error(`${open} must be in the page once`);
  const end = after.indexOf(CLOSE);
  const next = after.indexOf("<!-- generated:");
  if (end < 0 || (next >= 0 && next < end)) throw new Error(`${open} has no ${CLOSE}`);
  return `${before}${open}\n${content.trim()}\n${after.slice(end)}`;
}

/** A table as Markdown. `align`: how each column is written in the line below the head, such as `---:`. */
export function markdownTable(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  align: readonly string[] = head.map(() => "---"),
): string {
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replaceAll("|", "\\|").replaceAll("\n", " ")).join(" | ")} |`;
  return [line(head), `|${align.join("|")}|`, ...rows.map(line)].join("\n");
}
