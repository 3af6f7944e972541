/** Deliberate defects: what is changed where, and which part of the suite must notice. */
import { across, type Defect, on } from "./defects.define.ts";
import { writePathDefects } from "./defects.write-path.ts";

const query = on("src/events/query.ts", "Q\\d");
const stats = on("src/events/query-stats.ts", "R\\d");
const truncate = on("src/events/truncate.ts", "R\\d|M9");
const restore = on("src/events/restore.ts", "R7");
const claim = on("src/subscriptions/claim.ts", "L\\d");
const ack = on("src/subscriptions/ack.ts", "L\\d");
const block = on("src/subscriptions/block.ts", "L\\d");
const subscribe = on("src/subscriptions/subscribe.ts", "S\\d");
const positions = on("src/subscriptions/query-streams.ts", "R\\d");

export const defects: readonly Defect[] = [
  ...writePathDefects,
  on("src/notifications/notify.ts", "own commits are left out", ["test/notifications/catch-up.test.ts"])(
    "an own commit whose notification went with the connection is told as another's",
    "this.#own.ids.has(id) || ",
    "",
  ),
  on("src/notifications/notify.ts", "a forged payload", ["test/notifications/catch-up.test.ts"])(
    "catch-up hides whatever ids a payload has named",
    "this.#received.get(id) === stream",
    "this.#received.has(id)",
  ),
  on("src/notifications/payload.ts", "N2")(
    "an id in a payload may be any number",
    "Number.isSafeInteger(value) && value > 0",
    "true",
  ),
  on("src/subscriptions/claim.ts", "tries again", ["test/subscriptions/lock-timeout.test.ts"])(
    "a claim waits where SKIP LOCKED does",
    "(select given from limited) and not s.blocked",
    "not s.blocked",
  ),
  on("src/operations.ts", "carried out", ["test/store"])(
    "dispose does not wait for what was called before",
    "if (this.#running.size === 0) return;",
    "return;",
  ),
  on("src/values/json-dates.ts", "M6")(
    "U+0000 is not looked for in payloads",
    'text.includes("\\\\u") && REFUSED.test(text)',
    "false",
  ),
  on("src/values/json-dates.ts", "D1")(
    "dates in arrays are not noted",
    "path.push(i);\n      collect(item, path, found);",
    "path.push(i);",
  ),
  query("after is inclusive", "e.id > ${where.param", "e.id >= ${where.param"),
  query("before is inclusive", "e.id < ${where.param", "e.id <= ${where.param"),
  query(
    "the snapshot floor leaves the snapshot out",
    "where.add(`e.id >= coalesce(",
    "where.add(`e.id > coalesce(",
  ),
  query(
    "a snapshot that comes during a load moves its beginning",
    "'${known} order by s.id desc",
    "' order by s.id desc",
  ),
  query("after: 0 is none", "range.after === undefined) {", "!range.after) {"),
  query("a page is in no order", "order by e.id${q.backward ? ` desc` : ``} limit", "limit"),
  query("backward is ascending", "q.backward ? ` desc` : ``", "q.backward ? `` : ``"),
  query("names: [] is no filter", "    return 0;", "    q = { ...q, names: undefined };"),
  query("an empty query includes snapshots", "if (!q.with_snaps) where.add(`e.name <> '__snapshot__'`);", ""),
  query("the next page repeats its first event", "after: last };", "after: last - 1 };"),
  on("src/values/pattern.ts", "Q8")(
    "a dot matches a literal dot only",
    'if (c === ".") return { text: DOT };',
    'if (c === ".") return { text: "\\\\." };',
  ),
  on("src/values/pattern.ts", "Q8")(
    "\\b is passed to PostgreSQL, which reads a backspace",
    "if (/[A-Za-z0-9]/.test(c) || isAstral(c)) throw new Refused(`\\\\${c}`);",
    "if (isAstral(c)) throw new Refused(c);",
  ),
  stats("excluded events count as heads", "x.name <> all(", "x.name <> any("),
  stats(
    "the page starts at its cursor, not behind it",
    "from.push(`e.stream ~>~ ${where.param(after)}::text`);",
    "from.push(`e.stream ~>=~ ${where.param(after)}::text`);",
  ),
  truncate("a windowed truncate takes its boundary too", "e.id < b.id returning", "e.id <= b.id returning"),
  truncate("max_id is exclusive", "x.id <= t.max_id", "x.id < t.max_id"),
  truncate("max_id: 0 is none", "t.max_id === undefined || t.max_id === null", "!t.max_id"),
  truncate(
    "a truncate does not take the append lock",
    "[lockAppends(names, connections.deadline)]",
    '[{ text: "select 1" }]',
  ),
  restore(
    "restore keeps the subscriptions",
    "delete from ${streams} s using all_rows a where s.stream = a.stream",
    "select 1 from ${streams} limit 1",
  ),
  restore(
    "the first id after a restore is taken already",
    "restart with ${next}",
    "restart with ${Math.max(1, next - 1)}",
  ),
  claim(
    "the arms behind the first look only when it found more than it may take",
    "from byPriority) >= ${byPriority}`;",
    "from byPriority) > ${byPriority}`;",
  ),
  claim(
    "a blocked stream is claimed",
    "and not s.blocked and s.at < s.correlated_at",
    "and s.at < s.correlated_at",
  ),
  claim("a caught-up stream is claimed", "s.at < s.correlated_at\n", "s.at <= s.correlated_at\n"),
  claim("live leases are not respected", "and (s.leased_until is null or s.leased_until <= now())", ""),
  claim(
    "deferred streams are claimed early",
    "s.deferred_at is not null and s.deferred_at <= ${NOW}",
    "s.deferred_at is not null",
  ),
  claim("locked rows are waited for", "for update of s skip locked", "for update of s"),
  claim("the oldest get no fair share", "Math.max(1, Math.floor(behind / 4))", "0"),
  claim(
    "what is due again comes behind all that was never deferred",
    ") s order by ${order} limit ${limit}`;\n  // If the first arm",
    ") s limit ${limit}`;\n  // If the first arm",
  ),
  claim("priorities are turned round", '"s.priority desc, s.at"', '"s.priority, s.at"'),
  // Checked twice, before and under the lock: one of the checks alone could go unnoticed.
  across("src/subscriptions/ack.ts", "L\\d")(
    "anybody's ack lands",
    ["s.leased_by = g.by", "true"],
    [" and s.leased_by = h.by", ""],
  ),
  ack(
    "a due entry is returned as acknowledged",
    "if (!row || (lease.due !== undefined && lease.due !== null)) return [];",
    "if (!row) return [];",
  ),
  ack("retry stays after an ack", "case when h.due is null then -1 else h.retry end", "h.retry"),
  on("src/subscriptions/ack.ts", "ack locks subscriptions", ["test/subscriptions/lock-order.test.ts"])(
    "an ack locks its rows in no order",
    "order by s.stream for update of s",
    "for update of s",
  ),
  block("a blocked stream is blocked again", " and not s.blocked", ""),
  block("blocking clears no schedule", "error = h.error, deferred_at = null", "error = h.error"),
  subscribe(
    "the lane is written whatever the priority",
    "lane = case when excluded.priority >= s.priority then excluded.lane else s.lane end",
    "lane = excluded.lane",
  ),
  subscribe(
    "a mark can go back",
    "correlated_at = greatest(s.correlated_at, excluded.correlated_at)",
    "correlated_at = excluded.correlated_at",
  ),
  subscribe(
    "a new subscription starts at retry 0",
    "select stream, source, priority, lane, mark, -1, -1 from",
    "select stream, source, priority, lane, mark, 0, -1 from",
  ),
  subscribe(
    "the correlator lease goes to whoever asks",
    "case when ${free} then excluded.leased_by else c.leased_by end",
    "excluded.leased_by",
  ),
  subscribe(
    "a new key starts at its argument",
    "greatest(-1, coalesce((select at from ${correlated} where key = ''), -1)${at",
    "greatest(-1${at",
  ),
  positions(
    "the cursor is inclusive",
    "s.stream ~>~ ${where.param(after)}",
    "s.stream ~>=~ ${where.param(after)}",
  ),
  positions("an alternative is no pattern", "(){}|", "(){}"),
  on("src/postgres/retriable.ts", "L13")(
    "what the server has undone is not run again",
    'new Set(["40001", "40P01"])',
    'new Set(["40P01"])',
  ),
  positions("order ignores case", "order by s.stream using ~<~ limit", "order by lower(s.stream) limit"),
  on("src/subscriptions/reset.ts", "L11")(
    "reset leaves the lease",
    "leased_by = null, leased_until = null, deferred_at = null",
    "deferred_at = null",
  ),
  on("src/subscriptions/unblock.ts", "L11")("unblock counts all", 'where.add("s.blocked");', ""),
  on("src/subscriptions/prioritize.ts", "L11")(
    "prioritize counts the unchanged",
    "s.priority <> ${value}::int",
    "true",
  ),
  on("src/subscriptions/defer.ts", "L10")("defer keeps the attempts", ", retry = -1`", "`"),
  on("src/events/forget-pii.ts", "P1")(
    "forgetting reaches every stream",
    "where stream = $1::text and pii is not null",
    "where $1::text is not null and pii is not null",
  ),
  on("src/notifications/notify.ts", "N\\d")(
    "a store hears itself",
    "if (!payload || payload.by === this.#context.by) return;",
    "if (!payload) return;",
  ),
  on("src/postgres/listener.ts", "N\\d")("a lost listener stays away", "this.#again(FIRST_DELAY);", ""),
  on("src/migrations/drop.ts", "C7")("drop forgets the checkpoints", ", ${names.correlated}", ""),
  on("src/values/pii-encryption.ts", "pii", ["test/codec"])(
    "pii is stored as it is",
    'return Buffer.concat([Buffer.of(VERSION), iv, cipher.getAuthTag(), body]).toString("base64");',
    "return json;",
  ),
];
