/**
 * Every mutant of a source file, switched on by its id while the code runs: Stryker's instrumenter for the
 * TypeScript, sql.ts for the texts of statements. So one copy of the sources holds all of them.
 */
import { Instrumenter } from "@stryker-mutator/instrumenter";
import { isSql, sqlChanges } from "./sql.ts";

export type Mutant = {
  readonly id: string;
  readonly file: string;
  /** Stryker's name of the mutator, or `SQL order`, `SQL bound`, … */
  readonly mutator: string;
  readonly line: number;
  readonly original: string;
  readonly replacement: string;
  /** What stays the same when lines move: file, the line's text, the change. */
  readonly key: string;
};

type Edit = { readonly start: number; readonly end: number; readonly text: string };
type Literal = { readonly start: number; readonly end: number; readonly quoted: boolean };
type SqlMutant = { readonly start: number; readonly end: number; readonly mutator: string; to: string };

const log = (...words: unknown[]) => console.error(...words);
const quiet = () => {};
const never = () => false;
const always = () => true;
const logger = {
  ...{ isTraceEnabled: never, isDebugEnabled: never, isInfoEnabled: never },
  ...{ isWarnEnabled: always, isErrorEnabled: always, isFatalEnabled: always },
  ...{ trace: quiet, debug: quiet, info: quiet, warn: log, error: log, fatal: log },
};

/** As much of Babel's node paths as is used here. */
type NodePath = {
  readonly node: { readonly type: string; readonly start?: number | null; readonly end?: number | null };
  readonly parentPath: NodePath | null;
  toString(): string;
};

const options = (shouldIgnore: (path: NodePath) => string | undefined) => ({
  plugins: null,
  excludedMutations: [],
  ignorers: [{ shouldIgnore }],
});

const SWITCH =
  /\$\{stryMutAct_9fa48\("s\d+"\) \? (?:"(?:[^"\\]|\\.)*"|[^"}]*) : (?:stryMutAct[^}]*? : )*\(stryCov_9fa48\([^)]*\), ("(?:[^"\\]|\\.)*")\)\}/g;
/** The text without the switches inside its SQL. */
const plain = (text: string) => text.replaceAll(SWITCH, (_, original: string) => JSON.parse(original));

/** One source file with its mutants; `nextSql` numbers those inside SQL across files. */
export async function mutate(
  file: string,
  source: string,
  nextSql: () => string,
  nextId: () => string,
): Promise<{ content: string; mutants: Mutant[] }> {
  const literals = await literalsOf(file, source);
  const sql: (SqlMutant & { id: string })[] = [];
  const edits: Edit[] = [];
  for (const literal of literals) {
    const text = source.slice(literal.start, literal.end);
    if (!isSql(text)) continue;
    const changes = sqlChanges(text);
    if (changes.length === 0) continue;
    if (literal.quoted) {
      edits.push({ start: literal.start - 1, end: literal.start, text: "`" });
      edits.push({ start: literal.end, end: literal.end + 1, text: "`" });
    }
    for (const [place, all] of Map.groupBy(changes, (c) => `${c.start}-${c.end}`)) {
      const [from = 0, to = 0] = place.split("-").map((n) => literal.start + Number(n));
      const own = all.map((c) => ({
        id: nextSql(),
        start: from,
        end: to,
        mutator: `SQL ${c.change}`,
        to: c.to,
      }));
      sql.push(...own);
      const ids = own.map(({ id }) => JSON.stringify(id)).join(", ");
      const original = `(stryCov_9fa48(${ids}), ${JSON.stringify(source.slice(from, to))})`;
      const chosen = own.reduceRight(
        (rest, m) => `stryMutAct_9fa48("${m.id}") ? ${JSON.stringify(m.to)} : ${rest}`,
        original,
      );
      edits.push({ start: from, end: to, text: `\${${chosen}}` });
    }
  }
  edits.sort((a, b) => a.start - b.start || a.end - b.end);
  const switched = apply(source, edits);

  const own = (path: NodePath) =>
    path.node.type === "ConditionalExpression" && path.toString().startsWith("stryMutAct_9fa48(");
  const { files, mutants } = await new Instrumenter(logger).instrument(
    [{ name: file, content: switched, mutate: true }],
    options((path) => (own(path) ? "a switch of our own" : undefined)),
  );
  const ids = new Map<string, string>();
  const found = mutants.flatMap((mutant): Mutant[] => {
    if (mutant.status) return [];
    const id = nextId();
    ids.set(mutant.id, id);
    const start = offsetOf(switched, mutant.location.start);
    const end = offsetOf(switched, mutant.location.end);
    return [
      describe(source, {
        id,
        file,
        mutator: mutant.mutatorName,
        start: originalOffset(edits, start),
        end: originalOffset(edits, end),
        replacement: plain(mutant.replacement ?? ""),
      }),
    ];
  });
  const inSql = sql.map(({ id, mutator, start, end, to }) =>
    describe(source, { id, file, mutator, start, end, replacement: to }),
  );
  // Ids count from 0 in each file; here they are unique among all.
  const content = (files[0]?.content ?? "").replaceAll(
    /(stry(?:MutAct|Cov)_9fa48)\(((?:"\w+"(?:, )?)+)\)/g,
    (_, call: string, list: string) =>
      `${call}(${list.replaceAll(/"(\d+)"/g, (whole, id: string) => (ids.has(id) ? `"${ids.get(id)}"` : whole))})`,
  );
  return { content, mutants: [...found, ...inSql] };
}

/** Where the literals are that a statement may be written in. */
async function literalsOf(file: string, source: string): Promise<Literal[]> {
  const literals: Literal[] = [];
  const visit = (path: NodePath) => {
    const { type, start, end } = path.node;
    const parent = path.parentPath?.node.type ?? "";
    if (typeof start !== "number" || typeof end !== "number" || isThrown(path)) return undefined;
    if (type === "TemplateElement") literals.push({ start, end, quoted: false });
    if (type === "StringLiteral" && !/^(?:Import|Export|TSLiteral|ObjectProperty$)/.test(parent))
      literals.push({ start: start + 1, end: end - 1, quoted: true });
    return undefined;
  };
  await new Instrumenter(logger).instrument([{ name: file, content: source, mutate: true }], options(visit));
  return literals.sort((a, b) => a.start - b.start);
}

/** Texts of errors speak to people. */
function isThrown(path: NodePath): boolean {
  for (let at: NodePath | null = path; at; at = at.parentPath)
    if (at.node.type === "ThrowStatement" || at.node.type === "NewExpression") return true;
  return false;
}

type Found = Pick<Mutant, "id" | "file" | "mutator" | "replacement"> & { start: number; end: number };

function describe(source: string, { start, end, ...found }: Found): Mutant {
  const line = source.slice(0, start).split("\n").length;
  const text = (source.split("\n")[line - 1] ?? "").trim();
  const column = start - source.lastIndexOf("\n", start - 1) - 1;
  const original = source.slice(start, end);
  const short = (part: string) => part.replaceAll(/\s+/g, " ").trim();
  const nth = (source.split("\n")[line - 1] ?? "").slice(0, column).split(original).length - 1;
  const key = [found.file, found.mutator, text, short(original), short(found.replacement), nth].join(" | ");
  return { ...found, line, original, key };
}

function apply(source: string, edits: readonly Edit[]): string {
  let out = "";
  let at = 0;
  for (const { start, end, text } of edits) {
    out += source.slice(at, start) + text;
    at = end;
  }
  return out + source.slice(at);
}

/** The place in the source that a place in the edited text came from. */
function originalOffset(edits: readonly Edit[], offset: number): number {
  let shift = 0;
  for (const { start, end, text } of edits) {
    if (start + shift >= offset) break;
    if (offset < start + shift + text.length) return start;
    shift += text.length - (end - start);
  }
  return offset - shift;
}

/** Stryker counts lines and columns from 0. */
function offsetOf(text: string, { line, column }: { line: number; column: number }): number {
  let at = 0;
  for (let i = 0; i < line; i++) at = text.indexOf("\n", at) + 1;
  return at + column;
}
