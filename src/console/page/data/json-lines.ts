/** A JSON value as lines, as it is pretty-printed: what can be folded, searched, and marked. */

export type Path = readonly (string | number)[];

export type JsonLine = {
  readonly path: string;
  readonly depth: number;
  readonly key: string | undefined;
  readonly kind: "open" | "close" | "string" | "number" | "literal" | "date";
  readonly text: string;
  /** For an opening bracket: how many entries are inside. */
  readonly entries?: number;
  readonly comma: boolean;
};

export const pathKey = (path: Path): string => JSON.stringify(path);

/** `dates`: the paths that held a Date. `folded`: the paths of which only the first line is wanted. */
export function jsonLines(
  value: unknown,
  {
    dates = [],
    folded = new Set(),
  }: { readonly dates?: readonly Path[]; readonly folded?: ReadonlySet<string> } = {},
): JsonLine[] {
  const marked = new Set(dates.map(pathKey));
  const lines: JsonLine[] = [];
  const walk = (part: unknown, at: Path, key: string | undefined, comma: boolean): void => {
    const path = pathKey(at);
    const line = { path, depth: at.length, key, comma };
    if (typeof part !== "object" || part === null) {
      const text = JSON.stringify(part) ?? "undefined";
      if (typeof part === "string") lines.push({ ...line, kind: marked.has(path) ? "date" : "string", text });
      else lines.push({ ...line, kind: typeof part === "number" ? "number" : "literal", text });
      return;
    }
    const list = Array.isArray(part);
    const entries: [string | number, unknown][] = list ? [...part.entries()] : Object.entries(part);
    const [open, close] = list ? ["[", "]"] : ["{", "}"];
    if (entries.length === 0 || folded.has(path)) {
      const text = entries.length === 0 ? `${open}${close}` : `${open}…${close}`;
      lines.push({ ...line, kind: "open", text, entries: entries.length });
      return;
    }
    lines.push({ ...line, kind: "open", text: open, entries: entries.length, comma: false });
    for (const [index, [name, inner]] of entries.entries())
      walk(inner, [...at, name], list ? undefined : String(name), index < entries.length - 1);
    lines.push({ path: `${path}close`, depth: at.length, key: undefined, kind: "close", text: close, comma });
  };
  walk(value, [], undefined, false);
  return lines;
}

/** Splits a text by a search: the parts with odd indexes match. */
export function parts(text: string, search: string): string[] {
  if (search === "") return [text];
  const found: string[] = [];
  const [lower, wanted] = [text.toLowerCase(), search.toLowerCase()];
  let from = 0;
  for (let at = lower.indexOf(wanted); at >= 0; at = lower.indexOf(wanted, from)) {
    found.push(text.slice(from, at), text.slice(at, at + search.length));
    from = at + search.length;
  }
  return [...found, text.slice(from)];
}
