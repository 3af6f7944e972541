/** Why mutants live: by file and by parts of the mutant's key (file, mutator, line, change); the first that fits. */
import type { Mutant } from "./mutants.ts";

export type Reason = {
  readonly file: string;
  readonly has: readonly string[];
  readonly reason: string;
  /** True: no test can tell the mutant from the original by what it does. */
  readonly same: boolean;
};

const same = (reason: string, file: string, ...has: string[]): Reason => ({ file, has, reason, same: true });

const COST = "same result, at another cost:";
const DEFENSIVE = "for an answer that the database never gives:";
const EACH = "each commit has an outcome,";
const LATER = "refused just after, for the same reason:";
const TIME = "a matter of one microsecond";
const MEANWHILE = `${COST} asked before already, so only what another call has changed meanwhile is written again`;
const UNREAD = "the value is not read";
const UNTOLD = "what fails there is caught, and told to nobody";
const ANY_INDEX = `${COST} the planner chooses how the prefix is read (test/plans looks at that)`;

/** Noticed, but by a test that is no part of these runs. */
const elsewhere = (test: string, file: string, ...has: string[]): Reason => ({
  file,
  has,
  reason: `noticed by ${test}, which these runs leave out`,
  same: false,
});

const HASHED = "test/subscriptions/lock-order.test.ts where PostgreSQL joins by hashing";

const reasons: readonly Reason[] = [
  same(
    `${DEFENSIVE} decryption fails as well, with the same error`,
    "encryption.ts",
    "bytes.length < HEADER",
  ),
  same("the text is never seen: every error becomes the same", "encryption.ts", '"not an envelope"'),
  same("the tag is always given whole: the length is the default", "encryption.ts", "authTagLength"),
  same("UTF-8 is the default", "encryption.ts", '"utf8" | ""'),
  same(`${COST} the whole text is decoded for its first byte`, "encryption.ts", "value.slice(0, 4) | value"),
  same(
    "what follows looks into lists as into records",
    "json.ts",
    "value[i] = reviveDates(value[i])",
    "Array.isArray(value) | false",
  ),
  same("behind the end is undefined, which is passed over", "json.ts", "i++) {", "i <= value.length"),
  same(`${COST} every text is searched`, "json.ts", '"\\\\u" | ""'),
  same(`${LATER} an escaped letter in a class`, "pattern.ts", 'reader.peek() === "b"'),
  same("no other character begins a count in braces", "pattern.ts", 'c !== "{" | false'),
  same(
    "to PostgreSQL a backslash before what is neither letter nor digit changes nothing",
    "pattern.ts",
    "charCodeAt(0) >= 127",
  ),
  same("RegExp has refused it before", "pattern.ts", "if (!reader.done) throw"),
  same("reading throws nothing else", "pattern.ts", "error instanceof RangeError | true"),
  same("RegExp has refused it before", "pattern.ts", "a backslash at the end", "c === undefined | false"),
  same("RegExp has refused it before", "pattern.ts", '"a backslash at the end" | ""'),
  same(
    "the loop goes on only while something is left",
    "pattern.ts",
    "const c = reader.next() ??",
    '| "" | "Stryker',
  ),
  same("RegExp has refused it before", "pattern.ts", "that repeats nothing"),
  same("RegExp has refused it before", "pattern.ts", "from.char > to.char | false"),
  same("RegExp has refused it before", "pattern.ts", "a quantified anchor"),
  same("RegExp has refused it before", "pattern.ts", "a quantifier on a quantifier"),
  same("RegExp has refused it before", "pattern.ts", "an unmatched )"),
  same("RegExp has refused it before", "pattern.ts", "an unclosed"),

  same(
    "whatever is thrown there is told as OUTCOME_UNKNOWN",
    "append.ts",
    "const mismatch =",
    "() => undefined",
  ),
  elsewhere("PostgresStore D2 in a fresh process", "append.ts", "clock_timestamp()", "| now("),
  same(UNREAD, "append.ts", "count(*) + 1"),
  same(
    "ranges of ids do not overlap: their ends are in the same order",
    "append.ts",
    "| order by min(i.id) | min( | max(",
  ),
  same("an answer with heads is a row", "append.ts", "| row?.created | row.created"),
  same(
    "a single commit is grouped with nothing: the number means nothing",
    "append.ts",
    "select 1 as ord",
    "| 1 | 7",
  ),
  same("each row of the chain has a place of its own", "append.ts", "| union all | union |"),
  same("a stream would need 2³¹ events", "commit.ts", "| version < 2_147_483_647"),
  same("asked for only where there is a cipher", "commit.ts", "| context.cipher?.key | context.cipher.key"),
  same("null is an object", "encode.ts", "| meta !== null | true"),
  same(UNREAD, "forget.ts", "returning 1 | 1 | 7"),
  same(`${DEFENSIVE} it always has a row`, "forget.ts", "| row?.count | row.count"),
  same(
    `${COST} settled promises are kept and waited for`,
    "notify.ts",
    "| () => this.#pending.delete(noted) |",
  ),
  same(`${COST} one row more`, "notify.ts", "limit 1 +"),
  same("what follows finds no record either", "notify-payload.ts", "{ return undefined; } | {}"),
  same(UNTOLD, "notify.ts", 'const rows = await connections.read("notify"', '"notify" | ""'),
  same("what is no object has no stream either", "notify-payload.ts", '| typeof value === "object" | true |'),
  same(`${COST} the few are found without their index`, "query.ts", "| using ~<~ | using ~>~"),
  same(
    "a newest event that is the snapshot is the only one of its load",
    "query.ts",
    "and s.id <= ",
    "| <= | < |",
  ),
  same(`${COST} one more is counted`, "query.ts", "order by e.stream using", "| limit 1 +"),
  same(ANY_INDEX, "query.ts", "function prefixRange(", "| {} |"),
  same(ANY_INDEX, "query.ts", "q.stream && !q.stream_exact | false"),
  same(ANY_INDEX, "query.ts", 'pattern?.kind !== "prefix" | true'),
  same(ANY_INDEX, "query.ts", '"prefix" | ""'),
  same(ANY_INDEX, "query.ts", "| ` || ''` | `` |"),
  same("what the name is for has been refused before, with it", "query.ts", 'where.match("stream"', '"" |'),
  same("it never leaves the queue", "queue.ts", '| "lost" | ""'),
  same("any text but `absent` stands for unknown", "queue.ts", 'fates[i] ?? "unknown"', '| "unknown" | ""'),
  same("any text but `absent` stands for unknown", "queue.ts", "return [];", '| [] | ["Stryker was here"]'),
  same(`${COST} a group of none is not sent`, "queue.ts", "| again.length > 0 | true"),
  same(`${COST} a group of none is not sent`, "queue.ts", "| again.length > 0 | again.length >= 0"),
  same(`${EACH} or readOutcomes throws`, "queue.ts", "if (outcome)", "| outcome | true"),
  same(`${EACH} or readOutcomes throws`, "queue.ts", "| outcome?.ids | outcome.ids"),
  same(`${EACH} or readOutcomes throws`, "queue.ts", "else w.failed(unknown()); | w.failed(unknown()); | ;"),
  same("no class of codes begins so", "queue.ts", 'codeOf(error) ?? ""', '| "" | "Stryker was here!"'),
  same(
    "absent or not: the head is not above what was expected",
    "recover.ts",
    "c.stream order by",
    "| -1 | -2 |",
  ),
  same("asked together with the answer", "recover.ts", "rows = []", '| ["Stryker was here"] | 1'),
  same(
    "of no events there is nothing to compare",
    "recover.ts",
    'typeof array === "string"',
    '| [] | ["Stryker was here"]',
  ),
  same(
    "prints that are missing differ as well",
    "recover.ts",
    "undefined; | left.ids.length < length | false",
  ),
  same(`${COST} an INSERT of nothing`, "restore.ts", "| full.length > 0 | true"),
  same(`${COST} an INSERT of nothing`, "restore.ts", "| full.length > 0 | full.length >= 0"),
  same("names of tables are checked to hold no quotes", "restore.ts", "replaceAll", `| '""' | ""`),
  same("names of tables are checked to hold no quotes", "restore.ts", "replaceAll", `| "''" | ""`),
  same("an event that was encoded is there", "restore.ts", "| !encoded | false"),
  same("an event that was encoded is there", "restore.ts", "an event is missing", '| ""'),
  same(
    `${DEFENSIVE} the column holds objects or null`,
    "row.ts",
    "const isDatePaths",
    'typeof value === "object" | true',
  ),
  same("what is then read is undefined as well", "row.ts", "; | row.pii === undefined | false"),
  same("undefined is as good as false", "stats.ts", "| { pii: false } | {}"),
  same("the default order", "stats.ts", "| `asc` | ``"),
  same(`${COST} counts that are not read`, "stats.ts", "const counting", "| true"),
  same("a full page has a last row", "stats.ts", "| rows.at(-1)?.stream | rows.at(-1).stream"),
  same(
    "without counts there are none to read",
    "stats.ts",
    "const names",
    "| options.count || options.names | true",
  ),
  ...[
    '| typeof value === "object" && value !== null | true',
    '| typeof value === "object" && value !== null | typeof value === "object" || value !== null',
    '| typeof value === "object" | true',
    "| value !== null | true",
  ].map((has) =>
    same(
      `${DEFENSIVE} a stream on the page has an event`,
      "stats.ts",
      'if (typeof value === "object" && value',
      has,
    ),
  ),
  same("the walk never comes to a stream twice", "stats.ts", "| union all | union"),
  same("a stream that is not in the answer counts 0", "truncate.ts", "| left join | join"),
  same("undefined is as good as false", "truncate.ts", "| { pii: false } | {}"),
  same(`${COST} statements over no stream`, "truncate.ts", "| full.length > 0 | true"),
  same(`${COST} statements over no stream`, "truncate.ts", "| full.length > 0 | full.length >= 0"),
  same(
    `${DEFENSIVE} each statement has one`,
    "truncate.ts",
    "answers[0] ?? []",
    '| [] | ["Stryker was here"]',
  ),
  same(
    `${DEFENSIVE} each statement has one`,
    "truncate.ts",
    "answers.shift() ?? []",
    '| [] | ["Stryker was here"]',
  ),
  same(`${DEFENSIVE} it always has a row`, "truncate.ts", "| seeded?.ids | seeded.ids"),
  same(`${DEFENSIVE} it always has a row`, "truncate.ts", "| seeded?.created | seeded.created"),
  same(`${DEFENSIVE} it always has a row`, "truncate.ts", "| answers[1]?.[0] | answers[1][0]"),
  same(
    `${DEFENSIVE} its ordinals are those of the targets`,
    "truncate.ts",
    "| windowed[Number(row.ord) - 1]?.before | windowed[Number(row.ord) - 1].before",
  ),
  same("left out is false", "truncate.ts", "| { pii: false } | {} |"),
  same(`${COST} a transaction without a target`, "truncate.ts", "| targets.length === 0 | false |"),
  same("an event that was encoded is there", "truncate.ts", "| events[0]?.data | events[0].data"),
  same("an event that was encoded is there", "truncate.ts", "| events[0]?.dates | events[0].dates"),
  same("an event that was encoded is there", "truncate.ts", "events[0]?.data", '| "{}" | ""'),
  same("only targets with a date come here", "truncate.ts", "| t.before?.getTime | t.before.getTime"),

  elsewhere(HASHED, "ack.ts", "| for update of s |"),
  elsewhere(HASHED, "block.ts", "| for update of s |"),
  elsewhere(HASHED, "update.ts", "| for update of s |"),
  elsewhere(
    "FAULTS=long test/faults/overload/queue.test.ts",
    "queue.ts",
    "this.#waiting.length >= MAX_WAITING |",
  ),
  same("a number either way, and only that is asked", "ack.ts", 'checkNumber("ack", "retry"', "| -1 | +1"),
  same(`${COST} the later arms look in vain`, "claim.ts", "(select count(*) from prio)"),
  same(
    `${COST} an arm that may take nothing`,
    "claim.ts",
    ".filter(({ limit }) => limit > 0)",
    "| limit > 0 | limit >= 0",
  ),
  same(
    `${COST} an arm that may take nothing`,
    "claim.ts",
    ".filter(({ limit }) => limit > 0)",
    "| limit > 0 | true",
  ),
  same(`${COST} the later arms look in vain`, "claim.ts", "prio > 0 ? more", "prio > 0 | false"),
  same(`${COST} an arm that may take nothing`, "claim.ts", "MethodExpression", "const arms = ["),
  same(TIME, "claim.ts", "now()", "| <= | <"),
  same("a claim never waits: both clocks say the same", "claim.ts", "clock_timestamp() | now()"),
  same("no stream is in both, or the number beside it differs", "claim.ts", "union all | union"),
  same(
    "the source is looked for by PostgreSQL, or matches as a pattern too",
    "positions.ts",
    "METACHARACTERS",
  ),
  same(`${DEFENSIVE} it always has a row`, "positions.ts", "rows[0]?.head | rows[0].head"),
  same("a full page has a last row", "positions.ts", "found.at(-1)?.stream"),
  same("one row, whatever is in it", "positions.ts", "(select 1) one", "| 1 | 7"),
  same(`${COST} statements over no stream`, "subscribe.ts", "streams.length > 0"),
  same(`${DEFENSIVE} it always has a row`, "subscribe.ts", "row?."),
  same(TIME, "subscribe.ts", "c.leased_until < clock_timestamp()", "| < | <="),
  same(
    "differs only if it waits for a row across a lease's end",
    "subscribe.ts",
    "clock_timestamp() | now()",
  ),
  same(MEANWHILE, "subscribe.ts", "where excluded.priority > s.priority"),
  same(MEANWHILE, "subscribe.ts", "or excluded.correlated_at > s.correlated_at"),
  same(`${COST} a row is written with what it holds`, "subscribe.ts", "where c.at < excluded.at", "| < | <="),
  same("greatest(-1, …) is around it", "subscribe.ts", "greatest(-1, coalesce(", "| -1 | -2"),
  same(`${DEFENSIVE} it always has a row`, "update.ts", "row?.count | row.count"),
  same(UNREAD, "update.ts", "returning 1"),
];

export function reasonFor({ key, file }: Mutant): Reason | undefined {
  return reasons.find((r) => file.endsWith(`/${r.file}`) && r.has.every((part) => key.includes(part)));
}
