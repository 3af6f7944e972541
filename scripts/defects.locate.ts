/**
 * Finds the places of deliberate defects by the structure of the code, not by its text, so that they survive renames,
 * moves and formatting: a module by a name that it exports, a place in it by an ESLint selector (esquery), a place in a
 * statement by its SQL.
 */
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import esquery from "esquery";
import { parseSync, visitorKeys } from "oxc-parser";

const root = join(import.meta.dirname, "..");

/** A tree as esquery takes it. */
type Tree = Parameters<typeof esquery.query>[0];
/** A node of the syntax tree. `start` and `end` count characters of the source. */
type Place = { readonly type: string; readonly start: number; readonly end: number };
export type Module = { readonly file: string; readonly source: string; readonly program: Tree };
/** Part of a source, and what takes its place. */
export type Change = { readonly start: number; readonly end: number; readonly text: string };

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null;

const isPlace = (value: unknown): value is Place =>
  isRecord(value) &&
  typeof value.type === "string" &&
  typeof value.start === "number" &&
  typeof value.end === "number";

const isProgram = (value: unknown): value is Tree => isPlace(value) && value.type === "Program";

export function parse(file: string, source: string): Module {
  const { program, errors } = parseSync(file, source);
  const [error] = errors;
  if (error) throw new Error(`${file}: ${error.message}`);
  if (!isProgram(program)) throw new Error(`${file} has no syntax tree`);
  return { file, source, program };
}

function query({ program }: Module, selector: string): Place[] {
  const found: unknown[] = esquery.query(program, selector, { visitorKeys });
  return found.filter(isPlace);
}

const EXPORTED =
  "ExportNamedDeclaration > :matches(FunctionDeclaration, ClassDeclaration), ExportNamedDeclaration > VariableDeclaration > VariableDeclarator";

let modules: ReadonlyMap<string, readonly Module[]> | undefined;

/** The modules of src by the names that they export. */
function modulesByExport(): ReadonlyMap<string, readonly Module[]> {
  if (modules) return modules;
  const found = new Map<string, Module[]>();
  // Commands of the command line have the names of the verbs that they call.
  for (const file of globSync("src/**/*.ts", { cwd: root, exclude: ["src/cli/**"] }).sort()) {
    const module = parse(file, readFileSync(join(root, file), "utf8"));
    for (const node of query(module, EXPORTED)) {
      const name = "id" in node && isRecord(node.id) ? String(node.id.name) : "";
      found.set(name, [...(found.get(name) ?? []), module]);
    }
  }
  modules = found;
  return found;
}

/** The one module of src that exports this name. */
export function moduleOf(name: string): Module {
  const [module, other] = modulesByExport().get(name) ?? [];
  if (!module) throw new Error(`no module of src exports ${name}`);
  if (other) throw new Error(`${name} is exported by ${module.file} and by ${other.file}`);
  return module;
}

/** `@name` in a selector: the function, method or variable of that name. */
const expand = (selector: string) =>
  selector.replaceAll(
    /@(\w+)/g,
    (_, name: string) =>
      `:matches(FunctionDeclaration[id.name='${name}'], VariableDeclarator[id.name='${name}'], MethodDefinition[key.name='${name}'])`,
  );

const textOf = ({ source }: Module, { start, end }: Place) => source.slice(start, end);

/** What stands at `right.left` of a node. */
function fieldOf(module: Module, node: Place, path: string): string {
  let value: unknown = node;
  for (const key of path.split(".")) value = isRecord(value) ? value[key] : undefined;
  if (!isPlace(value)) throw new Error(`${module.file}: a ${node.type} has no ${path}`);
  return textOf(module, value);
}

/** Nodes by a selector. In `to`, `${this}` is the node and `${left}`, `${right.left}`, … are its parts. */
export function codeChanges(module: Module, selector: string, to: string): Change[] {
  return query(module, expand(selector)).map((node) => ({
    start: node.start,
    end: node.end,
    text: to.replaceAll(/\$\{([\w.]+)\}/g, (_, path: string) =>
      path === "this" ? textOf(module, node) : fieldOf(module, node, path),
    ),
  }));
}

const HOLE = "${}";

/** A template or string as it reads, with `${}` for each expression in it. */
export type Text = {
  readonly text: string;
  /** Where each character of it is in the source; a hole begins with its `${`, and its last character ends it. */
  readonly offsets: readonly number[];
  readonly holes: readonly { readonly at: number; readonly source: string }[];
};

function readTemplate(module: Module, node: Place): Text {
  let text = "";
  const offsets: number[] = [];
  const holes: { at: number; source: string }[] = [];
  const add = (part: string, offset: (i: number) => number) => {
    for (let i = 0; i < part.length; i++) offsets.push(offset(i));
    text += part;
  };
  const quasis = "quasis" in node && Array.isArray(node.quasis) ? node.quasis.filter(isPlace) : [];
  // A quasi's own range includes the signs around it.
  const ranges = quasis.map(({ start, end }, i) => ({
    start: start + 1,
    end: end - (i === quasis.length - 1 ? 1 : 2),
  }));
  ranges.forEach(({ start, end }, i) => {
    add(module.source.slice(start, end), (at) => start + at);
    const next = ranges[i + 1];
    if (!next) return;
    holes.push({ at: text.length, source: module.source.slice(end + 2, next.start - 1) });
    add(HOLE, (at) => (at === 0 ? end : next.start - 1));
  });
  offsets.push((ranges.at(-1) ?? node).end);
  return { text, offsets, holes };
}

function readString({ source }: Module, { start, end }: Place): Text {
  const text = source.slice(start + 1, end - 1);
  return { text, offsets: Array.from({ length: text.length + 1 }, (_, i) => start + 1 + i), holes: [] };
}

/** Every template and string of a module, but for the messages of errors. */
export function textsOf(module: Module): Text[] {
  const messages = new Set(
    query(module, ":matches(ThrowStatement, NewExpression) :matches(TemplateLiteral, Literal)").map(
      ({ start }) => start,
    ),
  );
  return query(module, ":not(ImportDeclaration) > :matches(TemplateLiteral, Literal)")
    .filter(({ start }) => !messages.has(start))
    .flatMap((node) => {
      if (node.type === "TemplateLiteral") return [readTemplate(module, node)];
      return /^["']/.test(textOf(module, node)) ? [readString(module, node)] : [];
    });
}

/** White space in a pattern stands for any white space. */
const toRegExp = (pattern: string | RegExp) =>
  typeof pattern === "string"
    ? new RegExp(pattern.replaceAll(/[\\^$.*+?()[\]{}|]/g, "\\$&").replaceAll(/\s+/g, "\\s+"), "g")
    : new RegExp(pattern.source, "g");

/**
 * Places in SQL. `${}` in the pattern is any expression of the template. In `to` it is that expression again, and within
 * `${$ - 1}` the dollar is.
 */
export function sqlChanges(module: Module, pattern: string | RegExp, to: string): Change[] {
  return textsOf(module).flatMap(({ text, offsets, holes }) =>
    [...text.matchAll(toRegExp(pattern))].map((match) => {
      const from = match.index;
      const until = from + match[0].length;
      const inside = holes.filter(({ at }) => at >= from && at < until);
      let nth = 0;
      const replacement = to.replaceAll(/\$\{([^}]*)\}/g, (_, expression: string) => {
        const hole = inside[nth++]?.source ?? "";
        return `\${${expression === "" ? hole : expression.replaceAll("$", () => hole)}}`;
      });
      return { start: offsets[from] ?? 0, end: offsets[until] ?? 0, text: replacement };
    }),
  );
}

/** The source with these changes; throws if they overlap, or if it can't be parsed any more. */
export function applyChanges({ file, source }: Module, changes: readonly Change[]): string {
  let result = source;
  let before = source.length;
  for (const { start, end, text } of changes.toSorted((a, b) => b.start - a.start)) {
    if (end > before) throw new Error(`${file}: two changes overlap`);
    result = result.slice(0, start) + text + result.slice(end);
    before = start;
  }
  parse(file, result);
  return result;
}
