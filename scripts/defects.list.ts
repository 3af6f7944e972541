/** Deliberate defects: what is changed where, and which part of the suite must notice. */
import { code, type Defect, on, sql, sqlEverywhere } from "./defects.define.ts";
import { replicaDefects } from "./defects.replicas.ts";
import { writePathDefects } from "./defects.write-path.ts";

const catchUp = ["test/notifications/catch-up.test.ts"];
const query = on("query", "Q\\d");
const page = on("pageQuery", "Q\\d");
const streamPage = on("streamPage", "Q\\d");
const parts = on("Parts", "Q\\d");
const pattern = on("toPattern", "Q8");
const stats = on("queryStats", "R\\d");
const truncate = on("truncate", "R\\d|M9");
const restore = on("restore", "R7");
const claim = on("claimStatement", "L\\d");
const ack = on("ack", "L\\d");
const block = on("block", "L\\d");
const subscribe = on("subscribe", "S\\d");
const positions = on("queryStreams", "R\\d");

const notifyDefects: readonly Defect[] = [
  on(
    "Notifier",
    "own commits are left out",
    catchUp,
  )(
    "an own commit whose notification went with the connection is told as another's",
    code("ReturnStatement > LogicalExpression[operator='||'][left.callee.property.name='has']", "${right}"),
  ),
  on(
    "Notifier",
    "a forged payload",
    catchUp,
  )(
    "catch-up hides whatever ids a payload has named",
    code(
      "ReturnStatement > LogicalExpression[operator='||'] > BinaryExpression[left.callee.property.name='get']",
      "${left} !== undefined",
    ),
  ),
  on("parsePayload", "N2")(
    "an id in a payload may be any number",
    code("LogicalExpression[left.right.callee.property.name='isSafeInteger']", "${left.left}"),
  ),
  on("Notifier", "N\\d")(
    "a store hears itself",
    code("IfStatement[test.operator='||'][test.right.left.property.name='by'] > .test", "${left}"),
  ),
  on("Listener", "intervals at which a listener tries again", ["test/postgres/listener.test.ts"])(
    "a lost listener stays away",
    code("@closed BlockStatement > ExpressionStatement:last-child", ""),
  ),
];

const readDefects: readonly Defect[] = [
  streamPage("after is inclusive in a stream", sql("e.id > ${}", "e.id >= ${}")),
  parts("after is inclusive in the log", code("ArrayExpression > Literal[value='>']", '">="')),
  streamPage("before is inclusive in a stream", sql("e.id < ${}", "e.id <= ${}")),
  parts("before is inclusive in the log", code("ArrayExpression > Literal[value='<']", '"<="')),
  streamPage("the snapshot floor leaves the snapshot out", sql("e.id >= coalesce(", "e.id > coalesce(")),
  streamPage(
    "a snapshot that comes during a load moves its beginning",
    sql("'${}'${} order by s.id desc", "'${}' order by s.id desc"),
  ),
  streamPage(
    "after: 0 is none",
    code("LogicalExpression[operator='&&'][left.right.property.name='stream_exact'] > .right", "!${left}"),
  ),
  streamPage(
    "a page of a stream with a filter is in no order",
    sql("order by e.id${} limit ${}", "order by e.name limit ${cap}"),
  ),
  streamPage(
    "backward is ascending in a stream",
    code("ConditionalExpression[test.property.name='backward'][consequent.value=' desc']", '""'),
  ),
  page(
    "backward is ascending in the log",
    code("ConditionalExpression[test.property.name='backward'] > .consequent", '""'),
  ),
  parts("names: [] is no filter", code("@namesOf IfStatement > .test", "!names?.length")),
  streamPage(
    "a stream includes its snapshots",
    code("IfStatement[test.right.argument.property.name='with_snaps']", ";"),
  ),
  page(
    "an empty query includes snapshots",
    code("ConditionalExpression:has(.test [property.name='with_snaps'])", "undefined"),
  ),
  query(
    "the next page repeats its first event",
    code(
      "ConditionalExpression[test.expression.property.name='backward'] > .alternate Property[key.name='after'] > .value",
      "${this} - 1",
    ),
  ),
  pattern(
    "a dot matches a literal dot only",
    code("IfStatement[test.right.value='.'] > ReturnStatement > .argument", '{ text: "\\\\." }'),
  ),
  pattern(
    "\\b is passed to PostgreSQL, which reads a backspace",
    code("IfStatement[test.operator='||'][test.left.callee.property.name='test'] > .test", "${right}"),
  ),
  stats("excluded events count as heads", sql("x.name <> all(", "x.name <> any(")),
  stats("the page starts at its cursor, not behind it", sql("e.stream ~>~ ${}", "e.stream ~>=~ ${}")),
  positions("the cursor is inclusive", sql("s.stream ~>~ ${}", "s.stream ~>=~ ${}")),
  positions("an alternative is no pattern", sql("(){}|", "(){}")),
  positions("order ignores case", sql("order by s.stream using ~<~ limit", "order by lower(s.stream) limit")),
];

const valueDefects: readonly Defect[] = [
  on("refusedJson", "M6")(
    "U+0000 is not looked for in payloads",
    code("@refusedJson ConditionalExpression > .test", "false"),
  ),
  on("datePaths", "D1")(
    "dates in arrays are not noted",
    code("ForStatement [expression.callee.property.name='push'] + ExpressionStatement", ";"),
  ),
  on("encrypt", "pii", ["test/values"])(
    "pii is stored as it is",
    code("@encrypt ReturnStatement > .argument", "json"),
  ),
  on("forgetPii", "P1")(
    "forgetting reaches every stream",
    sql("where stream = $1::text and pii is not null", "where $1::text is not null and pii is not null"),
  ),
];

const logDefects: readonly Defect[] = [
  truncate("a windowed truncate takes its boundary too", sql("e.id < b.id", "e.id <= b.id")),
  truncate("max_id is exclusive", sql("x.id <= t.max_id", "x.id < t.max_id")),
  truncate(
    "max_id: 0 is none",
    code("ConditionalExpression[test.left.left.property.name='max_id'] > .test", "!${left.left}"),
  ),
  truncate(
    "a truncate does not take the append lock",
    code("@truncate VariableDeclarator > ArrayExpression > CallExpression", '{ text: "select 1" }'),
  ),
  restore(
    "restore keeps the subscriptions",
    code("@wipe BlockStatement > ExpressionStatement:last-child", ""),
  ),
  on("drop", "C7")(
    "drop forgets the checkpoints",
    sql("drop table if exists ${}, ${}, ${}", "drop table if exists ${}, ${}"),
  ),
];

const claimDefects: readonly Defect[] = [
  on("claimStatement", "tries again", ["test/subscriptions/lock-timeout.test.ts"])(
    "a claim waits where SKIP LOCKED does",
    sql("set_config('lock_timeout', '${}', true) is not null", "true"),
  ),
  claim(
    "the arms behind the first look only when it found more than it may take",
    sql(/(?<=count\(\*\) from \w+\) )>=/, ">"),
  ),
  claim("a blocked stream is claimed", sql("not s.blocked and", "")),
  claim("a caught-up stream is claimed", sql("s.at < s.correlated_at", "s.at <= s.correlated_at")),
  claim("live leases are not respected", sql("coalesce(s.leased_until <= now(), true)", "true")),
  claim(
    "deferred streams are claimed early",
    sql("s.deferred_at <= (select due from call)", "s.deferred_at is not null"),
  ),
  claim("locked rows are waited for", sql("for update of s skip locked", "for update of s")),
  on("claim", "L\\d")(
    "the oldest get no fair share",
    code("CallExpression[callee.property.name='max']:has([callee.property.name='floor'])", "0"),
  ),
  claim(
    "what is due again comes behind all that was never deferred",
    sql(") both_kinds order by ${} limit", ") both_kinds limit"),
  ),
  on("claimStatement", "L\\d|takes its place", ["test/subscriptions/claims.test.ts"])(
    "what is not due is claimed before it is known whether something is",
    code("TemplateElement[value.raw=/^ and not any_due$/], Literal[value=' and not any_due']", '""'),
  ),
  claim("priorities are turned round", sql("priority desc, ${}at", "priority, ${}at")),
  claim(
    "priority decides among few of those that are due",
    code("VariableDeclarator[id.name='DUE'] > .init", "16"),
  ),
];

const subscriptionDefects: readonly Defect[] = [
  // Checked twice, before and under the lock: one of the checks alone could go unnoticed.
  ack("anybody's ack lands", sql("s.leased_by = g.by", "true"), sql("and s.leased_by = h.by", "")),
  ack(
    "a due entry is returned as acknowledged",
    code("IfStatement[test.operator='||'][test.left.operator='!'] > .test", "${left}"),
  ),
  ack("retry stays after an ack", sql("case when h.due is null then -1 else h.retry end", "h.retry")),
  on("ack", "ack locks subscriptions", ["test/subscriptions/lock-order.test.ts"])(
    "an ack locks its rows in no order",
    sql("order by s.stream for update of s", "for update of s"),
  ),
  block("a blocked stream is blocked again", sqlEverywhere("and not s.blocked", "")),
  block("blocking clears no schedule", sql(", deferred_at = null", "")),
  subscribe(
    "the lane is written whatever the priority",
    sql("case when excluded.priority >= s.priority then excluded.lane else s.lane end", "excluded.lane"),
  ),
  subscribe(
    "a mark can go back",
    sql("greatest(s.correlated_at, excluded.correlated_at)", "excluded.correlated_at"),
  ),
  subscribe("a new subscription starts at retry 0", sql("mark, -1, -1 from", "mark, 0, -1 from")),
  subscribe(
    "the correlator lease goes to whoever asks",
    sql(
      "case when ${} then case when ${}::float8 > 0 then excluded.leased_by end else c.leased_by end",
      "excluded.leased_by",
    ),
  ),
  subscribe("a new key starts at its argument", sql("::text, greatest(-1, now.at", "::text, greatest(-1")),
  on("reset", "L11")(
    "reset leaves the lease",
    sql("leased_by = null, leased_until = null, deferred_at = null", "deferred_at = null"),
  ),
  on("unblock", "L11")(
    "unblock counts all",
    code("ExpressionStatement:has(Literal[value='s.blocked'])", ";"),
  ),
  on("prioritize", "L11")("prioritize counts the unchanged", sql("s.priority <> ${}::int", "true")),
  on("defer", "L10")("defer keeps the attempts", sql(", retry = -1", "")),
  on("retrying", "L13")(
    "what the server has undone is not run again",
    code("ArrayExpression > Literal[value='40001']", '"40P01"'),
  ),
  on("Operations", "carried out", ["test/store"])(
    "dispose does not wait for what was called before",
    code("@close IfStatement > .test", "true"),
  ),
];

/** What finds work, shares connections, compares indexes, and handles events once. */
const besideDefects: readonly Defect[] = [
  on("claimableQuery", "", ["test/plans/look-out.test.ts"])(
    "a look for work reads all that waits in a lane",
    sql(
      "s.lane = any(array[l.lane]) order by s.lane, s.at limit",
      "coalesce(s.lane = l.lane, false) order by s.lane, s.at limit",
    ),
  ),
  on("Uncorrelated", "", ["test/notifications/uncorrelated.test.ts"])(
    "an event that the app knows is never looked for again",
    code("VariableDeclarator[id.name='withKnown'] > .init", "false"),
  ),
  on("Correlators", "", ["test/notifications/own-checkpoint.test.ts"])(
    "an app that has read an event hides it from another app",
    code("MethodDefinition[key.name='keys'] ReturnStatement > .argument", '[""]'),
  ),
  on("writeAnnounced", "", ["test/notifications/announce.test.ts"])(
    "an operator's work is announced to nobody",
    code("@writeAnnounced IfStatement[test.operator='!'] > .test", "true"),
  ),
  on("Pool", "", ["test/postgres/few-connections.test.ts"])(
    "a connection that is refused fails its caller, though others come free",
    code("@refused IfStatement[test.operator='>'] > .test", "false"),
  ),
  on("hasDefinition", "", ["test/migrations/plan-indexes.test.ts"])(
    "an index of the store's name counts as right, whatever its columns",
    code("@hasDefinition BinaryExpression[left.type='CallExpression']", "true"),
  ),
  on("handleRows", "", ["test/projections/exactly-once.test.ts"])(
    "a flush goes back behind what was handled",
    sql(" where p.at < excluded.at", ""),
  ),
];

export const defects: readonly Defect[] = [
  ...writePathDefects,
  ...notifyDefects,
  ...valueDefects,
  ...readDefects,
  ...logDefects,
  ...claimDefects,
  ...subscriptionDefects,
  ...besideDefects,
  ...replicaDefects,
];
