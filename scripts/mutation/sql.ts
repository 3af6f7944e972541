/**
 * Mutants inside SQL texts, which no mutation tester knows: an operator, an order, a limit, a lock at a time.
 * Most of this store's decisions are made there.
 */

export type SqlChange = {
  /** Where in the literal's raw text, and how long. */
  readonly start: number;
  readonly end: number;
  readonly change: string;
  readonly to: string;
};

type Rule = readonly [change: string, pattern: RegExp, to: string | readonly string[]];

/** The first rule that fits a place has it; `$` means as in String.replace. */
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
  ["limit", /\blimit (?=$)/g, "limit 1 + "],
  ["arithmetic", / \+ /g, " - "],
  ["arithmetic", / - /g, " + "],
  ["number", /(?<![\w.$'"-])-1(?![\w.])/g, ["0", "-2"]],
  ["number", /(?<![\w.$'"{-])[01](?![\w.'"])/g, "7"],
  ["name", /'__snapshot__'/g, "'__tombstone__'"],
];

/** Whether a literal holds SQL: enough of its vocabulary, which messages to people do not use. */
export function isSql(text: string): boolean {
  return /::(?:text|int|bigint|float8|jsonb)\b|\b(?:[sexcghmpwb])\.\w+|\b(?:select|insert into|delete from|update|order by|where|greatest|coalesce)\b.*[(=_$"]|^(?:begin|commit)\b|\bretry = |~>|~</s.test(
    text,
  );
}

export function sqlChanges(text: string): SqlChange[] {
  const found: SqlChange[] = [];
  const taken: { start: number; end: number }[] = [];
  for (const [change, pattern, to] of rules) {
    for (const match of text.matchAll(pattern)) {
      const start = match.index;
      const end = start + match[0].length;
      // A place of no length (something is put in) is taken by itself only.
      if (taken.some((t) => start < t.end && t.start < end)) continue;
      taken.push({ start, end });
      for (const option of typeof to === "string" ? [to] : to) found.push({ start, end, change, to: option });
    }
  }
  return found.sort((a, b) => a.start - b.start);
}
