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
const LATER = "refused just after, for the same reason:";
const TIME = "a matter of one microsecond";
const MEANWHILE = `${COST} asked before already, so only what another call has changed meanwhile is written again`;
const UNREAD = "the value is not read";
const NO_RANGE = "a range without one end holds nothing";
const UNTOLD = "what fails there is caught, and told to nobody";
const ANY_INDEX = `${COST} the planner chooses how the prefix is read (test/plans looks at that)`;

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
    "| () => this.#committing.delete(noted) |",
  ),
  same(`${COST} one row more`, "notify.ts", "limit 1 +"),
  same("each start has a number of its own either way", "notify.ts", "| --this.#turn"),
  same(NO_RANGE, "notify.ts", "| heard.from === undefined", "| false"),
  same(NO_RANGE, "notify.ts", "| heard.from === undefined && heard.to === undefined"),
  same(NO_RANGE, "notify.ts", "| heard.to === undefined | false"),
  same(NO_RANGE, "notify.ts", "| from !== undefined && to !== undefined | true"),
  same(NO_RANGE, "notify.ts", "| from !== undefined || to !== undefined"),
  same(NO_RANGE, "notify.ts", "| from !== undefined | true"),
  same(NO_RANGE, "notify.ts", "| to !== undefined | true"),
  same(NO_RANGE, "notify.ts", "known: []", "Stryker was here"),
  same("what follows finds no record either", "notify.ts", "{ return undefined; } | {}"),
  same(UNTOLD, "notify.ts", "if (!away) return;", "| false"),
  same(UNTOLD, "notify.ts", 'const rows = await connections.read("notify"', '"notify" | ""'),
  same("no id is below 1", "notify.ts", "Math.max(this.#head ?? -1, last)", "| -1 | +1"),
  same(`${COST} the few are found without their index`, "query.ts", "| using ~<~ | using ~>~"),
  same(`${COST} one more is counted`, "query.ts", "order by e.stream using", "| limit 1 +"),
  same(ANY_INDEX, "query.ts", "function prefixRange(", "| {} |"),
  same(ANY_INDEX, "query.ts", "q.stream && !q.stream_exact | false"),
  same(ANY_INDEX, "query.ts", 'pattern?.kind !== "prefix" | true'),
  same(ANY_INDEX, "query.ts", '"prefix" | ""'),
  same(ANY_INDEX, "query.ts", "| ` || ''` | `` |"),
  same("what the name is for has been refused before, with it", "query.ts", 'where.match("stream"', '"" |'),
  same("any text stands for unknown", "queue.ts", 'fates[i] ?? "unknown" | '),
  same("any text stands for unknown", "queue.ts", 'fates[i] ?? "unknown";', '| "unknown" | ""'),
  same("its text is never seen", "queue.ts", 'super("lost");'),
  same(
    "a matter of the clock's tick",
    "queue.ts",
    "- w.since > deadline | performance.now() - w.since >= deadline",
  ),
  same("to send nothing is to do nothing", "queue.ts", "if (again.length > 0)"),
  same(
    `${DEFENSIVE} an outcome for each commit, or an error`,
    "queue.ts",
    "if (outcome) w.done(outcome, created); | outcome | true",
  ),
  same(
    `${DEFENSIVE} an outcome for each commit, or an error`,
    "queue.ts",
    "else w.failed(unknown()); | w.failed(unknown()); | ;",
  ),
  same(`${COST} more timers`, "queue.ts", "if (this.#expiry) return; | this.#expiry | false"),
  same(`${COST} looked at each millisecond`, "queue.ts", "oldest.since + deadline | oldest.since - deadline"),
  same(
    `${COST} a group of nothing is sent`,
    "queue.ts",
    "if (group.length === 0) return; | group.length === 0 | false",
  ),
  same(`${DEFENSIVE} an outcome for each commit, or an error`, "queue.ts", "outcome?.ids | outcome.ids"),
  {
    file: "queue.ts",
    has: ["statement_timeout > 0 | true"],
    reason: "three attempts end before that patience does, unless each is refused after seconds only",
    same: false,
  },
  same("any text that is no code stands for none", "queue.ts", '(error) ?? ""', '| "" | "Stryker was here!"'),
  {
    file: "recover.ts",
    has: ["pg_logical_emit_message"],
    reason: "test/faults/failover notices, with a standby that hangs: its servers are too slow for this run",
    same: false,
  },
  {
    file: "recover.ts",
    has: ["$1::text::xid8 < pg_snapshot_xmax", "| < | <="],
    reason: "an id that is given at that very moment is in progress: absent either way",
    same: false,
  },
  same(
    "prints are not looked at where there are no ids",
    "recover.ts",
    'typeof array === "string" ? array.slice(1, -1)',
    '| [] | ["Stryker was here"]',
  ),
  same(`${DEFENSIVE} what was asked is answered`, "recover.ts", "[, places = [], rows = [], answer = []]"),
  same(
    "absent or not: the head is not above what was expected",
    "recover.ts",
    "c.stream order by",
    "| -1 | -2 |",
  ),
  same(`${COST} an INSERT of nothing`, "restore.ts", "if (full.length > 0)"),
  same("names of tables are checked to hold no quotes", "restore.ts", "replaceAll", "'\"\"'"),
  same("names of tables are checked to hold no quotes", "restore.ts", "replaceAll", '"\'" | ""'),
  same("names of tables are checked to hold no quotes", "restore.ts", "replaceAll", '"\'\'" | ""'),
  same(`${COST} a batch a character longer`, "restore.ts", "text >= BATCH_TEXT | text > BATCH_TEXT"),
  same("an event that was encoded is there", "restore.ts", "if (!encoded)"),
  same(`${DEFENSIVE} the column holds objects or null`, "row.ts", 'typeof value === "object" | true'),
  same("what is then read is undefined as well", "row.ts", "row.pii === undefined | false"),
  same("undefined is as good as false", "stats.ts", "{ pii: false } | {}"),
  same(`${COST} counts that are not read`, "stats.ts", "const counting"),
  same("a full page has a last row", "stats.ts", "rows.at(-1)?.stream"),
  same("ascending is the default", "stats.ts", "edge(`asc`)", "| `asc` | ``"),
  same(`${DEFENSIVE} counts are an object or null`, "stats.ts", 'typeof value === "object" | true'),
  same(`${COST} every stream is looked at twice`, "stats.ts", "limit 1)", "| 1 | 2"),
  same("without counts there are none to read", "stats.ts", "options.count || options.names | true"),
  same(
    `${DEFENSIVE} a stream on the page has an event`,
    "stats.ts",
    'typeof value === "object" && value !== null |',
  ),
  same(`${DEFENSIVE} a stream on the page has an event`, "stats.ts", "value !== null | true"),
  same("the walk never comes to a stream twice", "stats.ts", "union all"),
  same("a stream that is not in the answer counts 0", "truncate.ts", "left join"),
  same("undefined is as good as false", "truncate.ts", "{ pii: false } | {}"),
  same(`${DEFENSIVE} a row of none of the targets`, "truncate.ts", "windowed[Number(row.ord) - 1]?.before |"),
  same(`${DEFENSIVE} what was asked is answered`, "truncate.ts", "answers.shift() ?? []", "| [] |"),
  same(`${DEFENSIVE} each seed has an id`, "truncate.ts", "ids[i] ?? -1", "| -1 | +1"),
  same(`${COST} statements over no stream`, "truncate.ts", "full.length > 0"),
  same(`${DEFENSIVE} it always has a row`, "truncate.ts", "seeded?."),
  same(`${DEFENSIVE} it always has a row`, "truncate.ts", "answers[1]?."),
  same("an event that was encoded is there", "truncate.ts", "events[0]?."),
  same("only targets with a date come here", "truncate.ts", "t.before?."),

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
