/**
 * Mutants inside the texts of statements, which no mutation tester knows: an operator, an order, a limit, a lock at a
 * time. Most of this store's decisions are made there. `npm run test:defects -- --sql claim` tries those of one module.
 */
import type { Defect } from "./defects.define.ts";
import { moduleOf, textsOf } from "./defects.locate.ts";

type Rule = readonly [change: string, pattern: RegExp, to: string | readonly string[]];

/** The first rule that fits a place has it; `$` means as in String.replace. `${}` stands for an expression. */
const rules: readonly Rule[] = [
  ["lock", / for update of s skip locked/g, [" for update of s", ""]],
  ["lock", / for update(?: of s)?(?! skip)/g, ""],
  ["column", /, \w+ = (?:null|false|true|-1|h\.error)(?![\w.])/g, ""],
  ["order", /(?<=order by [\w., ]*) desc\b/g, ""],
  ["order", /(?<=^s\.(?:priority|at)) desc\b/g, ""],
  ["order", /(?<=order by (?:\w\.)?\w+)(?= limit| for update|\)|$|\n)/g, " desc"],
  ["order", /using ~<~/g, "using ~>~"],
  ["bound", /~>~/g, "~>=~"],
  ["bound", /~>=~/g, "~>~"],
  ["bound", /~<~/g, "~<=~"],
  ["bound", /<>/g, "="],
  ["bound", /<=/g, ["<", ">="]],
  ["bound", />=/g, [">", "<="]],
  ["bound", / < /g, [" <= ", " > "]],
  ["bound", / > /g, [" >= ", " < "]],
  ["equality", /(?<=(?:^|\b(?:where|and|or|on|when|by) |\()\(?[\w.]+) = /g, " <> "],
  ["null", /is not null/g, "is null"],
  ["null", /is null/g, "is not null"],
  ["logic", / and /g, " or "],
  ["logic", /\bor /g, "and "],
  ["logic", /\bnot (?=s\.|\()/g, ""],
  ["logic", /\btrue\b/g, "false"],
  ["function", /\bgreatest\(/g, "least("],
  ["function", /\bleast\(/g, "greatest("],
  ["function", /\bmin\(/g, "max("],
  ["function", /\bmax\(/g, "min("],
  ["function", /\bbool_or\(/g, "bool_and("],
  ["function", /\bcount\(\*\)/g, "count(*) + 1"],
  ["function", /\bclock_timestamp\(\)/g, "now()"],
  ["function", /\bnow\(\)/g, "'-infinity'::timestamptz"],
  ["quantifier", /(?<!union )\ball\(/g, "any("],
  ["quantifier", /\bany\(/g, "all("],
  ["join", /\bleft join\b(?! lateral)/g, "join"],
  ["set", /\bunion all\b/g, "union"],
  ["limit", /(?<=\blimit )1\b/g, ["2", "0"]],
  ["limit", /\blimit (?=\$\{)/g, "limit 1 + "],
  ["arithmetic", / \+ /g, " - "],
  ["arithmetic", / - /g, " + "],
  ["number", /(?<![\w.$'"-])-1(?![\w.])/g, ["0", "-2"]],
  ["number", /(?<![\w.$'"{-])[01](?![\w.'"])/g, "7"],
  ["name", /'__snapshot__'/g, "'__tombstone__'"],
];

/** Whether a text is a statement or a part of one: words that messages to people do not use. */
function isSql(text: string): boolean {
  return /::(?:text|int|bigint|float8|jsonb)\b|\b(?:select|insert into|delete from|update|order by|where|greatest|coalesce)\b.*[(=_$"]|\b[sexcghmpwb]\.\w+ (?:=|<|>|is|desc)|\bretry = |~>|~</s.test(
    text,
  );
}

type Mutation = {
  readonly from: number;
  readonly until: number;
  readonly change: string;
  readonly to: string;
};

function mutationsOf(text: string): Mutation[] {
  const found: Mutation[] = [];
  const taken: { from: number; until: number }[] = [];
  for (const [change, pattern, to] of rules)
    for (const match of text.matchAll(pattern)) {
      const from = match.index;
      const until = from + match[0].length;
      if (taken.some((t) => from < t.until && t.from < until)) continue;
      taken.push({ from, until });
      for (const option of typeof to === "string" ? [to] : to)
        found.push({ from, until, change, to: option });
    }
  return found.sort((a, b) => a.from - b.from);
}

/** The SQL mutants of the module that exports `exported`, for the tests that its deliberate defects are given to. */
export function sqlMutants(exported: string, defects: readonly Defect[]): Defect[] {
  const module = moduleOf(exported);
  const own = defects.filter((defect) => moduleOf(defect.exported) === module);
  if (own.length === 0)
    throw new Error(`no deliberate defect is in ${module.file}, so its tests are not known`);
  const tests = [...new Set(own.flatMap((defect) => defect.tests))];
  const filter = own.some((defect) => defect.filter === "")
    ? ""
    : [...new Set(own.map((defect) => defect.filter))].join("|");
  return textsOf(module)
    .filter(({ text }) => isSql(text))
    .flatMap(({ text, offsets }) =>
      mutationsOf(text).map(({ from, until, change, to }): Defect => {
        const [start = 0, end = 0] = [offsets[from], offsets[until]];
        const lines = module.source.slice(0, start).split("\n");
        const place = `${module.file}:${lines.length}:${(lines.at(-1)?.length ?? 0) + 1}`;
        const defect = `${place} ${change}: "${text.slice(from, until)}" → "${to}"`;
        return { defect, exported, edits: [() => [{ start, end, text: to }]], tests, filter };
      }),
    );
}
