/** Deliberate defects of the write path: the append, its transaction, its recovery. */
import { across, type Defect, on } from "./defects.define.ts";

const lock = on("src/schema/append-lock.ts", "M\\d");
const append = on("src/events/append.ts", "M\\d");
const statements = on("src/events/append.ts", "token|leaves an event out", [
  "test/events/statements.test.ts",
]);
const appender = on("src/events/appender.ts", "", ["test/events/appender.test.ts"]);
const queue = on("src/events/queue.ts", "", ["test/events/queue.test.ts"]);
const inDoubt = on("src/events/queue.ts", "", ["test/events/in-doubt.test.ts"]);
const limits = on("src/events/batch-limits.ts", "", ["test/events/batch-limits.test.ts"]);
const recover = on("src/events/recover.ts", "", [
  "test/events/recovery-results.test.ts",
  "test/events/recovery-queries.test.ts",
]);
const transaction = on("src/postgres/transaction.ts", "", ["test/postgres/transaction.test.ts"]);
const exchange = on("src/postgres/exchange.ts", "", [
  "test/postgres/transaction.test.ts",
  "test/postgres/exchange.test.ts",
]);
const connection = on("src/postgres/connection.ts", "", ["test/postgres/connection.test.ts"]);
const connections = on("src/postgres/database.ts", "", ["test/postgres/recovery.test.ts"]);

const appendDefects: readonly Defect[] = [
  lock("the append lock is another one than act-pg's", "hashtext(${literal(lockKey)})", "hashtext('mine')"),
  lock("the lock is not taken at all", "`select pg_advisory_xact_lock(${key(names)})`", "`select 1 as lock`"),
  on("src/schema/append-lock.ts", "the lock of a message", ["test/events/statements.test.ts"])(
    "behind a pooler a message is carried out however late it comes",
    "extract(epoch from clock_timestamp()) * 1000 < $1::float8",
    "$1::float8 is not null",
  ),
  across("src/events/append.ts", "M3")(
    "a stale expectedVersion is let through",
    ["expected is null or expected = head as accepted", "true as accepted"],
    ["r.expected is null or r.expected = next.head", "true"],
  ),
  append(
    "versions start at 1",
    "a.stream, a.head + m.nth, clock.created",
    "a.stream, a.head + m.nth + 1, clock.created",
  ),
  append(
    "commits to one stream in a batch do not see each other",
    "case when d.accepted then d.size else 0 end",
    "0",
  ),
  append(
    "a payload of 8,000 bytes or more is sent whole",
    "case when octet_length(whole) < ${NOTIFY_LIMIT} then whole else brief end",
    "whole",
  ),
  across("src/events/append.ts", "M7")("a notification is measured in characters, not in bytes", [
    "octet_length(",
    "length(",
  ]),
  on("src/events/append.ts", "D2")(
    "created runs back when the clock does",
    "select greatest(\n    date_trunc('milliseconds', clock_timestamp()),",
    "select coalesce(\n    date_trunc('milliseconds', clock_timestamp()),",
  ),
  statements("the commit token is not written", "case when m.nth = 1 then a.token end", "null::uuid"),
  statements(
    "the count of stored events is not checked",
    'case when stored <> wanted then ${raise("events_left_out")} end',
    "stored = wanted",
  ),
  on("src/events/append.ts", "by id and by version", ["test/events/heads.test.ts"])(
    "a head by id is the oldest event's",
    "order by e.stream using ~>~, e.id desc limit 1",
    "order by e.stream using ~>~, e.id limit 1",
  ),
  appender(
    "versions that were given out of order stop a stream for good",
    'if (code === "23505" && mode.headBy === "id" && this.#isVersionTaken(error.cause))',
    "if (false)",
  ),
  appender(
    "an id that is taken is taken for a version, and another one tried",
    " && this.#isVersionTaken(error.cause)",
    "",
  ),
  appender(
    "a full queue of notifications fails commits",
    'if (code === "54000" && error.step === "commit" && mode.announce)',
    "if (false)",
  ),
  appender(
    "a dropped sequence of ids fails commits",
    'return code === "XX000" && mode.sequence !== null',
    "return false",
  ),
  on("src/events/appender.ts", "none goes again", ["test/events/queue.test.ts"])(
    "a batch that was stored goes again when its answer cannot be read",
    "    } catch {\n      throw outcomeUnknown();",
    '    } catch (error) {\n      throw new TransactionFailure(error as Error, { step: "commit" });',
  ),
];

const queueDefects: readonly Defect[] = [
  on("src/events/queue.ts", "fails alone", ["test/races/neighbours.test.ts"])(
    "one failing commit fails its whole batch",
    "if (batch.length > 1 && error instanceof TransactionFailure && isOwnFault(error))",
    "if (false)",
  ),
  on("src/events/appender.ts", "nobody's fault", ["test/events/queue.test.ts"])(
    "a batch that does not get the lock goes again commit by commit",
    '(step === "execute" && failedAt > 0)',
    'step === "execute"',
  ),
  queue("after a loss commits go again together", "alone: !RETRIABLE.has(codeOf(cause))", "alone: false"),
  on("src/events/queue.ts", "", ["test/events/deadlines.test.ts"])(
    "a queued commit waits beyond its deadline",
    "    this.#watchDeadlines();\n    // A microtask later",
    "    // A microtask later",
  ),
  queue("texts queue up without a limit", "|| this.#waitingText >= MAX_WAITING_TEXT", ""),
  queue("batches are large on a slow network too", "this.#limits.transferred(bytes, ms)", "void bytes"),
  on("src/events/queue.ts", "", ["test/events/deadlines.test.ts"])(
    "an old commit's deadline fails its younger neighbours",
    "byDeadline && since > expires",
    "false && since > expires && byDeadline",
  ),
  appender(
    "a first batch in doubt is looked for behind the last id that the connect has told",
    "const after = firstEvent === undefined ? 0 : this.#lastId;",
    "const after = this.#lastId;",
  ),
  limits("a batch has events without a limit", "events + commit.events.length <= MAX_EVENTS", "true"),
  inDoubt(
    "later batches wait for the look for a lost one",
    "const recovery = this.#recover(batch, error.transaction).finally(() =>",
    "await this.#recover(batch, error.transaction);\n      const recovery = Promise.resolve().finally(() =>",
  ),
  inDoubt(
    "dispose does not wait for the look for a lost batch",
    "while (this.#running || this.#recovering.size > 0)",
    "while (this.#running)",
  ),
];

const recoveryDefects: readonly Defect[] = [
  recover("a truncated stream is not looked at", " || row.truncated === true", ""),
  recover("a restored log is not looked at", "!row || restored ||", "!row ||"),
  recover(
    "a commit of which some events are gone counts as absent",
    ' || typeof row.head === "number") return "unknown"',
    ') return "unknown"',
  ),
  recover(
    "a lost commit is told by its stream, whatever the token",
    "and e.token = c.token",
    "and e.token is not null and c.token is not null",
  ),
  recover(
    "behind a pooler what may still arrive counts as absent",
    'until !== undefined && Number(row.clock) <= until ? "pending" : "absent"',
    '"absent"',
  ),
  on("src/events/recover.ts", "on the primary alone", ["test/faults/failover/failover.test.ts"])(
    "a lost commit is acknowledged though the standby may not have it",
    "[lock, WAIT_FOR_STANDBY, tokensQuery(",
    "[lock, { text: 'select 1' }, tokensQuery(",
  ),
  connections(
    "a lost commit is looked for while its server process still works",
    "if (backend) await this.#endBackend(backend);",
    "",
  ),
  connections(
    "a lost connection's server process is looked for to the millisecond",
    "backend_start = $2::text::timestamptz",
    "backend_start = $2::timestamptz",
  ),
  connection(
    "a connection that is lost after COMMIT was sent leaves no doubt",
    "inDoubt: channel?.committing === true",
    "inDoubt: false",
  ),
];

const transactionDefects: readonly Defect[] = [
  transaction(
    "parameters are not bound before the lock is asked for",
    "const early = query.bindFirst === true || query === BEGIN;",
    "const early = query === BEGIN;",
  ),
  exchange(
    "a statement counts as prepared before it is described",
    '      case "1": // ParseComplete\n',
    '      case "1": // ParseComplete\n        if (step) this.#options.described(step);\n',
  ),
  exchange(
    "each statement has a Sync of its own",
    "        writer.execute(portal);\n",
    "        writer.execute(portal);\n        writer.sync();\n",
  ),
  exchange(
    "large parameters travel while the lock is held",
    "const large = writer.length > LARGE_BYTES;",
    "const large = false;",
  ),
  transaction(
    "a COMMIT that is answered by ROLLBACK counts",
    'if (!options.prepare && tag !== "COMMIT")',
    "if (false)",
  ),
  transaction("a statement that is gone is not parsed anew", "this.#prepared.clear();", ""),
  transaction("a block that has failed is left open", 'if (status !== "I") await this.#rollback();', ""),
  exchange(
    "what comes behind an answer is kept from the driver",
    'if (rest.length > 0) socket.emit("data", rest);',
    "",
  ),
  on("src/postgres/timers.ts", "", ["test/postgres/connection.test.ts"])(
    "a deadline strikes before the sockets have been read",
    "setTimeout(() => look(arriving(), performance.now() + 1_000), ",
    "setTimeout(work, ",
  ),
  on("src/postgres/pooler.ts", "", ["test/postgres/pooler.test.ts"])(
    "a pooler in transaction mode is not noticed",
    'if (!(await sharesProcesses(connection, options))) return "session";',
    'return "session";',
  ),
  on("src/postgres/session.ts", "", ["test/postgres/session.test.ts"])(
    "a client that is slow says nothing meanwhile",
    'if (waiting === 0) run({ text: "select 1" }).catch(() => {});',
    "",
  ),
];

export const writePathDefects: readonly Defect[] = [
  ...appendDefects,
  ...queueDefects,
  ...recoveryDefects,
  ...transactionDefects,
];
