/** Deliberate defects of the write path: the append, its transaction, its recovery. */
import { code, type Defect, on, sql, sqlEverywhere } from "./defects.define.ts";

const lock = on("lockQuery", "M\\d");
const append = on("insertTexts", "M\\d");
const statements = on("insertTexts", "token|leaves an event out", ["test/events/statements.test.ts"]);
const appender = on("Appender", "", ["test/events/appender.test.ts"]);
const explicitIds = on("Appender", "", ["test/events/explicit-ids.test.ts", "test/events/appender.test.ts"]);
const queue = on("AppendQueue", "", ["test/events/queue.test.ts"]);
const inDoubt = on("AppendQueue", "", ["test/events/in-doubt.test.ts"]);
const recover = on("inferOutcomes", "", [
  "test/events/recovery-results.test.ts",
  "test/events/recovery-queries.test.ts",
]);
const transaction = on("TransactionChannel", "", ["test/postgres/transaction.test.ts"]);
const exchange = on("Exchange", "", ["test/postgres/transaction.test.ts", "test/postgres/exchange.test.ts"]);
const database = on("StoreConnections", "", ["test/postgres/recovery.test.ts"]);

const appendDefects: readonly Defect[] = [
  lock("the append lock is another one than act-pg's", sql("hashtext(${})", "hashtext('mine')")),
  lock("the lock is not taken at all", sql("select pg_advisory_xact_lock(${})", "select 1 as lock")),
  on("lockQuery", "the lock of a message", ["test/events/statements.test.ts"])(
    "behind a pooler a message is carried out however late it comes",
    sql("case when ${} < $1::float8", "case when $1::float8 is not null"),
  ),
  on("insertTexts", "M3")(
    "a stale expectedVersion is let through",
    sql("${}.expected is null or ${}.expected = ${}", "true"),
  ),
  append("versions start at 1", sql("a.head + m.nth,", "a.head + m.nth + 1,")),
  append(
    "commits to one stream in a batch do not see each other",
    sql("case when d.accepted then d.size else 0 end", "0"),
  ),
  on("insertTexts", "several commits to a stream", ["test/events/statements.test.ts"])(
    "commits to one stream in a batch all meet the head of the log",
    code("@positionsInStream ConditionalExpression", "undefined"),
  ),
  append(
    "a payload of 8,000 bytes or more is sent whole",
    sql("case when octet_length(whole) < ${} then whole else brief end", "whole"),
  ),
  on("insertTexts", "M7")(
    "a notification is measured in characters, not in bytes",
    sqlEverywhere("octet_length(", "length("),
  ),
  on("insertTexts", "D2")(
    "created runs back when the clock does",
    sql(/greatest\((?=\s*date_trunc)/, "coalesce("),
  ),
  statements("the commit token is not written", sql("case when m.nth = 1 then a.token end", "null::uuid")),
  statements(
    "the count of stored events is not checked",
    sql("case when events.stored <> decisions.wanted then ${}${} end", "events.stored = decisions.wanted"),
  ),
  on("unlessDrawn", "a trigger that sets ids", ["test/events/triggers.test.ts"])(
    "ids that a trigger sets are stored",
    sql("exists (select 1 ${}) then", "false then"),
  ),
  on("insertTexts", "by id and by version", ["test/events/heads.test.ts"])(
    "a head by id is the oldest event's",
    sql("order by e.stream using ~>~, e.id desc limit 1", "order by e.stream using ~>~, e.id limit 1"),
  ),
  appender(
    "versions that were given out of order stop a stream for good",
    code("IfStatement:has(.test [left.callee.name='refusingKey'][right.value='stream']) > .test", "false"),
  ),
  explicitIds(
    "rows that came with ids of their own stop commits for good",
    code("IfStatement:has(.test [left.callee.name='refusingKey'][right.value='id']) > .test", "false"),
  ),
  explicitIds(
    "any unique index counts as the one that is asked for",
    code("@refusingKey ReturnStatement:has(CallExpression[callee.property.name='find']) > .argument", "'id'"),
  ),
  appender(
    "a full queue of notifications fails commits",
    code("IfStatement:has(.test Literal[value='54000']) > .test", "false"),
  ),
  appender(
    "a dropped sequence of ids fails commits",
    code("ConditionalExpression:has(.test Literal[value='XX000']) > .test", "false"),
  ),
  on("Appender", "none goes again", ["test/events/queue.test.ts"])(
    "a batch that was stored goes again when its answer cannot be read",
    code(
      "@read CatchClause",
      'catch (error) { throw new TransactionFailure(error as Error, { step: "commit" }); }',
    ),
  ),
];

const queueDefects: readonly Defect[] = [
  on("AppendQueue", "fails alone", ["test/races/neighbours.test.ts"])(
    "one failing commit fails its whole batch",
    code("IfStatement:has(.test [callee.name='isOwnFault']) > .test", "false"),
  ),
  on("Appender", "nobody's fault", ["test/events/queue.test.ts"])(
    "a batch that does not get the lock goes again commit by commit",
    code("LogicalExpression[operator='&&'][left.right.value='execute']", "${left}"),
  ),
  queue(
    "after a loss commits go again together",
    code("Property[key.name='alone'] > UnaryExpression", "false"),
  ),
  on("AppendQueue", "", ["test/events/deadlines.test.ts"])(
    "a queued commit waits beyond its deadline",
    code("@enqueue ExpressionStatement[expression.callee.property.name='watchDeadlines']", ";"),
  ),
  queue(
    "texts queue up without a limit",
    code("LogicalExpression[operator='||'][right.right.name='MAX_WAITING_TEXT']", "${left}"),
  ),
  queue(
    "batches are large on a slow network too",
    code("ArrowFunctionExpression > CallExpression[callee.property.name='transferred']", "void bytes"),
  ),
  on("AppendQueue", "", ["test/events/deadlines.test.ts"])(
    "an old commit's deadline fails its younger neighbours",
    code("@isTimely LogicalExpression", "false"),
  ),
  appender(
    "a first batch in doubt is looked for behind the last id that the connect has told",
    code("VariableDeclarator > ConditionalExpression[consequent.value=0]", "${alternate}"),
  ),
  on("BatchLimits", "", ["test/events/batch-limits.test.ts"])(
    "a batch has events without a limit",
    code("BinaryExpression[operator='<=']:has([property.name='length'])", "true"),
  ),
  inDoubt(
    "later batches wait for the look for a lost one",
    code(
      "@handle VariableDeclaration:has([callee.property.name='finally'])",
      "await ${declarations.0.init.callee.object}; const recovery = Promise.resolve().finally(${declarations.0.init.arguments.0});",
    ),
  ),
  inDoubt(
    "dispose does not wait for the look for a lost batch",
    code("@close WhileStatement > .test", "${left}"),
  ),
];

const recoveryDefects: readonly Defect[] = [
  recover(
    "a truncated stream is not looked at",
    code("BinaryExpression[left.property.name='truncated']", "false"),
  ),
  recover(
    "a restored log is not looked at",
    code("LogicalExpression[operator='||'][left.operator='!']", "${left}"),
  ),
  recover(
    "a commit of which some events are gone counts as absent",
    code("LogicalExpression[operator='||'][right.left.operator='typeof']", "${left}"),
  ),
  recover(
    "a lost commit is told by its stream, whatever the token",
    sql("and e.token = c.token", "and e.token is not null and c.token is not null"),
  ),
  recover(
    "behind a pooler what may still arrive counts as absent",
    code("ConditionalExpression[alternate.value='pending']", '"absent"'),
  ),
  on("inferOutcomes", "on the primary alone", ["test/faults/failover/failover.test.ts"])(
    "a lost commit is acknowledged though the standby may not have it",
    code(
      "@recoveryQueries ArrayExpression > CallExpression[callee.name='waitForStandby']",
      "{ text: 'select 1' }",
    ),
  ),
  database(
    "a lost commit is looked for while its server process still works",
    code("@recover IfStatement", ";"),
  ),
  recover(
    "a message may begin later than it could by the server's clock",
    code("LogicalExpression[right.right.right.name='CLOCK_MARGIN_MS'] > .right", "true"),
  ),
  on("endBackend", "", ["test/postgres/recovery.test.ts"])(
    "a lost connection's server process is looked for to the millisecond",
    sql("$2::text::timestamptz", "$2::timestamptz"),
  ),
  on("Connection", "", ["test/postgres/connection.test.ts"])(
    "a connection that is lost after COMMIT was sent leaves no doubt",
    code("Property[key.name='inDoubt'] > .value", "false"),
  ),
];

const transactionDefects: readonly Defect[] = [
  transaction(
    "parameters are not bound before the lock is asked for",
    code("LogicalExpression[left.left.property.name='bindFirst']", "${right}"),
  ),
  exchange(
    "a statement counts as prepared before it is described",
    code("SwitchCase[test.value='1']", "${this}\nif (step) this.#options.described(step);\n"),
  ),
  exchange(
    "each statement has a Sync of its own",
    code("SwitchCase[test.value='execute'] > ExpressionStatement", "${this}\nwriter.sync();"),
  ),
  exchange(
    "large parameters travel while the lock is held",
    code("VariableDeclarator > BinaryExpression[right.name='LARGE_BYTES']", "false"),
  ),
  transaction(
    "a COMMIT that is answered by ROLLBACK counts",
    code("IfStatement:has(.test Literal[value='COMMIT']) > .test", "false"),
  ),
  transaction(
    "a statement that is gone is not parsed anew",
    code("@run ExpressionStatement[expression.callee.property.name='clear']", ";"),
  ),
  transaction(
    "a block that has failed is left open",
    code("@run IfStatement[test.right.value='I'][consequent.type='ExpressionStatement']", ";"),
  ),
  exchange(
    "what comes behind an answer is kept from the driver",
    code("IfStatement:has([callee.property.name='emit'])", ";"),
  ),
  on("afterPoll", "", ["test/postgres/connection.test.ts"])(
    "a deadline strikes before the sockets have been read",
    code("CallExpression[callee.name='setTimeout'] > ArrowFunctionExpression", "work"),
  ),
  on("detectPooling", "", ["test/postgres/pooler.test.ts"])(
    "a pooler in transaction mode is not noticed",
    code("@detectPooling IfStatement[test.operator='!'] > .test", "true"),
  ),
  on("runSession", "", ["test/postgres/session.test.ts"])(
    "a client that is slow says nothing meanwhile",
    code("CallExpression[callee.name='setInterval'] IfStatement", ";"),
  ),
];

export const writePathDefects: readonly Defect[] = [
  ...appendDefects,
  ...queueDefects,
  ...recoveryDefects,
  ...transactionDefects,
];
