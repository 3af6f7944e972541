// bench/jobs/transfer.ts
import { createReadStream, createWriteStream } from "node:fs";
import { pipeline } from "node:stream/promises";

// src/backup/archive.ts
import { randomUUID } from "node:crypto";

// src/postgres/parameters.ts
var quoted = (text) => `"${text.replace(/[\\"]/g, "\\$&")}"`;
function textArray(values) {
  return `{${values.map(quoted).join(",")}}`;
}
function numberArray(values) {
  return `{${values.map((v) => v === null ? "NULL" : String(v)).join(",")}}`;
}
function nullableTextArray(values) {
  return `{${values.map((v) => v === null ? "NULL" : quoted(v)).join(",")}}`;
}
var elements = (text) => typeof text !== "string" || text.length <= 2 ? [] : text.slice(1, -1).split(",");
var parseNumbers = (text) => elements(text).map(Number);
var parseBooleans = (text) => elements(text).map((value) => value === "t");
var SEPARATOR = "";
function joinJson(documents) {
  return documents.map((d) => d ?? "").join(SEPARATOR);
}
var splitJson = (parameter) => `string_to_array(${parameter}, E'\\x1e', '')`;

// src/errors/connection-error.ts
var NOTHING_SENT = "No. The statement was not sent.";
var NOTHING_WRITTEN = "No. Nothing was written.";
var COMMIT_KNOWN = "A commit: no; if that were in doubt, the code would be `OUTCOME_UNKNOWN`. Another verb that writes: unknown where `sent` is true, else no.";
var SAFE_TO_REPEAT = "Yes. Verbs of subscriptions may be repeated safely: a lease that was granted to a lost call expires.";
var WHEN_MENDED = "Only when the cause is mended.";
var LATER = "Yes, after a pause.";
var NEVER = "No.";
var certificate = {
  happened: "the server's certificate is not trusted",
  applied: NOTHING_SENT,
  advice: "give the certificate's authority as ssl: { ca }, or renew the certificate (docs/guides/security.md)",
  retry: WHEN_MENDED
};
var internal = (happened) => ({
  happened,
  applied: "Unknown.",
  advice: "report that you saw it, for this code should not leave the store",
  retry: "A read: yes. Look at the data before you repeat a write."
});
var CONNECTION_ERRORS = {
  OUTCOME_UNKNOWN: {
    happened: "The connection was lost during a transaction, and the store could not find out in time whether it was committed.",
    applied: "Unknown: all of it, or none.",
    advice: "load the stream before trying again",
    retry: "Not blindly. Load the stream first; a commit with `expectedVersion` is safe, for it is stored at most once."
  },
  DEADLINE: {
    happened: "No answer came within `statement_timeout` and 5 s, or a commit waited as long for its turn in the queue.",
    applied: COMMIT_KNOWN,
    advice: "see whether the server is overloaded or a transaction holds the append lock (pg_locks), or raise statement_timeout",
    retry: SAFE_TO_REPEAT
  },
  CONNECTION_CLOSED: {
    happened: "The server, a pooler or a firewall closed the connection.",
    applied: COMMIT_KNOWN,
    advice: "try again; if it happens often, look at the server's log and at idle limits of poolers and firewalls",
    retry: SAFE_TO_REPEAT
  },
  CONNECTION_DESTROYED: {
    happened: "The driver closed the connection.",
    applied: COMMIT_KNOWN,
    advice: "try again",
    retry: SAFE_TO_REPEAT
  },
  QUEUE_FULL: {
    happened: "100,000 commits, or 256 million characters of JSON, wait in this process already.",
    applied: NOTHING_SENT,
    advice: "slow down, and wait for commits before you make more",
    retry: LATER
  },
  POOL_TIMEOUT: {
    happened: "No connection of the pool became free within `connectionTimeoutMillis`.",
    applied: NOTHING_SENT,
    advice: "raise max or connectionTimeoutMillis, or make fewer calls at once",
    retry: LATER
  },
  CONNECT_TIMEOUT: {
    happened: "The server did not answer within `connectionTimeoutMillis` of connecting.",
    applied: NOTHING_SENT,
    advice: "check host, port and firewalls, or raise connectionTimeoutMillis",
    retry: LATER
  },
  POOLER: {
    happened: "A pooler in transaction mode stands between the store and the server, and `prepare` is true.",
    applied: NOTHING_WRITTEN,
    advice: "set prepare: false (docs/guides/pgbouncer.md)",
    retry: WHEN_MENDED
  },
  PASSWORD: {
    happened: "The function given as option `password` failed, or gave no password in time.",
    applied: NOTHING_SENT,
    advice: "mend the function given as option password",
    retry: LATER
  },
  NO_SERVER: {
    happened: "Hosts answer, but none is of the kind that `target_session_attrs` asks for.",
    applied: NOTHING_SENT,
    advice: "check host and target_session_attrs; during a failover, try again",
    retry: LATER
  },
  NO_TLS: {
    happened: "`ssl` demands TLS, and the server does not offer it.",
    applied: NOTHING_SENT,
    advice: "turn TLS on at the server, or choose another mode of ssl",
    retry: WHEN_MENDED
  },
  STORE_CLOSED: {
    happened: "The verb was called after `dispose()`, or dispose() stopped waiting for it.",
    applied: "No; of a long verb, nothing after its last statement.",
    advice: "create a new PostgresStore",
    retry: "On a new store."
  },
  IN_RESTORE: {
    happened: "The driver of `restore` called a verb of the same store that would wait for the restore to end.",
    applied: NOTHING_SENT,
    advice: "write and dispose after the restore, and read from another store or with max: 3 or more",
    retry: "After the restore."
  },
  BACKEND_ALIVE: {
    happened: "The server process of a lost connection is still running, and did not end when the store asked it to.",
    applied: "Unknown.",
    advice: "load the stream before trying again, and end the process that holds the append lock (pg_locks, pg_terminate_backend)",
    retry: "Not blindly. Load the stream first."
  },
  CONNECT: {
    happened: "The connection could not be opened, for a reason without a code of its own. The message names it.",
    applied: NOTHING_SENT,
    advice: "check host, port and ssl",
    retry: LATER
  },
  ECONNREFUSED: {
    happened: "nobody listens there",
    applied: NOTHING_SENT,
    advice: "check that the server is running, and that host and port are right",
    retry: LATER
  },
  ECONNRESET: {
    happened: "the connection was reset",
    applied: COMMIT_KNOWN,
    advice: "try again; if it stays so, check the server's log and what stands between",
    retry: SAFE_TO_REPEAT
  },
  EPIPE: {
    happened: "the other side had closed the connection",
    applied: COMMIT_KNOWN,
    advice: "try again; if it stays so, check the server's log and what stands between",
    retry: SAFE_TO_REPEAT
  },
  ETIMEDOUT: {
    happened: "the network gave no answer",
    applied: COMMIT_KNOWN,
    advice: "check host, port and firewalls",
    retry: SAFE_TO_REPEAT
  },
  ENOTFOUND: {
    happened: "the host name is unknown",
    applied: NOTHING_SENT,
    advice: "check host, and DNS",
    retry: WHEN_MENDED
  },
  EAI_AGAIN: {
    happened: "the host name cannot be looked up now",
    applied: NOTHING_SENT,
    advice: "check host, and DNS",
    retry: LATER
  },
  EHOSTUNREACH: {
    happened: "the host cannot be reached",
    applied: NOTHING_SENT,
    advice: "check host, and the network between",
    retry: LATER
  },
  ENETUNREACH: {
    happened: "the network cannot be reached",
    applied: NOTHING_SENT,
    advice: "check host, and the network between",
    retry: LATER
  },
  ENOENT: {
    happened: "there is no such socket",
    applied: NOTHING_SENT,
    advice: "check that the server is running, and that host is the folder of its socket",
    retry: LATER
  },
  EACCES: {
    happened: "this process may not use the socket",
    applied: NOTHING_SENT,
    advice: "check the rights of the socket's file and folder",
    retry: WHEN_MENDED
  },
  EMFILE: {
    happened: "this process has too many open files",
    applied: NOTHING_SENT,
    advice: "lower max, or raise the process's limit of open files (ulimit -n)",
    retry: LATER
  },
  DEPTH_ZERO_SELF_SIGNED_CERT: certificate,
  SELF_SIGNED_CERT_IN_CHAIN: certificate,
  UNABLE_TO_GET_ISSUER_CERT: certificate,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: certificate,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: certificate,
  CERT_HAS_EXPIRED: certificate,
  CERT_NOT_YET_VALID: certificate,
  CERT_REVOKED: certificate,
  ERR_TLS_CERT_ALTNAME_INVALID: {
    happened: "the server's certificate is for another name",
    applied: NOTHING_SENT,
    advice: "set host to a name of the certificate, or use ssl: verify-ca",
    retry: WHEN_MENDED
  },
  AUTH_TYPE_NOT_IMPLEMENTED: {
    happened: "The server asks for a way to log in that the driver does not know, such as GSSAPI.",
    applied: NOTHING_SENT,
    advice: "let pg_hba.conf ask this user for scram-sha-256",
    retry: WHEN_MENDED
  },
  SASL_SIGNATURE_MISMATCH: {
    happened: "The server could not prove that it knows the password: it may be another server.",
    applied: NOTHING_SENT,
    advice: "check host, and what stands between",
    retry: NEVER
  },
  CONNECTION_ENDED: internal("The store had closed the connection, which nobody used."),
  SESSION_FAILED: internal("A migration or a restore failed, and its connection was closed."),
  SEQUENCE_CHANGED: internal(
    "Ids are drawn from another sequence: the connection for appends is opened again."
  ),
  CLOCK_CHANGED: internal("The server's clock has changed: the connection for appends is opened again."),
  SUSPECT: internal("An idle connection was closed after another one had died."),
  YIELDED: internal("An attempt to connect was given up, so that the store's other pool could connect."),
  BUDGET: internal("A page of a query reached its limit of characters, and the rest was not read."),
  LOOKED: internal("A second connection, used only to detect a pooler, was closed."),
  HOST_FOUND: internal("A connection, used only to select a host, was closed."),
  OTHER_SERVER: internal(
    "A host was not of the kind that target_session_attrs asks for, and the next one was tried."
  ),
  LISTEN_FAILED: internal("LISTEN could not start, and its connection was closed."),
  LISTEN_STOPPED: internal("The listener was stopped."),
  LISTEN_SILENT: internal("The connection for LISTEN did not answer a ping, and is opened again.")
};
var isConnectionErrorCode = (code) => Object.hasOwn(CONNECTION_ERRORS, code);
function withAdvice(message, advice) {
  if (message === "") return advice;
  return `${message}${message.includes(": ") ? "; " : ": "}${advice}`;
}
var ConnectionError = class extends Error {
  name = "ConnectionError";
  code;
  /** False when the statement certainly did not run. */
  sent;
  /** `message` says what happened. The advice on `code` is added to it. */
  constructor(code, message, sent) {
    super(withAdvice(message, CONNECTION_ERRORS[code].advice));
    this.code = code;
    this.sent = sent;
  }
};
function connectFailed(endpoint, error2) {
  const { code = "", message } = error2;
  if (!isConnectionErrorCode(code))
    return new ConnectionError("CONNECT", `cannot connect to ${endpoint}: ${message}`, false);
  const { happened } = CONNECTION_ERRORS[code];
  return new ConnectionError(code, `cannot connect to ${endpoint}: ${happened} (${code})`, false);
}
var outcomeUnknown = () => new ConnectionError(
  "OUTCOME_UNKNOWN",
  "the connection was lost while the transaction was under way: it may or may not have been applied",
  true
);
var storeClosed = () => new ConnectionError("STORE_CLOSED", "the store is disposed", false);

// src/errors/database-error.ts
var isSqlState = (code) => /^[0-9A-Z]{5}$/.test(code);
var STORE_REASONS = {
  EVENTS_LEFT_OUT: {
    happened: "a trigger on the events table left out events of this commit: nothing of it was written",
    applied: "No. Nothing of this commit was written.",
    advice: "mend or drop the trigger",
    retry: "Only when the trigger is mended."
  },
  TOO_LATE: {
    happened: "the message reached the server too late: nothing was written",
    applied: "No. Nothing was written.",
    advice: "try again",
    retry: "Yes. It happens behind a pooler (`prepare: false`) that holds a message back for 3 s."
  }
};
var YES = "Yes.";
var LATER2 = "Yes, after a pause.";
var MENDED = "Only when the cause is mended.";
var entry = (condition, advice, retry = MENDED) => ({
  condition,
  advice,
  retry
});
var SQL_STATES = {
  "08P01": entry(
    "protocol_violation",
    "a pooler reports an unknown user or database with this code: check both; in transaction mode set prepare: false"
  ),
  "2200H": entry(
    "sequence_generator_limit_exceeded",
    `a sequence is used up: if it is that of the store's int4 ids, widen them to bigint (docs/guides/migrating-from-act-pg.md, "Widen the ids")`
  ),
  "22003": entry(
    "numeric_value_out_of_range",
    `a number is out of range, in a column or in a trigger of yours; an int4 id ends at 2147483647 (docs/guides/migrating-from-act-pg.md, "Widen the ids")`
  ),
  "22021": entry(
    "character_not_in_repertoire",
    "a string is not valid UTF-8 for this database: use a UTF8 database, or leave the character out"
  ),
  "22P05": entry(
    "untranslatable_character",
    "a character has no equivalent in the database's encoding: use a UTF8 database"
  ),
  "23503": entry(
    "foreign_key_violation",
    "a foreign key of yours stands in the way (see constraint and table): if it refers to the store's rows, delete its own rows first, or drop it; if it is on the store's table, insert first the row that it refers to"
  ),
  "23505": entry(
    "unique_violation",
    "a unique index refused a row (see constraint): if it is the store's (stream, version), another writer got there first: read the stream again and retry; if it is its primary key, ids are behind the log: call seed(); if it is yours, the value is there already",
    "As the advice says, by the constraint."
  ),
  "25006": entry(
    "read_only_sql_transaction",
    "the server or the session is read-only: connect to the primary (target_session_attrs=read-write), and if it is one, look at default_transaction_read_only"
  ),
  "26000": entry(
    "invalid_sql_statement_name",
    "a prepared statement is gone: behind a pooler in transaction mode set prepare: false; elsewhere something ran DEALLOCATE or DISCARD",
    YES
  ),
  "28000": entry(
    "invalid_authorization_specification",
    "the server refused this user or host: check user, database, ssl and pg_hba.conf"
  ),
  "28P01": entry("invalid_password", "the server refused the password: check user and password"),
  "2BP01": entry(
    "dependent_objects_still_exist",
    "a view or another object of yours depends on the store's tables: drop it first"
  ),
  "3D000": entry("invalid_catalog_name", "the database does not exist: create it or correct `database`"),
  "3F000": entry(
    "invalid_schema_name",
    "the schema does not exist: call seed() first, or run the migrations"
  ),
  "40001": entry(
    "serialization_failure",
    "it came into conflict with another transaction and was undone: try again; on a standby, replication ended a read that took too long (max_standby_streaming_delay, hot_standby_feedback)",
    "Yes. The store itself has already tried again."
  ),
  "40P01": entry(
    "deadlock_detected",
    "it and another transaction waited for each other, and it was undone: try again",
    "Yes. The store itself has already tried again."
  ),
  "42501": entry(
    "insufficient_privilege",
    "the role lacks a privilege on the store's objects, or row-level security is on for it: connect as the tables' owner, or grant BYPASSRLS (docs/guides/security.md)"
  ),
  "42703": entry(
    "undefined_column",
    "a column is missing: call seed() to bring the tables up to date; if it is none of the store's, a trigger of yours asks for it"
  ),
  "42P01": entry(
    "undefined_table",
    "a table is missing: call seed() first, or run the migrations; if it is none of the store's, a trigger of yours asks for it"
  ),
  "42P05": entry(
    "duplicate_prepared_statement",
    "a prepared statement already exists: behind a pooler in transaction mode set prepare: false"
  ),
  "53100": entry("disk_full", "the server's disk is full: make room", LATER2),
  "53200": entry(
    "out_of_memory",
    "the server is out of memory; where it says shared memory, of room for locks: raise max_locks_per_transaction",
    LATER2
  ),
  "53300": entry(
    "too_many_connections",
    "no connection is left: lower `max`, or raise the limit of the server (max_connections), the database or the role",
    LATER2
  ),
  "54000": entry(
    "program_limit_exceeded",
    "a limit of PostgreSQL is exceeded: an indexed name is at most about 2,700 bytes; where the NOTIFY queue is full, end the session that has long been in a transaction and listens (pg_notification_queue_usage())"
  ),
  "55P03": entry(
    "lock_not_available",
    "a lock was not granted in time (lock_timeout): find out who holds it (pg_locks), or raise lock_timeout",
    LATER2
  ),
  "57014": entry(
    "query_canceled",
    "cancelled, by statement_timeout (raise it, or find out what took so long: what writes to the log also waits for the append lock) or by an administrator",
    LATER2
  ),
  "57P01": entry(
    "admin_shutdown",
    "an administrator ended the connection, or the server is shutting down: try again",
    LATER2
  ),
  "57P02": entry(
    "crash_shutdown",
    "a process of the server crashed, and all its connections went: try again",
    LATER2
  ),
  "57P03": entry(
    "cannot_connect_now",
    "the server is starting up, shutting down or recovering: try again",
    LATER2
  )
};
var SQL_STATE_CLASSES = {
  "08": "the connection failed: try again",
  "0A": "the server does not support it: check that it is PostgreSQL 14 or newer",
  "22": "a value was refused by PostgreSQL: check what is written, and triggers of yours",
  "23": "a constraint refused a row (see constraint and table): mend the value, or the constraint",
  "25": "the transaction is in the wrong state: look at triggers of yours, and at poolers",
  "28": "the server refused the login: check user, password and pg_hba.conf",
  "40": "the transaction was undone: try again",
  "42": "the statement does not fit the tables: call seed(), and look at triggers of yours",
  "53": "the server lacks a resource: look at its log, and try again",
  "54": "a limit of PostgreSQL is exceeded: write less at once",
  "55": "an object is in use, or in the wrong state: try again",
  "57": "an operator stepped in: try again",
  "58": "the server's system failed: look at its log",
  XX: "PostgreSQL failed inside: look at its log, and check the tables and indexes (amcheck)"
};
var OTHER_CLASS = "look at the server's log";
var ownOf = (table, key3) => Object.hasOwn(table, key3) ? table[key3] : void 0;
function adviceOn(code) {
  const known2 = SQL_STATES;
  return ownOf(known2, code)?.advice ?? ownOf(SQL_STATE_CLASSES, code.slice(0, 2)) ?? OTHER_CLASS;
}
var DatabaseError = class extends Error {
  name = "DatabaseError";
  /** SQLSTATE, or a reason of the store's own statements. */
  code;
  /** The constraint that refused a row. */
  constraint;
  /** The table that the server names. */
  table;
  constructor(code, message, constraint, table) {
    super(message);
    this.code = code;
    this.constraint = constraint;
    this.table = table;
  }
};

// src/errors/inline-error.ts
import { StoreError } from "@rotorsoft/act";
var InlineProjectionError = class extends StoreError {
  code;
  /** The name of the events that the handler is for. */
  event;
  /** The stream of the commit. */
  stream;
  constructor(code, event2, stream2, said, cause) {
    super("commit", { cause });
    this.name = "InlineProjectionError";
    this.code = code;
    this.event = event2;
    this.stream = stream2;
    this.message = `act-drizzle: the commit to ${JSON.stringify(stream2)} was not stored: the inline projection of ${JSON.stringify(event2)} ${said}`;
  }
};

// src/errors/store-error.ts
import { ConcurrencyError, StoreError as StoreError2, ValidationError } from "@rotorsoft/act";

// src/values/json-dates.ts
import { types } from "node:util";
var isRecord = (value) => typeof value === "object" && value !== null;
var hasToJSON = (value) => "toJSON" in value && typeof value.toJSON === "function";
function collect(value, path2, found) {
  if (types.isDate(value)) {
    found.push([...path2]);
    return;
  }
  collectMembers(hasToJSON(value) ? value.toJSON(String(path2.at(-1) ?? "")) : value, path2, found);
}
function collectMembers(value, path2, found) {
  if (typeof value !== "object" || value === null) return;
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) {
      const item = value[i];
      if (typeof item !== "object" || item === null) continue;
      path2.push(i);
      collect(item, path2, found);
      path2.pop();
    }
    return;
  }
  for (const [key3, item] of Object.entries(value)) {
    if (typeof item !== "object" || item === null) continue;
    path2.push(key3);
    collect(item, path2, found);
    path2.pop();
  }
}
function datePaths(value) {
  if (typeof value !== "object" || value === null) return void 0;
  const found = [];
  collect(value, [], found);
  return found.length > 0 ? found : void 0;
}
var toDate = (value) => new Date(typeof value === "string" ? value : Number.NaN);
function setDates(value, paths) {
  if (!paths) return value;
  let root = value;
  for (const path2 of paths) {
    const last = path2.at(-1);
    if (last === void 0) {
      root = toDate(root);
      continue;
    }
    let holder = root;
    for (const key3 of path2.slice(0, -1)) holder = isRecord(holder) ? own(holder, key3) : void 0;
    if (isRecord(holder) && Object.hasOwn(holder, last))
      Object.defineProperty(holder, last, {
        value: toDate(holder[last]),
        writable: true,
        enumerable: true,
        configurable: true
      });
  }
  return root;
}
function own(holder, key3) {
  return Object.getOwnPropertyDescriptor(holder, key3)?.value;
}
var ISO = /^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d+)?(Z|[+-][0-2]\d:[0-5]\d)?$/;
function reviveDates(value) {
  if (typeof value === "string") return ISO.test(value) ? new Date(value) : value;
  if (Array.isArray(value)) for (let i = 0; i < value.length; i++) value[i] = reviveDates(value[i]);
  else if (isRecord(value))
    for (const key3 of Object.keys(value)) {
      const item = own(value, key3);
      const revived = reviveDates(item);
      if (revived !== item)
        Object.defineProperty(value, key3, {
          value: revived,
          writable: true,
          enumerable: true,
          configurable: true
        });
    }
  return value;
}
var REFUSED = /(?<!\\)(?:\\\\)*\\u(?:0000|d[89a-f])/;
function refusedJson(text) {
  return text.includes("\\u") && REFUSED.test(text) ? "contains U+0000 or a lone surrogate, which PostgreSQL cannot store" : void 0;
}
function refusedText(text) {
  return text.includes("\0") || !text.isWellFormed() ? "contains U+0000 or a lone surrogate, which PostgreSQL cannot store" : void 0;
}

// src/errors/store-error.ts
var raise = (reason) => `('act-drizzle: ${reason} ' || clock_timestamp())::int`;
var REASON = /^(?:"integer"[^"]*|[^"«»„“”「『]*)["«»„“「『]\s?act-drizzle: (\w+) /;
function isRaised(reason, error2) {
  return error2 instanceof Error && codeOf(error2) === "22P02" && REASON.exec(error2.message)?.[1] === reason;
}
function raisedError(reason) {
  const code = REASON_CODES[reason];
  const { happened, advice } = STORE_REASONS[code];
  return new DatabaseError(code, withAdvice(happened, advice));
}
var REASON_CODES = {
  events_left_out: "EVENTS_LEFT_OUT",
  too_late: "TOO_LATE"
};
var TELLS_NO_VALUES = /^(08|0A|25|26|28|34|3D|3F|40|42|53|54|55|57|58|XX)/;
var RAISED = "a trigger or function of yours raised it: its text is not shown, for it may quote the row; see the server's log";
var str = (value) => typeof value === "string" ? value : void 0;
function sanitize(error2) {
  if (error2 instanceof ConnectionError || error2 instanceof DatabaseError) return error2;
  if (!isRecord(error2)) return new Error("unknown failure");
  const code = str(error2.code) ?? "";
  const raw = str(error2.message) ?? "unknown failure";
  if (isSqlState(code)) {
    const raised = error2.routine === "exec_stmt_raise" || error2.routine === "exec_stmt_assert";
    const message = raised || !TELLS_NO_VALUES.test(code) ? "" : raw;
    const text = [message, raised ? RAISED : adviceOn(code)].filter(Boolean).join(": ");
    return new DatabaseError(code, `${text} (${code})`, str(error2.constraint_name), str(error2.table_name));
  }
  if (isConnectionErrorCode(code)) return new ConnectionError(code, raw, true);
  return new Error(code ? `${raw} (${code})` : raw);
}
function codeOf(error2) {
  return isRecord(error2) ? str(error2.code) : void 0;
}
var isDomainError = (error2) => error2 instanceof StoreError2 || error2 instanceof ConcurrencyError || error2 instanceof ValidationError;
function storeError(operation, cause) {
  const error2 = new StoreError2(operation, { cause });
  error2.message += `: ${cause.message.replaceAll(/\s*\n\s*/g, " ")}`;
  Error.captureStackTrace(error2, storeError);
  return error2;
}
function toStoreError(operation, error2) {
  if (isDomainError(error2)) return error2;
  if (codeOf(error2) === "2201B")
    return new ValidationError(
      operation,
      void 0,
      "PostgreSQL finds the pattern too complex: make it shorter"
    );
  return storeError(operation, sanitize(error2));
}
async function guard(operation, run) {
  try {
    return await run();
  } catch (error2) {
    throw toStoreError(operation, error2);
  }
}

// src/schema/table-names.ts
var tableNames = (table) => ({ events: table, streams: `${table}_streams`, correlated: `${table}_correlated` });
var CLAIM_ARMS = {
  byPriority: "priority >= '-2147483648'::integer",
  fair: "at >= '-9223372036854775808'::bigint",
  laneByPriority: "priority <= 2147483647",
  laneFair: "at <= '9223372036854775807'::bigint"
};
var LANE_SCHEDULE = "coalesce(at < correlated_at, false)";

// src/schema/names.ts
var IDENTIFIER = /^[A-Za-z_][A-Za-z0-9_]*$/;
var MAX_BYTES = 63;
var LONGEST_SUFFIX = "_streams_lane_prio_ix";
function check(option, value, derived) {
  if (!IDENTIFIER.test(value))
    throw new Error(
      `act-drizzle: invalid ${option} ${JSON.stringify(value)}: an identifier of letters, digits and _, not starting with a digit, is needed.`
    );
  if (Buffer.byteLength(derived) > MAX_BYTES)
    throw new Error(
      `act-drizzle: ${option} ${JSON.stringify(value)} is too long: the derived name "${derived}" exceeds PostgreSQL's ${MAX_BYTES} bytes.`
    );
}
function namesOf(schema, table) {
  check("schema", schema, schema);
  check("table", table, table + LONGEST_SUFFIX);
  const channel = `act_commit_${schema}_${table}`;
  check("schema and table", schema, channel);
  const tables = tableNames(table);
  const qualified = (name2) => `"${schema}"."${name2}"`;
  return {
    schema,
    table,
    events: qualified(tables.events),
    streams: qualified(tables.streams),
    correlated: qualified(tables.correlated),
    lockKey: `"${schema}"."${table}"`,
    channel
  };
}
function literal(text) {
  return `'${text.replaceAll("'", "''")}'`;
}

// src/schema/append-lock.ts
var key = ({ lockKey }) => `hashtext(${literal(lockKey)})`;
var lockQuery = (names) => `select pg_advisory_xact_lock(${key(names)})`;
var endAfter = (limit2) => limit2 > 0 ? `, case when current_setting('server_version_num')::int >= 170000
    then set_config('transaction_timeout', '${limit2}', true) end as limited` : "";
var lockAppends = (names, limit2) => ({
  text: `${lockQuery(names)}${endAfter(limit2)}`
});
var takeMessageLock = (param) => `pg_advisory_xact_lock(hashtextextended(${param}::text, 0)) is not null`;
var CLOCK = "extract(epoch from clock_timestamp()) * 1000";
var lockAppendsUntil = (names, limit2, token, until) => ({
  text: `select pg_advisory_xact_lock(case when ${takeMessageLock("$2")} then case when ${CLOCK} < $1::float8
    then ${key(names)} else ${raise("too_late")} end else ${raise("too_late")} end)${endAfter(limit2)}`,
  params: () => [until(), token],
  raises: "too_late"
});
var holdMessage = (token) => ({
  text: `select case when ${takeMessageLock("$1")} then ${CLOCK} end as clock`,
  params: [token]
});

// src/backup/compression.ts
import { Readable } from "node:stream";
import { createGunzip, createGzip, createZstdCompress, createZstdDecompress } from "node:zlib";
var ENDINGS = { gzip: ".gz", zstd: ".zst", none: "" };
var compressionOf = (name2) => name2.endsWith(".gz") ? "gzip" : name2.endsWith(".zst") ? "zstd" : "none";
function compress(text, compression) {
  const bytes2 = Readable.from(encode(text), { objectMode: false });
  if (compression === "none") return bytes2;
  const stream2 = compression === "gzip" ? createGzip() : createZstdCompress();
  bytes2.on("error", (error2) => stream2.destroy(error2));
  return bytes2.pipe(stream2);
}
async function* decompress(bytes2, compression) {
  const source2 = Readable.from(bytes2, { objectMode: false });
  const stream2 = compression === "none" ? source2 : source2.pipe(compression === "gzip" ? createGunzip() : createZstdDecompress());
  source2.on("error", (error2) => stream2.destroy(error2));
  const decoder = new TextDecoder("utf-8", { fatal: true });
  for await (const chunk of stream2) yield decoder.decode(chunk, { stream: true });
  yield decoder.decode();
}
async function* encode(text) {
  for await (const part of text) yield Buffer.from(part);
}

// src/backup/event-lines.ts
import { createHash } from "node:crypto";
import { z } from "zod";

// src/backup/event-order.ts
var ImportError = class extends Error {
  name = "ImportError";
  /** 1 is the first line. */
  line;
  stream;
  version;
  constructor(reason, at) {
    const where = at.stream === void 0 ? "" : ` (stream ${JSON.stringify(at.stream)}, version ${at.version})`;
    super(`line ${at.line}${where}: ${reason}. Nothing was imported.`);
    this.line = at.line;
    this.stream = at.stream;
    this.version = at.version;
  }
};
var EventOrder = class {
  #versions = /* @__PURE__ */ new Map();
  #events = 0;
  #lastId = -1;
  get events() {
    return this.#events;
  }
  /** @throws ImportError */
  add({ line, id, stream: stream2, version }) {
    const at = { line, stream: stream2, version };
    if (id <= this.#lastId) throw new ImportError("ids must ascend, and this one does not", at);
    const before = this.#versions.get(stream2);
    if (before !== void 0 && version <= before)
      throw new ImportError(
        version === before ? "this version was there before" : "versions of a stream must ascend, and this one does not",
        at
      );
    this.#lastId = id;
    this.#versions.set(stream2, version);
    this.#events++;
  }
};

// src/backup/event-lines.ts
var FORMAT = 1;
var header = z.object({ "act-drizzle": z.literal("events"), format: z.literal(FORMAT) });
var footer = z.object({ events: z.number().int().min(0), sha256: z.string().regex(/^[0-9a-f]{64}$/) });
var eventLine = z.object({
  id: z.number().int().min(0).max(Number.MAX_SAFE_INTEGER),
  stream: z.string(),
  version: z.number().int().min(0).max(2147483647),
  created: z.string(),
  name: z.string(),
  data: z.unknown(),
  meta: z.unknown(),
  pii: z.unknown().optional(),
  dates: z.unknown().optional(),
  token: z.uuid().optional()
});
var HEADER = JSON.stringify({ "act-drizzle": "events", format: FORMAT });
var footerOf = (events2, hash) => JSON.stringify({ events: events2, sha256: hash.copy().digest("hex") });
var LINE = `(jsonb_build_object('id', e.id, 'stream', e.stream, 'version', e.version, 'created', e.created::text,
    'name', e.name, 'data', e.data, 'meta', e.meta)
  || case when e.pii is null then '{}' else jsonb_build_object('pii', e.pii) end
  || case when e.dates is null then '{}' else jsonb_build_object('dates', e.dates) end
  || case when e.token is null then '{}' else jsonb_build_object('token', e.token) end)::text`;
function parse(text, line) {
  try {
    return JSON.parse(text);
  } catch {
    throw new ImportError("not JSON", { line });
  }
}
var LineReader = class {
  #hash = createHash("sha256");
  #order = new EventOrder();
  #line = 0;
  #ended = false;
  get events() {
    return this.#order.events;
  }
  /** The event of a line; undefined for header and footer. */
  read(text) {
    const line = ++this.#line;
    const value = parse(text, line);
    if (line === 1) {
      if (!header.safeParse(value).success)
        throw new ImportError("this is no export of act-drizzle, or one of a newer release", { line });
      return void 0;
    }
    if (this.#ended) throw new ImportError("there is something behind the footer", { line });
    const end = footer.safeParse(value);
    if (end.success) return this.#end(end.data, line);
    return this.#event(value, text, line);
  }
  /** Called after the last line. */
  end() {
    if (!this.#ended)
      throw new ImportError("the footer is missing: the export was cut off", { line: this.#line + 1 });
  }
  #end({ events: events2, sha256 }, line) {
    this.#ended = true;
    if (events2 !== this.events)
      throw new ImportError(`the footer counts ${events2} events, there are ${this.events}`, { line });
    if (sha256 !== this.#hash.digest("hex"))
      throw new ImportError("the checksum does not match: the file was changed", { line });
  }
  #event(value, text, line) {
    const found = eventLine.safeParse(value);
    if (!found.success) {
      const path2 = found.error.issues[0]?.path.join(".") || "the event";
      throw new ImportError(`${path2} is missing or of a wrong type`, { line, ...placeOf(value) });
    }
    const { id, stream: stream2, version } = found.data;
    this.#order.add({ line, id, stream: stream2, version });
    this.#hash.update(text).update("\n");
    return { line, text, id, stream: stream2, version };
  }
};
function placeOf(value) {
  const place2 = z.object({ stream: z.string(), version: z.number() }).safeParse(value);
  return place2.success ? place2.data : {};
}

// src/backup/export.ts
import { createHash as createHash2 } from "node:crypto";

// src/values/pattern.ts
import { ValidationError as ValidationError2 } from "@rotorsoft/act";
var DOT = "[^\\n\\r\\u2028\\u2029]";
var CLASSES = { d: "0-9", w: "A-Za-z0-9_" };
var CONTROLS = { n: "\n", r: "\r", t: "	", f: "\f", v: "\v" };
var MAX_REPETITIONS = 255;
var MAX_REPETITIONS_IN_ALL = 1e4;
var Refused = class extends Error {
};
var escapeLiteral = (char) => /[A-Za-z0-9_]/.test(char) || char.charCodeAt(0) > 127 ? char : `\\${char}`;
var isAstral = (char) => char.length > 1;
var Reader = class {
  #at = 0;
  #repeated = 0;
  #chars;
  constructor(pattern) {
    this.#chars = [...pattern];
  }
  peek(ahead = 0) {
    return this.#chars[this.#at + ahead];
  }
  next() {
    return this.#chars[this.#at++];
  }
  get done() {
    return this.#at >= this.#chars.length;
  }
  /** Reads a quantifier. The `?` of a lazy one is dropped, because it does not change which strings match. */
  quantifier() {
    const found = this.#repetition();
    if (!found) return void 0;
    const [low = 0, high] = (found.match(/\d+/g) ?? []).map(Number);
    const most = high ?? low;
    if (most > MAX_REPETITIONS) throw new Refused("a repetition count");
    this.#repeated += most;
    if (this.#repeated > MAX_REPETITIONS_IN_ALL) throw new Refused("too many counted repetitions");
    if (this.peek() === "?") this.#at++;
    if (this.#repetition()) throw new Refused("a quantifier on a quantifier");
    return found;
  }
  /** Reads `*`, `+`, `?` or `{…}`, if one of them is next. */
  #repetition() {
    const c = this.peek();
    if (c === "*" || c === "+" || c === "?") {
      this.#at++;
      return c;
    }
    if (c !== "{") return void 0;
    const window = this.#chars.slice(this.#at, this.#at + 40).join("");
    if (window.length === 40 && /^\{\d+(?:,\d*)?$/.test(window)) throw new Refused("a repetition count");
    const found = /^\{\d+(?:,\d*)?\}/.exec(window)?.[0];
    if (found) this.#at += found.length;
    return found;
  }
  /** Reads what follows a backslash: a character, or a class such as \d. */
  escape() {
    const c = this.next();
    if (c === void 0) throw new Refused("a backslash at the end");
    const klass = CLASSES[c];
    if (klass !== void 0) return { klass };
    const control = CONTROLS[c];
    if (control !== void 0) return { char: control };
    if (c === "x" || c === "u") {
      const length = c === "x" ? 2 : 4;
      const hex = this.#chars.slice(this.#at, this.#at + length).join("");
      if (!/^[0-9A-Fa-f]+$/.test(hex) || hex.length !== length) throw new Refused(`\\${c}`);
      this.#at += length;
      const char = String.fromCharCode(Number.parseInt(hex, 16));
      if (char === "\0" || !char.isWellFormed()) throw new Refused("U+0000 or half a surrogate pair");
      return { char };
    }
    if (/[A-Za-z0-9]/.test(c) || isAstral(c)) throw new Refused(`\\${c}`);
    return { char: c };
  }
};
function readClass(reader) {
  const negated = reader.peek() === "^";
  if (negated) reader.next();
  let out = "";
  const member = () => {
    const c = reader.next();
    if (c === void 0) throw new Refused("an unclosed [");
    if (isAstral(c)) throw new Refused("a character beyond U+FFFF in a class");
    if (c !== "\\") return { text: escapeLiteral(c), char: c };
    if (reader.peek() === "b") throw new Refused("\\b");
    const escaped3 = reader.escape();
    return "klass" in escaped3 ? { text: escaped3.klass } : { text: escapeLiteral(escaped3.char), char: escaped3.char };
  };
  while (reader.peek() !== "]") {
    const from = member();
    if (reader.peek() === "-" && reader.peek(1) !== "]") {
      reader.next();
      const to = member();
      if (from.char === void 0 || to.char === void 0 || from.char > to.char)
        throw new Refused("a range");
      out += `${from.text}-${to.text}`;
    } else out += from.text;
  }
  reader.next();
  if (out === "") throw new Refused("an empty class");
  return `[${negated ? "^" : ""}${out}]`;
}
function readAlternative(reader) {
  let text = "";
  let literal2 = "";
  let head = "";
  let plain = true;
  let start = false;
  let end = false;
  while (!reader.done && reader.peek() !== "|" && reader.peek() !== ")") {
    const c = reader.next() ?? "";
    if (c === "^" || c === "$") {
      if (c === "^") {
        if (text !== "" || start) literal2 = void 0;
        start = true;
      } else end = true;
      text += c;
      if (reader.quantifier()) throw new Refused("a quantified anchor");
      if (c === "$" && !reader.done) literal2 = void 0;
      plain = plain && start && text === "^";
      continue;
    }
    const atom = readAtom(reader, c);
    const times = reader.quantifier();
    if (times && atom.char && isAstral(atom.char)) throw new Refused("a quantified character beyond U+FFFF");
    text += atom.text + (times ?? "");
    if (literal2 !== void 0) literal2 = atom.char === void 0 || times ? void 0 : literal2 + atom.char;
    plain = plain && atom.char !== void 0 && !times;
    if (plain) head += atom.char;
  }
  return { text, literal: literal2, head, start, end };
}
function readAtom(reader, c) {
  if (c === ".") return { text: DOT };
  if (c === "[") return { text: readClass(reader) };
  if (c === "(") {
    if (reader.peek() === "?") {
      if (reader.peek(1) !== ":") throw new Refused("(?\u2026)");
      reader.next();
      reader.next();
    }
    const inner = readAlternatives(reader);
    if (reader.next() !== ")") throw new Refused("an unclosed (");
    return { text: `(?:${inner.map((a) => a.text).join("|")})` };
  }
  if (c === "*" || c === "+" || c === "?") throw new Refused(`a ${c} that repeats nothing`);
  if (c === "\\") {
    const escaped3 = reader.escape();
    return "klass" in escaped3 ? { text: `[${escaped3.klass}]` } : { text: escapeLiteral(escaped3.char), char: escaped3.char };
  }
  return { text: escapeLiteral(c), char: c };
}
function readAlternatives(reader) {
  const all2 = [readAlternative(reader)];
  while (reader.peek() === "|") {
    reader.next();
    all2.push(readAlternative(reader));
  }
  return all2;
}
function refuse(option, pattern, reason) {
  return new ValidationError2(
    option,
    { pattern },
    `the pattern uses ${reason}, which PostgreSQL reads differently: use ^ $ . .* [ ] ( | ) quantifiers and literals, or ${option}_exact`
  );
}
var cache = /* @__PURE__ */ new Map();
function toPattern(option, pattern) {
  const known2 = cache.get(pattern);
  if (known2) return known2;
  try {
    new RegExp(pattern);
  } catch {
    throw new ValidationError2(option, { pattern }, "the pattern is not a valid regular expression");
  }
  if (pattern.includes("\0") || !pattern.isWellFormed())
    throw refuse(option, "", "U+0000 or half a surrogate pair");
  let result;
  try {
    result = read(pattern);
  } catch (error2) {
    if (error2 instanceof Refused) throw refuse(option, pattern, error2.message);
    if (error2 instanceof RangeError) throw refuse(option, "", "groups nested too deep");
    throw error2;
  }
  if (cache.size >= 500) cache.clear();
  cache.set(pattern, result);
  return result;
}
function read(pattern) {
  const reader = new Reader(pattern);
  const alternatives = readAlternatives(reader);
  if (!reader.done) throw new Refused("an unmatched )");
  const only = alternatives.length === 1 ? alternatives[0] : void 0;
  if (only?.literal !== void 0) {
    const { literal: text2, start, end } = only;
    if (start && end) return { kind: "equals", text: text2 };
    if (!end) {
      if (text2 === "") return { kind: "any" };
      return { kind: start ? "prefix" : "contains", text: text2 };
    }
  }
  const prefix = /^\^(.*)\.\*\??$/s.exec(pattern)?.[1];
  if (prefix !== void 0 && !/(?:^|[^\\])\\(?:\\\\)*$/.test(prefix)) {
    const head = readAlternatives(new Reader(prefix));
    const literal2 = head.length === 1 ? head[0] : void 0;
    if (literal2?.literal !== void 0 && !literal2.start && !literal2.end)
      return literal2.literal === "" ? { kind: "any" } : { kind: "prefix", text: literal2.literal };
  }
  const text = alternatives.map((a) => a.text).join("|");
  return only?.text.startsWith("^") && only.head !== "" ? { kind: "regex", text, prefix: only.head } : { kind: "regex", text };
}
function afterPrefix(prefix) {
  const points = [...prefix].map((c) => c.codePointAt(0) ?? 0);
  for (; ; ) {
    const last = points.pop();
    if (last === void 0) return void 0;
    if (last < 1114111) {
      const next = last === 55295 ? 57344 : last + 1;
      return [...points, next].map((point) => String.fromCodePoint(point)).join("");
    }
  }
}

// src/postgres/conditions.ts
var Conditions = class _Conditions {
  params;
  #parts = [];
  constructor(params = []) {
    this.params = params;
  }
  /** Conditions of another part of the same statement. Both share one list of parameters. */
  fork() {
    return new _Conditions(this.params);
  }
  /** Adds a parameter, and returns its `$n`. */
  param(value) {
    this.params.push(value);
    return `$${this.params.length}`;
  }
  add(condition) {
    this.#parts.push(condition);
  }
  /** Adds that `column` matches `value`, as a pattern or exactly. */
  match(option, column2, value, exact) {
    const pattern = exact ? { kind: "equals", text: value } : toPattern(option, value);
    const condition = this.pattern(column2, pattern);
    if (condition !== void 0) this.add(condition);
  }
  /** A pattern as a condition, without adding it; undefined for the pattern that every string matches. */
  pattern(column2, pattern) {
    switch (pattern.kind) {
      case "any":
        return void 0;
      case "equals":
        return `${column2} = ${this.param(pattern.text)}::text`;
      case "contains":
        return `strpos(${column2}, ${this.param(pattern.text)}::text) > 0`;
      case "regex": {
        const range = pattern.prefix ? this.pattern(column2, { kind: "prefix", text: pattern.prefix }) : void 0;
        const matches = `${column2} ~ ${this.param(pattern.text)}::text`;
        return range === void 0 ? matches : `${range} and ${matches}`;
      }
      case "prefix": {
        const { from, to } = this.prefixRange(pattern.text);
        return [from(column2), ...to(column2)].join(" and ");
      }
    }
  }
  /**
   * The strings that begin with `prefix`, as a range in code-unit order: a text_pattern_ops index serves it, whatever
   * the collation. `to` is empty if no string comes after those of the prefix.
   */
  prefixRange(prefix) {
    const first = this.param(prefix);
    const end = afterPrefix(prefix);
    const last = end === void 0 ? void 0 : this.param(end);
    return {
      from: (column2) => `${column2} ~>=~ ${first}::text`,
      to: (column2) => last === void 0 ? [] : [`${column2} ~<~ ${last}::text`]
    };
  }
  /** ` where …`, or nothing without conditions. */
  get where() {
    return this.#parts.length === 0 ? `` : ` where ${this.#parts.join(" and ")}`;
  }
};

// src/backup/csv.ts
import { z as z2 } from "zod";

// src/schema/event-rows.ts
import { log } from "@rotorsoft/act";

// src/values/pii-encryption.ts
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
var VERSION = 1;
var IV = 12;
var TAG = 16;
var HEADER2 = 1 + IV + TAG;
var PiiError = class extends Error {
  name = "PiiError";
};
function encrypt(key3, json) {
  const iv = randomBytes(IV);
  const cipher = createCipheriv("aes-256-gcm", key3, iv);
  const body = Buffer.concat([cipher.update(json, "utf8"), cipher.final()]);
  return Buffer.concat([Buffer.of(VERSION), iv, cipher.getAuthTag(), body]).toString("base64");
}
function isEncrypted(value) {
  if (typeof value !== "string" || value.length < Math.ceil(HEADER2 / 3) * 4 - 2) return false;
  return Buffer.from(value.slice(0, 4), "base64")[0] === VERSION && /^[A-Za-z0-9+/]+={0,2}$/.test(value);
}
function open(key3, bytes2) {
  const decipher = createDecipheriv("aes-256-gcm", key3, bytes2.subarray(1, 1 + IV), { authTagLength: TAG });
  decipher.setAuthTag(bytes2.subarray(1 + IV, HEADER2));
  const text = Buffer.concat([decipher.update(bytes2.subarray(HEADER2)), decipher.final()]);
  return JSON.parse(text.toString("utf8"));
}
function decrypt(keys, envelope, what) {
  const bytes2 = Buffer.from(envelope, "base64");
  if (bytes2[0] === VERSION && bytes2.length >= HEADER2)
    for (const key3 of keys) {
      try {
        return open(key3, bytes2);
      } catch {
      }
    }
  throw new PiiError(`the pii of ${what} cannot be decrypted: the key is wrong or the value was changed`);
}

// src/schema/event-rows.ts
function eventColumns(alias, { pii: pii2 }) {
  const columns = ["id", "name", "stream", "version", "data", "meta", "dates", ...pii2 ? ["pii"] : []];
  return `${columns.map((c) => `${alias}.${c}`).join(", ")}, ${millisOf(`${alias}.created`)} as created`;
}
var millisOf = (column2) => `case when ${column2} between '1900-01-01Z' and '2200-01-01Z'
    then trunc(round(date_part('epoch', ${column2}) * 1000000) / 1000)::bigint
    when isfinite(${column2}) then trunc(extract(epoch from ${column2}) * 1000)::bigint
    when not isfinite(${column2}) then ${Number.MAX_SAFE_INTEGER} end`;
var isPaths = (value) => Array.isArray(value);
var isDatePaths = (value) => typeof value === "object" && value !== null;
function safeId(value) {
  const id = Number(value);
  if (!Number.isSafeInteger(id))
    throw new RangeError("an event id exceeds 2^53 and cannot be read as a number");
  return id;
}
var describe = (row5) => `stream "${row5.stream}", event ${row5.id}`;
var isSealed = (pii2, encrypts) => typeof pii2 === "string" && (encrypts || isEncrypted(pii2));
function openPaths(row5, keys) {
  const paths = isDatePaths(row5.dates) ? row5.dates.pii : void 0;
  if (typeof paths !== "string") return paths;
  const opened = keys.length > 0 ? decrypt(keys, paths, describe(row5)) : void 0;
  return isPaths(opened) ? opened : void 0;
}
function openPii(row5, keysOf2) {
  if (row5.pii === null || row5.pii === void 0) return void 0;
  const keys = keysOf2?.(String(row5.stream)) ?? [];
  if (!isSealed(row5.pii, keysOf2 !== void 0)) return { pii: row5.pii, paths: openPaths(row5, keys) };
  if (!keysOf2) throw new PiiError(`the pii of ${describe(row5)} is encrypted: set pii_encryption`);
  if (keys.length === 0) return void 0;
  return { pii: decrypt(keys, row5.pii, describe(row5)), paths: openPaths(row5, keys) };
}
async function openPage(cipher, rows) {
  const sealed = rows.filter((row5) => isSealed(row5.pii, true));
  const streams = (of) => of.map(({ stream: stream2 }) => String(stream2));
  let keysOf2 = await cipher.keysOf(streams(sealed));
  const opened = /* @__PURE__ */ new Map();
  const unopened = (of) => of.filter((row5) => {
    try {
      opened.set(row5, openPii(row5, keysOf2));
      return false;
    } catch {
      return true;
    }
  });
  const failed2 = unopened(sealed);
  if (failed2.length > 0 && cipher.forget(streams(failed2))) {
    keysOf2 = await cipher.keysOf(streams(sealed));
    unopened(failed2);
  }
  return (row5) => opened.has(row5) ? opened.get(row5) : openPii(row5, keysOf2);
}
function eventReader(dates, cipher) {
  const revive = dates === "revive";
  let told = false;
  const omitting = (open2) => (row5) => {
    try {
      return open2(row5);
    } catch (error2) {
      if (!(error2 instanceof PiiError)) throw error2;
      if (!told)
        log().warn(
          `[act-drizzle] ${error2.message}. Such events come without their pii (pii_encryption: { unreadable: "omit" }); this is logged once`
        );
      told = true;
      return void 0;
    }
  };
  const decoder = (open2) => (row5) => {
    let { data, meta } = row5;
    const opened = open2(row5);
    let pii2 = opened?.pii;
    if (isDatePaths(row5.dates)) {
      data = setDates(data, row5.dates.data);
      meta = setDates(meta, row5.dates.meta);
      if (pii2 !== void 0) pii2 = setDates(pii2, opened?.paths);
    } else if (revive) {
      data = reviveDates(data);
      meta = reviveDates(meta);
      pii2 = reviveDates(pii2);
    }
    const event2 = {
      id: safeId(row5.id),
      stream: row5.stream,
      version: row5.version,
      created: new Date(row5.created),
      name: row5.name,
      data,
      meta
    };
    return pii2 === void 0 ? event2 : { ...event2, pii: pii2 };
  };
  const withoutKey = decoder((row5) => openPii(row5, void 0));
  return {
    forRows: async (rows) => {
      if (!cipher || !rows.some((row5) => typeof row5.pii === "string")) return withoutKey;
      const open2 = await openPage(cipher, rows);
      return decoder(cipher.unreadable === "omit" ? omitting(open2) : open2);
    }
  };
}

// src/backup/csv.ts
var COLUMNS = ["id", "name", "data", "stream", "version", "created", "meta"];
var CSV_LINE = `jsonb_build_object('name', e.name, 'data', e.data, 'stream', e.stream, 'version', e.version,
  'created', ${millisOf("e.created")}, 'meta', e.meta)::text`;
var row = z2.object({
  name: z2.string(),
  data: z2.unknown(),
  stream: z2.string(),
  version: z2.number(),
  created: z2.number(),
  meta: z2.unknown()
});
var caused = z2.looseObject({
  causation: z2.looseObject({ event: z2.looseObject({ id: z2.number() }) })
});
var escaped = (text) => /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
var NewIds = class {
  /** Of each run without a gap the first id and its new one. */
  #firsts = [];
  #news = [];
  #last = Number.NaN;
  #count = 0;
  add(id) {
    const next = ++this.#count;
    if (id !== this.#last + 1) {
      this.#firsts.push(id);
      this.#news.push(next);
    }
    this.#last = id;
    return next;
  }
  get(id) {
    if (!(id <= this.#last)) return void 0;
    let [low, high] = [0, this.#firsts.length];
    while (low < high) {
      const middle = low + high >> 1;
      if ((this.#firsts[middle] ?? 0) <= id) low = middle + 1;
      else high = middle;
    }
    const run = low - 1;
    const found = (this.#news[run] ?? 0) + id - (this.#firsts[run] ?? 0);
    return run >= 0 && found < (this.#news[run + 1] ?? this.#count + 1) ? found : void 0;
  }
};
function metaText(meta, ids) {
  const found = caused.safeParse(meta);
  const id = found.success ? ids.get(found.data.causation.event.id) : void 0;
  if (!found.success || id === void 0) return JSON.stringify(meta);
  const { causation } = found.data;
  return JSON.stringify({ ...found.data, causation: { ...causation, event: { ...causation.event, id } } });
}
async function* csvOf(pages, onPage) {
  const ids = new NewIds();
  let events2 = 0;
  yield `${COLUMNS.join(",")}
`;
  for await (const page of pages) {
    let text = "";
    for (const { id, line } of page) {
      const event2 = row.parse(JSON.parse(line));
      const fields = [
        escaped(event2.name),
        escaped(JSON.stringify(event2.data)),
        escaped(event2.stream),
        String(event2.version),
        new Date(event2.created).toISOString(),
        escaped(metaText(event2.meta, ids))
      ];
      events2 = ids.add(id);
      text += `${events2},${fields.join(",")}
`;
    }
    yield text;
    onPage(events2, page.at(-1)?.id ?? 0);
  }
}
function fieldAt(line, at) {
  if (line[at] !== '"') {
    const comma = line.indexOf(",", at);
    const end = comma < 0 ? line.length : comma;
    const field2 = line.slice(at, end);
    return field2.includes('"') ? void 0 : { field: field2, end };
  }
  let field = "";
  for (let from = at + 1; ; ) {
    const quote = line.indexOf('"', from);
    if (quote < 0) return void 0;
    field += line.slice(from, quote);
    if (line[quote + 1] !== '"') return { field, end: quote + 1 };
    field += '"';
    from = quote + 2;
  }
}
function fieldsOf(line) {
  const fields = [];
  for (let at = 0; ; at++) {
    const found = fieldAt(line, at);
    if (!found) return void 0;
    fields.push(found.field);
    at = found.end;
    if (at === line.length) return fields;
    if (line[at] !== ",") return void 0;
  }
}
var isJson = (text) => {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
};
var LONGEST_ROW = 256e6;
var WHOLE = /^\d{1,15}$/;
var LARGEST_VERSION = 2147483647;
var CsvReader = class {
  #order = new EventOrder();
  #line = 0;
  /** The lines of a row whose quoted field goes on in the next line. */
  #open;
  #header = false;
  get events() {
    return this.#order.events;
  }
  read(text) {
    const line = ++this.#line;
    const isOpen = this.#open !== void 0 !== (text.split('"').length % 2 === 0);
    const whole = this.#open === void 0 ? text : `${this.#open}
${text}`;
    this.#open = isOpen ? whole : void 0;
    if (whole.length > LONGEST_ROW)
      throw new ImportError("a quoted field has no end, or the row is too long", { line });
    const row5 = whole.replace(/\r$/, "");
    if (isOpen || row5.trim() === "") return void 0;
    const fields = fieldsOf(row5);
    if (this.#header) return this.#event(fields, line);
    if (fields?.join() !== COLUMNS.join())
      throw new ImportError(`this is no CSV file of the framework: its header is ${COLUMNS.join()}`, {
        line
      });
    this.#header = true;
    return void 0;
  }
  end() {
    const line = this.#line + 1;
    if (this.#open !== void 0)
      throw new ImportError("a quoted field has no end: the file was cut off", { line });
    if (!this.#header) throw new ImportError("the header is missing: the file is empty", { line });
  }
  #event(fields, line) {
    if (fields?.length !== COLUMNS.length)
      throw new ImportError(`there are ${fields?.length ?? "no"} fields where ${COLUMNS.length} are needed`, {
        line
      });
    const [id = "", name2 = "", data = "", stream2 = "", version = "", created2 = "", meta = ""] = fields;
    const wrong = [
      !WHOLE.test(id) && "id",
      !(WHOLE.test(version) && Number(version) <= LARGEST_VERSION) && "version",
      Number.isNaN(Date.parse(created2)) && "created",
      !isJson(data) && "data",
      !isJson(meta) && "meta"
    ].find((column2) => column2 !== false);
    const at = { line, id: Number(id), stream: stream2, version: Number(version) };
    if (wrong) throw new ImportError(`${wrong} is missing or of a wrong type`, at);
    this.#order.add(at);
    const head = JSON.stringify({ id: at.id, stream: stream2, version: at.version, created: new Date(created2), name: name2 });
    return { ...at, text: `${head.slice(0, -1)},"data":${data},"meta":${meta}}` };
  }
};

// src/backup/export.ts
var FIRST_PAGE = 100;
var PAGE = 250;
var BUDGET = 1e6;
function exportQuery(names, options, line, after, last, limit2) {
  const where = new Conditions();
  const { stream: stream2, streamExact, streams } = options;
  if (stream2 !== void 0) where.match("stream", "e.stream", stream2, streamExact);
  if (streams !== void 0) where.add(`e.stream = any(${where.param(textArray(streams))}::text[])`);
  where.add(`e.id > ${where.param(after)}::bigint`);
  where.add(`e.id <= ${where.param(last)}::bigint`);
  return {
    text: `select e.id, ${line} as line from ${names.events} e${where.where} order by e.id limit ${where.param(limit2)}::bigint`,
    params: where.params
  };
}
async function* pagesOf({ connections }, page, after = -1) {
  let [id, limit2] = [after, FIRST_PAGE];
  for (; ; ) {
    const rows = (await connections.read("export", page(id, limit2))).map((row5) => ({
      id: Number(row5.id),
      line: String(row5.line)
    }));
    id = rows.at(-1)?.id ?? id;
    if (rows.length > 0) yield rows;
    if (rows.length < limit2) return;
    const length = rows.reduce((sum, { line }) => sum + line.length, 0);
    limit2 = Math.max(1, Math.min(PAGE, Math.floor(BUDGET * rows.length / length)));
  }
}
async function* exportRows(context, page, onEnd, {
  after = -1,
  onPage
} = {}) {
  const hash = createHash2("sha256");
  let [events2, firstId, lastId2] = [0, 0, after];
  yield `${HEADER}
`;
  for await (const rows of pagesOf(context, page, after)) {
    const text = rows.map(({ line }) => `${line}
`).join("");
    if (events2 === 0) firstId = rows[0]?.id ?? 0;
    hash.update(text);
    events2 += rows.length;
    lastId2 = rows.at(-1)?.id ?? lastId2;
    yield text;
    onPage?.(events2, lastId2);
  }
  yield `${footerOf(events2, hash)}
`;
  onEnd({ events: events2, firstId, lastId: lastId2, sha256: hash.digest("hex") });
}
async function* exportEvents(context, options = {}) {
  const { names, connections } = context;
  const { before = Number.MAX_SAFE_INTEGER, after = -1, onProgress, format = "jsonl" } = options;
  const [row5] = await connections.read("export", {
    text: `select coalesce(max(id), 0) as last from ${names.events}`
  });
  const lastId2 = Math.min(Number(row5?.last), before - 1);
  const onPage = (events2, id) => onProgress?.({ events: events2, id, lastId: lastId2 });
  const page = (line) => (from, limit2) => exportQuery(names, options, line, from, lastId2, limit2);
  if (format === "csv") yield* csvOf(pagesOf(context, page(CSV_LINE), after), onPage);
  else yield* exportRows(context, page(LINE), () => {
  }, { after, onPage });
}

// src/backup/archive.ts
var STREAMS_PER_FILE = 1e3;
function candidatesQuery(names, after, limit2, before) {
  const { events: events2 } = names;
  const behind = `exists (select from ${events2} o where o.stream = e.stream and o.id < e.id)`;
  if (before === void 0)
    return {
      text: `select e.stream, max(e.id) as id from ${events2} e
where e.name = '__tombstone__' and e.stream ~>~ $1::text and ${behind}
  and not exists (select from ${events2} n where n.stream = e.stream and n.id > e.id)
group by e.stream order by e.stream using ~<~ limit $2::bigint`,
      params: [after, limit2]
    };
  return {
    text: `select e.stream, max(e.id) as id from ${events2} e
where e.name = '__snapshot__' and e.created < to_timestamp($3::float8 / 1000) and e.stream ~>~ $1::text and ${behind}
group by e.stream order by e.stream using ~<~ limit $2::bigint`,
    params: [after, limit2, before.getTime()]
  };
}
var rowsQuery = (names, cuts, after, limit2) => ({
  text: `select e.id, ${LINE} as line from ${names.events} e
join unnest($1::text[], $2::bigint[]) as c(stream, id) on e.stream = c.stream and e.id < c.id
where e.id > $3::bigint order by e.id limit $4::bigint`,
  params: [textArray(cuts.map((c) => c.stream)), numberArray(cuts.map((c) => c.id)), after, limit2]
});
var deleteQuery = (names, cuts, lastId2) => ({
  text: `with deleted as (
  delete from ${names.events} e using unnest($1::text[], $2::bigint[]) as c(stream, id)
  where e.stream = c.stream and e.id < c.id and e.id <= $3::bigint
    and exists (select from ${names.events} k where k.stream = c.stream and k.id = c.id)
  returning 1
) select count(*) as deleted from deleted`,
  params: [textArray(cuts.map((c) => c.stream)), numberArray(cuts.map((c) => c.id)), lastId2],
  bindFirst: true
});
var ArchiveError = class extends Error {
  name = "ArchiveError";
};
async function archive(context, options) {
  const { names, connections } = context;
  const perFile = options.streamsPerFile ?? STREAMS_PER_FILE;
  const files = [];
  let [streams, events2, after] = [0, 0, ""];
  for (; ; ) {
    const page = await connections.read("archive", candidatesQuery(names, after, perFile, options.before));
    const cuts = page.map(({ stream: stream2, id }) => ({ stream: String(stream2), id: Number(id) }));
    if (cuts.length === 0) break;
    streams += cuts.length;
    after = cuts.at(-1)?.stream ?? after;
    if (options.dryRun) events2 += await countBehind(context, cuts);
    else {
      const manifest = await archiveStreams(context, cuts, options);
      files.push(manifest);
      events2 += manifest.events;
      options.onProgress?.({ streams, events: events2, file: manifest.file });
    }
    if (cuts.length < perFile) break;
  }
  return { streams, events: events2, files };
}
async function countBehind({ names, connections }, cuts) {
  const [row5] = await connections.read("archive", {
    text: `select count(*) as behind from ${names.events} e
join unnest($1::text[], $2::bigint[]) as c(stream, id) on e.stream = c.stream and e.id < c.id`,
    params: [textArray(cuts.map((c) => c.stream)), numberArray(cuts.map((c) => c.id))]
  });
  return Number(row5?.behind);
}
async function archiveStreams(context, cuts, { target, compression = "zstd" }) {
  const { names, connections } = context;
  const file = `${names.table}-${(/* @__PURE__ */ new Date()).toISOString().replaceAll(/[:.]/g, "")}-${randomUUID().slice(0, 8)}.jsonl${ENDINGS[compression]}`;
  const written = { events: 0, firstId: 0, lastId: 0, sha256: "" };
  const text = exportRows(
    context,
    (after, limit2) => rowsQuery(names, cuts, after, limit2),
    (end) => Object.assign(written, end)
  );
  await target.write(file, compress(text, compression));
  await verify(target, file, written);
  const manifest = {
    file,
    events: written.events,
    streams: cuts.length,
    firstId: written.firstId,
    lastId: written.lastId,
    sha256: written.sha256,
    archivedAt: (/* @__PURE__ */ new Date()).toISOString(),
    table: `${names.schema}.${names.table}`
  };
  await target.write(`${file}.manifest.json`, lone(`${JSON.stringify(manifest, void 0, 2)}
`));
  await connections.transaction("archive", [lockAppends(names, 0), deleteQuery(names, cuts, written.lastId)]);
  return manifest;
}
async function* lone(text) {
  yield Buffer.from(text);
}
async function verify(target, file, written) {
  const reader = new LineReader();
  let rest = "";
  for await (const text of decompress(target.read(file), compressionOf(file))) {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) reader.read(line);
  }
  reader.end();
  if (reader.events !== written.events)
    throw new ArchiveError(
      `${file} holds ${reader.events} of ${written.events} events. Nothing was deleted: check the target, and archive again.`
    );
}

// src/backup/import.ts
import { z as z3 } from "zod";

// src/events/restore.ts
import { StoreError as StoreError3 } from "@rotorsoft/act";

// src/schema/id-sequence.ts
var idSequence = ({ events: events2 }) => {
  const column2 = `a.attrelid = to_regclass(${literal(events2)}) and a.attname = 'id'`;
  return `coalesce(
    (select s.oid from pg_attribute a
      join pg_attrdef f on f.adrelid = a.attrelid and f.adnum = a.attnum
      join pg_depend d on d.classid = 'pg_attrdef'::regclass and d.objid = f.oid and d.refclassid = 'pg_class'::regclass
      join pg_class s on s.oid = d.refobjid and s.relkind = 'S'
      where ${column2} limit 1),
    (select s.oid from pg_attribute a
      join pg_depend d on d.refclassid = 'pg_class'::regclass and d.refobjid = a.attrelid and d.refobjsubid = a.attnum
        and d.classid = 'pg_class'::regclass and d.deptype in ('a', 'i')
      join pg_class s on s.oid = d.objid and s.relkind = 'S'
      where ${column2} limit 1))`;
};

// src/values/time.ts
var EARLIEST = -2108668032e5;
var LATEST = 9224318015999e3;
var toTime = (ms) => Math.trunc(Math.max(EARLIEST, Math.min(LATEST, ms)));

// src/values/validate.ts
import { ValidationError as ValidationError3 } from "@rotorsoft/act";
function invalid(verb, details) {
  return new ValidationError3(verb, void 0, details);
}
function checkText(verb, name2, value) {
  if (typeof value !== "string") throw invalid(verb, `${name2} must be a string, not ${kind(value)}`);
  const refused = refusedText(value);
  if (refused) throw invalid(verb, `${name2} ${refused}`);
}
function checkOptionalText(verb, name2, value) {
  if (value !== void 0 && value !== null) checkText(verb, name2, value);
}
function checkArray(verb, name2, value) {
  if (!Array.isArray(value)) throw invalid(verb, `${name2} must be an array, not ${kind(value)}`);
  for (let i = 0; i < value.length; i++)
    if (!(i in value)) throw invalid(verb, `${name2} has nothing at ${i}`);
}
function checkTexts(verb, name2, value) {
  checkArray(verb, name2, value);
  for (const item of value) checkText(verb, `each of ${name2}`, item);
}
function checkObject(verb, name2, value) {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw invalid(verb, `${name2} must be an object, not ${kind(value)}`);
}
function checkNumber(verb, name2, value) {
  if (typeof value !== "number" || Number.isNaN(value))
    throw invalid(verb, `${name2} must be a number, not ${kind(value)}`);
}
function checkFlag(verb, name2, value) {
  if (value !== void 0 && value !== null && typeof value !== "boolean")
    throw invalid(verb, `${name2} must be true or false, not ${kind(value)}`);
}
function checkOptionalObject(verb, name2, value) {
  if (value !== void 0 && value !== null) checkObject(verb, name2, value);
}
function checkFunction(verb, name2, value) {
  if (typeof value !== "function") throw invalid(verb, `${name2} must be a function, not ${kind(value)}`);
}
var kind = (value) => value === null ? "null" : Array.isArray(value) ? "an array" : Number.isNaN(value) ? "NaN" : typeof value;
var INT_MAX = 2147483647;
var toInt = (value) => Math.max(-INT_MAX - 1, Math.min(INT_MAX, Math.trunc(value)));
var toId = (value) => Math.max(-Number.MAX_SAFE_INTEGER, Math.min(Number.MAX_SAFE_INTEGER, Math.trunc(value)));

// src/events/encode-messages.ts
import { ValidationError as ValidationError4 } from "@rotorsoft/act";
function toJson(value, part, refuse5) {
  let text;
  let dates;
  try {
    text = JSON.stringify(value);
    dates = datePaths(value);
  } catch {
    throw refuse5(part, "cannot be written as JSON (a BigInt, a circular reference, or nested too deep)");
  }
  if (text === void 0) return { text: "null", dates };
  const refused = refusedJson(text);
  if (refused) throw refuse5(part, refused);
  return { text, dates };
}
function encodeEvents(stream2, msgs, meta, key3) {
  const refuse5 = (part, reason) => {
    const names = msgs.map((m) => typeof m?.name === "string" ? m.name : "?");
    const shown = typeof stream2 === "string" ? stream2 : typeof stream2;
    return new ValidationError4(
      "event",
      { stream: shown, events: names },
      {
        stream: shown,
        events: names,
        reason: `${part} ${reason}`
      }
    );
  };
  if (typeof stream2 !== "string") throw refuse5("the stream", "must be a string");
  const refusedStream = refusedText(stream2);
  if (refusedStream) throw refuse5("the stream's name", refusedStream);
  if (meta !== void 0 && meta !== null && (typeof meta !== "object" || Array.isArray(meta)))
    throw refuse5("meta", "must be an object");
  const encodedMeta = toJson(meta ?? { correlation: "", causation: {} }, "meta", refuse5);
  const events2 = msgs.map((msg) => {
    if (typeof msg?.name !== "string") throw refuse5("an event's name", "must be a string");
    const refusedName = refusedText(msg.name);
    if (refusedName) throw refuse5("an event's name", refusedName);
    const data = toJson(msg.data, "data", refuse5);
    let pii2 = null;
    let piiDates;
    if (msg.pii !== null && msg.pii !== void 0) {
      const { text, dates: dates2 } = toJson(msg.pii, "pii", refuse5);
      piiDates = key3 && dates2 ? encrypt(key3, JSON.stringify(dates2)) : dates2;
      pii2 = key3 ? JSON.stringify(encrypt(key3, text)) : text;
    }
    const dates = { data: data.dates, meta: encodedMeta.dates, pii: piiDates };
    return { name: msg.name, data: data.text, pii: pii2, dates: JSON.stringify(dates) };
  });
  return { events: events2, meta: encodedMeta.text };
}

// src/events/recover.ts
var CLOCK_MARGIN_MS = 1e3;
var firstEventQuery = ({ events: events2 }) => ({
  text: `select id || ' ' || xmin as first_event, token is not null as by_commit from ${events2} order by id limit 1`
});
var firstEventOf = (row5) => typeof row5?.first_event === "string" ? row5.first_event : void 0;
var WAIT_FOR_STANDBY = {
  text: "select pg_logical_emit_message(true, 'act-drizzle', 'recover')::text"
};
function tokensQuery({ events: events2 }, appends, after) {
  return {
    text: `select first.version - 1 as head, first.created, rest.ids,
    exists (select from (
        select e.id, e.name from ${events2} e where e.stream = c.stream order by e.version limit 1) oldest
      where oldest.id > $4::bigint and oldest.name in ('__snapshot__', '__tombstone__')) as truncated
  from unnest($1::text[], $2::uuid[], $3::int[]) with ordinality as c(stream, token, size, ord)
  left join lateral (
    select e.version, (extract(epoch from e.created) * 1000)::float8 as created from ${events2} e
    where e.stream = c.stream and e.id > $4::bigint and e.token = c.token) first on true
  left join lateral (
    select array_agg(e.id order by e.version)::text as ids from ${events2} e
    where e.stream = c.stream and e.version between first.version and first.version + c.size - 1) rest on true
  order by c.ord`,
    params: [
      textArray(appends.map((a) => a.stream)),
      textArray(appends.map((a) => a.token)),
      numberArray(appends.map((a) => a.events.length)),
      after
    ]
  };
}
var knownQuery = ({ events: events2 }, known2) => ({
  text: `select exists (select from ${events2} where id = $1::bigint and token = $2::uuid) as known`,
  params: [known2?.id ?? null, known2?.token ?? null]
});
var messageToken = (appends) => appends[0]?.token ?? "";
var recoveryQueries = (names, lock, appends, { after, known: known2, until }) => [
  ...until === void 0 ? [] : [holdMessage(messageToken(appends))],
  lock,
  WAIT_FOR_STANDBY,
  tokensQuery(names, appends, after),
  firstEventQuery(names),
  knownQuery(names, known2)
];
function inferOutcomes(appends, { firstEvent, until }, answers) {
  const [clock] = until === void 0 ? [] : answers[0] ?? [];
  const [, , rows = [], first = [], known2 = []] = until === void 0 ? answers : answers.slice(1);
  const restored = known2[0]?.known !== true && mayBeRestored(firstEvent, first[0]);
  const over = until === void 0 || Number(clock?.clock) > until + CLOCK_MARGIN_MS;
  return appends.map((append, i) => {
    const row5 = rows[i];
    const stored = row5 && readStored(append, row5);
    if (stored) return stored;
    if (!row5 || restored || row5.truncated === true || typeof row5.head === "number") return "unknown";
    return over ? "absent" : "pending";
  });
}
function mayBeRestored(before, now) {
  if (before === void 0) return now !== void 0 && now.by_commit !== true;
  return firstEventOf(now) !== before;
}
function readStored({ events: events2 }, row5) {
  const ids = parseNumbers(row5.ids);
  if (typeof row5.head !== "number" || ids.length !== events2.length) return void 0;
  return { outcome: { accepted: true, head: row5.head, ids }, created: new Date(Number(row5.created)) };
}

// src/events/restore.ts
var BATCH = 1e3;
var BATCH_TEXT = 4e6;
var DAY = 864e5;
var CREATED = `timestamptz 'epoch' + floor(e.created / ${DAY}) * interval '1 day'
    + (e.created - floor(e.created / ${DAY}) * ${DAY}) * interval '1 millisecond'`;
function insertQuery(names, batch) {
  return {
    text: `insert into ${names.events} (id, stream, version, created, name, data, meta, pii, dates)
overriding system value
select e.id, e.stream, e.version, ${CREATED}, e.name, e.data::jsonb, e.meta::jsonb, e.pii::jsonb, e.dates::jsonb
from unnest($1::bigint[], $2::text[], $3::int[], $4::float8[], $5::text[],
  ${splitJson("$6")}, ${splitJson("$7")}, ${splitJson("$8")}, ${splitJson("$9")})
  as e(id, stream, version, created, name, data, meta, pii, dates)`,
    params: [
      numberArray(batch.map((e) => e.id)),
      textArray(batch.map((e) => e.stream)),
      numberArray(batch.map((e) => e.version)),
      numberArray(batch.map((e) => e.created)),
      textArray(batch.map((e) => e.name)),
      joinJson(batch.map((e) => e.data)),
      joinJson(batch.map((e) => e.meta)),
      joinJson(batch.map((e) => e.pii)),
      joinJson(batch.map((e) => e.dates))
    ]
  };
}
var WIPED = 2e4;
async function empty(run, table, key3, lock = "") {
  let after;
  for (; ; ) {
    const type = key3 === "id" ? "bigint" : "text";
    const behind = after === void 0 ? "" : `t.${key3} > $2::${type} and `;
    const [row5] = await run({
      text: `with page as materialized (
  select t.${key3} as key from ${table} t where ${behind}true order by t.${key3} limit $1::bigint${lock}
), deleted as (delete from ${table} t where ${behind}t.${key3} <= (select max(key) from page))
select count(*)::int as found, max(key)::text as last from page`,
      params: [WIPED, ...after === void 0 ? [] : [after]]
    });
    if (Number(row5?.found) < WIPED) return;
    after = String(row5?.last);
  }
}
async function wipe(run, { events: events2, streams, correlated }) {
  await run({ text: "set local statement_timeout = 0" });
  await empty(run, events2, "id");
  await run({ text: `lock table ${correlated} in exclusive mode` });
  await run({ text: `delete from ${correlated}` });
  await empty(run, streams, "stream", " for update");
}
function explainDuplicate(error2) {
  const cause = error2 instanceof StoreError3 ? error2.cause : void 0;
  if (cause instanceof DatabaseError && cause.code === "23505")
    throw storeError(
      "restore",
      new DatabaseError(
        cause.code,
        "two events of the input have the same stream and version: leave one out (23505)"
      )
    );
  throw error2;
}
async function findSequence(run, names) {
  const [row5] = await run({
    text: `select format('%I.%I', n.nspname, s.relname) as name, pg_has_role(s.relowner, 'usage') as owned
  from pg_class s join pg_namespace n on n.oid = s.relnamespace where s.oid = ${idSequence(names)}`
  });
  if (row5) return { name: String(row5.name), owned: row5.owned === true };
  throw storeError(
    "restore",
    new Error(
      `the ids of ${names.events} are drawn from no sequence that is known, so they could repeat after a restore: give its column "id" the default nextval('\u2026'::regclass). Nothing was changed`
    )
  );
}
async function restartSequence(run, { name: name2, owned }, next) {
  if (owned) await run({ text: `alter sequence ${name2} restart with ${next}` });
  else
    await run({
      text: `select setval(${literal(name2)}, greatest($1::bigint, last_value)) from ${name2}`,
      params: [next - 1]
    });
}
async function restore({ names, connections, cipher }, driver) {
  checkFunction("restore", "driver", driver);
  const shared = cipher && !cipher.perStream ? await guard("restore", () => cipher.current("")) : void 0;
  let firstEvent;
  const wasCommitted = async (backend) => {
    if (firstEvent === void 0) throw outcomeUnknown();
    const lock = { text: lockQuery(names) };
    const [, , first] = await connections.recover(backend, [lock, WAIT_FOR_STANDBY, firstEventQuery(names)]).catch(() => Promise.reject(outcomeUnknown()));
    return firstEventOf(first?.[0]) === firstEvent;
  };
  const work = async (run) => {
    await run({ text: lockQuery(names) });
    await wipe(run, names);
    const sequence2 = await findSequence(run, names);
    let batch = [];
    let batchText = 0;
    let id = 0;
    const flush = async () => {
      const full = batch;
      batch = [];
      batchText = 0;
      if (full.length > 0) await run(insertQuery(names, full)).catch(explainDuplicate);
    };
    let failure;
    let ended2 = false;
    let flushing = Promise.resolve();
    const put = async (event2, key3) => {
      if (ended2) throw storeError("restore", new Error("the restore has ended: nothing is written"));
      const pending = encode2(event2, id + 1, key3);
      id++;
      batch.push(pending);
      batchText += pending.data.length + (pending.pii?.length ?? 0);
      if (batch.length >= BATCH || batchText >= BATCH_TEXT) {
        flushing = flushing.then(flush).catch((error2) => {
          failure ??= error2;
        });
        await flushing;
        if (failure !== void 0) throw failure;
      }
      return pending.id;
    };
    let turn = Promise.resolve();
    const sink = (event2) => {
      if (!cipher?.perStream) return put(event2, shared);
      const personal = event2?.pii !== null && event2?.pii !== void 0;
      const written = turn.then(
        async () => put(event2, personal ? await guard("restore", () => cipher.current(event2.stream)) : void 0)
      );
      turn = written.catch((error2) => {
        failure ??= error2;
      });
      return written;
    };
    try {
      await driver(sink);
      await turn;
    } finally {
      ended2 = true;
    }
    await flushing;
    if (failure !== void 0) throw failure;
    await flush();
    await restartSequence(run, sequence2, id + 1);
    firstEvent = firstEventOf((await run(firstEventQuery(names)))[0]);
  };
  await connections.session("restore", work, { wasCommitted });
}
function encode2(event2, id, key3) {
  if (!(event2?.created instanceof Date) || !Number.isFinite(event2.created.getTime()))
    throw invalid("restore", `created of event ${id} must be a valid Date`);
  if (toTime(event2.created.getTime()) !== event2.created.getTime())
    throw invalid("restore", `created of event ${id} is beyond what PostgreSQL holds (4713 BC to 294276 AD)`);
  checkNumber("restore", "version", event2.version);
  if (toInt(event2.version) !== event2.version)
    throw invalid("restore", `version of event ${id} must be a whole number that a PostgreSQL integer holds`);
  const { events: events2, meta } = encodeEvents(event2.stream, [event2], event2.meta, key3);
  const [encoded] = events2;
  if (!encoded) throw invalid("restore", "an event is missing");
  return {
    ...encoded,
    id,
    stream: event2.stream,
    version: event2.version,
    created: event2.created.getTime(),
    meta
  };
}

// src/backup/import.ts
var BATCH2 = 250;
var BATCH_TEXT2 = 1e6;
var insertQuery2 = (names, batch) => ({
  text: `insert into ${names.events} (id, stream, version, created, name, data, meta, pii, dates, token)
overriding system value
select (l ->> 'id')::bigint, l ->> 'stream', (l ->> 'version')::int, (l ->> 'created')::timestamptz, l ->> 'name',
  l -> 'data', l -> 'meta', l -> 'pii', l -> 'dates', (l ->> 'token')::uuid
from (select x.line::jsonb as l from unnest(${splitJson("$1")}) as x(line)) x`,
  params: [batch.map(({ text }) => text).join(SEPARATOR)]
});
var conflictQuery = (names, batch) => ({
  text: `select g.n::int as n, exists (select from ${names.events} e where e.id = g.id) as by_id
from unnest($1::bigint[], $2::text[], $3::int[]) with ordinality as g(id, stream, version, n)
where exists (select from ${names.events} e where e.id = g.id)
  or exists (select from ${names.events} e where e.stream = g.stream and e.version = g.version)
order by g.n limit 1`,
  params: [
    numberArray(batch.map(({ id }) => id)),
    textArray(batch.map(({ stream: stream2 }) => stream2)),
    numberArray(batch.map(({ version }) => version))
  ]
});
var conflict = z3.object({ n: z3.number(), by_id: z3.boolean() });
async function refuseConflicts(run, names, batch) {
  const [row5] = await run(conflictQuery(names, batch));
  if (!row5) return;
  const { n, by_id } = conflict.parse(row5);
  const { line = 0, stream: stream2, version } = batch[n - 1] ?? {};
  throw new ImportError(
    by_id ? "the log has an event with this id" : "the log has an event of this version",
    {
      line,
      stream: stream2,
      version
    }
  );
}
async function moveSequence(run, names, lastId2) {
  const [row5] = await run({
    text: `select format('%I.%I', n.nspname, s.relname) as name from pg_class s
join pg_namespace n on n.oid = s.relnamespace where s.oid = ${idSequence(names)}`
  });
  if (!row5) return;
  const name2 = String(row5.name);
  await run({
    text: `select setval(${literal(name2)}, $1::bigint) from ${name2} where last_value < $1::bigint or not is_called`,
    params: [lastId2]
  });
}
async function* linesOf(source2) {
  let rest = "";
  for await (const text of source2) {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
  if (rest !== "") yield rest;
}
async function* batchesOf(source2, reader) {
  let batch = [];
  let size = 0;
  for await (const text of linesOf(source2)) {
    const event2 = reader.read(text);
    if (!event2) continue;
    batch.push(event2);
    size += text.length;
    if (batch.length < BATCH2 && size < BATCH_TEXT2) continue;
    yield batch;
    batch = [];
    size = 0;
  }
  reader.end();
  if (batch.length > 0) yield batch;
}
async function importEvents(context, source2, { mode = "empty", dryRun = false, onProgress, format = "jsonl" } = {}) {
  const { names, connections } = context;
  if (format === "csv" && mode === "merge")
    throw new Error(
      "act-drizzle: the ids of a CSV file are its own, so it cannot be merged with a log. Nothing was imported."
    );
  const reader = format === "csv" ? new CsvReader() : new LineReader();
  let lastId2;
  const note = (batch) => {
    lastId2 = batch.at(-1)?.id ?? lastId2;
    onProgress?.({ events: reader.events });
  };
  if (dryRun) {
    const run = (query2) => connections.read("import", query2);
    if (mode === "empty") await assertEmpty(run, names);
    for await (const batch of batchesOf(source2, reader)) {
      if (mode === "merge") await refuseConflicts(run, names, batch);
      note(batch);
    }
    return { events: reader.events, lastId: lastId2 };
  }
  await connections.session("import", async (run) => {
    await run({ text: lockQuery(names) });
    await run({ text: "set local statement_timeout = 0" });
    if (mode === "empty") await assertEmpty(run, names);
    if (mode === "replace") await wipe(run, names);
    for await (const batch of batchesOf(source2, reader)) {
      if (mode === "merge") await refuseConflicts(run, names, batch);
      await run(insertQuery2(names, batch));
      note(batch);
    }
    if (lastId2 !== void 0) await moveSequence(run, names, lastId2);
  });
  return { events: reader.events, lastId: lastId2 };
}
async function assertEmpty(run, names) {
  const [row5] = await run({ text: `select exists (select from ${names.events}) as filled` });
  if (row5?.filled === true)
    throw new Error(
      'act-drizzle: the log is not empty. Choose mode "replace", which deletes it, or "merge". Nothing was imported.'
    );
}

// src/context.ts
var CONTEXT = /* @__PURE__ */ Symbol.for("act-drizzle.context");
function contextOf(store) {
  const context = Reflect.get(store, CONTEXT);
  if (context === void 0)
    throw new TypeError(
      "act-drizzle: a PostgresStore of this release is needed. Pass the store that you gave to store(\u2026)."
    );
  return context;
}

// src/subscriptions/update.ts
import { StoreError as StoreError4 } from "@rotorsoft/act";

// src/subscriptions/announce.ts
var announcedPart = ({ names, by: by2 }, condition) => {
  const payload = JSON.stringify({ stream: "", events: [], by: by2, claimable: true });
  return `announced as materialized (
  select pg_notify(${literal(names.channel)}, ${literal(payload)}) where ${condition}
)`;
};
var QUEUE_FULL = "54000";
async function writeAnnounced({ connections, notify }, operation, queryOf) {
  if (!notify) return connections.write(operation, queryOf(false));
  try {
    return await connections.write(operation, queryOf(true));
  } catch (error2) {
    if (!(error2 instanceof Error) || codeOf(error2.cause) !== QUEUE_FULL) throw error2;
    return connections.write(operation, queryOf(false));
  }
}

// src/subscriptions/filter.ts
function filterConditions(verb, filter, where = new Conditions()) {
  checkObject(verb, "filter", filter);
  checkOptionalText(verb, "stream", filter.stream);
  checkOptionalText(verb, "source", filter.source);
  checkOptionalText(verb, "lane", filter.lane);
  for (const flag of ["blocked", "stream_exact", "source_exact"])
    checkFlag(verb, flag, filter[flag]);
  for (const option of ["stream", "source", "blocked", "lane"])
    if (filter[option] === null) throw invalid(verb, `${option} must not be null: leave it out`);
  if (filter.stream !== void 0) where.match("stream", "s.stream", filter.stream, filter.stream_exact);
  if (filter.source !== void 0) {
    where.add("s.source is not null");
    where.match("source", "s.source", filter.source, filter.source_exact);
  }
  if (filter.blocked !== void 0) where.add(filter.blocked ? "s.blocked" : "not s.blocked");
  if (filter.lane !== void 0) where.add(`s.lane = ${where.param(filter.lane)}::text`);
  return where;
}
function namesOf2(verb, input) {
  checkTexts(verb, "streams", input);
  return [...new Set(input)];
}
function namesConditions(names) {
  const where = new Conditions();
  where.add(`s.stream = any(${where.param(textArray(names))}::text[])`);
  return where;
}

// src/subscriptions/update.ts
var ONE_STATEMENT = 2e4;
var NAMES = 5e3;
var FIRST_PAGE2 = 5e3;
var SMALLEST_PAGE = 20;
var PAGE_MS = 500;
function isTimeout({ connections }, error2, ms) {
  const { statement_timeout: limit2 } = connections.config;
  return limit2 > 0 && ms >= 0.9 * limit2 && error2 instanceof StoreError4 && codeOf(error2.cause) === "57014";
}
async function update(context, operation, where, set, page) {
  const { streams } = context.names;
  const params = [
    ...where.params,
    ...page ? [page.limit] : [],
    ...page?.after === void 0 ? [] : [page.after]
  ];
  const from = where.params.length + 1;
  const behind = page?.after === void 0 ? "" : `${where.where ? " and" : " where"} s.stream > $${from + 1}::text`;
  const limited = page ? ` limit $${from}::bigint` : "";
  const text = (announce) => `with matching as materialized (
  select s.stream from ${streams} s${where.where}${behind} order by s.stream${limited} for update of s
), changed as (
  update ${streams} s set ${set} from matching m where s.stream = m.stream returning 1
)${announce ? `, ${announcedPart(context, "exists (select from changed)")}` : ""}
select count(*)::int as count${page ? ", (select max(stream) from matching) as last" : ""}${announce ? ", (select count(*) from announced) as announced" : ""} from changed`;
  const [row5] = await writeAnnounced(context, operation, (announce) => ({ text: text(announce), params }));
  return { count: Number(row5?.count ?? 0), last: String(row5?.last ?? "") };
}
async function isMany({ names, connections }, operation, where) {
  const limit2 = `$${where.params.length + 1}::bigint`;
  const [row5] = await connections.read(operation, {
    text: `select count(*) as found from (select from ${names.streams} s${where.where} limit ${limit2}) s`,
    params: [...where.params, ONE_STATEMENT + 1]
  });
  return Number(row5?.found) > ONE_STATEMENT;
}
async function updatePages(context, operation, where, set, onProgress) {
  let changed = 0;
  let page = { after: void 0, limit: FIRST_PAGE2 };
  for (; ; ) {
    const start = performance.now();
    const took = () => performance.now() - start;
    try {
      const { count: count3, last } = await update(context, operation, where, set, page);
      changed += count3;
      onProgress(changed);
      if (count3 < page.limit) return changed;
      const limit2 = Math.round(page.limit * Math.max(0.25, Math.min(2, PAGE_MS / Math.max(1, took()))));
      page = { after: last, limit: Math.max(SMALLEST_PAGE, Math.min(ONE_STATEMENT, limit2)) };
    } catch (error2) {
      if (page.limit <= SMALLEST_PAGE || !isTimeout(context, error2, took())) throw error2;
      page = { ...page, limit: Math.max(SMALLEST_PAGE, page.limit >> 2) };
    }
  }
}
async function updateStreams(context, operation, where, set, { onProgress = () => {
}, many } = {}) {
  if (many ?? await isMany(context, operation, where))
    return updatePages(context, operation, where, set, onProgress);
  const start = performance.now();
  try {
    const { count: count3 } = await update(context, operation, where, set);
    onProgress(count3);
    return count3;
  } catch (error2) {
    if (!isTimeout(context, error2, performance.now() - start)) throw error2;
    return updatePages(context, operation, where, set, onProgress);
  }
}
async function updateInput(context, verb, input, setOf, { onProgress = () => {
} } = {}) {
  if (!Array.isArray(input)) {
    const where = filterConditions(verb, input);
    return updateStreams(context, verb, where, setOf(where), { onProgress });
  }
  const names = namesOf2(verb, input);
  let changed = 0;
  for (let from = 0; from < names.length; from += NAMES) {
    const before = changed;
    const where = namesConditions(names.slice(from, from + NAMES));
    const onPart = (part) => onProgress(before + part);
    changed += await updateStreams(context, verb, where, setOf(where), { onProgress: onPart, many: false });
  }
  return changed;
}

// src/subscriptions/defer.ts
async function defer(context, input, deferredAt, options) {
  checkNumber("defer", "deferred_at", deferredAt);
  const time = toTime(deferredAt);
  return updateInput(
    context,
    "defer",
    input,
    (where) => {
      const at = `${where.param(time)}::float8`;
      where.add(`${at} is not null`);
      return `deferred_at = to_timestamp(${at} / 1000), retry = -1`;
    },
    options
  );
}

// src/subscriptions/prioritize.ts
async function prioritize(context, filter, priority, options) {
  checkNumber("prioritize", "priority", priority);
  const where = filterConditions("prioritize", filter);
  const value = where.param(toInt(priority));
  where.add(`s.priority <> ${value}::int`);
  return updateStreams(context, "prioritize", where, `priority = ${value}::int`, options);
}

// src/subscriptions/reset.ts
var BEGINNING = `at = -1, retry = -1, blocked = false, error = null,
  leased_by = null, leased_until = null, deferred_at = null`;
async function reset(context, input, options) {
  return updateInput(context, "reset", input, () => BEGINNING, options);
}

// src/subscriptions/unblock.ts
var UNBLOCKED = `retry = -1, blocked = false, error = null,
  leased_by = null, leased_until = null, deferred_at = null`;
async function unblock(context, input, options) {
  const onlyBlocked = (where) => {
    where.add("s.blocked");
    return UNBLOCKED;
  };
  return updateInput(context, "unblock", input, onlyBlocked, options);
}

// src/admin/blocked.ts
import { z as z6 } from "zod";

// src/admin/bounded.ts
import { z as z4 } from "zod";
var COUNT_LIMIT = 1e4;
var countOf = (from, limit2 = COUNT_LIMIT) => `(select count(*) from (select 1 ${from} limit ${limit2 + 1}) counted)`;
var boundedCount = (limit2 = COUNT_LIMIT) => z4.coerce.number().transform((found) => ({ count: Math.min(found, limit2), exact: found <= limit2 }));
var instant = z4.coerce.number().transform((ms) => new Date(ms));
var optionalInstant = z4.number().nullable().transform((ms) => ms === null ? void 0 : new Date(ms));
var epochMs = (expression) => `extract(epoch from ${expression})::float8 * 1000`;
var optionalText = z4.string().nullable().transform((text) => text ?? void 0);

// src/admin/next-events.ts
import { z as z5 } from "zod";

// src/admin/sources.ts
var METACHARACTERS = /[\^$.*+?()[\]{}|\\]/;
var sourceKind = (source2) => {
  if (source2 === void 0) return "all";
  return METACHARACTERS.test(source2) ? "pattern" : "stream";
};
function sourceConditions(where, source2) {
  where.add("e.name <> '__snapshot__'");
  if (source2 !== void 0)
    where.match("source", "e.stream", source2, sourceKind(source2) === "stream" ? true : void 0);
}

// src/admin/next-events.ts
var EVENTS_LIMIT = 1e3;
var PATTERN_WINDOW = 1e5;
var eventRef = z5.object({
  id: z5.coerce.number(),
  stream: z5.string(),
  version: z5.coerce.number(),
  name: z5.string(),
  created: instant
});
function nextEventsQuery(names, positions, eventNames = () => void 0) {
  const where = new Conditions();
  const branches = positions.map(({ stream: stream2, source: source2, at, correlatedAt }, index2) => {
    const own2 = where.fork();
    sourceConditions(own2, source2);
    const only = eventNames(stream2);
    if (only) own2.add(`e.name = any(${own2.param(textArray(only))}::text[])`);
    const mark = correlatedAt ?? at;
    const last = sourceKind(source2) === "pattern" ? Math.min(mark, at + PATTERN_WINDOW) : mark;
    own2.add(`e.id > ${own2.param(at)}::bigint`);
    own2.add(`e.id <= ${own2.param(last)}::bigint`);
    const from = `from ${names.events} e${own2.where}`;
    return `select ${index2} as position, ${countOf(from, EVENTS_LIMIT)} as events, n.* from (select 1) one left join lateral (
  select e.id, e.stream, e.version, e.name, ${epochMs("e.created")} as created ${from} order by e.id limit 1) n on true`;
  });
  return { text: branches.join("\nunion all\n"), params: where.params };
}
var answer = z5.object({ position: z5.number(), events: boundedCount(EVENTS_LIMIT), id: z5.unknown() });
var positionsOf = (rows) => rows.map(({ stream: stream2, source: source2, at, correlated_at }) => ({
  stream: stream2,
  source: source2,
  at,
  correlatedAt: correlated_at ?? void 0
}));
async function nextEvents({ names, connections }, positions, eventNames) {
  if (positions.length === 0) return [];
  const rows = await connections.read("admin", nextEventsQuery(names, positions, eventNames));
  const pending = positions.map(() => ({ next: void 0, events: { count: 0, exact: true } }));
  for (const row5 of rows) {
    const { position: position2, events: events2, id } = answer.parse(row5);
    const given = positions[position2];
    const whole = given === void 0 || sourceKind(given.source) !== "pattern" || (given.correlatedAt ?? given.at) <= given.at + PATTERN_WINDOW;
    pending[position2] = {
      next: id === null ? void 0 : eventRef.parse(row5),
      events: { count: events2.count, exact: events2.exact && whole }
    };
  }
  return pending;
}

// src/admin/blocked.ts
var DEFAULT_LIMIT = 50;
function blockedQuery(names, { lane, after, limit: limit2 = DEFAULT_LIMIT }) {
  const where = new Conditions();
  where.add("s.blocked");
  if (lane !== void 0) where.add(`s.lane = ${where.param(lane)}::text`);
  if (after !== void 0) where.add(`s.stream ~>~ ${where.param(after)}::text`);
  return {
    text: `select s.stream, s.source, s.lane, s.priority, s.at, s.correlated_at, s.retry, s.error
from ${names.streams} s${where.where} order by s.stream using ~<~ limit ${where.param(limit2)}::bigint`,
    params: where.params
  };
}
var row2 = z6.object({
  stream: z6.string(),
  source: optionalText,
  lane: z6.string(),
  priority: z6.number(),
  at: z6.coerce.number(),
  correlated_at: z6.coerce.number().nullable(),
  retry: z6.number(),
  error: optionalText
});
async function blocked(context, options = {}) {
  const rows = z6.array(row2).parse(await context.connections.read("admin", blockedQuery(context.names, options)));
  const pending = await nextEvents(context, positionsOf(rows), options.names);
  return rows.map((found, index2) => ({
    stream: found.stream,
    source: found.source,
    lane: found.lane,
    priority: found.priority,
    at: found.at,
    attempts: found.retry + 1,
    error: found.error,
    event: pending[index2]?.next
  }));
}

// src/admin/connections.ts
import { z as z7 } from "zod";
var connectionsRow = z7.object({
  max: z7.coerce.number(),
  reserved: z7.coerce.number(),
  used: z7.coerce.number(),
  applications: z7.array(
    z7.object({
      name: z7.string(),
      connections: z7.number(),
      active: z7.number(),
      idleInTransaction: z7.number()
    })
  )
});
var CONNECTIONS = `select current_setting('max_connections')::int as max,
  current_setting('superuser_reserved_connections')::int as reserved,
  (select count(*) from pg_stat_activity where backend_type = 'client backend') as used,
  (select coalesce(jsonb_agg(to_jsonb(a) order by a.connections desc, a.name), '[]') from (
    select coalesce(nullif(application_name, ''), '(none)') as name, count(*)::int as connections,
      (count(*) filter (where state = 'active'))::int as active,
      (count(*) filter (where state like 'idle in transaction%'))::int as "idleInTransaction"
    from pg_stat_activity where datname = current_database() and backend_type = 'client backend'
    group by 1 order by 2 desc, 1 limit 50) a) as applications`;
async function serverConnections({ connections }) {
  const [row5] = await connections.read("admin", { text: CONNECTIONS });
  return connectionsRow.parse(row5);
}
var holderRow = z7.object({
  granted: z7.boolean(),
  pid: z7.number(),
  application: optionalText,
  state: optionalText,
  transaction_ms: z7.number().nullable()
}).transform(({ granted, pid, application, state, transaction_ms }) => ({
  granted,
  holder: { pid, application, state, transactionMs: transaction_ms ?? void 0 }
}));
async function appendLock({ names, connections }) {
  const rows = await connections.read("admin", {
    text: `with key as (select hashtext(${literal(names.lockKey)})::bigint as value)
select l.granted, l.pid, a.application_name as application, a.state,
  ${epochMs("clock_timestamp() - a.xact_start")} as transaction_ms
from pg_locks l cross join key left join pg_stat_activity a on a.pid = l.pid
where l.locktype = 'advisory' and l.objsubid = 1
  and l.database = (select oid from pg_database where datname = current_database())
  and (l.classid::bigint << 32) | l.objid::bigint = key.value
order by l.granted desc, a.xact_start limit 1000`
  });
  const found = z7.array(holderRow).parse(rows);
  return {
    holder: found.find(({ granted }) => granted)?.holder,
    waiting: found.filter(({ granted }) => !granted).map(({ holder }) => holder)
  };
}

// src/migrations/introspect.ts
import { z as z8 } from "zod";

// src/schema/id-capacity.ts
import { log as log2 } from "@rotorsoft/act";
var LAST_ID = Number.MAX_SAFE_INTEGER;
var LAST_NARROW = 2147483647;
var SHARE = 0.75;
var idCapacityColumns = (names) => {
  const of = (value) => `(select ${value} from pg_sequence s
    join pg_attribute a on a.attrelid = to_regclass(${literal(names.events)}) and a.attname = 'id'
    where s.seqrelid = ${idSequence(names)})`;
  const used = `case when has_sequence_privilege(s.seqrelid, 'usage, select')
    then pg_sequence_last_value(s.seqrelid) end`;
  const ends = `case a.atttypid when 'int4'::regtype then ${LAST_NARROW} else ${LAST_ID} end`;
  return `${of(used)} as ids, ${of(`least(s.seqmax, ${ends})::bigint`)} as last`;
};
function warnOfIdCapacity({ schema, table }, row5) {
  const { ids, last } = row5 ?? {};
  if (typeof last !== "number") return Number.POSITIVE_INFINITY;
  if (typeof ids !== "number" || ids < last * SHARE) return last * SHARE;
  const percent2 = Math.floor(ids / last * 100);
  const remedy = last <= LAST_NARROW ? `widen them to bigint: docs/guides/migrating-from-act-pg.md, "Widen the ids"` : "restore()";
  log2().warn(
    `[act-drizzle] "${schema}"."${table}": ids are at ${ids} of ${last} (${percent2} %), then commits fail: ${remedy}`
  );
  return ids + Math.max(1, Math.floor((last - ids) / 2));
}
var FIRST_CHECK = Math.floor(LAST_NARROW * SHARE);
var nextCheck = /* @__PURE__ */ new WeakMap();
function watchIdCapacity({ names, connections }, id) {
  if (id < FIRST_CHECK || id < (nextCheck.get(names) ?? FIRST_CHECK)) return;
  nextCheck.set(names, Number.POSITIVE_INFINITY);
  connections.read("commit", { text: `select ${idCapacityColumns(names)}` }).then(
    ([row5]) => nextCheck.set(names, warnOfIdCapacity(names, row5)),
    // The commit is stored; a later one checks again.
    () => nextCheck.set(names, id + 1)
  );
}

// src/migrations/sql.generated.ts
var migrations = [
  {
    tag: "0000_store",
    statements: [
      `CREATE TABLE IF NOT EXISTS "events_correlated" (
	"key" text PRIMARY KEY NOT NULL,
	"at" bigint DEFAULT '-1' NOT NULL,
	"leased_by" text,
	"leased_until" timestamp with time zone
);`,
      `CREATE TABLE IF NOT EXISTS "events" (
	"id" bigserial PRIMARY KEY NOT NULL,
	"name" text NOT NULL,
	"data" jsonb NOT NULL,
	"stream" text NOT NULL,
	"version" integer NOT NULL,
	"created" timestamp with time zone DEFAULT now() NOT NULL,
	"meta" jsonb NOT NULL,
	"pii" jsonb,
	"dates" jsonb
);`,
      `CREATE TABLE IF NOT EXISTS "events_streams" (
	"stream" text PRIMARY KEY NOT NULL,
	"source" text,
	"at" bigint DEFAULT '-1' NOT NULL,
	"retry" integer DEFAULT '-1' NOT NULL,
	"blocked" boolean DEFAULT false NOT NULL,
	"error" text,
	"leased_by" text,
	"leased_until" timestamp with time zone,
	"priority" integer DEFAULT 0 NOT NULL,
	"lane" text DEFAULT 'default' NOT NULL,
	"deferred_at" timestamp with time zone,
	"correlated_at" bigint
);`,
      `CREATE UNIQUE INDEX IF NOT EXISTS "events_stream_ix" ON "events" USING btree ("stream","version");`,
      `CREATE INDEX IF NOT EXISTS "events_stream_id_ix" ON "events" USING btree ("stream" text_pattern_ops,"id");`,
      `CREATE INDEX IF NOT EXISTS "events_snapshot_ix" ON "events" USING btree ("stream","id") WHERE name = '__snapshot__';`,
      `CREATE INDEX IF NOT EXISTS "events_name_id_ix" ON "events" USING btree ("name","id");`,
      `CREATE INDEX IF NOT EXISTS "events_created_ix" ON "events" USING brin ("created");`,
      `CREATE INDEX IF NOT EXISTS "events_correlation_ix" ON "events" USING btree ((meta ->> 'correlation'));`,
      `CREATE INDEX IF NOT EXISTS "events_streams_order_ix" ON "events_streams" USING btree ("stream" text_pattern_ops);`,
      `CREATE INDEX IF NOT EXISTS "events_streams_at_ix" ON "events_streams" USING btree ("at");`,
      `CREATE INDEX IF NOT EXISTS "events_streams_prio_ix" ON "events_streams" USING btree ("priority" DESC NULLS FIRST,"at") WHERE not blocked and at < correlated_at and deferred_at is null and priority >= '-2147483648'::integer;`,
      `CREATE INDEX IF NOT EXISTS "events_streams_fair_ix" ON "events_streams" USING btree ("at") WHERE not blocked and at < correlated_at and deferred_at is null and at >= '-9223372036854775808'::bigint;`,
      `CREATE INDEX IF NOT EXISTS "events_streams_lane_prio_ix" ON "events_streams" USING btree ("lane","priority" DESC NULLS FIRST,"at") WHERE not blocked and at < correlated_at and deferred_at is null and priority <= 2147483647;`,
      `CREATE INDEX IF NOT EXISTS "events_streams_lane_fair_ix" ON "events_streams" USING btree ("lane","at") WHERE not blocked and at < correlated_at and deferred_at is null and at <= '9223372036854775807'::bigint;`,
      `CREATE INDEX IF NOT EXISTS "events_streams_due_ix" ON "events_streams" USING btree ("deferred_at") WHERE not blocked and at < correlated_at and deferred_at is not null;`
    ]
  },
  {
    tag: "0001_storage",
    statements: [
      `-- Every claim rewrites its row: room on the page keeps that a HOT update, and frequent, small vacuums keep the table level.
ALTER TABLE "events_streams" SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 500, autovacuum_analyze_scale_factor = 0.05);`,
      `ALTER TABLE "events_correlated" SET (fillfactor = 50);`
    ]
  },
  {
    tag: "0002_commit_token",
    statements: [
      `ALTER TABLE "events" ADD COLUMN IF NOT EXISTS "token" uuid;`
    ]
  },
  {
    tag: "0003_read_paths",
    statements: [
      `CREATE INDEX IF NOT EXISTS "events_created_id_ix" ON "events" USING btree ("created","id");`,
      `CREATE INDEX IF NOT EXISTS "events_streams_lane_due_ix" ON "events_streams" USING btree ("lane","deferred_at") WHERE not blocked and coalesce(at < correlated_at, false) and deferred_at is not null;`,
      `CREATE INDEX IF NOT EXISTS "events_streams_blocked_ix" ON "events_streams" USING btree ("stream" text_pattern_ops) WHERE blocked;`
    ]
  },
  {
    tag: "0004_skipped",
    statements: [
      `ALTER TABLE "events_streams" ADD COLUMN IF NOT EXISTS "skipped" jsonb;`,
      `CREATE INDEX IF NOT EXISTS "events_streams_skipped_ix" ON "events_streams" USING btree ("stream" text_pattern_ops) WHERE skipped IS NOT NULL;`
    ]
  }
];

// src/migrations/migration-steps.ts
var TABLE = /^CREATE TABLE (?:IF NOT EXISTS )?"([^"]+)" \(\n(.*)\n\);?$/s;
var ADD_COLUMN = /^ALTER TABLE "([^"]+)" ADD COLUMN (?:IF NOT EXISTS )?"([^"]+)" (.*?);?$/s;
var INDEX = /^CREATE (UNIQUE )?INDEX (?:IF NOT EXISTS )?"([^"]+)" ON "([^"]+)"/;
var STORAGE = /^ALTER TABLE "([^"]+)" SET \((.*)\);?$/;
var COLUMN = /^\t"([^"]+)" (.*?),?$/;
var OPTION = /^([a-z_]+) = (\S+)$/;
var BIGINT_COLUMN = /^((?:\t|ALTER TABLE "[^"]+" ADD COLUMN (?:IF NOT EXISTS )?)"[^"]+") bigint\b/gm;
var COMMENT_LINE = /^--.*\n/gm;
function groups(pattern, text) {
  const match = pattern.exec(text);
  return match ? match.slice(1).map((group) => group ?? "") : void 0;
}
function parts(pattern, list, separator) {
  return list.split(separator).map((part) => {
    const [name2, value] = groups(pattern, part) ?? [];
    if (!name2 || !value) throw new Error(`a migration has a part that seed() does not understand: ${part}`);
    return { name: name2, value };
  });
}
function toStep(statement5, table, { narrow = false } = {}) {
  const named = statement5.replaceAll('"events', `"${table}`);
  return parse2(narrow ? named.replaceAll(BIGINT_COLUMN, "$1 integer") : named);
}
function parse2(statement5) {
  const sql = statement5.replace(COMMENT_LINE, "").trim();
  const [table, lines = ""] = groups(TABLE, sql) ?? [];
  if (table) {
    const columns = parts(COLUMN, lines, "\n").map(({ name: name2, value }) => ({ name: name2, definition: value }));
    return { kind: "table", name: table, sql, columns };
  }
  const [altered, added = "", definition = ""] = groups(ADD_COLUMN, sql) ?? [];
  if (altered) return { kind: "columns", name: altered, sql, columns: [{ name: added, definition }] };
  const [unique, index2, on = ""] = groups(INDEX, sql) ?? [];
  if (index2) return { kind: "index", name: index2, sql, table: on, unique: unique !== "" };
  const [stored, options = ""] = groups(STORAGE, sql) ?? [];
  if (stored) return { kind: "storage", name: stored, sql, options: parts(OPTION, options, ", ") };
  throw new Error(`a migration has a statement that seed() does not understand: ${sql}`);
}
function migrationSteps({ table }, options = {}) {
  return migrations.flatMap(
    ({ statements }) => statements.map((statement5) => toStep(statement5, table, options))
  );
}
function indexSteps(names) {
  return migrationSteps(names).filter((step) => step.kind === "index").map((step, k) => ({ ...step, next: `${names.table}_next_ix_${k}`, old: `${names.table}_old_ix_${k}` }));
}

// src/migrations/introspect.ts
var column = z8.object({
  name: z8.string(),
  type: z8.string(),
  /** The expression of the default. Null without one, and where expressions were not read. */
  default: z8.string().nullable(),
  notNull: z8.boolean(),
  /** Views that show the column, qualified. PostgreSQL refuses to change the type of such a column. */
  views: z8.array(z8.string())
});
var index = z8.object({
  /** The table that it is an index of. */
  table: z8.string(),
  unique: z8.boolean(),
  /** False after a CREATE INDEX CONCURRENTLY that failed. */
  valid: z8.boolean(),
  /** As pg_get_indexdef shows it. Null where expressions were not read. */
  definition: z8.string().nullable()
});
var relation = z8.object({
  name: z8.string(),
  /** pg_class.relkind: `r` is a table, `p` a partitioned one. */
  kind: z8.string(),
  /** The role may alter it. */
  owned: z8.boolean(),
  comment: z8.string().nullable(),
  /** Size of the table's main file. Null where expressions were not read. */
  bytes: z8.number().nullable(),
  /** Row-level security applies to this role: it might not see every row. */
  restricted: z8.boolean(),
  /** Storage options that are set: `fillfactor=70`. */
  options: z8.array(z8.string()),
  columns: z8.array(column),
  /** Name of the primary key's constraint. */
  primaryKey: z8.string().nullable(),
  /** Null for a relation that is no index. */
  index: index.nullable()
});
var catalog = z8.object({
  schemaExists: z8.boolean(),
  encoding: z8.string(),
  expressions: z8.boolean(),
  relations: z8.array(relation),
  sequence: z8.string().nullable()
});
function relationNames(names) {
  const indexes = indexSteps(names).flatMap(({ name: name2, next, old }) => [name2, next, old]);
  return [...Object.values(tableNames(names.table)), ...indexes];
}
var columnsText = (expressions) => `(
    select coalesce(jsonb_agg(jsonb_build_object(
      'name', a.attname,
      'type', format_type(a.atttypid, a.atttypmod),
      'default', ${expressions ? "pg_get_expr(d.adbin, d.adrelid)" : "null"},
      'notNull', a.attnotnull,
      'views', (
        select coalesce(jsonb_agg(distinct format('%I.%I', n.nspname, v.relname)), '[]')
        from pg_depend u
        join pg_rewrite r on u.classid = 'pg_rewrite'::regclass and r.oid = u.objid
        join pg_class v on v.oid = r.ev_class
        join pg_namespace n on n.oid = v.relnamespace
        where u.refclassid = 'pg_class'::regclass and u.refobjid = c.oid and u.refobjsubid = a.attnum)
    ) order by a.attnum), '[]')
    from pg_attribute a left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
    where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped)`;
var relationText = (expressions) => `jsonb_build_object(
  'name', c.relname,
  'kind', c.relkind::text,
  'owned', pg_has_role(c.relowner, 'usage'),
  'comment', obj_description(c.oid, 'pg_class'),
  'bytes', ${expressions ? "case when c.relkind = 'r' then pg_relation_size(c.oid) end" : "null"},
  'restricted', c.relkind in ('r', 'p') and row_security_active(c.oid),
  'options', coalesce(to_jsonb(c.reloptions), '[]'),
  'columns', ${columnsText(expressions)},
  'primaryKey', (select p.conname from pg_constraint p where p.conrelid = c.oid and p.contype = 'p'),
  'index', (
    select jsonb_build_object('table', t.relname, 'unique', i.indisunique, 'valid', i.indisvalid,
      'definition', ${expressions ? "pg_get_indexdef(i.indexrelid)" : "null"})
    from pg_index i join pg_class t on t.oid = i.indrelid where i.indexrelid = c.oid))`;
function introspectQuery(names, { expressions = true, lockTimeout } = {}) {
  const schema = `"${names.schema}"`;
  const list = relationNames(names).map(literal).join(", ");
  return {
    text: `select jsonb_build_object(
  'schemaExists', to_regnamespace(${literal(schema)}) is not null,
  'encoding', current_setting('server_encoding'),
  'expressions', ${expressions},
  'relations', (
    select coalesce(jsonb_agg(${relationText(expressions)}), '[]')
    from unnest(array[${list}]) as wanted(name)
    join pg_class c on c.oid = to_regclass(${literal(`${schema}.`)} || quote_ident(wanted.name))),
  'sequence', (
    select format('%I.%I', n.nspname, c.relname)
    from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = ${idSequence(names)})) as catalog,
${idCapacityColumns(names)}${// Until the end of this statement: it is the transaction.
    lockTimeout === void 0 ? "" : `
from (select set_config('lock_timeout', '${lockTimeout}', true)) as limited`}`
  };
}
function toCatalog(row5) {
  const { relations, sequence: sequence2, ...facts3 } = catalog.parse(row5?.catalog);
  return {
    ...facts3,
    relations: new Map(relations.map((relation2) => [relation2.name, relation2])),
    sequence: sequence2 ?? void 0
  };
}
async function introspect(run, names) {
  const [row5] = await run(introspectQuery(names));
  return toCatalog(row5);
}

// src/migrations/store-tables.ts
var NUMBER = /^(integer|bigint)$/;
var TEXT = /^(text|character varying.*)$/;
var JSONB = /^jsonb$/;
var EVENTS = {
  id: NUMBER,
  name: TEXT,
  data: JSONB,
  stream: TEXT,
  version: NUMBER,
  created: /^timestamp(\(\d\))? with time zone$/,
  meta: JSONB
};
var STREAMS = { stream: TEXT, at: NUMBER, retry: /^(smallint|integer)$/, blocked: /^boolean$/ };
var CORRELATED = { key: TEXT, at: NUMBER };
var SINGLE_CHECKPOINT = [{ at: NUMBER }, { correlated_at: NUMBER }];
var TIME = /^timestamp(\(\d\))? with time zone$/;
var LEASE = { leased_by: /^(text|uuid|character varying.*)$/, leased_until: TIME };
var LATER_EVENTS = { pii: JSONB, dates: JSONB, token: /^uuid$/ };
var LATER_STREAMS = {
  ...LEASE,
  source: TEXT,
  error: TEXT,
  lane: TEXT,
  priority: /^integer$/,
  deferred_at: /^(timestamp(\(\d\))? with time zone|bigint)$/,
  correlated_at: NUMBER,
  skipped: JSONB
};
var columnOf = (relation2, name2) => relation2?.columns.find((column2) => column2.name === name2);
var hasSingleCheckpoint = (correlated) => columnOf(correlated, "id") !== void 0 && columnOf(correlated, "key") === void 0;
var hasNarrowIds = (events2) => columnOf(events2, "id")?.type === "integer";
function mismatch(relation2, shape) {
  if (relation2.kind !== "r" && relation2.kind !== "p") return "it is not a table";
  for (const [name2, type] of Object.entries(shape)) {
    const found = columnOf(relation2, name2)?.type;
    if (found === void 0) return `it has no column "${name2}"`;
    if (!type.test(found)) return `its column "${name2}" is ${found}`;
  }
  return void 0;
}
function findStoreTables({ schema, table }, { relations }) {
  const find = (name2, later, shapesOf) => {
    const found = relations.get(name2);
    if (!found) return void 0;
    const mismatches = shapesOf(found).map((shape) => mismatch(found, shape));
    const reason = mismatches.at(-1);
    if (reason && !mismatches.includes(void 0))
      throw new Error(
        `"${schema}"."${name2}" does not belong to this store, ${reason}: choose another schema or table name. Nothing was changed`
      );
    for (const [column2, type] of Object.entries(later)) {
      const actual = columnOf(found, column2)?.type;
      if (actual !== void 0 && !type.test(actual))
        throw new Error(
          `"${schema}"."${name2}"."${column2}" is ${actual}, which this store cannot use: change its type to that in PostgresStore.ddl(), or rename the column. Nothing was changed`
        );
    }
    return found;
  };
  const { events: events2, streams, correlated } = tableNames(table);
  return {
    events: find(events2, LATER_EVENTS, () => [EVENTS]),
    streams: find(streams, LATER_STREAMS, () => [STREAMS]),
    correlated: find(
      correlated,
      LEASE,
      (found) => hasSingleCheckpoint(found) ? SINGLE_CHECKPOINT : [CORRELATED]
    )
  };
}

// src/migrations/adopt-act-pg.ts
var EVENTS_TEXTS = ["name", "stream"];
var STREAMS_TEXTS = ["stream", "source", "error", "lane", "leased_by"];
var CORRELATED_TEXTS = ["key", "leased_by"];
var startsAtMinusOne = (streams) => /^[('-]*-1\b/.test(columnOf(streams, "retry")?.default ?? "");
function isOfActPg({ events: events2, streams, correlated }) {
  const typeOf = (relation2, column2) => columnOf(relation2, column2)?.type ?? "";
  const hasVarchar = (relation2, columns) => columns.some((column2) => typeOf(relation2, column2).startsWith("character"));
  return hasVarchar(events2, EVENTS_TEXTS) || hasVarchar(streams, STREAMS_TEXTS) || hasVarchar(correlated, CORRELATED_TEXTS) || typeOf(streams, "retry") === "smallint" || typeOf(streams, "leased_by") === "uuid" || typeOf(streams, "deferred_at") === "bigint" || streams !== void 0 && !startsAtMinusOne(streams) || streams !== void 0 && !columnOf(streams, "correlated_at") || correlated !== void 0 && hasSingleCheckpoint(correlated);
}
var TableChanges = class {
  changes = [];
  #schema;
  #relation;
  constructor(schema, relation2) {
    this.#schema = schema;
    this.#relation = relation2;
  }
  /** The table as the changes leave it. */
  get relation() {
    return this.#relation;
  }
  alter(what, done = `"${this.#relation.name}" ${what}`) {
    this.changes.push({ sql: `alter table "${this.#schema}"."${this.#relation.name}" ${what}`, done });
  }
  run(sql) {
    this.changes.push({ sql });
  }
  addColumn(name2, type, rest = "") {
    this.alter(`add column ${name2} ${type}${rest}`);
    this.#columns([...this.#relation.columns, { name: name2, type, default: null, notNull: false, views: [] }]);
  }
  renameColumn(from, to) {
    this.alter(`rename column ${from} to ${to}`);
    this.#columns(this.#relation.columns.map((c) => c.name === from ? { ...c, name: to } : c));
  }
  /** Changes the type of a column that exists and has another type. */
  changeType(name2, to, using) {
    const column2 = columnOf(this.#relation, name2);
    if (!column2 || column2.type === to) return;
    const table = this.#relation.name;
    if (column2.views.length > 0)
      throw new Error(
        `the type of "${this.#schema}"."${table}"."${name2}" has to change, but it is shown by ${column2.views.join(", ")}: drop that view, seed, and create it again`
      );
    this.alter(
      `alter column ${name2} type ${to}${using ? ` using ${using}` : ""}`,
      `"${table}"."${name2}" ${column2.type} -> ${to}`
    );
    this.#columns(this.#relation.columns.map((c) => c.name === name2 ? { ...c, type: to } : c));
  }
  #columns(columns) {
    this.#relation = { ...this.#relation, columns };
  }
};
function planAdoption(names, tables, catalog2) {
  const adopted = isOfActPg(tables) ? adoptTables(names, tables) : { locks: [], changes: [], tables };
  if (!tables.streams || !isForeign(tables)) return adopted;
  const changes = [...adopted.changes];
  if (lacksMarkOfNewRows(names, catalog2, true)) changes.push(...markNewRows(names, catalog2));
  return { ...adopted, changes: [...changes, markSubscriptions(names)] };
}
var isForeign = ({ events: events2 }) => events2 !== void 0 && (hasNarrowIds(events2) || !(columnOf(events2, "dates") || columnOf(events2, "token")));
var MARK = "pg_sequence_last_value";
function lacksMarkOfNewRows({ table }, { expressions, relations, sequence: sequence2 }, adopting = false) {
  const of = tableNames(table);
  if (!expressions || !sequence2 || !(adopting || hasNarrowIds(relations.get(of.events)))) return false;
  return columnOf(relations.get(of.streams), "correlated_at")?.default?.includes(MARK) !== true;
}
function markNewRows({ streams }, { sequence: sequence2 }) {
  if (!sequence2) return [];
  const found = `to_regclass(${literal(sequence2)})`;
  return [
    {
      sql: `alter table ${streams} alter column correlated_at set default
  case when has_sequence_privilege(${found}::oid, 'usage, select') then ${MARK}(${found}) end`,
      done: "default of correlated_at set"
    }
  ];
}
function adoptTables(names, { events: events2, streams, correlated }) {
  const inTable = (relation2) => relation2 && new TableChanges(names.schema, relation2);
  const [ofEvents, ofStreams, ofCorrelated] = [inTable(events2), inTable(streams), inTable(correlated)];
  for (const column2 of EVENTS_TEXTS) ofEvents?.changeType(column2, "text");
  if (ofStreams) adoptStreams(ofStreams, events2);
  if (ofCorrelated) adoptCheckpoints(names, ofCorrelated);
  const existing = [ofEvents, ofStreams, ofCorrelated].filter((table) => table !== void 0);
  return {
    locks: existing.map(({ relation: relation2 }) => ({
      sql: `lock table "${names.schema}"."${relation2.name}" in access exclusive mode`
    })),
    changes: existing.flatMap(({ changes }) => changes),
    tables: { events: ofEvents?.relation, streams: ofStreams?.relation, correlated: ofCorrelated?.relation }
  };
}
function adoptStreams(streams, events2) {
  const before = streams.relation;
  for (const column2 of STREAMS_TEXTS) streams.changeType(column2, "text");
  const startsAtZero = columnOf(before, "leased_at") && columnOf(before, "retry")?.type === "smallint";
  streams.changeType("retry", "integer", startsAtZero ? "retry - 1" : void 0);
  if (!startsAtMinusOne(before)) streams.alter("alter column retry set default -1");
  if (columnOf(before, "deferred_at")?.type === "bigint")
    streams.changeType("deferred_at", "timestamp with time zone", "to_timestamp(deferred_at / 1000.0)");
  if (!columnOf(before, "correlated_at"))
    streams.addColumn("correlated_at", hasNarrowIds(events2) ? "integer" : "bigint");
}
function adoptCheckpoints({ correlated }, checkpoints) {
  const before = checkpoints.relation;
  if (!hasSingleCheckpoint(before)) {
    for (const column2 of CORRELATED_TEXTS) checkpoints.changeType(column2, "text");
    return;
  }
  if (!columnOf(before, "at")) checkpoints.renameColumn("correlated_at", "at");
  if (columnOf(before, "id")?.default)
    checkpoints.run(`insert into ${correlated} (at) select -1 where not exists (select from ${correlated})`);
  if (before.primaryKey !== null) checkpoints.alter(`drop constraint "${before.primaryKey}"`);
  checkpoints.alter("alter column id drop not null, alter column id drop default, add unique (id)");
  checkpoints.addColumn("key", "text", " not null default '' primary key");
}
var markSubscriptions = ({ events: events2, streams }) => ({
  sql: `with head as materialized (select coalesce(max(id), -1) as id from ${events2}), marked as (
  update ${streams} set correlated_at = head.id from head where correlated_at is null returning 1
), counted as (select count(*) as count from marked)
select format('%s subscriptions without a mark marked up to event %s', counted.count, head.id) as done
from counted, head where counted.count > 0`
});

// src/migrations/index-definition.ts
var STATEMENT = /^create (unique )?index (?:concurrently )?(?:if not exists )?(?:"[^"]+"|\S+) on (?:only )?(?:\S+) using (\w+) (\(.*)$/is;
var CAST = /::(?:text|integer|bigint|character varying|name)\b/g;
var STORAGE2 = / with \([a-z_]+=[^)]*\)/;
function canonicalIndex(definition) {
  const [, unique = "", method = "", rest = ""] = STATEMENT.exec(definition.trim()) ?? [];
  if (!rest) return void 0;
  const body = rest.replace(/'[^']*'|[^']+/g, (part) => part.startsWith("'") ? part : part.toLowerCase()).replace(STORAGE2, "").replace(/;$/, "").replaceAll(CAST, "").replace(/ desc nulls first\b/g, " desc").replace(/ asc\b| nulls last\b/g, "").replace(/["()]/g, " ").replace(/ *, */g, ",").replace(/\s+/g, " ").trim();
  return `${unique.toLowerCase()}${method.toLowerCase()} ${body}`;
}
function hasDefinition(found, statement5) {
  return found === null || canonicalIndex(found) === canonicalIndex(statement5);
}
function concurrently(statement5, schema, name2) {
  return statement5.replace(
    /^(CREATE (?:UNIQUE )?INDEX )(?:IF NOT EXISTS )?"[^"]+" ON ("[^"]+")/,
    `$1CONCURRENTLY "${name2}" ON "${schema}".$2`
  );
}

// src/migrations/plan-indexes.ts
var LARGE_BYTES = 8 * 1024 * 1024;
function fault(found, step) {
  if (!found) return "created";
  if (found.index?.valid !== true) return "was invalid and is rebuilt";
  if (!hasDefinition(found.index.definition, step.sql)) return "had another definition and is rebuilt";
  return void 0;
}
var leftovers = ({ relations }, { next, old }) => [next, old].filter((name2) => relations.has(name2));
function refuse2({ schema }, { relations }, step) {
  for (const name2 of [step.name, step.next, step.old]) {
    const found = relations.get(name2);
    if (found && found.index?.table !== step.table)
      throw new Error(
        `"${schema}"."${name2}" is not an index of "${step.table}": rename it, or choose another table name. Nothing was changed`
      );
  }
  if (step.unique && relations.get(step.name)?.index?.unique === false)
    throw new Error(
      `the index "${schema}"."${step.name}" is not unique: drop it, and seed() creates it. Nothing was changed`
    );
}
function unfinishedIndexes(names, catalog2) {
  return indexSteps(names).flatMap((step) => [
    ...fault(catalog2.relations.get(step.name), step) ? [step.name] : [],
    ...leftovers(catalog2, step)
  ]);
}
function planIndex(names, catalog2, step, online2) {
  refuse2(names, catalog2, step);
  const found = catalog2.relations.get(step.name);
  const why = fault(found, step);
  const left = leftovers(catalog2, step);
  if (!why && left.length === 0) return { changes: [], builds: [] };
  const done = `index "${step.name}" ${why ?? "is complete"}`;
  if (online2 && (catalog2.relations.get(step.table)?.bytes ?? 0) >= LARGE_BYTES)
    return { changes: [], builds: [{ ...step, done }] };
  const built = why !== void 0 && !fault(catalog2.relations.get(step.next), step);
  const dropped = [
    ...left.filter((name2) => !built || name2 !== step.next),
    ...why && found ? [step.name] : []
  ];
  const changes = dropped.map((name2) => ({ sql: `drop index "${names.schema}"."${name2}"` }));
  const rename = `alter index "${names.schema}"."${step.next}" rename to "${step.name}"`;
  if (why) changes.push({ sql: built ? rename : step.sql, done });
  return { changes, builds: [] };
}

// src/migrations/plan-nulls.ts
var EVENTS2 = [
  { name: "name", remedy: "give each event its name" },
  { name: "stream", remedy: "give each event its stream" },
  { name: "version", remedy: "number the events of each stream from 0 in order of id" },
  { name: "created", remedy: "give it the time of the event before it" }
];
var SUBSCRIPTIONS = [
  { name: "at", remedy: "set it to -1" },
  { name: "retry", remedy: "set it to -1" },
  { name: "blocked", remedy: "set it to false" },
  { name: "priority", remedy: "set it to 0" },
  { name: "lane", remedy: "set it to 'default'" }
];
var CHECKPOINTS = [{ name: "at", remedy: "set it to -1" }];
var quoted2 = (column2) => `"${column2}"`;
function planNulls(names, tables) {
  const of = tableNames(names.table);
  const found = [
    { relation: tables.events, table: of.events, required: EVENTS2 },
    { relation: tables.streams, table: of.streams, required: SUBSCRIPTIONS },
    { relation: tables.correlated, table: of.correlated, required: CHECKPOINTS }
  ].map(({ relation: relation2, table, required: required2 }) => ({
    table,
    nullable: required2.filter(({ name: name2 }) => columnOf(relation2, name2)?.notNull === false)
  }));
  const open2 = found.filter(({ nullable }) => nullable.length > 0);
  return {
    checks: open2.map(({ table, nullable }) => ({ sql: checkText2(names.schema, table, nullable) })),
    changes: open2.map(({ table, nullable }) => ({
      sql: `alter table "${names.schema}"."${table}" ${nullable.map(({ name: name2 }) => `alter column ${quoted2(name2)} set not null`).join(", ")}`,
      done: nullable.map(({ name: name2 }) => `"${table}"."${name2}" is not null from now on`).join(", ")
    }))
  };
}
function checkText2(schema, table, columns) {
  const counts = columns.map(
    ({ name: name2, remedy }) => `case when count(*) > count(${quoted2(name2)}) then format('%s without %s (${remedy.replaceAll("'", "''").replaceAll("%", "%%")})', count(*) - count(${quoted2(name2)}), ${literal(name2)}) end`
  );
  const problem = literal(`"${schema}"."${table}" holds rows that this store cannot work with: `);
  const advice = literal(". Correct them, and call seed() again. Nothing was changed");
  return `select ${problem} || what || ${advice} as refused
from (select concat_ws(', ', ${counts.join(", ")}) as what from "${schema}"."${table}") as counted where what <> ''`;
}

// src/migrations/record.ts
var VERSION2 = migrations.length;
var OLDEST_COMPATIBLE = {
  "0000_store": 2,
  "0001_storage": 2,
  // Nullable. Older releases name the columns they insert, so their rows have no token, as those of act-pg have none.
  "0002_commit_token": 2,
  // Indexes only.
  "0003_read_paths": 2,
  // Nullable, and an index. Older releases name the columns of the subscriptions that they change.
  "0004_skipped": 2
};
var OLDEST = Math.max(...Object.values(OLDEST_COMPATIBLE));
var OLDEST_MARK = /\[act-drizzle schema (\d+)\]/;
var MIGRATED_MARK = /\[act-drizzle migrated (\d+)\]/;
function numberIn(text, mark) {
  const found = mark.exec(text)?.[1];
  return found === void 0 ? void 0 : Number(found);
}
function recordOf(comment) {
  const text = typeof comment === "string" ? comment : "";
  const oldest = numberIn(text, OLDEST_MARK);
  return oldest === void 0 ? void 0 : { oldest, migrated: numberIn(text, MIGRATED_MARK) ?? oldest };
}
function actionFor(record2, version = VERSION2) {
  if (record2 && record2.oldest > version) return "refuse";
  return record2 && record2.migrated >= version ? "nothing" : "migrate";
}
function withRecord(comment) {
  const text = typeof comment === "string" ? comment : "";
  const oldest = Math.max(OLDEST, recordOf(text)?.oldest ?? 0);
  const marks = `[act-drizzle schema ${oldest}] [act-drizzle migrated ${VERSION2}]`;
  const rest = text.replace(new RegExp(` ?${MIGRATED_MARK.source}`), "");
  return OLDEST_MARK.test(rest) ? rest.replace(OLDEST_MARK, marks) : [rest, marks].filter(Boolean).join(" ");
}

// src/migrations/plan.ts
var storageMissing = (relation2, step) => {
  const known2 = new Set(relation2?.options.map((option) => option.split("=")[0]));
  return step.options.filter(({ name: name2 }) => !known2.has(name2));
};
function isCurrent(names, catalog2) {
  return hasColumns(names, catalog2) && (!mayComplete(names, catalog2) || unfinished(names, catalog2).length === 0);
}
function hasColumns(names, { relations }) {
  const record2 = recordOf(relations.get(names.table)?.comment);
  const action = actionFor(record2);
  if (action === "refuse")
    throw new Error(
      `"${names.schema}"."${names.table}" was made by a newer act-drizzle (schema ${record2?.oldest}, this release knows ${VERSION2}): upgrade the package`
    );
  if (action === "migrate") return false;
  return migrationSteps(names).every((step) => {
    if (step.kind !== "table" && step.kind !== "columns") return true;
    const relation2 = relations.get(step.name);
    return step.columns.every(({ name: name2 }) => columnOf(relation2, name2) !== void 0);
  });
}
var mayComplete = ({ table }, { relations }) => Object.values(tableNames(table)).every((name2) => relations.get(name2)?.owned === true);
function unfinished(names, catalog2) {
  const { relations } = catalog2;
  const storage2 = migrationSteps(names).filter(
    (step) => step.kind === "storage" && storageMissing(relations.get(step.name), step).length > 0
  );
  return [
    ...unfinishedIndexes(names, catalog2),
    ...storage2.map(({ name: name2 }) => name2),
    ...lacksMarkOfNewRows(names, catalog2) ? [`${tableNames(names.table).streams}.correlated_at`] : []
  ];
}
function planMigration(names, catalog2, { online: online2 = true } = {}) {
  if (isCurrent(names, catalog2)) return void 0;
  const of = tableNames(names.table);
  const recorded = recordOf(catalog2.relations.get(of.events)?.comment) !== void 0;
  if (!recorded && catalog2.encoding === "SQL_ASCII") throw new Error(sqlAscii(names));
  const before = findStoreTables(names, catalog2);
  const { locks, changes: adoption, tables } = planAdoption(names, before, catalog2);
  const nulls = recorded ? { checks: [], changes: [] } : planNulls(names, before);
  const planned = new PlannedRelations(names, catalog2, online2);
  for (const [name2, relation2] of [
    [of.events, tables.events],
    [of.streams, tables.streams],
    [of.correlated, tables.correlated]
  ])
    if (relation2) planned.set(name2, relation2);
  const steps = migrationSteps(names, { narrow: hasNarrowIds(before.events) });
  const migration = steps.flatMap((step) => planned.complete(step));
  const indexed = migration.some(({ done }) => done?.startsWith("index "));
  const analyze = before.events && indexed ? [{ sql: `analyze ${names.events}, ${names.streams}` }] : [];
  const changes = [...adoption, ...nulls.changes, ...migration, ...analyze, ...planned.record()];
  const { checks } = nulls;
  const { builds } = planned;
  if (changes.length === 0) return { locks, checks, changes, builds };
  const schema = catalog2.schemaExists ? [] : [{ sql: `create schema "${names.schema}"`, done: `schema "${names.schema}" created` }];
  const path2 = { sql: `set local search_path = "${names.schema}"` };
  return { locks, checks, changes: [...schema, path2, ...changes], builds };
}
var sqlAscii = ({ schema, table }) => `"${schema}"."${table}": the database has the encoding SQL_ASCII, in which patterns count bytes instead of characters: create a database with ENCODING 'UTF8' TEMPLATE template0, and copy the data (pg_dump --encoding)`;
var PlannedRelations = class {
  builds = [];
  #names;
  #catalog;
  #online;
  #relations;
  #indexes;
  constructor(names, catalog2, online2) {
    this.#names = names;
    this.#catalog = catalog2;
    this.#online = online2;
    this.#relations = new Map(catalog2.relations);
    this.#indexes = new Map(indexSteps(names).map((step) => [step.name, step]));
  }
  set(name2, relation2) {
    this.#relations.set(name2, relation2);
  }
  /** The changes that one step of the migrations still needs. */
  complete(step) {
    switch (step.kind) {
      case "table":
      case "columns":
        return this.#completeColumns(step);
      case "index":
        return this.#completeIndex(step);
      case "storage":
        return this.#completeStorage(step);
    }
  }
  /** Records the migration in the table's comment. A role that does not own the table cannot, and checks again at each boot. */
  record() {
    const events2 = this.#relations.get(this.#names.table);
    if (!events2?.owned) return [];
    const comment = withRecord(events2.comment ?? void 0);
    if (comment === events2.comment) return [];
    return [{ sql: `comment on table ${this.#names.events} is ${literal(comment)}` }];
  }
  #completeColumns(step) {
    const { schema } = this.#names;
    const relation2 = this.#relations.get(step.name);
    if (step.kind === "table" && !relation2) {
      this.set(step.name, created(step.name, step.columns));
      return [{ sql: step.sql, done: `table "${step.name}" created` }];
    }
    const missing = step.columns.filter(({ name: name2 }) => !columnOf(relation2, name2));
    if (relation2)
      this.set(step.name, { ...relation2, columns: [...relation2.columns, ...missing.map(toColumn)] });
    return missing.map(({ name: name2, definition }) => ({
      sql: `alter table "${schema}"."${step.name}" add column "${name2}" ${definition}`,
      done: `column "${step.name}"."${name2}" added`
    }));
  }
  #completeIndex({ name: name2 }) {
    const step = this.#indexes.get(name2);
    if (!step) return [];
    const { changes, builds } = planIndex(this.#names, this.#catalog, step, this.#online);
    this.builds.push(...builds);
    return [...changes];
  }
  /** Sets missing storage options, which only an owner can. Options that a user has set stay. */
  #completeStorage(step) {
    const relation2 = this.#relations.get(step.name);
    if (!relation2?.owned) return [];
    const missing = storageMissing(relation2, step);
    if (missing.length === 0) return [];
    const list = missing.map(({ name: name2, value }) => `${name2} = ${value}`).join(", ");
    return [{ sql: `alter table "${this.#names.schema}"."${step.name}" set (${list})` }];
  }
};
var toColumn = ({ name: name2, definition }) => ({
  name: name2,
  type: definition.split(" ")[0] ?? "",
  default: null,
  notNull: definition.includes("NOT NULL"),
  views: []
});
var created = (name2, columns) => ({
  name: name2,
  kind: "r",
  owned: true,
  comment: null,
  bytes: 0,
  restricted: false,
  options: [],
  columns: columns.map(toColumn),
  primaryKey: null,
  index: null
});

// src/admin/doctor/checks.ts
var error = (found, remedy) => ({ severity: "error", found, remedy });
var warning = (found, remedy) => ({ severity: "warning", found, remedy });
var hint = (found, remedy) => ({ severity: "hint", found, remedy });
var MINUTE = 6e4;
var minutes = (ms) => `${Math.floor(ms / MINUTE)} minutes`;
var percent = (share) => `${Math.round(share * 100)} %`;
var END_OF_LIFE = {
  14: "2026-11-12",
  15: "2027-11-11",
  16: "2028-11-09",
  17: "2029-11-08",
  18: "2030-11-14"
};
var EARLY = 90 * 24 * 60 * MINUTE;
var LONG_TRANSACTION = 10 * MINUTE;
var CLOCK_SKEW = 5e3;
var MANY_DEAD = 5e4;
var MANY_ROWS = 1e4;
var CHECKS = {
  "server-end-of-life": ({ version_number, now }) => {
    const major = Math.floor(version_number / 1e4);
    const end = END_OF_LIFE[major];
    if (major < 14)
      return [
        error(`PostgreSQL ${major} is older than the store needs.`, "Upgrade to PostgreSQL 14 or newer.")
      ];
    if (end === void 0 || Date.parse(end) - now > EARLY) return [];
    const ended2 = Date.parse(end) <= now;
    return [
      (ended2 ? warning : hint)(
        `PostgreSQL ${major} ${ended2 ? "gets" : "will get"} no fixes ${ended2 ? "since" : "after"} ${end}.`,
        "Plan an upgrade of the server: docs/guides/operations.md."
      )
    ];
  },
  "encoding-not-utf8": ({ encoding }) => encoding === "UTF8" ? [] : [
    error(
      `The database's encoding is ${encoding}: patterns and the order of names are not as the store expects.`,
      "Move the tables to a database with encoding UTF8."
    )
  ],
  "read-only": ({ read_only, standby }) => standby ? [
    error(
      "The server is a standby, which takes no writes.",
      "Connect to the primary, or set target_session_attrs=read-write."
    )
  ] : read_only ? [
    error(
      "Transactions are read-only by default (default_transaction_read_only).",
      "Reset it for the role or the database: alter role \u2026 reset default_transaction_read_only."
    )
  ] : [],
  "isolation-default": ({ isolation }) => isolation === null ? [] : [
    hint(
      `The role's or the database's default isolation is "${isolation}". The store sets its own; other programs on these tables use this one.`,
      "Make sure that they repeat transactions that fail with 40001."
    )
  ],
  "tables-exposed": ({ tables }) => tables.filter((t) => t.readers.length > 0 && !t.rowSecurity).map(
    (t) => warning(
      `${t.table} can be read by ${t.readers.join(", ")}.`,
      "Revoke it, or keep the tables in a schema of their own that an API does not expose."
    )
  ),
  "sequence-cached": ({ sequence: sequence2 }) => !sequence2 || sequence2.cache === 1 ? [] : [
    error(
      `${sequence2.name} hands out ${sequence2.cache} ids at once, so ids appear out of order and readers miss events.`,
      "Restart a process of the store: seed() sets it to 1. Or: alter sequence \u2026 cache 1."
    )
  ],
  "sequence-altered": ({ sequence: sequence2 }) => !sequence2 || sequence2.increment === 1 && !sequence2.cycle ? [] : [
    error(
      `${sequence2.name} has increment ${sequence2.increment}${sequence2.cycle ? " and cycles" : ""}: the store needs increment 1 and no cycle.`,
      "alter sequence \u2026 increment 1 no cycle."
    )
  ],
  "sequence-behind": ({ sequence: sequence2, last_id }) => !sequence2 || last_id === null || sequence2.last === null || sequence2.last >= last_id ? [] : [
    warning(
      `${sequence2.name} stands at ${sequence2.last}, the log's last id is ${last_id}: rows came in with ids of their own.`,
      "Call seed(), which moves it. The next commit would do so too."
    )
  ],
  "ids-set-by-trigger": ({ id_triggers }) => id_triggers.length === 0 ? [] : [
    error(
      `The trigger ${id_triggers.join(", ")} sets ids of events itself: they may appear out of order.`,
      "Drop it. The store draws ids from the sequence, under its append lock."
    )
  ],
  "ids-near-end": ({ ids, last }) => ids === null || last === null || ids < last * 0.75 ? [] : [
    (ids > last * 0.95 ? error : warning)(
      `${percent(ids / last)} of the ids are used (${ids} of ${last}). At the end commits fail.`,
      "Widen the ids to bigint: docs/guides/migrating-from-act-pg.md."
    )
  ],
  "vacuum-held-back": ({ horizon, slots, prepared }) => [
    ...horizon && horizon.ms > LONG_TRANSACTION ? [
      warning(
        `A transaction of ${horizon.application ?? "an unnamed application"} (process ${horizon.pid}, ${horizon.state}) is open for ${minutes(horizon.ms)}. Until it ends VACUUM can remove nothing newer.`,
        `End it in its application, or: select pg_terminate_backend(${horizon.pid}).`
      )
    ] : [],
    ...slots.map(
      ({ name: name2 }) => warning(
        `Nobody reads the replication slot "${name2}". It keeps WAL, and may hold back VACUUM.`,
        "Start its consumer, or drop it: select pg_drop_replication_slot(\u2026)."
      )
    ),
    ...prepared > 0 ? [
      warning(
        `${prepared} prepared transactions are older than 5 minutes. They hold locks and hold back VACUUM.`,
        "Commit or roll them back: see pg_prepared_xacts."
      )
    ] : []
  ],
  "autovacuum-off": ({ autovacuum, tables }) => {
    const off = tables.filter((t) => !t.autovacuum).map((t) => t.table);
    if (!autovacuum)
      return [warning("autovacuum is off on this server.", "Turn it on: alter system set autovacuum = on.")];
    return off.length === 0 ? [] : [warning(`autovacuum is off for ${off.join(", ")}.`, "alter table \u2026 reset (autovacuum_enabled).")];
  },
  bloat: ({ tables }) => tables.filter((t) => t.dead > MANY_DEAD && t.dead > t.live / 2 && t.dead > 2 * t.threshold).map(
    (t) => warning(
      `${t.table} has ${t.dead} dead rows beside ${t.live} live ones: autovacuum does not keep up.`,
      `vacuum (analyze) "${t.table}"; then see what holds it back.`
    )
  ),
  "no-statistics": ({ tables }) => tables.filter((t) => t.analyzed === void 0 && t.live > MANY_ROWS).map(
    (t) => warning(
      `${t.table} was never analyzed (${t.live} rows): the planner guesses.`,
      `analyze "${t.table}"`
    )
  ),
  "connections-short": ({ max_connections, reserved, used }, { max }) => {
    const usable = max_connections - reserved;
    const arithmetic = `max_connections ${max_connections} \u2212 ${reserved} reserved = ${usable}; in use ${used}; this store opens up to ${max} and one for LISTEN`;
    if (used > usable * 0.9)
      return [
        warning(
          `The server's connections run short: ${arithmetic}.`,
          "Lower `max` of the stores, or use a pooler."
        )
      ];
    return max + 1 > usable ? [warning(`This store alone may use up the server's connections: ${arithmetic}.`, "Lower `max`.")] : [];
  },
  "clocks-apart": (_facts, { clockAheadMs }) => Math.abs(clockAheadMs) <= CLOCK_SKEW ? [] : [
    warning(
      `This machine's clock is ${Math.round(Math.abs(clockAheadMs) / 1e3)} s ${clockAheadMs > 0 ? "ahead of" : "behind"} the server's: deferred work runs early or late.`,
      "Synchronise both with NTP."
    )
  ],
  "created-in-future": ({ last_created, now }) => last_created === null || last_created - now < MINUTE ? [] : [
    warning(
      `The newest event is dated ${new Date(last_created).toISOString()}. Times of events never fall, so every later event gets this time too.`,
      "Correct the event's `created`: docs/guides/operations.md."
    )
  ],
  "unmarked-subscriptions": ({ unmarked }) => unmarked === 0 ? [] : [
    warning(
      `${unmarked > 1e3 ? "More than 1,000" : unmarked} subscriptions have no work mark and are behind the log: another adapter wrote them, or the app has not correlated since they were added.`,
      "Start the app's correlation, or backfill the reaction: docs/guides/projections.md."
    )
  ],
  "idle-correlators": ({ idle_correlators, correlators: correlators2 }) => idle_correlators < 20 ? [] : [
    hint(
      `${idle_correlators} of ${correlators2} correlators have not run for a day: their apps' registries are gone.`,
      "Remove them with `act-drizzle reap`."
    )
  ]
};
var OTHER_CODES = [
  "unreachable",
  "rows-hidden",
  "pooler-in-transaction-mode",
  "not-seeded",
  "schema-drift",
  "listen-deaf"
];
var FINDING_CODES = [
  ...Object.keys(CHECKS),
  ...OTHER_CODES
];
function findings(facts3, client) {
  return Object.entries(CHECKS).flatMap(
    ([code, check5]) => check5(facts3, client).map((found) => ({ code, ...found }))
  );
}

// src/admin/doctor/facts.ts
import { z as z9 } from "zod";
var tableFacts = z9.object({
  table: z9.string(),
  rows: z9.number(),
  live: z9.number(),
  dead: z9.number(),
  bytes: z9.number(),
  autovacuum: z9.boolean(),
  /** Rows that may be dead before autovacuum starts. */
  threshold: z9.number(),
  vacuumed: optionalInstant,
  analyzed: optionalInstant,
  rowSecurity: z9.boolean(),
  /** Roles that may read the table although they are open to many users: `public`, `anon`, … */
  readers: z9.array(z9.string())
});
var factsRow = z9.object({
  version_number: z9.coerce.number(),
  now: z9.number(),
  encoding: z9.string(),
  read_only: z9.boolean(),
  standby: z9.boolean(),
  autovacuum: z9.boolean(),
  max_connections: z9.coerce.number(),
  reserved: z9.coerce.number(),
  used: z9.coerce.number(),
  isolation: z9.string().nullable(),
  tables: z9.array(tableFacts),
  horizon: z9.object({ pid: z9.number(), application: z9.string().nullable(), ms: z9.number(), state: z9.string() }).nullable(),
  slots: z9.array(z9.object({ name: z9.string(), active: z9.boolean() })),
  prepared: z9.coerce.number(),
  sequence: z9.object({
    name: z9.string(),
    cache: z9.number(),
    increment: z9.number(),
    cycle: z9.boolean(),
    last: z9.number().nullable()
  }).nullable(),
  id_triggers: z9.array(z9.string()),
  last_id: z9.coerce.number().nullable(),
  last_created: z9.number().nullable(),
  unmarked: z9.coerce.number(),
  idle_correlators: z9.coerce.number(),
  correlators: z9.coerce.number(),
  ids: z9.coerce.number().nullable(),
  last: z9.coerce.number().nullable()
});
var API_ROLES = ["anon", "authenticated", "web_anon"];
var tablesText = (ours) => `(select coalesce(jsonb_agg(jsonb_build_object(
    'table', c.relname, 'rows', c.reltuples, 'bytes', pg_table_size(c.oid),
    'live', coalesce(s.n_live_tup, 0), 'dead', coalesce(s.n_dead_tup, 0),
    'autovacuum', not coalesce(c.reloptions, '{}') && array['autovacuum_enabled=false', 'autovacuum_enabled=off', 'autovacuum_enabled=0'],
    'threshold', current_setting('autovacuum_vacuum_threshold')::float8 + greatest(c.reltuples, 0) * coalesce(
      (select split_part(o, '=', 2)::float8 from unnest(c.reloptions) o where o like 'autovacuum_vacuum_scale_factor=%'),
      current_setting('autovacuum_vacuum_scale_factor')::float8),
    'vacuumed', ${epochMs("greatest(s.last_vacuum, s.last_autovacuum)")},
    'analyzed', ${epochMs("greatest(s.last_analyze, s.last_autoanalyze)")},
    'rowSecurity', c.relrowsecurity,
    'readers', (select coalesce(jsonb_agg(distinct g.reader order by g.reader), '[]') from (
      select case a.grantee when 0 then 'public' else r.rolname::text end as reader
      from aclexplode(c.relacl) a left join pg_roles r on r.oid = a.grantee
      where a.privilege_type = 'SELECT' and (a.grantee = 0 or r.rolname in (${API_ROLES.map(literal).join(", ")}))) g)
  ) order by c.relname), '[]')
  from pg_class c left join pg_stat_all_tables s on s.relid = c.oid where ${ours})`;
var HORIZON = `(select jsonb_build_object('pid', a.pid, 'application', nullif(a.application_name, ''), 'state', coalesce(a.state, ''),
    'ms', ${epochMs("clock_timestamp() - a.xact_start")})
  from pg_stat_activity a
  where a.xact_start is not null and a.pid <> pg_backend_pid() and a.backend_type = 'client backend'
    and (a.backend_xmin is not null or a.backend_xid is not null)
  order by a.xact_start limit 1)`;
var SLOTS = `(select coalesce(jsonb_agg(jsonb_build_object('name', slot_name, 'active', active) order by slot_name), '[]')
  from pg_replication_slots where (xmin is not null or catalog_xmin is not null or restart_lsn is not null) and not active)`;
function factsText(names) {
  const { events: events2, streams, correlated } = names;
  const list = Object.values(tableNames(names.table)).map(literal).join(", ");
  const ours = `c.relnamespace = to_regnamespace(${literal(`"${names.schema}"`)}) and c.relname in (${list}) and c.relkind in ('r', 'p')`;
  return `select current_setting('server_version_num') as version_number, ${epochMs("clock_timestamp()")} as now,
  current_setting('server_encoding') as encoding, current_setting('default_transaction_read_only')::bool as read_only,
  pg_is_in_recovery() as standby, current_setting('autovacuum')::bool as autovacuum,
  current_setting('max_connections') as max_connections, current_setting('superuser_reserved_connections') as reserved,
  (select count(*) from pg_stat_activity where backend_type = 'client backend') as used,
  (select split_part(o, '=', 2) from pg_db_role_setting d cross join unnest(d.setconfig) o
    where d.setdatabase in (0, (select oid from pg_database where datname = current_database()))
      and d.setrole in (0, (select oid from pg_roles where rolname = current_user))
      and o like 'default_transaction_isolation=%' and split_part(o, '=', 2) <> 'read committed' limit 1) as isolation,
  ${tablesText(ours)} as tables,
  ${HORIZON} as horizon,
  ${SLOTS} as slots,
  (select count(*) from pg_prepared_xacts where database = current_database() and prepared < now() - interval '5 minutes') as prepared,
  (select jsonb_build_object('name', format('%I.%I', n.nspname, c.relname), 'cache', s.seqcache, 'increment', s.seqincrement,
      'cycle', s.seqcycle, 'last', case when has_sequence_privilege(c.oid, 'usage, select') then pg_sequence_last_value(c.oid) end)
    from pg_sequence s join pg_class c on c.oid = s.seqrelid join pg_namespace n on n.oid = c.relnamespace
    where s.seqrelid = ${idSequence(names)}) as sequence,
  (select coalesce(jsonb_agg(t.tgname order by t.tgname), '[]') from pg_trigger t join pg_proc p on p.oid = t.tgfoid
    where t.tgrelid = to_regclass(${literal(events2)}) and not t.tgisinternal and t.tgtype & 2 = 2 and t.tgtype & 4 = 4
      and p.prosrc ~* 'new\\.id\\s*:?=') as id_triggers,
  (select max(id) from ${events2}) as last_id,
  (select ${epochMs("created")} from ${events2} order by id desc limit 1) as last_created,
  (select count(*) from (select 1 from ${streams} where correlated_at is null and at < (select max(id) from ${events2}) limit 1001) u) as unmarked,
  (select count(*) from ${correlated} where key <> '' and (leased_until is null or leased_until < now() - interval '1 day')) as idle_correlators,
  (select count(*) from ${correlated} where key <> '') as correlators,
  ${idCapacityColumns(names)}`;
}

// src/admin/doctor/listen.ts
import { randomUUID as randomUUID2 } from "node:crypto";
var LIMIT_MS = 5e3;
async function hearsItself({ names, connections }, limitMs = LIMIT_MS) {
  const payload = JSON.stringify({ probe: randomUUID2() });
  const { promise, resolve: resolve3 } = Promise.withResolvers();
  const listener = await connections.listen({
    channel: names.channel,
    onPayload: (text) => {
      if (text === payload) resolve3(true);
    },
    onReconnected: () => {
    }
  });
  const timer = setTimeout(resolve3, limitMs, false);
  try {
    await connections.read("admin", {
      text: "select pg_notify($1::text, $2::text)",
      params: [names.channel, payload]
    });
    return await promise;
  } finally {
    clearTimeout(timer);
    await listener.stop();
  }
}

// src/admin/doctor/doctor.ts
async function doctor(context, options = {}) {
  const { names, connections } = context;
  try {
    const catalog2 = await introspect((query2) => connections.read("admin", query2), names);
    if (!catalog2.relations.has(tableNames(names.table).events)) return [notSeeded(names.lockKey)];
    const hidden = [...catalog2.relations.values()].filter(({ restricted }) => restricted);
    if (hidden.length > 0) return [rowsHidden(hidden.map(({ name: name2 }) => name2))];
    return [
      ...schemaDrift(context, catalog2),
      ...await facts(context),
      ...options.listen ?? context.notify ? await listening(context) : []
    ];
  } catch (error2) {
    const found = ofConnection(error2);
    if (found) return [found];
    throw error2;
  }
}
var notSeeded = (table) => ({
  code: "not-seeded",
  severity: "error",
  found: `There is no table ${table}.`,
  remedy: "Call seed(), or check `schema` and `table`."
});
var isConnectionError = (error2) => error2 instanceof Error && error2.name === "ConnectionError" && "code" in error2;
var rowsHidden = (tables) => ({
  code: "rows-hidden",
  severity: "error",
  found: `Row level security could hide rows of ${tables.join(", ")} from this role.`,
  remedy: "Connect as the owner, give the role BYPASSRLS, or disable row level security on these tables."
});
function ofConnection(error2) {
  const cause = error2 instanceof Error && error2.cause !== void 0 ? error2.cause : error2;
  if (!isConnectionError(cause)) return void 0;
  return {
    code: cause.code === "POOLER" ? "pooler-in-transaction-mode" : "unreachable",
    severity: "error",
    found: cause.message,
    remedy: cause.code === "POOLER" ? "Set `prepare: false`, or connect to the server directly." : `See ${cause.code} in docs/reference/errors.md.`
  };
}
function schemaDrift({ names }, catalog2) {
  try {
    const plan2 = planMigration(names, catalog2);
    return [...plan2?.changes ?? [], ...plan2?.builds ?? []].flatMap(
      ({ done }) => done === void 0 ? [] : [
        {
          code: "schema-drift",
          severity: "warning",
          found: `The tables are not as this release makes them; seed() would do this: ${done}.`,
          remedy: "Call seed(). `act-drizzle plan` shows the statements and their locks."
        }
      ]
    );
  } catch (error2) {
    return [
      {
        code: "schema-drift",
        severity: "error",
        found: error2 instanceof Error ? error2.message : String(error2),
        remedy: "Mend it by hand: seed() refuses to."
      }
    ];
  }
}
async function facts({ names, connections }) {
  const before = Date.now();
  const [row5] = await connections.read("admin", { text: factsText(names) });
  const after = Date.now();
  const found = factsRow.parse(row5);
  const ahead = found.now < before ? before - found.now : found.now > after ? after - found.now : 0;
  return findings(found, { max: connections.config.max, clockAheadMs: ahead });
}
async function listening(context) {
  if (await hearsItself(context)) return [];
  return [
    {
      code: "listen-deaf",
      severity: "error",
      found: "A notification that was sent did not come back: LISTEN hears nothing.",
      remedy: "LISTEN needs a direct connection: set `listen_url`."
    }
  ];
}

// src/events/page-query.ts
var FEW = 300;
var FEW_CORRELATED = 1e3;
var MORE = { by_stream: 2e4, by_time: 1e5 };
var PROBE = 500;
var enoughOf = (step, cap) => step <= 256 ? cap : String(PROBE / 8);
var STEPS = [16, 256];
var NAMED = 2e4;
var below = (id) => toId(Math.ceil(id));
var above = (id) => toId(Math.floor(id));
var SNAPSHOT = "__snapshot__";
function namesOf3({ names, with_snaps }) {
  if (!names) return void 0;
  const wanted = [...new Set(names)];
  return with_snaps ? wanted : wanted.filter((name2) => name2 !== SNAPSHOT);
}
var pageSize = (q, size) => Math.min(size, Math.max(100, Math.floor(NAMED / Math.max(1, q?.names?.length ?? 0))));
var Parts = class {
  where = new Conditions();
  #q;
  #range;
  constructor(q, range) {
    this.#q = q;
    this.#range = range;
  }
  /**
   * A parameter whose value the planner does not use. With the value it would find a custom plan cheaper than the generic
   * one, and would plan again for every page.
   */
  hidden(value, type) {
    return `(select ${this.where.param(value)}::${type})`;
  }
  /** The bounds of the ids of `alias`. */
  ids() {
    const { after, before } = this.#range;
    const bounds = [];
    if (after !== void 0) bounds.push([">", this.hidden(above(after), "bigint")]);
    if (before !== void 0) bounds.push(["<", this.hidden(below(before), "bigint")]);
    return (alias) => bounds.map(([than, id]) => ` and ${alias}.id ${than} ${id}`).join("");
  }
  /** The created window. A reader sees milliseconds of the stored microseconds: later than .001 means from .002 on. */
  created() {
    const { created_after, created_before } = this.#q;
    const at = (ms) => `to_timestamp(${this.hidden(toTime(ms), "float8")} / 1000)`;
    const bounds = [];
    if (created_after) bounds.push(`e.created >= ${at(created_after.getTime() + 1)}`);
    if (created_before) bounds.push(`e.created < ${at(created_before.getTime())}`);
    return bounds.length === 0 ? void 0 : bounds.join(" and ");
  }
  /** The parameter of the correlation; undefined without this filter. */
  correlation() {
    return this.#q.correlation ? this.hidden(this.#q.correlation, "text") : void 0;
  }
  /** The range of a pattern that begins with literal text. */
  prefix(pattern) {
    const text = pattern?.kind === "prefix" ? pattern.text : pattern?.kind === "regex" && pattern.prefix;
    if (!text) return void 0;
    const { from, to } = this.where.prefixRange(text);
    return [from("e.stream"), ...to("e.stream")].join(" and ");
  }
  /** What a pattern asks for beyond its prefix. */
  match(pattern) {
    if (!pattern || pattern.kind === "prefix") return void 0;
    return this.where.pattern(
      "e.stream",
      pattern.kind === "regex" ? { kind: "regex", text: pattern.text } : pattern
    );
  }
};
var all = (...conditions) => conditions.filter((c) => c !== void 0).join(" and ");
function pageQuery(names, query2, range, limit2) {
  const q = query2 ?? { with_snaps: true };
  const pattern = !q.stream ? void 0 : q.stream_exact ? { kind: "equals", text: q.stream } : toPattern("stream", q.stream);
  return pattern?.kind === "equals" ? streamPage(names, q, pattern.text, range, limit2) : logPage(names, q, pattern, range, limit2);
}
function streamPage(names, q, stream2, range, limit2) {
  const parts2 = new Parts(q, range);
  const { where } = parts2;
  where.add(`e.stream = any(array[${where.param(stream2)}::text])`);
  const wanted = namesOf3(q);
  if (wanted) where.add(`e.name = any(${where.param(textArray(wanted))}::text[])`);
  else if (!q.with_snaps) where.add(`e.name <> '${SNAPSHOT}'`);
  if (q.correlation) where.add(`(e.meta ->> 'correlation') = ${where.param(q.correlation)}::text`);
  if (range.after !== void 0) where.add(`e.id > ${where.param(above(range.after))}::bigint`);
  if (range.before !== void 0) where.add(`e.id < ${where.param(below(range.before))}::bigint`);
  const created2 = parts2.created();
  if (created2) where.add(created2);
  if (q.with_snaps && q.stream_exact && range.after === void 0) {
    const known2 = range.newest === void 0 ? `` : ` and s.id <= ${where.param(range.newest)}::bigint`;
    where.add(`e.id >= coalesce(
      (select s.id from ${names.events} s where s.stream = ${where.param(stream2)}::text and s.name = '${SNAPSHOT}'${known2} order by s.id desc limit 1), 0)`);
  }
  const text = `select ${eventColumns(`e`, { pii: true })}
  from ${names.events} e${where.where}
  order by ${q.backward ? `e.stream using ~>~, e.id desc` : `e.stream using ~<~, e.id`} limit ${where.param(limit2)}::bigint`;
  return { text, params: where.params };
}
function logPage(names, q, pattern, range, limit2) {
  const parts2 = new Parts(q, range);
  const { where } = parts2;
  const wanted = namesOf3(q);
  const one = wanted?.length === 1 ? wanted[0] : void 0;
  const named = wanted && (one === void 0 ? where.param(textArray(wanted)) : parts2.hidden(one, "text"));
  const ids = parts2.ids();
  const correlation = parts2.correlation();
  const prefix = parts2.prefix(pattern);
  const match = parts2.match(pattern);
  const created2 = parts2.created();
  const ofNames = named && (one === void 0 ? `e.name = any(${named}::text[])` : `e.name = ${named}`);
  const ofCorrelation = correlation && `(e.meta ->> 'correlation') = ${correlation}`;
  const noSnaps = !named && !q.with_snaps ? `e.name <> '${SNAPSHOT}'` : void 0;
  const unindexed = (...conditions) => {
    const text2 = all(...conditions);
    return text2 === "" ? "" : ` and coalesce(${text2}, false)`;
  };
  const rest = all(prefix, match, noSnaps, created2, ofCorrelation);
  const cap = parts2.hidden(limit2, "bigint");
  const step = STEPS.find((most) => limit2 <= most) ?? 2e3;
  const [by2, columns] = [q.backward ? " desc" : "", eventColumns(`e`, { pii: true })];
  const capped = (rows) => `select * from (${rows} limit ${step}) e limit ${cap}`;
  const read3 = (from, conditions) => capped(`select e.* from (${from} order by id${by2}) f
    cross join lateral (select ${columns} from ${names.events} e where e.id = f.id${conditions} limit 1) e
    order by f.id${by2}`);
  const steps = [];
  const found = [];
  let open2 = "true";
  const few = (name2, select, order, most, also = "") => {
    steps.push(`${name2} as materialized (
  ${select} and ${open2} order by ${order} limit ${most + 1}
)`);
    found.push(`select id from ${name2} f where (select count(*) from ${name2}) <= ${most}${also}${ids("f")}`);
    open2 = `(select count(*) from ${name2}) > ${most}`;
  };
  const byStream = (name2, most) => prefix && few(
    name2,
    `select e.id, e.stream from ${names.events} e where ${prefix}`,
    "e.stream using ~<~",
    most,
    match && ` and ${match.replaceAll("e.stream", "f.stream")}`
  );
  const byTime = (name2, most) => created2 && few(name2, `select e.id from ${names.events} e where ${created2}`, "e.created, e.id", most);
  if (correlation)
    few(
      "by_correlation",
      `select e.id from ${names.events} e where (e.meta ->> 'correlation') = any(array[${correlation}])`,
      "e.meta ->> 'correlation'",
      FEW_CORRELATED
    );
  byStream("by_stream", FEW);
  byTime("by_time", FEW);
  if (prefix || created2) {
    steps.push(`probe as materialized (
  select e.id, coalesce(${all(ofNames, rest)}, false) as hit
  from (select * from ${names.events} e where ${open2}${ids("e")} order by e.id${by2} limit ${PROBE}) e
), seen as materialized (
  select ${open2} and (count(*) < ${PROBE} or count(*) filter (where hit) >= ${enoughOf(step, cap)}) as enough,
    ${open2} as open from probe
)`);
    open2 = "(select open and not enough from seen)";
    byStream("more_by_stream", MORE.by_stream);
    byTime("more_by_time", MORE.by_time);
    open2 = `((select enough from seen) or ${open2})`;
  }
  let log12;
  if (!named)
    log12 = capped(`select ${columns} from ${names.events} e
    where ${open2}${ids("e")}${unindexed(rest || void 0)} order by e.id${by2}`);
  else if (one !== void 0)
    log12 = capped(`select ${columns} from ${names.events} e
    where ${open2} and e.name = any(array[${named}])${ids("e")}${unindexed(rest || void 0)} order by e.name${by2}, e.id${by2}`);
  else
    log12 = read3(
      `select x.id from unnest(${named}::text[]) n(name) cross join lateral (${capped(`select e.id from ${names.events} e
      where ${open2} and e.name = any(array[n.name])${ids("e")}${unindexed(rest || void 0)} order by e.name${by2}, e.id${by2}`)}) x`,
      ""
    );
  const text = steps.length === 0 ? log12 : `with ${steps.join(", ")}
select * from (
  (${read3(`select id from (${found.join(" union all ")}) found`, unindexed(ofNames, rest || void 0))})
  union all
  (${log12})
) e order by e.id${by2}`;
  return { text, params: where.params };
}

// src/admin/events.ts
var DEFAULT_LIMIT2 = 50;
var toActQuery = (filter) => ({
  stream: filter.stream,
  stream_exact: filter.streamExact,
  names: filter.names && [...filter.names],
  correlation: filter.correlation,
  with_snaps: true,
  created_after: filter.createdAfter,
  created_before: filter.createdBefore,
  backward: !filter.forward
});
function eventsQuery(names, filter) {
  const { after = -1, before, limit: limit2 = DEFAULT_LIMIT2, forward } = filter;
  const page = pageQuery(names, toActQuery(filter), { after, before }, limit2);
  return {
    text: `select q.id, q.name, q.stream, q.version, q.created, q.data, q.meta, q.dates, q.pii is not null as personal
from (${page.text}) q order by q.id${forward ? "" : " desc"}`,
    ...page.params && { params: page.params }
  };
}
var keysOf = (data) => typeof data === "object" && data !== null && !Array.isArray(data) ? Object.keys(data) : [];
function toView(event2, { personal, payload }) {
  const { id, stream: stream2, version, name: name2, created: created2, data, meta } = event2;
  const { action, event: cause } = meta.causation ?? {};
  return {
    id,
    stream: stream2,
    version,
    name: name2,
    created: created2,
    correlation: meta.correlation,
    actor: action?.actor?.name ?? action?.actor?.id,
    action: action?.name,
    cause: cause && { id: cause.id, stream: cause.stream, name: cause.name },
    keys: keysOf(data),
    data: payload ? data : void 0,
    personal
  };
}
async function events({ names, connections, reader }, filter = {}) {
  const rows = await connections.read("admin", eventsQuery(names, filter));
  const decode = await guard("admin", () => reader.forRows(rows));
  return rows.map(
    (row5) => toView(decode(row5), {
      personal: row5.personal === true,
      payload: filter.payload === true
    })
  );
}
async function event(context, id) {
  const [found] = await events(context, {
    after: id - 1,
    before: id + 1,
    limit: 1,
    payload: true
  });
  return found;
}

// src/admin/follow.ts
import { setTimeout as delay } from "node:timers/promises";
var POLL_MS = 1e3;
var PAGE2 = 500;
async function* follow(context, { signal, after, ...filter }) {
  let wake = Promise.withResolvers();
  const listener = await listen(context, () => wake.resolve());
  try {
    let position2 = after ?? await lastId(context);
    while (!signal.aborted) {
      wake = Promise.withResolvers();
      const page = await events(context, { ...filter, after: position2, forward: true, limit: PAGE2 });
      if (page.length > 0) {
        position2 = page.at(-1)?.id ?? position2;
        yield page;
      }
      if (page.length === PAGE2) continue;
      const pause2 = new AbortController();
      await Promise.race([
        wake.promise,
        delay(POLL_MS, void 0, { signal: AbortSignal.any([signal, pause2.signal]) }).catch(() => {
        })
      ]);
      pause2.abort();
    }
  } finally {
    await listener?.stop();
  }
}
async function listen({ names, connections }, onWake) {
  try {
    return await connections.listen({ channel: names.channel, onPayload: onWake, onReconnected: onWake });
  } catch {
    return void 0;
  }
}
async function lastId({ names, connections }) {
  const [row5] = await connections.read("admin", {
    text: `select coalesce(max(id), 0) as id from ${names.events}`
  });
  return Number(row5?.id);
}

// src/admin/lag.ts
import { z as z10 } from "zod";
var DEFAULT_LIMIT3 = 50;
function laggingQuery(names, { lane, limit: limit2 = DEFAULT_LIMIT3 }) {
  const where = new Conditions();
  const cap = `${where.param(limit2)}::bigint`;
  const inLane = lane === void 0 ? "" : ` and s.lane = ${where.param(lane)}::text`;
  const pending = `not s.blocked and s.at < s.correlated_at${inLane}`;
  const columns = `s.stream, s.source, s.lane, s.priority, s.at, s.correlated_at, s.deferred_at, s.leased_by, s.leased_until`;
  const now = `(select * from (select ${columns} from ${names.streams} s
    where ${pending} and s.deferred_at is null and s.${CLAIM_ARMS[lane === void 0 ? "fair" : "laneFair"]}
    order by s.at limit ${cap}) pending)`;
  const later = `(select ${columns} from ${names.streams} s
    where ${pending} and s.deferred_at is not null order by s.deferred_at limit ${cap})`;
  return {
    text: `select stream, source, lane, priority, at, correlated_at, ${epochMs("deferred_at")} as deferred_at,
  case when leased_until > clock_timestamp() then leased_by end as leased_by,
  case when leased_until > clock_timestamp() then ${epochMs("leased_until")} end as leased_until,
  ${epochMs("clock_timestamp()")} as now
from (${now} union all ${later}) s order by at, stream limit ${cap}`,
    params: where.params
  };
}
var row3 = z10.object({
  stream: z10.string(),
  source: optionalText,
  lane: z10.string(),
  priority: z10.number(),
  at: z10.coerce.number(),
  correlated_at: z10.coerce.number(),
  deferred_at: optionalInstant,
  leased_by: optionalText,
  leased_until: optionalInstant,
  now: z10.number()
});
async function lag(context, options = {}) {
  const rows = z10.array(row3).parse(await context.connections.read("admin", laggingQuery(context.names, options)));
  const pending = await nextEvents(context, positionsOf(rows), options.names);
  return rows.map((found, index2) => {
    const { next, events: events2 } = pending[index2] ?? { next: void 0, events: { count: 0, exact: true } };
    return {
      stream: found.stream,
      source: found.source,
      lane: found.lane,
      priority: found.priority,
      at: found.at,
      correlatedAt: found.correlated_at,
      next,
      events: events2,
      lagMs: next && Math.max(0, found.now - next.created.getTime()),
      deferredUntil: found.deferred_at,
      leasedBy: found.leased_by,
      leasedUntil: found.leased_until
    };
  });
}

// src/admin/leases.ts
import { z as z11 } from "zod";
var leaseRow = z11.object({
  stream: z11.string(),
  lane: z11.string(),
  at: z11.coerce.number(),
  leased_by: z11.string(),
  leased_until: instant,
  left_ms: z11.number(),
  retry: z11.number()
});
var leasesText = ({ streams }) => `select stream, lane, at, leased_by, retry,
  ${epochMs("leased_until")} as leased_until, ${epochMs("leased_until - clock_timestamp()")} as left_ms
from (select * from ${streams} s where not blocked and at < correlated_at and leased_by is not null and leased_until is not null) s
order by leased_until limit $1::bigint`;
async function leases({ names, connections }, { limit: limit2 = 100 } = {}) {
  const rows = await connections.read("admin", { text: leasesText(names), params: [limit2] });
  return z11.array(leaseRow).parse(rows).map(({ leased_by, leased_until, left_ms, retry, ...rest }) => ({
    ...rest,
    holder: leased_by,
    until: leased_until,
    leftMs: left_ms,
    attempts: retry + 1
  }));
}
var correlatorRow = z11.object({
  key: z11.string(),
  at: z11.coerce.number(),
  leased_by: optionalText,
  leased_until: optionalInstant
});
async function correlators({ names, connections }, { limit: limit2 = 100 } = {}) {
  const rows = await connections.read("admin", {
    text: `select key, at, leased_by, ${epochMs("leased_until")} as leased_until
from ${names.correlated} order by at desc, key limit $1::bigint`,
    params: [limit2]
  });
  return z11.array(correlatorRow).parse(rows).map(({ key: key3, at, leased_by, leased_until }) => ({ key: key3, at, holder: leased_by, until: leased_until }));
}

// src/admin/overview.ts
import { z as z12 } from "zod";
var row4 = z12.object({
  version: z12.string(),
  version_number: z12.coerce.number(),
  database: z12.string(),
  user: z12.string(),
  now: instant,
  started: instant,
  standby: z12.boolean(),
  estimate: z12.number().nullable(),
  first_id: z12.coerce.number().nullable(),
  last_id: z12.coerce.number().nullable(),
  last_created: optionalInstant,
  total: boundedCount(),
  behind: boundedCount(),
  blocked: boundedCount(),
  leased: boundedCount(),
  deferred: boundedCount(),
  correlators: z12.coerce.number()
});
function overviewText({ events: events2, streams, correlated }) {
  const pending = `from ${streams} s where not s.blocked and s.at < s.correlated_at`;
  return `select current_setting('server_version') as version, current_setting('server_version_num') as version_number,
  current_database() as database, current_user as user, ${epochMs("clock_timestamp()")} as now,
  ${epochMs("pg_postmaster_start_time()")} as started, pg_is_in_recovery() as standby,
  (select nullif(c.reltuples, -1)::float8 from pg_class c where c.oid = to_regclass(${literal(events2)})) as estimate,
  (select min(id) from ${events2}) as first_id, (select max(id) from ${events2}) as last_id,
  (select ${epochMs("created")} from ${events2} order by id desc limit 1) as last_created,
  ${countOf(`from ${streams}`)} as total, ${countOf(pending)} as behind,
  ${countOf(`from ${streams} s where s.blocked`)} as blocked,
  ${countOf(`${pending} and s.leased_until > clock_timestamp()`)} as leased,
  ${countOf(`${pending} and s.deferred_at > clock_timestamp()`)} as deferred,
  (select count(*) from ${correlated} where key <> '') as correlators`;
}
async function overview({ names, connections }) {
  const [found] = await connections.read("admin", { text: overviewText(names) });
  const f = row4.parse(found);
  return {
    server: {
      version: f.version.split(" ")[0] ?? f.version,
      versionNumber: f.version_number,
      database: f.database,
      user: f.user,
      now: f.now,
      startedAt: f.started,
      standby: f.standby
    },
    events: {
      estimate: f.estimate ?? void 0,
      firstId: f.first_id ?? void 0,
      lastId: f.last_id ?? void 0,
      lastCreated: f.last_created
    },
    subscriptions: {
      all: f.total,
      behind: f.behind,
      blocked: f.blocked,
      leased: f.leased,
      deferred: f.deferred
    },
    correlators: f.correlators
  };
}

// src/migrations/sequence.ts
import { z as z13 } from "zod";

// src/schema/future-events.ts
import { log as log3 } from "@rotorsoft/act";
var TOLERANCE_MS = 3e5;
var futureColumns = ({ events: events2 }) => {
  const of = (value) => `(select (extract(epoch from ${value}) * 1000)::float8 from ${events2} order by id desc limit 1)`;
  return `${of("created")} as newest, ${of("created - clock_timestamp()")} as ahead`;
};
var warned = /* @__PURE__ */ new WeakSet();
function warnOfFutureEvents(names, row5) {
  const { ahead, newest } = row5 ?? {};
  if (typeof ahead !== "number" || ahead < TOLERANCE_MS || warned.has(names)) return;
  warned.add(names);
  const date = new Date(Number(newest));
  const until = Number.isNaN(date.getTime()) ? "a time without end" : date.toISOString();
  log3().warn(
    `[act-drizzle] "${names.schema}"."${names.table}": the newest event is dated ${until}, and so is every event after it until then: docs/guides/reliability.md, "Events dated in the future"`
  );
}
function watchForFutureEvents({ names, connections }, created2) {
  if (created2 - Date.now() < TOLERANCE_MS || warned.has(names)) return;
  warned.add(names);
  connections.read("commit", { text: `select ${futureColumns(names)}` }).then(
    ([row5]) => {
      warned.delete(names);
      warnOfFutureEvents(names, row5);
    },
    // The commit is stored; a later one checks again.
    () => warned.delete(names)
  );
}

// src/migrations/change.ts
async function apply(run, changes) {
  const all2 = [];
  for (const { sql, done } of changes) {
    const [row5] = await run({ text: sql });
    const words = done ?? row5?.done;
    if (typeof words === "string") all2.push(words);
  }
  return all2;
}

// src/migrations/sequence.ts
var sequence = z13.object({
  /** Qualified and quoted where needed. */
  name: z13.string(),
  /** The role may alter it. */
  owned: z13.boolean(),
  /** How many ids a session takes at once. */
  cache: z13.number(),
  increment: z13.number(),
  /** CYCLE: it begins again after its maximum. */
  cycles: z13.boolean(),
  /** Its maximum is beyond 2^53. */
  unbounded: z13.boolean(),
  /** A crash of the server sets it back, but not the log. */
  unlogged: z13.boolean(),
  /** Its last value is lower than the log's last id. False if the role may not read the sequence. */
  behind: z13.boolean()
});
var facts2 = z13.object({
  /** The sequence that ids are drawn from. Null if they come from elsewhere. */
  sequence: sequence.nullable(),
  /** A trigger that sets the id of new rows, and not from this sequence. */
  trigger: z13.string().nullable()
});
var SETS_ID = String.raw`(^|;|\m(begin|then|else|loop)\M)\s*new\.id\s*:?=|\minto\s+(strict\s+)?new\.id\M`;
var idFactsQuery = (names) => ({
  text: `with found as materialized (
  select c.*, s.*, format('%I.%I', n.nspname, c.relname) as name from pg_sequence s
  join pg_class c on c.oid = s.seqrelid join pg_namespace n on n.oid = c.relnamespace where c.oid = ${idSequence(names)}
)
select jsonb_build_object(
  'sequence', (select jsonb_build_object(
      'name', f.name,
      'owned', pg_has_role(f.relowner, 'usage'),
      'cache', f.seqcache,
      'increment', f.seqincrement,
      'cycles', f.seqcycle,
      'unbounded', f.seqmax > ${LAST_ID},
      'unlogged', f.relpersistence = 'u'
        and (select t.relpersistence from pg_class t where t.oid = to_regclass(${literal(names.events)})) <> 'u',
      'behind', case when has_sequence_privilege(f.seqrelid, 'usage, select')
        then coalesce(coalesce(pg_sequence_last_value(f.seqrelid), 0) < (select max(id) from ${names.events}), false)
        else false end)
    from found f),
  'trigger', (select t.tgname from pg_trigger t join pg_proc p on p.oid = t.tgfoid
    where t.tgrelid = to_regclass(${literal(names.events)}) and not t.tgisinternal and t.tgenabled <> 'D'
      -- a row's, before, insert
      and t.tgtype & 7 = 7 and p.prosrc ~* ${literal(SETS_ID)}
      and not exists (select from found f where p.prosrc ~* '\\mnextval\\M' and strpos(p.prosrc, f.relname) > 0)
    order by t.tgname limit 1)
) as facts, ${futureColumns(names)}`
});
var toIdFacts = (row5) => facts2.parse(row5?.facts);
var isInOrder = ({ sequence: found, trigger }) => found !== null && trigger === null && !found.behind && planSequence(found).length === 0 && found.increment > 0;
function planSequence({ name: name2, owned, cache: cache2, cycles, unlogged, unbounded }) {
  const changes = [];
  const missed = `while it was ${cache2}, readers may have missed events: reset() the reactions that must not`;
  if (cache2 !== 1)
    changes.push({ sql: `alter sequence ${name2} cache 1`, done: `sequence cache set to 1; ${missed}` });
  if (cycles) changes.push({ sql: `alter sequence ${name2} no cycle`, done: "sequence set to no cycle" });
  if (unlogged) changes.push({ sql: `alter sequence ${name2} set logged`, done: "sequence set to logged" });
  if (unbounded && owned) changes.push({ sql: `alter sequence ${name2} maxvalue ${LAST_ID}` });
  return changes;
}
function refuse3({ schema, table }, { sequence: found, trigger }) {
  const refused = (reason, remedy) => new Error(
    `the ids of "${schema}"."${table}" would not be in order, ${reason}: ${remedy}. Nothing was changed`
  );
  if (trigger !== null)
    throw refused(
      `its trigger "${trigger}" sets them`,
      "drop the trigger, or let it leave id to the sequence of the column's default"
    );
  if (!found)
    throw refused(
      "they come from no sequence",
      "make the column's default nextval('\u2026'::regclass), or the column an identity"
    );
  if (found.increment < 0)
    throw refused(
      `the sequence ${found.name} counts down`,
      `alter sequence ${found.name} increment 1 minvalue 1 maxvalue ${LAST_ID}, and call seed() again`
    );
  const changes = found.owned ? [] : planSequence(found);
  if (changes.length > 0)
    throw refused(
      `and the role may not alter the sequence ${found.name}`,
      `as its owner run: ${changes.map(({ sql }) => sql).join("; ")}`
    );
}
async function mendIdOrder(run, names) {
  const read3 = async () => toIdFacts((await run(idFactsQuery(names)))[0]);
  const before = await read3();
  refuse3(names, before);
  if (isInOrder(before)) return [];
  await run({ text: lockQuery(names) });
  const { sequence: found } = await read3();
  if (!found) return [];
  const done = await apply(run, planSequence(found));
  if (!found.behind) return done;
  const { name: name2 } = found;
  const [moved] = await run({
    text: `select setval(${literal(name2)}, greatest((select max(id) from ${names.events}), last_value)) as at from ${name2}`
  });
  return [...done, `sequence moved to ${moved?.at}, the log's last id`];
}

// src/admin/plan.ts
var LOCKS = [
  [/^(alter table|drop )/i, "ACCESS EXCLUSIVE: reads and writes of the table wait"],
  [/^lock table/i, "an explicit table lock"],
  [/^create (unique )?index concurrently/i, "SHARE UPDATE EXCLUSIVE: reads and writes go on"],
  [/^create (unique )?index/i, "SHARE: writes of the table wait, reads go on"],
  [/^(comment on|analyze)/i, "SHARE UPDATE EXCLUSIVE: reads and writes go on"],
  [/^alter sequence/i, "SHARE ROW EXCLUSIVE on the sequence: commits wait for a moment"],
  [/^(update|insert|delete)/i, "ROW EXCLUSIVE: reads and other rows' writes go on"]
];
var lockOf = (statement5) => LOCKS.find(([pattern]) => pattern.test(statement5.trim()))?.[1];
var online = (sql) => sql.replace(/^create (unique )?index /i, "create $1index concurrently ");
async function plan({ names, connections }) {
  const run = (query2) => connections.read("admin", query2);
  const catalog2 = await introspect(run, names);
  const planned = planMigration(names, catalog2, { online: connections.config.prepare });
  const [row5] = catalog2.relations.has(tableNames(names.table).events) ? await run(idFactsQuery(names)) : [];
  const { sequence: sequence2 } = row5 ? toIdFacts(row5) : { sequence: null };
  const steps = [
    ...planned?.locks ?? [],
    ...planned?.changes ?? [],
    ...sequence2 ? planSequence(sequence2) : [],
    ...(planned?.builds ?? []).map(({ sql, done }) => ({ sql: online(sql), done }))
  ];
  return steps.map(({ sql, done }) => ({ statement: sql, done, lock: lockOf(sql) }));
}

// src/admin/reap.ts
var WEEK = 7 * 24 * 36e5;
var BATCH3 = 1e3;
var AGE = "$1::float8 * interval '1 millisecond'";
var finished = ({ events: events2 }) => `not s.blocked and s.deferred_at is null
  and (s.leased_until is null or s.leased_until < now()) and s.at >= coalesce(s.correlated_at, s.at)
  and s.source is not null and s.source !~ '[\\^$.*+?()\\[\\]{}|\\\\]'
  and exists (select from ${events2} t where t.stream = s.source and t.name = '__tombstone__' and t.created < now() - ${AGE}
    and not exists (select from ${events2} n where n.stream = t.stream and n.id > t.id))`;
var gone = ({ correlated }) => `c.key <> ''
  and coalesce(c.leased_until, '-infinity') < now() - ${AGE}
  and c.at < (select max(at) from ${correlated} where key <> '')`;
async function count(context, from, condition, age) {
  const [row5] = await context.connections.read("reap", {
    text: `select count(*) as found from ${from} where ${condition}`,
    params: [age]
  });
  return Number(row5?.found);
}
async function remove(context, text, age) {
  let removed = 0;
  for (; ; ) {
    const [row5] = await context.connections.write("reap", { text, params: [age] });
    const found = Number(row5?.removed);
    removed += found;
    if (found < BATCH3) return removed;
  }
}
async function reap(context, { olderThanMs = WEEK, dryRun = false } = {}) {
  const { names } = context;
  const { streams, correlated } = names;
  if (dryRun)
    return {
      subscriptions: await count(context, `${streams} s`, finished(names), olderThanMs),
      correlators: await count(context, `${correlated} c`, gone(names), olderThanMs)
    };
  return {
    subscriptions: await remove(
      context,
      `with chosen as materialized (
  select s.stream from ${streams} s where ${finished(names)} order by s.stream limit ${BATCH3} for update skip locked
), deleted as (delete from ${streams} s using chosen c where s.stream = c.stream returning 1)
select count(*) as removed from deleted`,
      olderThanMs
    ),
    correlators: await remove(
      context,
      `with chosen as materialized (
  select c.key from ${correlated} c where ${gone(names)} order by c.key limit ${BATCH3} for update skip locked
), deleted as (delete from ${correlated} c using chosen h where c.key = h.key returning 1)
select count(*) as removed from deleted`,
      olderThanMs
    )
  };
}

// src/admin/release.ts
async function release(context, { stream: stream2, holder }) {
  const where = new Conditions();
  where.add(`s.stream = ${where.param(stream2)}::text`);
  where.add("s.leased_by is not null");
  if (holder !== void 0) where.add(`s.leased_by = ${where.param(holder)}::text`);
  return await updateStreams(context, "release", where, "leased_by = null, leased_until = null", {
    many: false
  }) > 0;
}

// src/admin/skip.ts
import { z as z14 } from "zod";
var SkipError = class extends Error {
  name = "SkipError";
};
var position = z14.object({
  source: optionalText,
  at: z14.coerce.number(),
  correlated_at: z14.coerce.number().nullable(),
  blocked: z14.boolean()
});
var record = z14.object({
  stream: z14.string(),
  id: z14.coerce.number(),
  event_stream: z14.string(),
  version: z14.coerce.number(),
  name: z14.string(),
  created: instant,
  by: z14.string(),
  reason: z14.string(),
  skipped_at: instant,
  error: optionalText,
  attempts: z14.coerce.number()
}).transform(
  ({ id, event_stream, version, name: name2, created: created2, skipped_at, ...rest }) => ({
    ...rest,
    event: { id, stream: event_stream, version, name: name2, created: created2 },
    skippedAt: skipped_at
  })
);
var required = (option, text) => {
  if (text.trim() === "") throw new SkipError(`skip needs ${option}: it is recorded. Nothing was skipped.`);
  return text;
};
async function skip(context, { stream: stream2, event: event2, by: by2, reason, names: eventNames }) {
  const { names, connections } = context;
  const who = required("`by`", by2);
  const why = required("`reason`", reason);
  const name2 = JSON.stringify(stream2);
  const [found] = await connections.read("skip", {
    text: `select s.source, s.at, s.correlated_at, s.blocked from ${names.streams} s where s.stream = $1::text`,
    params: [stream2]
  });
  if (!found)
    throw new SkipError(`There is no subscription ${name2}: \`act-drizzle blocked\` lists what is blocked.`);
  const { source: source2, at, correlated_at, blocked: blocked2 } = position.parse(found);
  if (!blocked2)
    throw new SkipError(
      `The subscription ${name2} is not blocked, and nothing was skipped: it goes on by itself.`
    );
  const waiting = { stream: stream2, source: source2, at, correlatedAt: correlated_at ?? void 0 };
  const [pending] = await nextEvents(context, [waiting], eventNames);
  const next = pending?.next;
  if (next?.id !== event2)
    throw new SkipError(
      `The subscription ${name2} ${next ? `stands at event ${next.id}` : `has no event behind ${at}`}, not at ${event2}. Nothing was skipped: look at \`act-drizzle blocked\` again. If the app passes over events of that name, name those that it reacts to (--names, --app).`
    );
  const text = (announce) => `with held as materialized (
  select s.stream, s.error, s.retry, s.skipped from ${names.streams} s
  where s.stream = $1::text and s.blocked and s.at = $2::bigint for update of s
), one as materialized (
  select jsonb_build_object('id', $3::bigint, 'event_stream', $6::text, 'version', $7::int, 'name', $8::text,
    'created', $9::float8, 'by', $4::text, 'reason', $5::text, 'error', h.error, 'attempts', h.retry + 1,
    'skipped_at', floor(${epochMs("clock_timestamp()")})) as record from held h
), changed as (
  update ${names.streams} s set at = $3::bigint, retry = -1, blocked = false, error = null, leased_by = null,
    leased_until = null, deferred_at = null, skipped = coalesce(h.skipped, '[]') || o.record
  from held h cross join one o where s.stream = h.stream returning s.stream, o.record
)${announce ? `, ${announcedPart(context, "exists (select from changed)")}` : ""}
select stream, record${announce ? ", (select count(*) from announced) as announced" : ""} from changed`;
  const [changed] = await writeAnnounced(context, "skip", (announce) => ({
    text: text(announce),
    params: [stream2, at, event2, who, why, next.stream, next.version, next.name, next.created.getTime()]
  }));
  if (!changed)
    throw new SkipError(
      `The subscription ${name2} has moved or was unblocked meanwhile. Nothing was skipped: look at \`act-drizzle blocked\` again.`
    );
  return record.parse({ ...z14.record(z14.string(), z14.unknown()).parse(changed.record), stream: stream2 });
}
async function skipped({ names, connections }, { stream: stream2, limit: limit2 = 50 } = {}) {
  const rows = await connections.read("admin", {
    text: `select s.stream, r.record from ${names.streams} s cross join lateral jsonb_array_elements(s.skipped) r(record)
where s.skipped is not null${stream2 === void 0 ? "" : " and s.stream = $2::text"}
order by (r.record ->> 'skipped_at')::float8 desc, s.stream limit $1::bigint`,
    params: [limit2, ...stream2 === void 0 ? [] : [stream2]]
  });
  return rows.map(
    (row5) => record.parse({ ...z14.record(z14.string(), z14.unknown()).parse(row5.record), stream: row5.stream })
  );
}

// src/admin/storage.ts
import { z as z15 } from "zod";
var bytes = z15.coerce.number();
var tableRow = z15.object({
  table: z15.string(),
  table_bytes: bytes,
  index_bytes: bytes,
  rows: z15.number(),
  dead: z15.coerce.number(),
  vacuumed: optionalInstant,
  analyzed: optionalInstant
}).transform(
  (t) => ({
    table: t.table,
    tableBytes: t.table_bytes,
    indexBytes: t.index_bytes,
    estimatedRows: t.rows < 0 ? void 0 : t.rows,
    deadRows: t.dead,
    lastVacuum: t.vacuumed,
    lastAnalyze: t.analyzed
  })
);
var indexRow = z15.object({
  index: z15.string(),
  table: z15.string(),
  bytes,
  scans: z15.coerce.number(),
  valid: z15.boolean()
});
var storageRow = z15.object({
  tables: z15.array(tableRow),
  indexes: z15.array(indexRow),
  ids: z15.coerce.number().nullable(),
  last: z15.coerce.number().nullable()
});
function storageText(names) {
  const list = Object.values(tableNames(names.table)).map(literal).join(", ");
  const ours = `c.relnamespace = to_regnamespace(${literal(`"${names.schema}"`)}) and c.relname in (${list})`;
  return `select
  (select coalesce(jsonb_agg(jsonb_build_object('table', c.relname,
    'table_bytes', pg_table_size(c.oid), 'index_bytes', pg_indexes_size(c.oid), 'rows', c.reltuples,
    'dead', coalesce(s.n_dead_tup, 0),
    'vacuumed', ${epochMs("greatest(s.last_vacuum, s.last_autovacuum)")},
    'analyzed', ${epochMs("greatest(s.last_analyze, s.last_autoanalyze)")}) order by c.relname), '[]')
    from pg_class c left join pg_stat_all_tables s on s.relid = c.oid where ${ours}) as tables,
  (select coalesce(jsonb_agg(jsonb_build_object('index', x.relname, 'table', c.relname, 'bytes', pg_relation_size(x.oid),
    'scans', coalesce(s.idx_scan, 0), 'valid', i.indisvalid) order by pg_relation_size(x.oid) desc, x.relname), '[]')
    from pg_class c join pg_index i on i.indrelid = c.oid join pg_class x on x.oid = i.indexrelid
    left join pg_stat_all_indexes s on s.indexrelid = x.oid where ${ours}) as indexes,
  ${idCapacityColumns(names)}`;
}
async function storage({ names, connections }) {
  const [row5] = await connections.read("admin", { text: storageText(names) });
  const { tables, indexes, ids, last } = storageRow.parse(row5);
  const used = ids ?? void 0;
  const capacity = last ?? Number.MAX_SAFE_INTEGER;
  return {
    tables,
    indexes,
    ids: { used, last: capacity, share: used === void 0 ? void 0 : used / capacity }
  };
}
var growthRow = z15.object({ first: z15.coerce.number().nullable(), last: z15.coerce.number().nullable() });
async function growth({ names, connections }, { windowMs = 6e4 } = {}) {
  const [row5] = await connections.read("admin", {
    text: `with recursive bounds as (
  select (select min(id) from ${names.events}) as first, (select max(id) from ${names.events}) as last
), halves(low, high) as (
  select first, last + 1 from bounds where first is not null
  union all
  select case when later then h.low else middle + 1 end, case when later then middle else h.high end
  from (
    select h.low, h.high, (h.low + h.high) / 2 as middle,
      coalesce((select e.created >= now() - $1::float8 * interval '1 millisecond'
       from ${names.events} e where e.id >= (h.low + h.high) / 2 order by e.id limit 1), true) as later
    from halves h where h.low < h.high
  ) h
)
select (select min(low) from halves where low >= high) as first, (select last from bounds) as last`,
    params: [windowMs]
  });
  const { first, last } = growthRow.parse(row5);
  const events2 = first === null || last === null ? 0 : Math.max(0, last - first + 1);
  return { windowMs, events: events2, perSecond: events2 * 1e3 / windowMs };
}

// src/admin/stream.ts
import { z as z16 } from "zod";
var place = z16.object({ id: z16.number(), version: z16.number() }).nullable();
var summary = z16.object({
  head: place,
  last_name: optionalText,
  snapshot: place,
  first_version: z16.number().nullable(),
  events: boundedCount(),
  readers: z16.array(
    z16.object({
      stream: z16.string(),
      source: optionalText,
      lane: z16.string(),
      at: z16.number(),
      correlated_at: z16.number().nullable(),
      blocked: z16.boolean()
    })
  )
});
var streamText = ({ events: log12, streams }) => {
  const own2 = `from ${log12} e where e.stream = $1::text`;
  const at = `jsonb_build_object('id', e.id, 'version', e.version)`;
  return `select
  (select ${at} ${own2} order by e.version desc limit 1) as head,
  (select e.name ${own2} order by e.version desc limit 1) as last_name,
  (select ${at} ${own2} and e.name = '__snapshot__' order by e.id desc limit 1) as snapshot,
  (select e.version ${own2} order by e.version limit 1) as first_version,
  ${countOf(own2)} as events,
  (select coalesce(jsonb_agg(to_jsonb(r) order by r.stream), '[]') from (
    select s.stream, s.source, s.lane, s.at, s.correlated_at, s.blocked from ${streams} s
    where s.stream = $1::text or s.source = $1::text limit 100) r) as readers`;
};
async function stream(context, name2, filter = {}) {
  const { connections, names } = context;
  const [row5] = await connections.read("admin", { text: streamText(names), params: [name2] });
  const found = summary.parse(row5);
  const history = await events(context, { ...filter, stream: name2, streamExact: true });
  return {
    stream: name2,
    head: found.head ?? void 0,
    events: found.events,
    snapshot: found.snapshot ?? void 0,
    firstVersion: found.first_version ?? void 0,
    closed: found.last_name === "__tombstone__",
    history,
    readers: found.readers.map(({ correlated_at, ...reader }) => ({
      ...reader,
      correlatedAt: correlated_at ?? void 0
    }))
  };
}

// src/admin/trace.ts
var DEFAULT_LIMIT4 = 1e3;
function toTrace(correlation, found, limit2) {
  const effects = /* @__PURE__ */ new Map();
  const nodes = /* @__PURE__ */ new Map();
  const roots = [];
  const shown = found.slice(0, limit2);
  for (const event2 of shown) {
    const cause = event2.cause && nodes.get(event2.cause.id);
    const own2 = [];
    const node = {
      event: event2,
      afterMs: cause && event2.created.getTime() - cause.event.created.getTime(),
      effects: own2
    };
    nodes.set(event2.id, node);
    effects.set(event2.id, own2);
    (cause ? effects.get(cause.event.id) ?? roots : roots).push(node);
  }
  const first = shown[0]?.created.getTime() ?? 0;
  const last = shown.at(-1)?.created.getTime() ?? first;
  return {
    correlation,
    roots,
    events: shown.length,
    cut: found.length > limit2,
    durationMs: last - first
  };
}
async function trace(context, correlation, { limit: limit2 = DEFAULT_LIMIT4, payload = false } = {}) {
  const found = await events(context, { correlation, forward: true, limit: limit2 + 1, payload });
  return toTrace(correlation, found, limit2);
}

// src/admin/index.ts
var Admin = class {
  #context;
  /** @param store A PostgresStore, seeded. */
  constructor(store) {
    this.#context = contextOf(store);
  }
  /** The server, the log's ends, and how many subscriptions are behind, blocked, leased and deferred. */
  overview() {
    return overview(this.#context);
  }
  /** Subscriptions with events that wait: how many, for how long, and which one is next. */
  lag(options) {
    return lag(this.#context, options);
  }
  /** Blocked subscriptions, each with its error and the event that it stands at. */
  blocked(options) {
    return blocked(this.#context, options);
  }
  /** The leases: who holds which subscription, and until when. */
  leases(options) {
    return leases(this.#context, options);
  }
  /** The checkpoints of the correlators, and which of them is held. */
  correlators(options) {
    return correlators(this.#context, options);
  }
  /** The server's connections, by application. */
  connections() {
    return serverConnections(this.#context);
  }
  /** Who holds the append lock, and who waits for it. */
  appendLock() {
    return appendLock(this.#context);
  }
  /** Sizes of tables and indexes, dead rows, and ids that are left. */
  storage() {
    return storage(this.#context);
  }
  /** Events of the last `windowMs` (default 60,000). */
  growth(options) {
    return growth(this.#context, options);
  }
  /** Events by a filter, newest first. Personal data is never among them. */
  events(filter) {
    return events(this.#context, filter);
  }
  /** One event with its payload. Undefined if the log does not hold it. */
  event(id) {
    return event(this.#context, id);
  }
  /**
   * New events in order of id, page by page, until the signal aborts.
   *
   * @example for await (const page of admin.follow({ signal: AbortSignal.timeout(60_000) })) console.log(page.length);
   */
  follow(options) {
    return follow(this.#context, options);
  }
  /** What seed() would do, and which locks it would take. Empty if the tables are up to date. */
  plan() {
    return plan(this.#context);
  }
  /** Everything that is wrong with the store, the server or the connection, each with what to do. Empty: nothing. */
  doctor(options) {
    return doctor(this.#context, options);
  }
  /**
   * Moves a blocked subscription past the event that it stands at, unblocks it, and records who did so. The worker that
   * blocked it cannot set it back.
   *
   * @throws SkipError if it is not blocked, stands at another event, or moved meanwhile; nothing is changed.
   * @example await admin.skip({ stream: "mailer", event: 2, by: "ada", reason: "address was deleted" });
   */
  skip(options) {
    return skip(this.#context, options);
  }
  /** What was skipped, by whom and why, the newest first. A restore of the log, and reap, delete it with the subscription. */
  skipped(options) {
    return skipped(this.#context, options);
  }
  /** `store.unblock`, with progress: how many have been changed after each statement. */
  unblock(input, options) {
    return unblock(this.#context, input, options);
  }
  /** `store.reset`, with progress. */
  reset(input, options) {
    return reset(this.#context, input, options);
  }
  /** `store.defer`, with progress. */
  defer(input, deferredAt, options) {
    return defer(this.#context, input, deferredAt, options);
  }
  /** `store.prioritize`, with progress. */
  prioritize(filter, priority, options) {
    return prioritize(this.#context, filter, priority, options);
  }
  /** Ends the lease of a worker that is gone. False if nobody, or somebody else than `holder`, holds one. */
  release(options) {
    return release(this.#context, options);
  }
  /** Deletes subscriptions of closed streams that have handled everything, and correlators of registries that are gone. */
  reap(options) {
    return reap(this.#context, options);
  }
  /**
   * The log as JSON lines, with ids, snapshots and personal data as they are stored.
   *
   * @example await pipeline(admin.export(), createGzip(), createWriteStream("log.jsonl.gz"));
   */
  export(options) {
    return exportEvents(this.#context, options);
  }
  /**
   * Brings an export back, all of it or nothing. Commits wait until it has ended.
   *
   * @throws ImportError that names the line, and nothing is imported.
   */
  import(source2, options) {
    return importEvents(this.#context, source2, options);
  }
  /**
   * Moves the events of closed streams, or those behind old snapshots, to a folder or an object store. Rows are deleted
   * only after the file was read back and found complete.
   *
   * @example await admin.archive({ target: folder("/var/archive"), before: new Date("2025-01-01") });
   */
  archive(options) {
    return archive(this.#context, options);
  }
  /** One stream: head, snapshot, latest events, and who reads it. */
  stream(name2, options) {
    return stream(this.#context, name2, options);
  }
  /** The tree of causes of a correlation. */
  trace(correlation, options) {
    return trace(this.#context, correlation, options);
  }
};

// src/cli/heap.ts
import { getHeapStatistics, setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
var MOST_BYTES = 48e6;
var PAUSE_MS = 200;
function keepHeapSmall() {
  setFlagsFromString("--expose-gc");
  const collect2 = runInNewContext("gc");
  let last = 0;
  return () => {
    const now = performance.now();
    if (typeof collect2 !== "function" || now - last < PAUSE_MS) return;
    if (getHeapStatistics().total_heap_size < MOST_BYTES) return;
    collect2();
    last = performance.now();
  };
}

// src/store.ts
import { inspect as inspect2 } from "node:util";

// src/admin/health.ts
import { z as z17 } from "zod";
var TIMEOUT = 2e3;
var FURTHEST_BEHIND = 50;
var answer2 = z17.object({
  present: z17.boolean(),
  permitted: z17.boolean().nullable(),
  standby: z17.boolean(),
  read_only: z17.boolean()
});
function shallowText({ events: events2, streams, correlated }) {
  const of = (name2) => `to_regclass(${literal(name2)})`;
  const may = (name2, right) => `has_table_privilege(${of(name2)}, '${right}')`;
  return `select ${[events2, streams, correlated].map((name2) => `${of(name2)} is not null`).join(" and ")} as present,
  ${[may(events2, "select"), may(events2, "insert"), may(streams, "insert"), may(streams, "update"), may(correlated, "update")].join(" and ")} as permitted,
  pg_is_in_recovery() as standby, current_setting('transaction_read_only') = 'on' as read_only`;
}
function problemsOf({ present, permitted, standby, read_only }) {
  if (!present) return ["the store's tables are missing: call seed() first"];
  const found = [];
  if (standby) found.push("the server is a standby, which takes no writes: connect to the primary");
  else if (read_only) found.push("transactions are read-only: look at default_transaction_read_only");
  if (permitted !== true)
    found.push("the role may not write to the tables: grant it what docs/guides/security.md lists");
  return found;
}
async function deepOf(context) {
  const { names, connections } = context;
  const [lock, behind, [row5]] = await Promise.all([
    appendLock(context),
    lag(context, { limit: FURTHEST_BEHIND }),
    connections.read("health", {
      text: `select ${countOf(`from ${names.streams} s where s.blocked`)} as blocked,
  ${epochMs("clock_timestamp()")} as now`
    })
  ]);
  const lags = behind.flatMap(({ lagMs }) => lagMs ?? []);
  return {
    appendLock: { waiting: lock.waiting.length, heldMs: lock.holder?.transactionMs },
    blocked: boundedCount().parse(row5?.blocked),
    oldestLagMs: lags.length > 0 ? Math.max(...lags) : void 0
  };
}
function within(ms, work) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`the database did not answer within ${ms} ms`)), ms);
    timer.unref();
  });
  work.catch(() => {
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}
function reasonOf(error2) {
  if (!(error2 instanceof Error)) return "the database failed";
  const cause = error2.cause;
  if (typeof cause === "object" && cause !== null && "code" in cause && typeof cause.code === "string")
    return `the database failed: ${cause.code}`;
  return error2.message;
}
async function health(context, { deep = false, timeoutMs = TIMEOUT } = {}) {
  const { names, connections } = context;
  const start = performance.now();
  const problems = [];
  let latencyMs;
  let found;
  try {
    const [row5] = await within(timeoutMs, connections.read("health", { text: shallowText(names) }));
    latencyMs = performance.now() - start;
    problems.push(...problemsOf(answer2.parse(row5)));
    const left = Math.max(1, timeoutMs - latencyMs);
    if (deep && problems.length === 0) found = await within(left, deepOf(context));
  } catch (error2) {
    problems.push(reasonOf(error2));
  }
  return {
    ok: problems.length === 0,
    problems,
    latencyMs,
    pool: connections.counts,
    listener: connections.listenerState,
    deep: found
  };
}

// src/events/commit.ts
import { randomUUID as randomUUID3 } from "node:crypto";
import { ConcurrencyError as ConcurrencyError2 } from "@rotorsoft/act";

// src/events/append.ts
var UNSATISFIABLE_VERSION = -2;
var NOTIFY_LIMIT = 8e3;
var idBound = (sequence2) => `(select coalesce(pg_sequence_last_value(${sequence2}::oid), 9223372036854775807))`;
var nowQuery = (names, sequence2) => `select greatest(
    date_trunc('milliseconds', clock_timestamp()),
    (select date_trunc('milliseconds', created + interval '999 microseconds') from ${names.events}
      where id <= ${idBound(sequence2)} order by id desc limit 1)
  ) as created`;
var appendFacts = (names) => `(select case
    when has_sequence_privilege(s.oid, 'usage, select') then s.oid::bigint end from (select ${idSequence(names)} as oid) s
  ) as id_sequence,
  (select case when has_sequence_privilege(s.oid, 'usage, select') then pg_sequence_last_value(s.oid) end
    from (select ${idSequence(names)} as oid) s) as last_id,
  exists (select from pg_index i join pg_opclass c on c.oid = i.indclass[0]
    where i.indexrelid = to_regclass(${literal(`"${names.schema}"."${names.table}_stream_id_ix"`)})
      and i.indpred is null and i.indisvalid and c.opcname = 'text_pattern_ops') as ids_indexed,
  (select c.relname::text from pg_index i join pg_class c on c.oid = i.indexrelid
    where i.indrelid = to_regclass(${literal(names.events)}) and i.indisprimary) as primary_key,
  exists (select from pg_trigger t where t.tgrelid = to_regclass(${literal(names.events)}) and t.tgdeferrable) as deferred`;
var moveSequence2 = ({ events: events2 }, sequence2) => ({
  text: `select setval($1::oid::regclass, greatest((select max(id) from ${events2}), pg_sequence_last_value($1::oid))) as id`,
  params: [sequence2]
});
var RUN_DEFERRED = { text: "set constraints all immediate" };
var headByVersion = ({ events: events2 }) => `select e.version from ${events2} e where e.stream = c.stream order by e.version desc limit 1`;
var headOf = (names, headBy, sequence2) => {
  const byVersion = `(${headByVersion(names)})`;
  const byId = `(select case when c.expected is null or e.version = c.expected then e.version end
      from ${names.events} e where e.stream = any(array[c.stream]) and e.id <= ${idBound(sequence2)}
      order by e.stream using ~>~, e.id desc limit 1)`;
  return `coalesce(${headBy === "version" ? byVersion : `${byId}, ${byVersion}`}, -1)`;
};
var announceText = (names, by2) => `, announced as (
  select pg_notify(${literal(names.channel)}, case when octet_length(whole) < ${NOTIFY_LIMIT} then whole else brief end)
  from (
    select json_build_object('stream', a.stream, 'by', ${literal(by2)}::text,
             'events', json_agg(json_build_object('id', i.id, 'name', i.name) order by i.id))::text as whole,
           json_build_object('stream', a.stream, 'by', ${literal(by2)}::text, 'events', '[]'::json,
             'from', min(i.id), 'to', max(i.id))::text as brief
    from accepted a join inserted i on i.stream = a.stream and i.version > a.head and i.version <= a.head + a.size
    group by a.ord, a.stream
    order by min(i.id)
  ) payloads
  where octet_length(brief) < ${NOTIFY_LIMIT}
)`;
var accepts = (commit2, head) => `${commit2}.expected is null or ${commit2}.expected = ${head}`;
var decidedAtOnce = `decided as (
    select r.*, ${accepts("r", "r.head")} as accepted from requested r
)`;
var decidedInTurn = `decided as (
    select r.*, ${accepts("r", "r.head")} as accepted from requested r where r.position = 1
  union all
    select r.stream, r.expected, r.size, r.meta, r.token, r.position, r.ord, next.head, ${accepts("r", "next.head")}
    from decided d
    join requested r on r.stream = d.stream and r.position = d.position + 1
    cross join lateral (select d.head + case when d.accepted then d.size else 0 end as head) next
)`;
function insertText(names, { headBy, announce }, by2, repeats) {
  const head = headOf(names, headBy, "$6");
  return `with ${repeats ? "recursive " : ""}requested as materialized (
  select c.*, ${repeats ? `case when c.position = 1 then ${head} end` : head} as head
  from unnest($1::text[], $2::int[], $3::int[], ${splitJson("$4")}, $5::uuid[]${repeats ? ", $13::int[]" : ""})
    with ordinality as c(stream, expected, size, meta, token${repeats ? ", position" : ""}, ord)
), ${repeats ? decidedInTurn : decidedAtOnce}, accepted as (
  select ord, stream, size, meta, token, head from decided where accepted
), clock as materialized (${nowQuery(names, "$6")}), inserted as (
  insert into ${names.events} (name, data, stream, version, created, meta, pii, dates, token)
  select m.name, m.data::jsonb, a.stream, a.head + m.nth, clock.created, a.meta::jsonb, m.pii::jsonb, m.dates::jsonb,
    case when m.nth = 1 then a.token end
  from unnest($7::int[], $8::int[], $9::text[], ${splitJson("$10")}, ${splitJson("$11")}, ${splitJson("$12")})
    with ordinality as m(owner, nth, name, data, pii, dates, ord)
  join accepted a on a.ord = m.owner
  cross join clock
  order by m.ord
  returning id, stream, version, name
)${announce ? announceText(names, by2) : ""}
select decisions.heads, decisions.accepted, events.ids, (extract(epoch from clock.created) * 1000)::float8 as created,
  case when events.stored <> decisions.wanted then ${raise("events_left_out")} end as complete${announce ? ", (select count(*) from announced) as announced" : ""}
from clock,
  (select array_agg(head order by ord)::text as heads, array_agg(accepted order by ord)::text as accepted,
    coalesce(sum(size) filter (where accepted), 0) as wanted from decided) decisions,
  (select array_agg(id order by id)::text as ids, count(*) as stored from inserted) events`;
}
var insertTexts = (names, mode, by2) => ({
  distinct: insertText(names, mode, by2, false),
  repeated: insertText(names, mode, by2, true)
});
function positionsInStream(appends) {
  if (appends.length < 2) return void 0;
  const seen = /* @__PURE__ */ new Map();
  const positions = appends.map(({ stream: stream2 }) => {
    const position2 = (seen.get(stream2) ?? 0) + 1;
    seen.set(stream2, position2);
    return position2;
  });
  return seen.size < appends.length ? positions : void 0;
}
function insertQuery3({ distinct, repeated }, appends, sequence2) {
  const owners = [];
  const nths = [];
  const events2 = [];
  appends.forEach((append, i) => {
    append.events.forEach((event2, nth) => {
      owners.push(i + 1);
      nths.push(nth + 1);
      events2.push(event2);
    });
  });
  const positions = positionsInStream(appends);
  const params = [
    textArray(appends.map((a) => a.stream)),
    numberArray(appends.map((a) => a.expected)),
    numberArray(appends.map((a) => a.events.length)),
    joinJson(appends.map((a) => a.meta)),
    `{${appends.map((a) => a.token).join(",")}}`,
    sequence2,
    numberArray(owners),
    numberArray(nths),
    textArray(events2.map((e) => e.name)),
    joinJson(events2.map((e) => e.data)),
    joinJson(events2.map((e) => e.pii)),
    joinJson(events2.map((e) => e.dates))
  ];
  if (positions) params.push(numberArray(positions));
  return { text: positions ? repeated : distinct, params, bindFirst: true, raises: "events_left_out" };
}
var emptyInserts = ({ distinct, repeated }, sequence2) => {
  const { params = [] } = insertQuery3({ distinct, repeated }, [], sequence2);
  const values = typeof params === "function" ? params() : params;
  return [
    { text: distinct, params: values, bindFirst: true },
    { text: repeated, params: [...values, "{}"], bindFirst: true }
  ];
};
function readAppended(appends, row5) {
  const heads = parseNumbers(row5?.heads);
  const accepted = parseBooleans(row5?.accepted);
  const ids = parseNumbers(row5?.ids);
  let from = 0;
  const outcomes = appends.map(({ events: events2 }, i) => {
    const head = heads[i];
    if (head === void 0) throw mismatch2();
    const size = accepted[i] === true ? events2.length : 0;
    from += size;
    return { accepted: accepted[i] === true, head, ids: ids.slice(from - size, from) };
  });
  if (from !== ids.length) throw mismatch2();
  return { created: new Date(Number(row5?.created)), outcomes };
}
var mismatch2 = () => new Error("the database's answer to an append does not match what was sent");

// src/events/commit.ts
var isHead = (version) => Number.isInteger(version) && version >= -1 && version <= 2147483647;
async function commit(context, append, stream2, msgs, meta, expectedVersion) {
  checkArray("commit", "msgs", msgs);
  if (msgs.length === 0) return [];
  if (expectedVersion !== void 0 && expectedVersion !== null)
    checkNumber("commit", "expectedVersion", expectedVersion);
  const { cipher } = context;
  const personal = cipher && msgs.some((msg) => msg?.pii !== null && msg?.pii !== void 0);
  const key3 = personal ? await guard("commit", () => cipher.current(stream2)) : void 0;
  const encoded = encodeEvents(stream2, msgs, meta, key3);
  const expected = typeof expectedVersion === "number" ? isHead(expectedVersion) ? expectedVersion : UNSATISFIABLE_VERSION : null;
  const committed = ({ head, ids: ids2 }, at) => msgs.map((msg, i) => {
    const event2 = {
      id: ids2[i] ?? 0,
      stream: stream2,
      version: head + 1 + i,
      created: new Date(at),
      name: msg.name,
      data: msg.data,
      meta
    };
    return msg.pii === null || msg.pii === void 0 ? event2 : { ...event2, pii: msg.pii };
  });
  const inlined = context.inline?.handlers;
  const inline = inlined && msgs.some(({ name: name2 }) => inlined.has(String(name2))) ? { committed } : void 0;
  const { outcome, created: created2 } = await guard(
    "commit",
    () => append({ stream: stream2, expected, meta: encoded.meta, events: encoded.events, token: randomUUID3(), inline })
  );
  if (!outcome.accepted)
    throw new ConcurrencyError2(
      stream2,
      outcome.head,
      msgs,
      expectedVersion ?? UNSATISFIABLE_VERSION
    );
  const ids = readIds(outcome.ids);
  watchIdCapacity(context, ids.at(-1) ?? 0);
  watchForFutureEvents(context, created2.getTime());
  return committed({ head: outcome.head, ids }, created2);
}
function readIds(ids) {
  try {
    return ids.map(safeId);
  } catch (error2) {
    throw toStoreError("commit", error2);
  }
}

// src/events/forget-pii.ts
async function forgetPii({ names, connections }, stream2) {
  checkText("forget_pii", "stream", stream2);
  const [row5] = await connections.write("forget_pii", {
    text: `with erased as (
  update ${names.events} set pii = null, dates = dates - 'pii'
  where stream = $1::text and pii is not null returning 1
) select count(*)::int as count from erased`,
    params: [stream2]
  });
  return Number(row5?.count ?? 0);
}

// src/events/query.ts
var FIRST_PAGE3 = 2e3;
var PAGE3 = 1e3;
var BUDGET2 = 16e6;
var WANTED = BUDGET2 * 0.75;
function nextSize(size, found, bytes2) {
  const fitting = Math.floor(WANTED * found / Math.max(bytes2, 1));
  return Math.max(1, Math.min(fitting, PAGE3, size * 2));
}
function checkQuery(query2) {
  checkObject("query", "query", query2);
  checkOptionalText("query", "stream", query2.stream);
  checkOptionalText("query", "correlation", query2.correlation);
  for (const flag of ["backward", "with_snaps", "stream_exact"])
    checkFlag("query", flag, query2[flag]);
  if (query2.names !== void 0) checkTexts("query", "names", query2.names);
  for (const name2 of ["after", "before", "limit"])
    if (query2[name2] !== void 0 && query2[name2] !== null) checkNumber("query", name2, query2[name2]);
  for (const name2 of ["created_after", "created_before"]) {
    const value = query2[name2];
    if (value !== void 0 && value !== null && !(value instanceof Date && Number.isFinite(value.getTime())))
      throw invalid("query", `${name2} must be a valid Date`);
  }
}
function readEvent(decode, row5) {
  try {
    return decode(row5);
  } catch (error2) {
    throw toStoreError("query", error2);
  }
}
async function query({ names, connections, reader }, callback, q) {
  checkFunction("query", "callback", callback);
  if (q !== void 0 && q !== null) checkQuery(q);
  const wanted = q?.limit ? Math.max(1, q.limit) : Number.POSITIVE_INFINITY;
  let range = { after: q?.after ?? void 0, before: q?.before ?? void 0 };
  if (q && namesOf3(q)?.length === 0) {
    pageQuery(names, q, range, 0);
    return 0;
  }
  let size = pageSize(q, FIRST_PAGE3);
  let count3 = 0;
  for (; ; ) {
    const limit2 = Math.ceil(Math.min(size, wanted - count3));
    const { rows, cut, bytes: bytes2 } = await connections.readPage(
      "query",
      pageQuery(names, q, range, limit2),
      BUDGET2,
      limit2
    );
    const decode = await guard("query", () => reader.forRows(rows));
    for (const row5 of rows) {
      const seen = callback(readEvent(decode, row5));
      if (seen !== void 0 && seen !== null) await seen;
      count3++;
    }
    const found = rows.length;
    const [first, last] = [Number(rows[0]?.id), Number(rows.at(-1)?.id)];
    rows.length = 0;
    if (count3 >= wanted || !cut && found < limit2) return count3;
    size = nextSize(size, found, bytes2);
    range = q?.backward ? { ...range, before: last, newest: range.newest ?? first } : { ...range, after: last };
  }
}

// src/events/query-stats.ts
var PAGE4 = 5e3;
function checkOptions(options) {
  checkObject("query_stats", "options", options);
  checkOptionalText("query_stats", "after", options.after);
  for (const flag of ["tail", "count", "names"]) checkFlag("query_stats", flag, options[flag]);
  if (options.exclude !== void 0) checkTexts("query_stats", "exclude", options.exclude);
  for (const name2 of ["before", "limit"])
    if (options[name2] !== void 0) checkNumber("query_stats", name2, options[name2]);
}
function candidates(names, input, after, where) {
  if (Array.isArray(input)) {
    const list = `unnest(${where.param(textArray([...new Set(input)]))}::text[])`;
    const later = after === void 0 ? `` : ` where n.stream ~>~ ${where.param(after)}::text`;
    return `candidates as (select n.stream from ${list} as n(stream)${later} order by n.stream using ~<~)`;
  }
  const pattern = input.stream !== void 0 && !input.stream_exact ? toPattern("stream", input.stream) : void 0;
  const exact = input.stream_exact ? input.stream : pattern?.kind === "equals" ? pattern.text : void 0;
  if (exact !== void 0) {
    const name2 = where.param(exact);
    const later = after === void 0 ? `` : ` where ${name2}::text ~>~ ${where.param(after)}::text`;
    return `candidates as (select ${name2}::text as stream${later})`;
  }
  const from = [];
  if (after !== void 0) from.push(`e.stream ~>~ ${where.param(after)}::text`);
  const prefix = pattern?.kind === "prefix" ? pattern.text : pattern?.kind === "regex" ? pattern.prefix : void 0;
  const range = prefix === void 0 ? void 0 : where.prefixRange(prefix);
  if (range) from.push(range.from("e.stream"));
  const end = range?.to("e.stream") ?? [];
  const all2 = (...conditions) => conditions.length === 0 ? `` : ` where ${conditions.join(" and ")}`;
  const rest = !pattern || pattern.kind === "prefix" ? { kind: "any" } : pattern.kind === "regex" ? { kind: "regex", text: pattern.text } : pattern;
  const matches = where.pattern("stream", rest) ?? `true`;
  return `walk(stream) as (
    (select e.stream from ${names.events} e${all2(...from, ...end)} order by e.stream using ~<~ limit 1)
  union all
    select (select e.stream from ${names.events} e${all2(`e.stream ~>~ w.stream`, ...end)} order by e.stream using ~<~ limit 1)
    from walk w where w.stream is not null
), candidates as (select stream from walk where stream is not null and ${matches})`;
}
function statsQuery(names, input, options, after, limit2) {
  const where = new Conditions();
  const from = candidates(names, input, after, where);
  const kept = [];
  if (options.before !== void 0)
    kept.push(`x.id < ${where.param(toId(Math.ceil(options.before)))}::bigint`);
  if (options.exclude?.length) kept.push(`x.name <> all(${where.param(textArray(options.exclude))}::text[])`);
  const keep = kept.length === 0 ? `` : ` and ${kept.join(" and ")}`;
  const edge = (direction) => `(select x.* from ${names.events} x where x.stream = c.stream${keep} order by x.version ${direction} limit 1)`;
  const counting = options.count || options.names;
  const text = `with recursive ${from}, page as materialized (
  select h.* from candidates c cross join lateral ${edge(`desc`)} h limit ${where.param(limit2)}::bigint
)
select ${eventColumns(`c`, { pii: false })}${options.tail ? `, t.id as tail_id, t.name as tail_name, t.version as tail_version, t.data as tail_data, t.meta as tail_meta, t.dates as tail_dates, ${millisOf("t.created")} as tail_created` : ``}${counting ? `, n.counts` : ``}
from page c${options.tail ? ` cross join lateral ${edge(`asc`)} t` : ``}${counting ? ` cross join lateral (select jsonb_object_agg(name, events) as counts from (
    select x.name, count(*) as events from ${names.events} x where x.stream = c.stream${keep} group by x.name) g) n` : ``}
order by c.stream using ~<~`;
  return { text, params: where.params };
}
var tailOf = (row5) => ({
  id: row5.tail_id,
  stream: row5.stream,
  name: row5.tail_name,
  version: row5.tail_version,
  data: row5.tail_data,
  meta: row5.tail_meta,
  dates: row5.tail_dates,
  created: row5.tail_created
});
function countsOf(value) {
  const counts = {};
  if (typeof value === "object" && value !== null)
    for (const [name2, count3] of Object.entries(value))
      Object.defineProperty(counts, name2, {
        value: Number(count3),
        enumerable: true,
        writable: true,
        configurable: true
      });
  return counts;
}
async function queryStats({ names, connections, reader }, input, options = {}) {
  if (Array.isArray(input)) checkTexts("query_stats", "input", input);
  else {
    checkObject("query_stats", "input", input);
    checkOptionalText("query_stats", "stream", input.stream);
    checkFlag("query_stats", "stream_exact", input.stream_exact);
    if (input.stream === null) throw invalid("query_stats", "stream must not be null: leave it out");
  }
  checkOptions(options);
  const stats = /* @__PURE__ */ new Map();
  const wanted = options.limit ?? Number.POSITIVE_INFINITY;
  let after = options.after ?? void 0;
  if (wanted <= 0 || Array.isArray(input) && input.length === 0) {
    statsQuery(names, input, options, after, 0);
    return stats;
  }
  for (; ; ) {
    const limit2 = Math.ceil(Math.min(PAGE4, wanted - stats.size));
    const rows = await connections.read(
      "query_stats",
      statsQuery(names, input, options, after, limit2)
    );
    const decode = await reader.forRows(rows);
    for (const row5 of rows) stats.set(String(row5.stream), toStats(decode, row5, options));
    if (rows.length < limit2 || stats.size >= wanted) return stats;
    after = String(rows.at(-1)?.stream);
  }
}
function toStats(decode, row5, options) {
  try {
    const names = options.count || options.names ? countsOf(row5.counts) : {};
    return {
      head: decode(row5),
      ...options.tail && { tail: decode(tailOf(row5)) },
      ...options.count && { count: Object.values(names).reduce((sum, n) => sum + n, 0) },
      ...options.names && { names }
    };
  } catch (error2) {
    throw toStoreError("query_stats", error2);
  }
}

// src/events/truncate.ts
var SNAPSHOT2 = "__snapshot__";
var TOMBSTONE = "__tombstone__";
var DEFAULT_META = { correlation: "", causation: {} };
function check2(targets) {
  checkArray("truncate", "targets", targets);
  for (const target of targets) {
    checkObject("truncate", "each target", target);
    checkText("truncate", "stream", target.stream);
    checkOptionalObject("truncate", "snapshot", target.snapshot);
    checkOptionalObject("truncate", "meta", target.meta);
    if (target.max_id !== void 0 && target.max_id !== null)
      checkNumber("truncate", "max_id", target.max_id);
    if (target.before !== void 0 && !(target.before instanceof Date && Number.isFinite(target.before.getTime())))
      throw invalid("truncate", "before must be a valid Date");
  }
}
function windowQuery(names, targets) {
  return {
    text: `with boundary as materialized (
  select t.act_ord, s.* from unnest($1::text[], $2::float8[], $3::bigint[]) with ordinality as t(target, before, max_id, act_ord)
  cross join lateral (
    select x.* from ${names.events} x
    where x.stream = t.target and x.name = '__snapshot__' and x.created < to_timestamp(t.before / 1000)
      and (t.max_id is null or x.id <= t.max_id)
    order by x.id desc limit 1) s
), deleted as (
  delete from ${names.events} e using boundary b where e.stream = b.stream and e.id < b.id returning e.stream
)
select ${eventColumns("b", { pii: false })}, b.act_ord::int as ord,
  (select count(*) from deleted d where d.stream = b.stream)::int as deleted
from boundary b`,
    params: [
      textArray(targets.map((t) => t.stream)),
      numberArray(targets.map((t) => toTime(t.before?.getTime() ?? 0))),
      numberArray(
        targets.map((t) => t.max_id === void 0 || t.max_id === null ? null : toId(Math.floor(t.max_id)))
      )
    ],
    bindFirst: true
  };
}
function deleteQuery2(names, targets) {
  return {
    text: `with deleted as (
  delete from ${names.events} where stream = any($1::text[]) returning stream
)
select t.stream, count(d.stream)::int as deleted
from unnest($1::text[]) as t(stream) left join deleted d on d.stream = t.stream group by t.stream`,
    params: [textArray(targets.map((t) => t.stream))],
    bindFirst: true
  };
}
function seedQuery(names, targets) {
  const seeds = targets.map(({ stream: stream2, snapshot, meta }) => {
    const name2 = snapshot === void 0 ? TOMBSTONE : SNAPSHOT2;
    const { events: events2, meta: metaText2 } = encodeEvents(
      stream2,
      [{ name: name2, data: snapshot ?? {} }],
      meta ?? DEFAULT_META,
      void 0
    );
    return { stream: stream2, name: name2, meta: metaText2, data: events2[0]?.data ?? "{}", dates: events2[0]?.dates ?? "{}" };
  });
  return {
    text: `with clock as materialized (${nowQuery(names, idSequence(names))}), seeded as (
  insert into ${names.events} (name, data, stream, version, created, meta, dates)
  select s.name, s.data::jsonb, s.stream, 0, clock.created, s.meta::jsonb, s.dates::jsonb
  from unnest($1::text[], $2::text[], ${splitJson("$3")}, ${splitJson("$4")}, ${splitJson("$5")})
    with ordinality as s(stream, name, data, meta, dates, ord) cross join clock
  order by s.ord
  returning id
)
select (select array_agg(id order by id)::text from seeded) as ids,
  (select extract(epoch from created) * 1000 from clock)::float8 as created`,
    params: [
      textArray(seeds.map((s) => s.stream)),
      textArray(seeds.map((s) => s.name)),
      joinJson(seeds.map((s) => s.data)),
      joinJson(seeds.map((s) => s.meta)),
      joinJson(seeds.map((s) => s.dates))
    ],
    bindFirst: true
  };
}
var lastPerStream = (targets) => [
  ...new Map(targets.map((t) => [t.stream, t])).values()
];
async function truncate({ names, connections, reader }, targets) {
  check2(targets);
  const windowed = lastPerStream(targets.filter((t) => t.before !== void 0));
  const full = lastPerStream(targets.filter((t) => t.before === void 0));
  const result = /* @__PURE__ */ new Map();
  if (targets.length === 0) return result;
  const queries = [lockAppends(names, connections.deadline)];
  if (windowed.length > 0) queries.push(windowQuery(names, windowed));
  if (full.length > 0) queries.push(deleteQuery2(names, full), seedQuery(names, full));
  const [, ...answers] = await connections.transaction("truncate", queries);
  try {
    if (windowed.length > 0) {
      const rows = answers.shift() ?? [];
      const decode = await reader.forRows(rows);
      for (const row5 of rows)
        result.set(String(row5.stream), {
          deleted: Number(row5.deleted),
          committed: decode(row5),
          before: windowed[Number(row5.ord) - 1]?.before
        });
    }
    if (full.length > 0) addSeeds(result, full, answers[0] ?? [], answers[1]?.[0]);
    return result;
  } catch (error2) {
    throw toStoreError("truncate", error2);
  }
}
function addSeeds(result, full, deletedRows, seeded) {
  const deleted = new Map(deletedRows.map((row5) => [row5.stream, Number(row5.deleted)]));
  const ids = parseNumbers(seeded?.ids);
  if (ids.length !== full.length)
    throw new Error(
      "the streams are emptied, but not each has its seed, as when a trigger leaves events out"
    );
  full.forEach(({ stream: stream2, snapshot, meta }, i) => {
    const committed = {
      id: Number(ids[i]),
      stream: stream2,
      version: 0,
      created: new Date(Number(seeded?.created)),
      name: snapshot === void 0 ? TOMBSTONE : SNAPSHOT2,
      data: snapshot ?? {},
      meta: meta ?? DEFAULT_META
    };
    result.set(stream2, { deleted: deleted.get(stream2) ?? 0, committed });
  });
}

// src/migrations/ddl.ts
function ddl(names) {
  const { schema } = names;
  const lines = [
    "begin;",
    ...schema === "public" ? [] : [`create schema if not exists "${schema}";`],
    `set local search_path = "${schema}";`,
    ...migrationSteps(names).map(({ sql }) => sql.endsWith(";") ? sql : `${sql};`),
    `comment on table ${names.events} is ${literal(withRecord(void 0))};`,
    "commit;"
  ];
  return `${lines.join("\n")}
`;
}

// src/postgres/retry.ts
var RETRIABLE = /* @__PURE__ */ new Set(["40001", "40P01"]);
var RETRIABLE_OR_LOCKED = /* @__PURE__ */ new Set([...RETRIABLE, "55P03"]);
var RETRIES = 5;
var PAUSE_MS2 = 10;
var pause = (ms) => new Promise((resolve3) => setTimeout(resolve3, ms));
async function retrying(work, codes = RETRIABLE) {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work();
    } catch (error2) {
      const cause = error2 instanceof Error && error2.cause instanceof Error ? error2.cause : error2;
      const code = codeOf(error2) ?? codeOf(cause) ?? "";
      if (attempt > RETRIES || !codes.has(code)) throw error2;
      await pause(Math.random() * PAUSE_MS2 * attempt);
    }
  }
}

// src/migrations/migration-lock.ts
var LOCK = "select pg_advisory_xact_lock(hashtext('act-drizzle:seed'))";
var ATTEMPTS = 5;
async function withMigrationLock(connections, operation, work) {
  for (let attempt = 1; ; attempt++) {
    try {
      return await connections.session(operation, async (run) => {
        await run({ text: LOCK });
        return work(run);
      });
    } catch (error2) {
      if (attempt === ATTEMPTS || !(error2 instanceof Error) || !RETRIABLE.has(codeOf(error2.cause)))
        throw error2;
    }
  }
}

// src/migrations/drop.ts
function drop({ names, connections }) {
  return guard(
    "drop",
    () => withMigrationLock(connections, "drop", async (run) => {
      findStoreTables(names, await introspect(run, names));
      await run({ text: `drop table if exists ${names.events}, ${names.streams}, ${names.correlated}` });
    })
  );
}

// src/migrations/seed.ts
import { log as log6 } from "@rotorsoft/act";

// src/migrations/build-indexes.ts
import { log as log5 } from "@rotorsoft/act";

// src/postgres/block.ts
var sendBlock = (connection, queries, deadline, options) => connection.onChannel(
  deadline,
  (channel) => channel.block(queries, { ...options, prepare: connection.ownsSession })
);
async function rollbackBlock(connection, deadline) {
  if (connection.closedWith) return;
  await connection.onChannel(deadline, (channel) => channel.rollback()).catch(() => {
  });
}

// src/postgres/deadline.ts
var instantIn = (ms) => ms > 0 ? performance.now() + ms : Number.POSITIVE_INFINITY;
var msUntil = (end) => end === Number.POSITIVE_INFINITY ? 0 : Math.max(1, end - performance.now());
var lessOf = (one, other) => one > 0 && other > 0 ? Math.min(one, other) : one || other;

// src/postgres/end-backend.ts
var ATTEMPTS2 = 20;
var PAUSE_MS3 = 25;
async function endBackend(connection, { pid, started, mark }, left) {
  const query2 = {
    // $1 pid, $2 backend_start, $3 application_name or null. The start is text: the driver would cut a timestamp to
    // milliseconds, and the comparison would fail.
    text: `select pg_terminate_backend(pid) as ended from pg_stat_activity
  where pid = $1::int and pid <> pg_backend_pid() and backend_start = $2::text::timestamptz
    and ($3::text is null or application_name = $3::text)`,
    params: [pid, started, mark ?? null]
  };
  for (let attempt = 0; attempt < ATTEMPTS2; attempt++) {
    const alive = await connection.run(query2, left());
    if (alive.length === 0) return;
    await pause(PAUSE_MS3 * (attempt + 1));
  }
  throw new ConnectionError("BACKEND_ALIVE", "the server still works on a lost connection", true);
}

// src/postgres/connection.ts
import postgres from "postgres";

// src/postgres/ended.ts
var GONE = /* @__PURE__ */ new Set([
  "CONNECTION_CLOSED",
  "CONNECTION_DESTROYED",
  "CONNECTION_ENDED",
  "ECONNRESET",
  "EPIPE",
  "ETIMEDOUT"
]);
var isGone = (error2) => GONE.has(codeOf(error2));
var isFatal = (error2) => {
  if (!(error2 instanceof Error)) return false;
  const severity = Reflect.get(error2, "severity") ?? Reflect.get(error2, "severity_local");
  return severity === "FATAL" || severity === "PANIC";
};

// src/postgres/protocol.ts
var INITIAL_BYTES = 1024;
var MessageWriter = class {
  #buffer;
  #length = 0;
  /** `bytes`: an estimate of how many bytes will be written. */
  constructor(bytes2 = 0) {
    this.#buffer = Buffer.allocUnsafe(INITIAL_BYTES + bytes2);
  }
  /** Bytes written so far. */
  get length() {
    return this.#length;
  }
  /** The bytes since the last call; the writer is empty afterwards. */
  take() {
    const bytes2 = this.#buffer.subarray(0, this.#length);
    this.#buffer = Buffer.allocUnsafe(INITIAL_BYTES);
    this.#length = 0;
    return bytes2;
  }
  /** Prepares `text` as the statement `name`; the empty name is the unnamed statement. */
  parse(name2, text) {
    const end = this.#begin("P");
    this.#text(name2);
    this.#text(text);
    this.#int16(0);
    end();
  }
  /** Asks for the parameters and columns of a prepared statement. */
  describe(name2) {
    const end = this.#begin("D");
    this.#raw("S");
    this.#text(name2);
    end();
  }
  bind(portal, statement5, params) {
    const end = this.#begin("B");
    this.#text(portal);
    this.#text(statement5);
    this.#int16(0);
    this.#int16(params.length);
    for (const param of params) {
      if (param === null) {
        this.#int32(-1);
        continue;
      }
      const text = String(param);
      const bytes2 = Buffer.byteLength(text);
      this.#int32(bytes2);
      this.#room(bytes2);
      this.#length += this.#buffer.write(text, this.#length);
    }
    this.#int16(0);
    end();
  }
  /** A simple query: one or more statements without parameters. */
  query(text) {
    const end = this.#begin("Q");
    this.#text(text);
    end();
  }
  execute(portal) {
    const end = this.#begin("E");
    this.#text(portal);
    this.#int32(0);
    end();
  }
  /** Ends the transaction, unless BEGIN made it explicit, and asks for ReadyForQuery. */
  sync() {
    this.#begin("S")();
  }
  /** Asks for the answers so far. */
  flush() {
    this.#begin("H")();
  }
  /** Starts a message. The function that it returns fills in the message's length. */
  #begin(type) {
    this.#raw(type);
    const start = this.#length;
    this.#int32(0);
    return () => this.#buffer.writeInt32BE(this.#length - start, start);
  }
  #room(bytes2) {
    const needed = this.#length + bytes2;
    if (needed <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafe(Math.max(needed, this.#buffer.length * 2));
    this.#buffer.copy(larger, 0, 0, this.#length);
    this.#buffer = larger;
  }
  #raw(character) {
    this.#room(1);
    this.#length += this.#buffer.write(character, this.#length, "latin1");
  }
  /** A string with the zero byte that ends it. */
  #text(text) {
    this.#room(Buffer.byteLength(text) + 1);
    this.#length += this.#buffer.write(text, this.#length);
    this.#length = this.#buffer.writeUInt8(0, this.#length);
  }
  #int16(value) {
    this.#room(2);
    this.#length = this.#buffer.writeInt16BE(value, this.#length);
  }
  #int32(value) {
    this.#room(4);
    this.#length = this.#buffer.writeInt32BE(value, this.#length);
  }
};
var HEADER3 = 5;
var MessageReader = class {
  #chunks = [];
  #bytes = 0;
  /** How many bytes the next complete message needs. */
  #needed = HEADER3;
  /** The messages that are complete with `chunk`. */
  *read(chunk) {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    if (this.#bytes < this.#needed) return;
    let buffer = this.rest();
    while (buffer.length >= HEADER3) {
      const end = 1 + buffer.readInt32BE(1);
      this.#needed = end;
      if (end > buffer.length) break;
      const message = { type: String.fromCharCode(buffer.readUInt8(0)), body: buffer.subarray(HEADER3, end) };
      buffer = buffer.subarray(end);
      this.#chunks = [buffer];
      this.#bytes = buffer.length;
      this.#needed = HEADER3;
      yield message;
    }
  }
  /** The bytes behind the last message. */
  rest() {
    const [only] = this.#chunks;
    const buffer = only && this.#chunks.length === 1 ? only : Buffer.concat(this.#chunks);
    this.#chunks = [buffer];
    return buffer;
  }
};
function readColumns(body) {
  const columns = [];
  let at = 2;
  for (let left = body.readInt16BE(0); left > 0; left--) {
    const end = body.indexOf(0, at);
    columns.push({ name: body.toString("utf8", at, end), type: body.readUInt32BE(end + 7) });
    at = end + 19;
  }
  return columns;
}
var BOOLEAN = 16;
var NUMBERS = /* @__PURE__ */ new Set([20, 21, 23, 26, 700, 701]);
var JSON_TYPES = /* @__PURE__ */ new Set([114, 3802]);
function readValue(text, type) {
  if (NUMBERS.has(type)) return Number(text);
  if (JSON_TYPES.has(type)) return JSON.parse(text);
  return type === BOOLEAN ? text === "t" : text;
}
function readRow(body, columns) {
  const row5 = {};
  let at = 2;
  for (const { name: name2, type } of columns) {
    const length = body.readInt32BE(at);
    at += 4;
    row5[name2] = length < 0 ? null : readValue(body.toString("utf8", at, at + length), type);
    if (length > 0) at += length;
  }
  return row5;
}
var INT8 = 20;
var BYTEA = 17;
function readUserValue(text, type) {
  if (type === INT8) return text;
  return type === BYTEA && text.startsWith("\\x") ? Buffer.from(text.slice(2), "hex") : readValue(text, type);
}
function readUserRow(body, columns) {
  let at = 2;
  return columns.map(({ type }) => {
    const length = body.readInt32BE(at);
    at += 4;
    if (length < 0) return null;
    at += length;
    return readUserValue(body.toString("utf8", at - length, at), type);
  });
}
var ERROR_FIELDS = {
  V: "severity",
  // In the server's language. PgBouncer sends only this field, in English.
  S: "localSeverity",
  C: "code",
  M: "message",
  n: "constraint_name",
  t: "table_name",
  R: "routine"
};
var ServerError = class extends Error {
  name = "ServerError";
  severity;
  /** SQLSTATE. */
  code;
  routine;
  constraint_name;
  table_name;
  /** From the body of ErrorResponse. */
  constructor(body) {
    const fields = {};
    for (let at = 0; at < body.length && body[at] !== 0; ) {
      const end = body.indexOf(0, at);
      const field = ERROR_FIELDS[String.fromCharCode(body.readUInt8(at))];
      if (field) fields[field] = body.toString("utf8", at + 1, end);
      at = end + 1;
    }
    super(fields.message ?? "unknown error");
    this.severity = fields.severity ?? fields.localSeverity ?? "ERROR";
    this.code = fields.code ?? "XX000";
    this.routine = fields.routine;
    this.constraint_name = fields.constraint_name;
    this.table_name = fields.table_name;
  }
};

// src/postgres/exchange.ts
var paramsOf = ({ params = [] }) => typeof params === "function" ? params() : params;
var LARGE_BYTES2 = 65536;
var PACKET_BYTES = 1e3;
var Exchange = class {
  #socket;
  #queries;
  #head;
  #tail;
  #options;
  #answers;
  #userRows = /* @__PURE__ */ new Map();
  #done = 0;
  #error;
  /** Set while large parameters travel. Sends the rest of the message once they have arrived. */
  #headDone;
  constructor(socket, queries, head, tail, options) {
    this.#socket = socket;
    this.#queries = queries;
    this.#head = head;
    this.#tail = tail;
    this.#options = options;
    this.#answers = queries.map(() => ({ rows: [], tag: "" }));
  }
  async run() {
    const writer = new MessageWriter(this.#size());
    for (const step of this.#head) this.#write(writer, step);
    const large = writer.length > LARGE_BYTES2;
    const tail = () => {
      for (const step of this.#tail) this.#write(writer, step);
      writer.sync();
      this.#options.committing();
      return writer.take();
    };
    if (large) {
      const start = performance.now();
      const bytes2 = writer.length;
      writer.flush();
      this.#headDone = () => {
        this.#headDone = void 0;
        if (!this.#error) this.#options.transferred?.(bytes2, performance.now() - start);
        this.#socket.write(tail());
      };
    }
    const messages = large ? [writer.take()] : writer.length > PACKET_BYTES ? [writer.take(), tail()] : [tail()];
    const status = await listenUntilReady(this.#socket, messages, (message) => this.#receive(message));
    return {
      answers: this.#answers,
      error: this.#error,
      failed: this.#step(),
      status
    };
  }
  /** An estimate of the bytes to send: the number of characters, most of which take one byte. */
  #size() {
    const sizeOf = (params) => params.reduce((sum, param) => sum + 8 + (typeof param === "string" ? param.length : 8), 0);
    const parsed = [...this.#head, ...this.#tail].filter(({ kind: kind2 }) => kind2 === "parse");
    return this.#queries.reduce((sum, { params }) => sum + (Array.isArray(params) ? sizeOf(params) : 64), 0) + parsed.reduce((sum, { text }) => sum + text.length, 0);
  }
  #write(writer, { kind: kind2, index: index2, text, prepared }) {
    const portal = this.#queries.length === 1 ? "" : `${this.#options.portals ?? ""}${index2}`;
    switch (kind2) {
      case "parse":
        writer.parse(prepared.name, text);
        break;
      case "describe":
        writer.describe(prepared.name);
        break;
      case "bind":
        writer.bind(portal, prepared.name, paramsOf(this.#queries[index2] ?? { text }));
        break;
      case "execute":
        writer.execute(portal);
        break;
    }
  }
  /** The step whose answer comes next. */
  #step() {
    return this.#head[this.#done] ?? this.#tail[this.#done - this.#head.length];
  }
  #receive({ type, body }) {
    const step = this.#step();
    const answer3 = this.#answers[step?.index ?? -1];
    switch (type) {
      case "T":
        if (step) step.prepared.columns = readColumns(body);
        this.#described(step);
        break;
      case "n":
        this.#described(step);
        break;
      case "1":
      // ParseComplete
      case "2":
      // BindComplete
      case "I":
        this.#next();
        break;
      case "D":
        if (step && this.#queries[step.index]?.answer) this.#keepUserRow(step, body);
        else if (step) answer3?.rows.push(readRow(body, step.prepared.columns));
        break;
      case "C":
        if (answer3) answer3.tag = body.toString("utf8", 0, body.length - 1);
        if (step) this.#answer(step);
        this.#next();
        break;
      case "E":
        this.#refuse(new ServerError(body));
        break;
    }
  }
  #keepUserRow({ index: index2, prepared }, body) {
    const rows = this.#userRows.get(index2) ?? [];
    rows.push(readUserRow(body, prepared.columns));
    this.#userRows.set(index2, rows);
  }
  #answer({ index: index2, prepared }) {
    this.#queries[index2]?.answer?.(
      prepared.columns.map(({ name: name2 }) => name2),
      this.#userRows.get(index2) ?? []
    );
  }
  /** The statement can be reused from now on: its columns are known, and without them its rows could not be read. */
  #described(step) {
    if (step) this.#options.described(step);
    this.#next();
  }
  #next() {
    this.#done++;
    if (this.#done === this.#head.length) this.#headDone?.();
  }
  #refuse(error2) {
    if (error2.severity === "FATAL" || error2.severity === "PANIC") this.#options.fatal(error2);
    else {
      this.#error ??= error2;
      this.#headDone?.();
    }
  }
};
function listenUntilReady(socket, messages, receive) {
  const driver = socket.listeners("data");
  const reader = new MessageReader();
  socket.removeAllListeners("data");
  return new Promise((resolve3, reject) => {
    const giveBack = () => {
      socket.removeListener("data", listen2);
      for (const listener of driver) socket.on("data", listener);
    };
    const listen2 = (chunk) => {
      try {
        for (const message of reader.read(chunk)) {
          if (message.type !== "Z") {
            receive(message);
            continue;
          }
          giveBack();
          const rest = reader.rest();
          if (rest.length > 0) socket.emit("data", rest);
          return resolve3(message.body.toString("latin1"));
        }
      } catch (error2) {
        giveBack();
        reject(error2);
      }
    };
    socket.on("data", listen2);
    for (const bytes2 of messages) socket.write(bytes2);
  });
}

// src/postgres/timers.ts
var LONGEST_MS = 2147e6;
function afterPoll(ms, work, arriving = () => 0, { unref = false } = {}) {
  if (ms <= 0) return () => {
  };
  let timer;
  let immediate;
  const look2 = (before, end) => {
    immediate = setImmediate(() => {
      const bytes2 = arriving();
      if (bytes2 !== before && performance.now() < end) look2(bytes2, end);
      else work();
    });
  };
  timer = setTimeout(() => look2(arriving(), performance.now() + 1e3), Math.min(ms, LONGEST_MS));
  if (unref) timer.unref();
  return () => {
    clearTimeout(timer);
    if (immediate) clearImmediate(immediate);
    timer = void 0;
  };
}

// src/postgres/password.ts
async function askForPassword({ config, secrets }) {
  const { password } = secrets;
  if (typeof password === "string") return password;
  const limit2 = Math.ceil(config.connectionTimeoutMillis * 0.9);
  let cancel = () => {
  };
  const late = new Promise((_, reject) => {
    cancel = afterPoll(limit2, () => reject(failed(`gave none within ${limit2} ms`)));
  });
  try {
    const given = await Promise.race([late, Promise.resolve().then(password)]);
    if (typeof given === "string") return given;
    throw failed(`returned ${given === null ? "null" : typeof given} instead of a string`);
  } catch (error2) {
    throw error2 instanceof ConnectionError ? error2 : failed(`failed: ${error2 instanceof Error ? error2.message : "it threw what is no Error"}`);
  } finally {
    cancel();
  }
}
var failed = (text) => new ConnectionError("PASSWORD", `the function of option password ${text}`, false);

// src/options/server-options.ts
var TAKEN = /* @__PURE__ */ new Set([
  "application_name",
  "array_nulls",
  "client_encoding",
  "datestyle",
  "default_transaction_isolation",
  "extra_float_digits",
  "idle_in_transaction_session_timeout",
  "lock_timeout",
  "plan_cache_mode",
  "standard_conforming_strings",
  "statement_timeout",
  "timezone"
]);
var wordsOf = (text) => (text.match(/(?:\\.|[^\s\\])+/gs) ?? []).map((word) => word.replace(/\\(.)/gs, "$1"));
var escaped2 = (word) => word.replace(/[\s\\]/g, "\\$&");
function parseServerOptions(text) {
  const settings = {};
  const rest = [];
  const words = wordsOf(text);
  for (let at = 0; at < words.length; at++) {
    let word = words[at] ?? "";
    if (word === "-c") {
      at++;
      word = `-c${words[at] ?? ""}`;
    }
    const [, name2, value] = /^(?:-c|--)([\w.-]+)=(.*)$/s.exec(word) ?? [];
    if (name2 === void 0 || value === void 0) rest.push(escaped2(word));
    else settings[name2.replaceAll("-", "_")] = value;
  }
  return { settings, rest: rest.join(" ") };
}
var settingWord = (name2, value) => `-c ${name2}=${escaped2(value)}`;
var leavesTakenAlone = (text) => Object.keys(parseServerOptions(text).settings).every((name2) => !TAKEN.has(name2.toLowerCase()));

// src/postgres/session-settings.ts
var common = (config) => ({
  ...parseServerOptions(config.options).settings,
  application_name: config.application_name,
  DateStyle: "ISO, MDY",
  TimeZone: "UTC",
  standard_conforming_strings: "on"
});
function sessionSettings(config, own2 = {}) {
  if (!config.prepare) return common(config);
  const { lock_timeout, idle_in_transaction_session_timeout } = config;
  return {
    ...common(config),
    statement_timeout: config.statement_timeout,
    // Heads must be read after the lock is granted and predicates be checked again under row locks:
    // both need read committed, whatever the database's default is.
    default_transaction_isolation: "read committed",
    // If a policy would hide rows, the statement fails. Otherwise a stream could seem empty.
    row_security: "off",
    array_nulls: "on",
    extra_float_digits: 1,
    // The pool closes idle connections. The server might close one just as a commit is sent on it.
    idle_session_timeout: 0,
    // A client that vanished holds its locks until the server notices: after 11 s with these, after two hours without.
    idle_in_transaction_session_timeout,
    tcp_keepalives_idle: 5,
    tcp_keepalives_interval: 2,
    tcp_keepalives_count: 3,
    tcp_user_timeout: 45e3,
    jit: "off",
    // The option `options` overrides the settings above. A lock_timeout and the pool's own settings override that.
    ...parseServerOptions(config.options).settings,
    ...lock_timeout > 0 && { lock_timeout },
    ...own2
  };
}
function startupParameters(config, own2) {
  const { rest } = parseServerOptions(config.options);
  const all2 = { ...sessionSettings(config, own2), ...rest !== "" && { options: rest } };
  return Object.fromEntries(Object.entries(all2).map(([name2, value]) => [name2, String(value)]));
}

// src/postgres/socket.ts
import net2 from "node:net";

// src/postgres/tls.ts
import net from "node:net";
import { connect } from "node:tls";
var SSL_REQUEST = Buffer.from([0, 0, 0, 8, 4, 210, 22, 47]);
var ACCEPTED = "S";
function tlsOptions(ssl2, own2 = {}) {
  switch (ssl2) {
    case false:
    case "disable":
      return void 0;
    case "allow":
    case "prefer":
      return { required: false, options: { ...own2, rejectUnauthorized: false } };
    case "require":
    case "no-verify":
      return { required: true, options: { ...own2, rejectUnauthorized: false } };
    case "verify-ca":
      return { required: true, options: { checkServerIdentity: () => void 0, ...own2 } };
    case true:
    case "verify-full":
      return { required: true, options: own2 };
  }
}
async function secure(socket, { host, port: port2 }, tls) {
  if (await askForTls(socket) !== ACCEPTED) {
    if (!tls.required) return socket;
    throw new ConnectionError("NO_TLS", `${host}:${port2} does not offer TLS (option ssl)`, false);
  }
  return new Promise((resolve3, reject) => {
    const secured = connect({
      socket,
      // The certificate is checked against the host as it was configured. Node refuses an IP address as servername.
      host,
      ...net.isIP(host) || host.startsWith("/") ? {} : { servername: host },
      ...tls.options
    });
    secured.once("error", reject);
    secured.once(
      "close",
      () => reject(new ConnectionError("CONNECTION_CLOSED", "closed in the TLS handshake", true))
    );
    secured.once("secureConnect", () => {
      secured.removeAllListeners("error");
      secured.removeAllListeners("close");
      resolve3(secured);
    });
  });
}
function askForTls(socket) {
  return new Promise((resolve3, reject) => {
    const closed = () => reject(new ConnectionError("CONNECTION_CLOSED", "closed before TLS was answered", true));
    socket.once("close", closed);
    socket.once("data", (answer3) => {
      socket.removeListener("close", closed);
      if (answer3.length === 1) resolve3(answer3.toString("latin1"));
      else
        reject(new ConnectionError("NO_TLS", "the answer to the request for TLS is not PostgreSQL's", false));
    });
    socket.write(SSL_REQUEST);
  });
}

// src/postgres/socket.ts
function openSocket(endpoint, { config, secrets }, { unref = false } = {}) {
  const { host, port: port2 } = endpoint;
  const { connectionTimeoutMillis: timeout, keepAlive, keepAliveInitialDelayMillis } = config;
  const local = host.startsWith("/");
  return new Promise((resolve3, reject) => {
    const socket = local ? net2.connect(`${host}/.s.PGSQL.${port2}`) : net2.connect({
      host,
      port: port2,
      noDelay: true,
      // TCP keepalive: the operating system notices a peer that is gone.
      keepAlive,
      keepAliveInitialDelay: keepAliveInitialDelayMillis
    });
    if (unref) socket.unref();
    const cancel = afterPoll(
      timeout,
      () => fail(
        new ConnectionError("CONNECT_TIMEOUT", `${host}:${port2} did not answer in ${timeout} ms`, false)
      ),
      void 0,
      { unref }
    );
    const fail = (error2) => {
      cancel();
      socket.destroy();
      reject(error2 instanceof ConnectionError ? error2 : connectFailed(`${host}:${port2}`, error2));
    };
    socket.once("error", fail);
    socket.once("connect", async () => {
      try {
        const tls = local ? void 0 : tlsOptions(config.ssl, secrets.tls);
        const open2 = tls ? await secure(socket, endpoint, tls) : socket;
        cancel();
        socket.removeListener("error", fail);
        resolve3(open2);
      } catch (error2) {
        fail(error2 instanceof Error ? error2 : new Error("TLS failed"));
      }
    });
  });
}

// src/postgres/transaction.ts
import { randomUUID as randomUUID4 } from "node:crypto";
var TransactionFailure = class extends Error {
  cause;
  /** The step that the server refused; undefined if the connection was lost instead. */
  step;
  /** Index of the statement that it refused. */
  failedAt;
  /** The connection was lost after Sync was sent, so the transaction may have been committed. */
  inDoubt;
  constructor(cause, { step, failedAt, inDoubt = false } = {}) {
    super(cause.message);
    this.cause = cause;
    this.step = step;
    this.failedAt = failedAt;
    this.inDoubt = inDoubt;
  }
};
var BEGIN = { text: "begin isolation level read committed" };
var COMMIT = { text: "commit" };
var ROLLBACKS = 3;
var MAX_PREPARED = 256;
var VALUES_AS_WRITTEN = {
  text: "select set_config('array_nulls', 'on', true), set_config('extra_float_digits', '1', true)"
};
var isPrologue = (query2) => query2 === BEGIN || query2 === VALUES_AS_WRITTEN;
var stepOf = (failed2) => failed2?.kind === "describe" ? "parse" : failed2?.kind ?? "commit";
function refusal(queries, error2, failed2, offset) {
  const failedAt = failed2 ? Math.max(-1, failed2.index - offset) : queries.length;
  const step = failedAt === queries.length ? "commit" : stepOf(failed2);
  const raises = step === "execute" ? queries[failedAt]?.raises : void 0;
  const cause = raises && isRaised(raises, error2) ? raisedError(raises) : error2;
  return new TransactionFailure(cause, { step, failedAt });
}
var isStale = (error2) => error2.code === "26000" || error2.code === "0A000" && error2.routine === "RevalidateCachedQuery";
var TransactionChannel = class {
  #socket;
  #fatal;
  #prepared = /* @__PURE__ */ new Map();
  /** Makes statement names unique: a pooler in session mode may reuse a session that has another client's statements. */
  #prefix = `act_${randomUUID4().slice(0, 8)}_`;
  #names = 0;
  /** Sync has been sent: if the connection is lost from now on, the outcome is in doubt. */
  committing = false;
  /** `fatal` is called with a FATAL or PANIC error, after which the server closes the connection. */
  constructor(socket, fatal) {
    this.#socket = socket;
    this.#fatal = fatal;
  }
  /** Runs all statements in one transaction. Never settles if the connection is lost: the caller has to watch for that. */
  async run(queries, options) {
    this.committing = false;
    const prologue = options.prepare ? [] : [BEGIN, VALUES_AS_WRITTEN];
    const all2 = options.prepare ? queries : [...prologue, ...queries, COMMIT];
    const offset = prologue.length;
    for (let attempt = 1; ; attempt++) {
      const exchange = this.#plan(all2, options);
      const { answers, error: error2, failed: failed2, status } = await exchange.run();
      if (status !== "I") await this.#rollback();
      if (error2 && attempt === 1 && isStale(error2)) {
        this.#prepared.clear();
        continue;
      }
      if (error2) throw refusal(queries, error2, failed2, offset);
      if (status !== "I")
        throw new TransactionFailure(
          new Error("the session was in a transaction already: it was rolled back"),
          {
            step: "commit"
          }
        );
      const tag = answers.at(-1)?.tag;
      if (!options.prepare && tag !== "COMMIT")
        throw new TransactionFailure(new Error(`COMMIT was answered by ${tag}`), { step: "commit" });
      return answers.slice(offset, offset + queries.length);
    }
  }
  /**
   * Statements of a transaction block that takes several messages. The caller ends a block that fails by
   * {@link rollback}. Never settles when the connection is lost, as {@link run}.
   */
  async block(queries, { part, ...options }) {
    this.committing = false;
    const begin = options.prepare ? [BEGIN] : [BEGIN, VALUES_AS_WRITTEN];
    const prologue = part === "first" ? begin : [];
    const all2 = [...prologue, ...queries, ...part === "last" ? [COMMIT] : []];
    const exchange = this.#plan(all2, options, { commits: part === "last", portals: `${part}_` });
    const { answers, error: error2, failed: failed2, status } = await exchange.run();
    const stale = error2 !== void 0 && isStale(error2);
    if (stale) this.#prepared.clear();
    const offset = prologue.length;
    const tag = answers.at(-1)?.tag;
    const isOpen = part === "last" && !error2 && (status !== "I" || tag !== "COMMIT");
    const failure = error2 ? refusal(queries, error2, failed2, offset) : isOpen ? new TransactionFailure(new Error(`COMMIT was answered by ${tag}`), { step: "commit" }) : void 0;
    return { answers: answers.slice(offset), status, stale, failure };
  }
  /** Ends a block without a trace. */
  async rollback() {
    await this.#rollback();
  }
  /** Parses and binds statements, without running them. */
  async prepare(queries) {
    const { error: error2 } = await this.#plan(queries, { prepare: true }, { execute: false }).run();
    if (error2) throw error2;
  }
  /** One statement of an open transaction block. Rejects if the block is not open afterwards, unless it was COMMIT. */
  async step(query2) {
    const { answers, error: error2, status } = await this.#plan([query2], { prepare: false }).run();
    if (error2) throw error2;
    const [answer3] = answers;
    const ends = answer3?.tag === "COMMIT";
    if (!answer3 || status !== (ends ? "I" : "T"))
      throw new Error(`the transaction was no longer open after ${answer3?.tag ?? "a statement"}`);
    return answer3;
  }
  #plan(queries, options, { execute = true, commits = true, portals = "" } = {}) {
    const head = [];
    const tail = [];
    const parsed = /* @__PURE__ */ new Map();
    queries.forEach((query2, index2) => {
      const { text } = query2;
      const early = query2.bindFirst === true || isPrologue(query2);
      const steps = early ? head : tail;
      const keeps = options.prepare && (this.#prepared.size < MAX_PREPARED || query2.answer === void 0);
      const known2 = options.prepare ? this.#prepared.get(text) ?? parsed.get(text) : void 0;
      const name2 = keeps ? `${this.#prefix}${this.#names + 1}` : "";
      const prepared = known2 ?? { name: name2, columns: [] };
      const step = (kind2) => ({ kind: kind2, index: index2, text, prepared });
      if (!known2) {
        this.#names++;
        if (keeps) parsed.set(text, prepared);
        steps.push(step("parse"), step("describe"));
      }
      steps.push(step("bind"));
      if (execute) (isPrologue(query2) ? head : tail).push(step("execute"));
    });
    return new Exchange(this.#socket, queries, head, tail, {
      ...options,
      described: ({ text, prepared }) => void (prepared.name !== "" && this.#prepared.set(text, prepared)),
      fatal: this.#fatal,
      portals,
      committing: () => {
        this.committing = commits;
      }
    });
  }
  /**
   * Leaves a transaction block. A cancel request for the transaction may hit its ROLLBACK instead, and the next
   * transaction would begin in a failed block. So it tries up to three times.
   */
  async #rollback() {
    for (let attempt = 1; attempt <= ROLLBACKS; attempt++) {
      const writer = new MessageWriter();
      writer.query("rollback");
      if (await listenUntilReady(this.#socket, [writer.take()], () => {
      }) === "I") return;
    }
  }
};

// src/postgres/connection.ts
var noop = () => {
};
var ended = () => new ConnectionError("CONNECTION_ENDED", "the connection was closed", false);
var IDENTITY = `pg_backend_pid() as pid,
  (select a.backend_start::text from pg_stat_get_activity(pg_backend_pid()) a) as started,
  floor(extract(epoch from clock_timestamp()) * 1000)::bigint as clock,
  pg_is_in_recovery() as standby, current_setting('transaction_read_only') = 'on' as read_only`;
var Connection = class {
  /** Why the connection was closed; undefined while it is open. */
  closedWith;
  /** When it last became idle, in ms of `performance.now()`. */
  idleSince = 0;
  /**
   * The server process behind the connection. Undefined until {@link establish}, and undefined behind a pooler in
   * transaction mode, where nobody can tell which server process runs a transaction.
   */
  backend;
  /** False where a pooler may run each transaction in another session. Then no transaction relies on session settings. */
  ownsSession;
  /** The result of {@link establish}; undefined until then. */
  facts;
  /** True once the server has answered on it. */
  established = false;
  endpoint;
  #options;
  #client;
  #onClose;
  #socket;
  #password = "";
  #channel;
  #identity;
  /** The server's clock minus `performance.now()`, in ms. */
  #clockOffset = 0;
  #opened = false;
  #ending = false;
  /** When the driver got its socket. The driver sends nothing before. */
  #openedAt = 0;
  #endLogin = noop;
  #referenced = true;
  #pending = /* @__PURE__ */ new Set();
  #jsonBytes = 0;
  #pinged;
  constructor(options, onClose = noop) {
    const { config, endpoint, settings } = options;
    this.#options = options;
    this.#onClose = onClose;
    this.endpoint = endpoint;
    this.ownsSession = config.prepare;
    this.#client = postgres({
      host: endpoint.host,
      port: endpoint.port,
      database: config.database,
      user: config.user,
      password: () => this.#password,
      // openSocket() has already set up TLS.
      ssl: false,
      max: 1,
      prepare: config.prepare,
      fetch_types: false,
      idle_timeout: 0,
      max_lifetime: 0,
      // The driver's timer would keep the process alive. #watchLogin has its own.
      connect_timeout: 0,
      connection: startupParameters(config, settings),
      types: {
        int8: { to: 20, from: [20], serialize: String, parse: Number },
        json: { to: 3802, from: [114, 3802], serialize: String, parse: (text) => this.#json(text) }
      },
      onnotice: noop,
      onparameter: () => this.#endLogin(),
      onclose: () => this.#close(this.#ending ? ended() : this.#lost()),
      socket: () => this.#open(),
      no_subscribe: true
    });
  }
  /** Parses jsonb once, and counts it, so that a read can stop at its budget. */
  #json(text) {
    this.#jsonBytes += text.length;
    return JSON.parse(text);
  }
  /** Opens the connection's one socket. The driver asks for a second one only after the first has closed: that ends it. */
  async #open() {
    if (this.#opened) this.#close(this.#lost());
    if (this.closedWith) throw this.closedWith;
    this.#opened = true;
    try {
      this.#password = await askForPassword(this.#options);
      const unref = !this.#referenced;
      const socket = await openSocket(this.endpoint, this.#options, { unref });
      if (this.closedWith) {
        socket.destroy();
        throw this.closedWith;
      }
      if (this.#referenced) socket.ref();
      else socket.unref();
      this.#socket = socket;
      this.#openedAt = performance.now();
      this.#watchLogin();
      return socket;
    } catch (error2) {
      this.#close(error2 instanceof Error ? error2 : new Error("cannot connect"));
      throw error2;
    }
  }
  /** Limits the login. It gets the connect timeout once more, counted from the moment that the socket is open. */
  #watchLogin() {
    const { host, port: port2 } = this.endpoint;
    const ms = this.#options.config.connectionTimeoutMillis;
    const text = `${host}:${port2} took the connection but did not answer in ${ms} ms`;
    const fail = () => this.#close(new ConnectionError("CONNECT_TIMEOUT", text, false));
    this.#endLogin = afterPoll(ms, fail, () => this.#socket?.bytesRead ?? 0, { unref: !this.#referenced });
  }
  /** The error of a closed connection. Its text tells whether the server had ever answered on it. */
  #lost() {
    const { host, port: port2 } = this.endpoint;
    const text = this.established ? "the connection was lost" : `${host}:${port2} closed the connection before it answered`;
    return new ConnectionError("CONNECTION_CLOSED", text, true);
  }
  #close(error2) {
    if (this.closedWith) return;
    this.closedWith = error2;
    this.#endLogin();
    this.#socket?.destroy();
    for (const reject of this.#pending) reject(error2);
    this.#pending.clear();
    this.#onClose(this);
  }
  /** Cuts the connection now; what runs on it rejects with `error`. */
  destroy(error2) {
    this.#close(error2);
  }
  /** Sends Terminate and closes. Only for a connection that nobody uses. */
  async end() {
    if (this.closedWith) return;
    this.ref(true);
    this.#ending = true;
    await this.#client.end({ timeout: 1 }).catch(noop);
    this.#close(ended());
  }
  /** Whether the connection keeps the process alive, as `ref` and `unref` of a socket do. */
  ref(wanted) {
    if (this.#referenced === wanted) return;
    this.#referenced = wanted;
    if (wanted) this.#socket?.ref();
    else this.#socket?.unref();
  }
  #answered() {
    if (this.established) return;
    this.#endLogin();
    this.established = true;
    this.#options.onEstablished?.();
  }
  /** Settles when `work` settles, when the connection closes, or at the deadline, whichever comes first. */
  #race(work, deadline) {
    return new Promise((resolve3, reject) => {
      const cancel = afterPoll(
        deadline,
        () => {
          const { host, port: port2 } = this.endpoint;
          const text = `no answer from ${host}:${port2} within ${Math.ceil(deadline)} ms: the connection was given up`;
          this.#close(
            new ConnectionError(this.established ? "DEADLINE" : "CONNECT_TIMEOUT", text, this.established)
          );
        },
        () => this.#socket?.bytesRead ?? 0,
        // A connection that warmUp() opens must not keep the process alive, so its timers must not either.
        { unref: !this.#referenced }
      );
      const lost = (error2) => {
        cancel();
        reject(error2);
      };
      const finish = () => {
        cancel();
        this.#pending.delete(lost);
      };
      this.#pending.add(lost);
      work.then(
        (value) => {
          finish();
          this.#answered();
          resolve3(value);
        },
        (error2) => {
          finish();
          this.#closeAfter(error2);
          reject(this.closedWith ?? error2);
        }
      );
    });
  }
  /** Closes the connection after an error of the driver, and after a FATAL error, which the server sends before it closes. */
  #closeAfter(error2) {
    if (isGone(error2)) this.#close(this.#lost());
    else if (isFatal(error2) || error2 instanceof ConnectionError) this.#close(error2);
  }
  #send(query2) {
    const { text } = query2;
    const params = paramsOf(query2);
    return params.length === 0 ? this.#client.unsafe(text) : this.#client.unsafe(text, params, { prepare: true });
  }
  /**
   * Runs one statement: one round trip once it is prepared. `deadline` in ms, 0 for none.
   * Rows are collected one by one. The driver does not reset its own row count after an error, so the next result would
   * begin with that many empty elements.
   */
  async run(query2, deadline) {
    if (this.closedWith) throw this.closedWith;
    const rows = [];
    await this.#race(
      this.#send(query2).forEach((row5) => void rows.push(row5)),
      deadline
    );
    return rows;
  }
  /**
   * Connects, and returns facts about the server: `pid`, `started`, `standby`, `read_only`, `pooled` (the login's pid is
   * not that of the process that answers: a pooler is in between), and the columns of the option `facts`.
   */
  establish(deadline) {
    this.#identity ??= this.#identify(deadline).catch((error2) => {
      this.#identity = void 0;
      throw error2;
    });
    return this.#identity;
  }
  /**
   * An upper bound of the server's clock, in ms since the epoch. It is too late by at most the duration of the query that
   * read the clock, and never too early, not even if the process was busy when the answer arrived.
   */
  serverTime() {
    return performance.now() + this.#clockOffset;
  }
  async #identify(deadline) {
    if (this.closedWith) throw this.closedWith;
    const { facts: facts3 } = this.#options;
    const asked = performance.now();
    const sent = this.#client.unsafe(`select ${IDENTITY}${facts3 ? `, ${facts3}` : ""}`);
    const result = await this.#race(sent, lessOf(deadline, this.#options.config.connectionTimeoutMillis));
    const [row5] = result;
    const pooled = result.state?.pid !== row5?.pid;
    this.#clockOffset = Number(row5?.clock ?? 0) - Math.max(asked, this.#openedAt);
    this.ownsSession &&= !pooled;
    if (row5 && this.ownsSession) this.backend = { pid: Number(row5.pid), started: String(row5.started) };
    this.facts = { ...row5, pooled };
    return this.facts;
  }
  /**
   * Statements of one transaction, in one message: one round trip, or two with large parameters. Rejects with a
   * {@link TransactionFailure}. `transferred`: see TransactionOptions.
   */
  transact(queries, deadline, transferred) {
    const options = { prepare: this.ownsSession, transferred };
    return this.onChannel(deadline, (channel) => channel.run(queries, options));
  }
  /** What takes the channel for itself: rejects with a {@link TransactionFailure} when the connection is lost. */
  async onChannel(deadline, work) {
    const end = instantIn(deadline);
    let channel;
    try {
      if (this.closedWith) throw this.closedWith;
      channel = this.#channel ?? await this.#openChannel(deadline);
      return await this.#race(work(channel), msUntil(end));
    } catch (error2) {
      if (error2 instanceof TransactionFailure) throw error2;
      const cause = error2 instanceof Error ? error2 : new Error("unknown failure");
      this.#close(cause);
      throw new TransactionFailure(cause, { inDoubt: channel?.committing === true });
    }
  }
  /** Prepares statements for later transactions. Does nothing behind a pooler in transaction mode. */
  async prepare(queries, deadline) {
    const channel = await this.#openChannel(deadline);
    if (this.ownsSession) await this.#race(channel.prepare(queries), deadline);
  }
  /** One statement of an open transaction block. It is not prepared by name, and never sent a second time. */
  async step(query2, deadline) {
    const channel = await this.#openChannel(deadline);
    return (await this.#race(channel.step(query2), deadline)).rows;
  }
  async #openChannel(deadline) {
    await this.establish(deadline);
    if (this.closedWith) throw this.closedWith;
    if (!this.#socket) throw this.#lost();
    this.#channel ??= new TransactionChannel(this.#socket, (error2) => this.#close(error2));
    return this.#channel;
  }
  /**
   * Like {@link run}, but stops after `budget` characters of JSON, unless all `limit` rows have arrived by then. It
   * returns the rows so far with `cut: true`, and closes the connection, because the server would go on sending.
   */
  async read(query2, deadline, budget, limit2) {
    if (this.closedWith) throw this.closedWith;
    this.#jsonBytes = 0;
    const rows = [];
    let cut = false;
    const work = this.#send(query2).forEach((row5) => {
      if (cut) return;
      rows.push(row5);
      cut = this.#jsonBytes > budget && rows.length < limit2;
      if (cut) this.#close(new ConnectionError("BUDGET", "read budget reached", true));
    });
    try {
      await this.#race(work, deadline);
    } catch (error2) {
      if (!cut) throw error2;
    }
    return { rows, cut, bytes: this.#jsonBytes };
  }
  /**
   * Checks that a listening connection still works. The driver allows only LISTEN and UNLISTEN on it. LISTEN comes last,
   * so that pg_stat_activity shows it as the session's query. Never settles if the server does not answer.
   */
  async ping() {
    if (this.closedWith) throw this.closedWith;
    await this.#pinged?.unlisten();
    this.#pinged = await this.#client.listen("act_drizzle_alive", noop);
  }
  /** The driver's own `listen`, on this connection's client. */
  listen(channel, received, deadline) {
    if (this.closedWith) return Promise.reject(this.closedWith);
    return this.#race(this.#client.listen(channel, received), deadline);
  }
};

// src/postgres/pooler.ts
import { randomUUID as randomUUID5 } from "node:crypto";
var LOOKS = 10;
var LOOK_MS = 2e3;
var STEP_MS = 10;
async function detectPooling(connection, options) {
  const { pooled } = await connection.establish(options.config.connectionTimeoutMillis);
  if (pooled !== true) return "none";
  const shares = await sharesProcesses(connection, options);
  if (shares === void 0) return "unknown";
  if (!shares) return "session";
  throw new ConnectionError(
    "POOLER",
    "a pooler in transaction mode stands between the store and the server",
    false
  );
}
var NAME_LENGTH = 63;
function markOf(name2) {
  const mark = `/${randomUUID5().slice(0, 13)}`;
  return name2.replaceAll(/[^ -~]/g, "?").slice(0, NAME_LENGTH - mark.length) + mark;
}
async function setUpSession(connection, { config, settings }) {
  const { pid, started } = await connection.establish(config.connectionTimeoutMillis);
  const mark = markOf(config.application_name);
  const values = Object.entries({ ...sessionSettings(config, settings), application_name: mark }).map(
    ([name2, value]) => `set_config('${name2}', '${String(value).replaceAll("'", "''")}', false)`
  );
  await connection.run({ text: `select ${values.join(", ")}` }, config.connectionTimeoutMillis);
  connection.backend = { pid: Number(pid), started: String(started), mark };
  connection.ownsSession = true;
}
async function sharesProcesses(connection, options) {
  const pidOf = async (asked) => {
    const [row5] = await asked.run({ text: "select pg_backend_pid() as pid" }, LOOK_MS);
    return Number(row5?.pid);
  };
  const second = new Connection({ ...options, endpoint: connection.endpoint });
  try {
    const [own2, other] = [await pidOf(connection), await pidOf(second)];
    for (let look2 = 0; look2 < LOOKS; look2++) {
      await new Promise((resolve3) => setTimeout(resolve3, Math.random() * STEP_MS));
      if (own2 === other || await pidOf(connection) !== own2 || await pidOf(second) !== other) return true;
    }
    return false;
  } catch {
    if (connection.closedWith) throw connection.closedWith;
    return void 0;
  } finally {
    second.destroy(new ConnectionError("LOOKED", "no longer needed", false));
  }
}

// src/postgres/host-selection.ts
function matchesTargetSessionAttrs(attrs, standby, readOnly) {
  switch (attrs) {
    case "any":
      return true;
    case "read-write":
      return !readOnly;
    case "read-only":
      return readOnly;
    case "primary":
      return !standby;
    case "standby":
    case "prefer-standby":
      return standby;
  }
}
async function openConnection(options, hosts, onClose, onSelected = () => {
}) {
  const connection = await selectHost(options, hosts, onClose);
  onSelected(connection);
  try {
    await connection.establish(options.config.connectionTimeoutMillis);
    if (options.config.prepare) await admit(connection, options, hosts);
    await prepareByCaller(connection, options);
  } catch (error2) {
    connection.destroy(error2 instanceof Error ? error2 : new Error("not admitted"));
    throw error2;
  }
  return connection;
}
async function prepareByCaller(connection, { config, secrets }) {
  const query2 = (text) => connection.run({ text }, config.connectionTimeoutMillis);
  await secrets.onConnect?.({ query: query2 });
}
async function admit(connection, options, hosts) {
  const pooling = hosts.pooling ?? detectPooling(connection, options);
  hosts.pooling ??= pooling;
  try {
    const found = await pooling;
    if (found === "session") await setUpSession(connection, options);
    if (found === "unknown") {
      await connection.establish(options.config.connectionTimeoutMillis);
      connection.ownsSession = false;
      if (hosts.pooling === pooling) hosts.pooling = void 0;
    }
  } catch (error2) {
    if (hosts.pooling === pooling) hosts.pooling = void 0;
    throw error2;
  }
}
async function openForListen(options, hosts, onClose) {
  const found = await selectHost(options, hosts, () => {
  });
  const { endpoint, established } = found;
  if (established) found.destroy(new ConnectionError("HOST_FOUND", "no longer needed", false));
  return new Connection({ ...options, endpoint, onEstablished: hosts.onEstablished }, onClose);
}
async function selectHost(options, hosts, onClose) {
  const { config } = options;
  const [only] = config.hosts;
  const attrs = config.target_session_attrs;
  if (only && config.hosts.length === 1 && attrs === "any")
    return new Connection({ ...options, endpoint: only, onEstablished: hosts.onEstablished }, onClose);
  const found = await search(options, hosts, onClose, attrs);
  if (typeof found !== "string") return found;
  const second = attrs === "prefer-standby" ? await search(options, hosts, onClose, "any") : found;
  if (typeof second !== "string") return second;
  throw new ConnectionError("NO_SERVER", `no host is ${attrs} (target_session_attrs): ${second}`, false);
}
async function search(options, hosts, onClose, attrs) {
  const { config } = options;
  const others = [];
  let failure;
  const start = hosts.first;
  for (let i = 0; i < config.hosts.length; i++) {
    const turn = (start + i) % config.hosts.length;
    const endpoint = config.hosts[turn];
    if (!endpoint) continue;
    const connection = new Connection(
      { ...options, endpoint, onEstablished: hosts.onEstablished },
      (closed) => closed.established && onClose(closed)
    );
    try {
      const { standby, read_only } = await connection.establish(config.connectionTimeoutMillis);
      if (matchesTargetSessionAttrs(attrs, standby === true, read_only === true)) {
        hosts.first = turn;
        return connection;
      }
      others.push(`${endpoint.host}:${endpoint.port} is ${standby === true ? "a standby" : "a primary"}`);
      connection.destroy(new ConnectionError("OTHER_SERVER", "not the wanted kind of server", false));
    } catch (error2) {
      failure = error2;
      connection.destroy(new ConnectionError("OTHER_SERVER", "not the wanted kind of server", false));
    }
  }
  if (others.length > 0) return others.join(", ");
  throw failure;
}

// src/postgres/listener.ts
var FIRST_DELAY = 250;
var LONGEST_DELAY = 3e4;
var HEARTBEAT = 3e4;
var Listener = class {
  #options;
  #hosts = { first: 0 };
  #connection;
  #timer;
  /** The wait before the next attempt, in ms; undefined in every state but `waiting`. */
  #delay;
  #heartbeat;
  #stopped = false;
  constructor(options) {
    this.#options = options;
  }
  /** Whether the channel is listened to now. */
  get listening() {
    return this.#connection?.established === true && !this.#connection.closedWith;
  }
  /** It was ended, and does not come back. */
  get stopped() {
    return this.#stopped;
  }
  /** Resolves once the server has confirmed LISTEN. Rejects, and leaves nothing behind, when it can't. */
  async start() {
    const { config, secrets, channel, onPayload } = this.#options;
    const connection = await openForListen(
      { config, secrets, settings: { statement_timeout: 0 } },
      this.#hosts,
      (dead) => this.#closed(dead)
    );
    this.#connection = connection;
    const limit2 = config.connectionTimeoutMillis;
    try {
      await connection.listen(channel, (payload) => this.#stopped || onPayload(payload), limit2);
    } catch (error2) {
      if (this.#connection === connection) this.#connection = void 0;
      connection.destroy(new ConnectionError("LISTEN_FAILED", "LISTEN could not start", false));
      throw error2;
    }
    if (this.#stopped) return connection.destroy(new ConnectionError("LISTEN_STOPPED", "stopped", false));
    connection.ref(false);
    this.#scheduleHeartbeat(connection);
  }
  /** Pings the server, and closes the connection if no answer comes in time. The timers keep no process alive. */
  #scheduleHeartbeat(connection) {
    const { config, heartbeat = HEARTBEAT } = this.#options;
    this.#heartbeat = setTimeout(async () => {
      const cancel = afterPoll(
        config.connectionTimeoutMillis || HEARTBEAT,
        () => connection.destroy(new ConnectionError("LISTEN_SILENT", "the server went silent", true)),
        void 0,
        { unref: true }
      );
      try {
        await connection.ping();
        if (this.#connection === connection) this.#scheduleHeartbeat(connection);
      } catch {
      } finally {
        cancel();
      }
    }, heartbeat);
    this.#heartbeat.unref();
  }
  #closed(connection) {
    if (this.#connection !== connection) return;
    this.#connection = void 0;
    if (this.#stopped || !connection.established) return;
    this.#options.onLost?.();
    this.#scheduleReconnect(FIRST_DELAY);
  }
  #scheduleReconnect(delay2) {
    if (this.#stopped) return;
    this.#delay = delay2;
    this.#timer = setTimeout(
      async () => {
        this.#delay = void 0;
        try {
          await this.start();
          if (!this.#stopped) this.#options.onReconnected();
        } catch {
          this.#scheduleReconnect(Math.min(delay2 * 2, LONGEST_DELAY));
        }
      },
      delay2 * (0.75 + Math.random() / 4)
    );
    this.#timer.unref();
  }
  /** The server is reachable again, so a listener with a long wait tries again soon. */
  reconnectSoon() {
    if (this.#delay === void 0 || this.#delay <= FIRST_DELAY) return;
    clearTimeout(this.#timer);
    this.#scheduleReconnect(FIRST_DELAY);
  }
  /** Idempotent. Nothing reconnects afterwards. */
  async stop() {
    this.#stopped = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#heartbeat);
    const connection = this.#connection;
    this.#connection = void 0;
    connection?.destroy(new ConnectionError("LISTEN_STOPPED", "the listener was stopped", false));
  }
};

// src/postgres/log.ts
import { log as log4 } from "@rotorsoft/act";

// src/values/throttle.ts
var MINUTE_MS = 6e4;
var Throttle = class {
  #perMinute;
  #minutes = /* @__PURE__ */ new Map();
  /** @param perMinute Messages of one key in a minute. */
  constructor(perMinute = 1) {
    this.#perMinute = perMinute;
  }
  /** Calls `tell` with the number of messages of this key that were left out since the last one; or leaves this one out. */
  tell(key3, tell) {
    const now = performance.now();
    const last = this.#minutes.get(key3);
    const minute = last && now - last.since < MINUTE_MS ? last : { since: now, told: 0, leftOut: last?.leftOut ?? 0 };
    this.#minutes.set(key3, minute);
    if (minute.told >= this.#perMinute) {
      minute.leftOut++;
      return;
    }
    minute.told++;
    const { leftOut } = minute;
    minute.leftOut = 0;
    tell(leftOut);
  }
};
var alsoLeftOut = (leftOut) => leftOut === 0 ? "" : `; ${leftOut} more since the last such message`;

// src/postgres/log.ts
var INTENDED = /* @__PURE__ */ new Set([
  ...["CONNECTION_ENDED", "SESSION_FAILED", "BUDGET", "SUSPECT", "YIELDED"],
  ...["SEQUENCE_CHANGED", "CLOCK_CHANGED"]
]);
var DatabaseLog = class {
  #config;
  #throttle = new Throttle();
  /** A loss was told, and no connection has been opened since. */
  #lost = false;
  constructor(config) {
    this.#config = config;
  }
  get #prefix() {
    return `[act-drizzle] "${this.#config.schema}"."${this.#config.table}"`;
  }
  /**
   * Called after each statement. `since`: the instant of `performance.now()` at which it was called. `began`: when it had
   * its connection. `what`: how the message names it, if not by its verb.
   */
  ended(verb, since, began, what = verb) {
    const limit2 = this.#config.slowStatementMillis;
    if (limit2 === 0) return;
    const ms = performance.now() - since;
    if (ms < limit2) return;
    this.#throttle.tell(`slow ${verb}`, (leftOut) => {
      const waited = Math.round(began - since);
      const wait = waited > 0 ? `, ${waited} ms of it waiting for a connection` : "";
      log4().warn(
        `${this.#prefix}: slow: ${what} took ${Math.round(ms)} ms${wait} (slowStatementMillis is ${limit2})${alsoLeftOut(leftOut)}; docs/guides/operations.md, "What the log says"`
      );
    });
  }
  /** Runs a statement that has its connection. `since`: see {@link ended}. */
  async watch(verb, since, work) {
    const began = performance.now();
    try {
      return await work();
    } finally {
      this.ended(verb, since, began);
    }
  }
  lost(error2) {
    if (error2 instanceof ConnectionError && INTENDED.has(error2.code)) return;
    this.#throttle.tell("lost", (leftOut) => {
      this.#lost = true;
      log4().warn(
        `${this.#prefix}: a connection was lost: ${sanitize(error2).message}; what ran on it is tried again where that is safe${alsoLeftOut(leftOut)}`
      );
    });
  }
  /** A new connection has got its first answer. */
  opened() {
    if (!this.#lost) return;
    this.#lost = false;
    log4().info(`${this.#prefix}: connected to the server again`);
  }
};

// src/postgres/pool.ts
var REFUSED_MS = 1e3;
var HANDED_OVER_MS = 50;
var HAND_OVER_LIMIT_MS = 2e3;
var SLOW_MS = 500;
var HAS_NONE_LEFT = /* @__PURE__ */ new Set(["53300", "08P01"]);
var Pool = class {
  #options;
  #hosts;
  #connections = /* @__PURE__ */ new Set();
  #uses = /* @__PURE__ */ new WeakMap();
  /** The store's other pool, which takes its connections from the same server. */
  #other;
  #opening = 0;
  /** Connections whose host is selected, and that wait for the server or in the queue of a pooler. */
  #unanswered = /* @__PURE__ */ new Set();
  #attempts = 0;
  #failedAttempt = 0;
  #idle = [];
  #waiting = [];
  /** How many connections to close after their use, because the other pool has none. */
  #surplus = 0;
  /** Why the last attempt to open a connection failed; undefined after a success. */
  #refusal;
  /** While it runs, no connection is opened if the pool has one; with `always`, not even if it has none. */
  #pause;
  /** When the other pool last gave a connection up for this one. */
  #handedOver = Number.NEGATIVE_INFINITY;
  #reaper;
  #closed;
  #drained;
  constructor(options, hosts) {
    this.#options = options;
    this.#hosts = hosts;
  }
  /** Connects two pools of one server, so that neither keeps the last available connection from the other. */
  share(other) {
    this.#other = other;
    other.#other = this;
  }
  /** Connections in use, idle connections, and waiting callers. */
  get counts() {
    return {
      busy: this.#size - this.#idle.length,
      idle: this.#idle.length,
      waiting: this.#waiting.length
    };
  }
  get #size() {
    return this.#connections.size + this.#opening;
  }
  /**
   * Runs `work` on a connection that nobody else uses meanwhile, at once if one is idle. `fresh`: closes the idle
   * connections first, which may be dead, and opens a new one.
   */
  use(work, fresh = false) {
    if (this.#closed) return Promise.reject(storeClosed());
    if (fresh) this.#destroyIdle();
    const idle = this.#idle.pop();
    if (!idle) return this.#acquire().then((connection) => this.#run(connection, work));
    this.#take(idle);
    return this.#run(idle, work);
  }
  /**
   * Opens a first connection before it is needed, and lets `work` prepare it. It does not keep the process alive. Errors
   * are ignored: the next use meets them again.
   */
  warmUp(work) {
    if (this.#size > 0 || this.#closed) return;
    const prepare = (connection) => {
      connection.ref(this.#waiting.length > 0);
      return work(connection);
    };
    this.#acquire({ background: true }).then((connection) => this.#run(connection, prepare)).catch(() => {
    });
  }
  async #run(connection, work) {
    try {
      return await work(connection);
    } finally {
      this.#release(connection);
    }
  }
  #destroyIdle() {
    const suspects = this.#idle;
    this.#idle = [];
    for (const connection of suspects)
      connection.destroy(new ConnectionError("SUSPECT", "the connection was given up", false));
  }
  /** `background`: the wait does not keep the process alive. */
  #acquire({ background = false } = {}) {
    if (!background) for (const connection of this.#connections) connection.ref(true);
    return new Promise((resolve3, reject) => {
      const limit2 = this.#options.config.connectionTimeoutMillis;
      let timer;
      const waiter = {
        attempts: this.#attempts,
        grant: (connection) => {
          clearTimeout(timer);
          resolve3(connection);
        },
        fail: (error2) => {
          clearTimeout(timer);
          reject(error2);
        }
      };
      const expire = () => {
        if (this.#connections.size === 0 && this.#opening > 0) {
          timer = setTimeout(expire, limit2);
          return;
        }
        if (this.#waiting[0] === waiter) this.#waiting.shift();
        else this.#waiting = this.#waiting.filter((w) => w !== waiter);
        reject(this.#timedOut(limit2));
      };
      if (limit2 > 0) timer = setTimeout(expire, limit2);
      if (background) timer?.unref();
      this.#waiting.push(waiter);
      this.#openMore();
    });
  }
  #timedOut(limit2) {
    const { max, purpose, config } = this.#options;
    const kept = purpose === "all calls" ? "" : ` for ${purpose} (max is ${config.max})`;
    const reason = this.#refusal === void 0 ? "" : ` (${sanitize(this.#refusal).message})`;
    const refused = reason === "" ? "" : `, and no other can be had${reason}`;
    const used = refused === "" ? max : this.#connections.size;
    const text = `no connection became free within ${limit2} ms: all ${used}${kept} are in use${refused}`;
    return new ConnectionError("POOL_TIMEOUT", text, false);
  }
  /** Opens connections for the waiting callers. */
  #openMore() {
    while (this.#opening < this.#waiting.length && this.#size < this.#options.max) {
      if (this.#pause && (this.#pause.always || this.#size > 0)) return;
      if (this.#refusal !== void 0 && this.#connections.size > 0 && this.#opening > 0) return;
      void this.#open();
    }
  }
  async #open() {
    this.#opening++;
    const attempt = ++this.#attempts;
    const slow = setInterval(() => {
      if (this.#connections.size > 0 || this.#other?.giveUpOne()) clearInterval(slow);
    }, SLOW_MS);
    slow.unref();
    const forget = (closed) => this.#forget(closed);
    let started;
    const opened = await openConnection(this.#options, this.#hosts, forget, (connection) => {
      started = connection;
      this.#unanswered.add(connection);
    }).catch((error2) => ({ error: error2 }));
    clearInterval(slow);
    if (started) this.#unanswered.delete(started);
    this.#opening--;
    if ("error" in opened) this.#refused(opened.error, attempt);
    else if (opened.closedWith) this.#refused(opened.closedWith, attempt);
    else {
      this.#refusal = void 0;
      this.#connections.add(opened);
      this.#release(opened);
    }
    this.#next();
  }
  /** An attempt to open a connection failed. Callers go on waiting as long as another connection may become free. */
  #refused(error2, attempt) {
    this.#refusal = error2;
    this.#failedAttempt = Math.max(this.#failedAttempt, attempt);
    if (this.#size > 0) this.#pauseFor(REFUSED_MS);
    else if (this.#waiting.length > 0 && HAS_NONE_LEFT.has(codeOf(error2)) && this.#getsOne())
      this.#pauseFor(HANDED_OVER_MS, true);
    else {
      const served = this.#waiting.filter(({ attempts }) => attempts < this.#failedAttempt);
      this.#waiting = this.#waiting.filter(({ attempts }) => attempts >= this.#failedAttempt);
      for (const waiter of served) waiter.fail(error2);
    }
  }
  /** Whether the other pool gives a connection up, has just done so, or opens one that it can be asked for next. */
  #getsOne() {
    const now = performance.now();
    if (this.#other?.giveUpOne()) this.#handedOver = now;
    return now - this.#handedOver < HAND_OVER_LIMIT_MS || (this.#other?.isOpening ?? false);
  }
  get isOpening() {
    return this.#opening > 0;
  }
  #pauseFor(ms, always = false) {
    clearTimeout(this.#pause?.timer);
    const timer = setTimeout(() => {
      this.#pause = void 0;
      this.#next();
    }, ms);
    this.#pause = { timer, always };
    if (!always) timer.unref();
  }
  /**
   * Closes one connection so that the other pool can open one: an idle one now, or one in use after its use. It also
   * cancels attempts that wait in a pooler's queue, where the other pool's attempt would come behind them. Returns false
   * if this pool has no connection to give up.
   */
  giveUpOne() {
    if (this.#connections.size === 0) return false;
    for (const connection of this.#unanswered)
      connection.destroy(new ConnectionError("YIELDED", "left to the store's other pool", false));
    const idle = this.#idle.shift();
    if (idle) void this.#end(idle);
    else this.#surplus = Math.min(this.#surplus + 1, this.#connections.size);
    return true;
  }
  /** Ends a connection, and opens no other for a moment, so that the other pool can take its place at the server. */
  async #end(connection) {
    this.#pauseFor(2 * HANDED_OVER_MS, true);
    await connection.end();
  }
  /** A connection was lost: another one may be opened for the waiting callers. */
  #forget(connection) {
    if (!this.#connections.delete(connection)) return;
    this.#hosts.onLost?.(connection.closedWith);
    this.#idle = this.#idle.filter((idle) => idle !== connection);
    this.#surplus = Math.min(this.#surplus, this.#connections.size);
    this.#next();
  }
  #next() {
    this.#openMore();
    if (this.#size === 0 && this.#waiting.length === 0) this.#drained?.();
  }
  #take(connection) {
    connection.ref(true);
    if (this.#options.config.maxUses > 0) this.#uses.set(connection, (this.#uses.get(connection) ?? 0) + 1);
  }
  #release(connection) {
    if (connection.closedWith) return;
    if (this.#surplus > 0) {
      this.#surplus--;
      void this.#end(connection);
      return;
    }
    const { maxUses } = this.#options.config;
    if (maxUses > 0 && (this.#uses.get(connection) ?? 0) >= maxUses) {
      void connection.end();
      return;
    }
    const next = this.#waiting.shift();
    if (next) {
      this.#take(connection);
      next.grant(connection);
      return;
    }
    if (this.#closed) {
      void connection.end();
      return;
    }
    connection.idleSince = performance.now();
    connection.ref(false);
    this.#idle.push(connection);
    this.#reap();
  }
  /** Schedules the close of connections that were idle for idleTimeoutMillis, the longest idle first. */
  #reap() {
    const { idleTimeoutMillis } = this.#options.config;
    if (this.#reaper || idleTimeoutMillis <= 0) return;
    this.#reaper = setTimeout(() => {
      this.#reaper = void 0;
      const limit2 = performance.now() - idleTimeoutMillis;
      const spare = Math.max(0, this.#connections.size - this.#options.min);
      const old = this.#idle.filter((connection) => connection.idleSince <= limit2).slice(0, spare);
      this.#idle = this.#idle.filter((connection) => !old.includes(connection));
      for (const connection of old) void connection.end();
      if (this.#idle.length > 0) this.#reap();
    }, idleTimeoutMillis);
    this.#reaper.unref();
  }
  /** Lets running and waiting calls finish, then closes every connection. */
  close() {
    this.#closed ??= this.#close();
    return this.#closed;
  }
  async #close() {
    clearTimeout(this.#reaper);
    const idle = this.#idle;
    this.#idle = [];
    const drained = new Promise((resolve3) => {
      this.#drained = resolve3;
    });
    const alive = setInterval(() => {
    }, LONGEST_MS);
    try {
      await Promise.all(idle.map((connection) => connection.end()));
      this.#next();
      await drained;
    } finally {
      clearInterval(alive);
    }
  }
};

// src/postgres/session.ts
var IDLE_LIMIT = "set_config('idle_in_transaction_session_timeout', '60000', true)";
var HEARTBEAT_MS = 1e4;
async function runSession(connection, options) {
  const { operation, work, deadline, wasCommitted, watch = (step) => step() } = options;
  let last = Promise.resolve();
  let waiting = 0;
  const run = (query2) => {
    waiting++;
    const answer3 = last.then(() => watch(() => connection.step(query2, deadline)));
    last = answer3.then(
      () => waiting--,
      () => waiting--
    );
    return guard(operation, () => answer3);
  };
  const heartbeat = setInterval(() => {
    if (waiting === 0) run({ text: "select 1" }).catch(() => {
    });
  }, HEARTBEAT_MS);
  try {
    await run(BEGIN);
    await run({ text: `${VALUES_AS_WRITTEN.text}, ${IDLE_LIMIT}` });
    const result = await work(run);
    clearInterval(heartbeat);
    await run({ text: "commit" }).catch(async (error2) => {
      if (!connection.closedWith) throw error2;
      const committed = await guard(
        operation,
        async () => wasCommitted?.(connection.backend) ?? Promise.reject(outcomeUnknown())
      );
      if (!committed) throw error2;
    });
    return result;
  } catch (error2) {
    connection.destroy(new ConnectionError("SESSION_FAILED", "the session was given up", true));
    throw error2;
  } finally {
    clearInterval(heartbeat);
  }
}

// src/postgres/use-before.ts
function useBefore(pool, end, work, fresh = false) {
  let state = "waiting";
  let cancel = () => {
  };
  const late = () => new ConnectionError("DEADLINE", "there was no connection in time, and nothing was sent", false);
  const running = pool.use(async (connection) => {
    if (state === "over") throw late();
    state = "begun";
    cancel();
    return await work(connection);
  }, fresh);
  if (end === Number.POSITIVE_INFINITY || isBegun()) return running;
  return new Promise((resolve3, reject) => {
    cancel = afterPoll(msUntil(end), () => {
      if (isBegun()) return;
      state = "over";
      reject(late());
    });
    running.finally(() => cancel()).then(resolve3, reject);
  });
  function isBegun() {
    return state === "begun";
  }
}

// src/postgres/database.ts
var GRACE = 5e3;
var writerSettings = ({ idle_in_transaction_session_timeout: limit2 }) => ({
  idle_in_transaction_session_timeout: Math.min(limit2 || 1e4, 1e4),
  plan_cache_mode: "force_generic_plan"
});
var causeOf = (error2) => error2 instanceof TransactionFailure ? error2.cause : error2;
var Database = class {
  config;
  /** The pool for appends, of one connection. With `max: 1` it is the same pool as the one for everything else. */
  writer;
  /** What it says to the log. */
  log;
  #pool;
  #listenTarget;
  #listeners = /* @__PURE__ */ new Set();
  #stopped = false;
  #closed = false;
  /** `facts`: facts about the database that appends need, as a select list. */
  constructor({ config, secrets, listen: listen2 }, facts3 = "") {
    const target = { config, secrets };
    this.config = config;
    this.log = new DatabaseLog(config);
    this.#listenTarget = listen2 ?? target;
    const onLost = (error2) => this.log.lost(error2);
    const onEstablished = () => {
      this.log.opened();
      for (const listener of this.#listeners) listener.reconnectSoon();
    };
    const hosts = { first: 0, onEstablished, onLost };
    const shared = config.max === 1;
    const { max, min } = config;
    if (shared) {
      this.#pool = new Pool({ ...target, facts: facts3, max, min, purpose: "all calls" }, hosts);
      this.writer = this.#pool;
      return;
    }
    const others = { max: max - 1, min: Math.max(0, min - 1), purpose: "all but commits" };
    this.#pool = new Pool({ ...target, ...others }, hosts);
    const settings = writerSettings(config);
    const commits = { max: 1, min: Math.min(1, min), purpose: "commits" };
    this.writer = new Pool({ ...target, facts: facts3, settings, ...commits }, hosts);
    this.writer.share(this.#pool);
  }
  /** Connections for all but commits. */
  get counts() {
    return { ...this.#pool.counts, max: this.config.max === 1 ? 1 : this.config.max - 1 };
  }
  /** The state of the listener of notify(). */
  get listenerState() {
    const listeners = [...this.#listeners].filter(({ stopped }) => !stopped);
    if (listeners.length === 0) return "off";
    return listeners.some(({ listening: listening2 }) => listening2) ? "listening" : "reconnecting";
  }
  /** Longest wait for an answer, in ms; 0 is no limit. */
  get deadline() {
    const { statement_timeout: limit2, query_timeout } = this.config;
    if (query_timeout > 0) return query_timeout;
    return limit2 > 0 ? Math.min(limit2 + GRACE, LONGEST_MS) : 0;
  }
  /** Runs a statement that only reads. If its connection turns out to be dead, it runs once more on a new one. */
  async read(operation, query2) {
    return await this.#reading(
      operation,
      (connection) => connection.run(query2, this.deadline)
    );
  }
  /** A read of up to `limit` rows that stops after `budget` characters of JSON. */
  readPage(operation, query2, budget, limit2) {
    return this.#reading(operation, (connection) => connection.read(query2, this.deadline, budget, limit2));
  }
  #reading(operation, work) {
    return guard(operation, async () => {
      this.#assertOpen();
      try {
        return await retrying(() => this.#use(operation, work));
      } catch (error2) {
        if (!(error2 instanceof ConnectionError) || error2.code !== "CONNECTION_CLOSED" || this.#closed)
          throw error2;
        return await retrying(() => this.#use(operation, work, true));
      }
    });
  }
  /** Runs a statement on a connection of the pool, and logs it if it is slow. */
  #use(operation, work, fresh = false) {
    const since = performance.now();
    return this.#pool.use((connection) => this.log.watch(operation, since, () => work(connection)), fresh);
  }
  /** Runs one statement that writes and commits by itself. `retryOnLockTimeout`: run it again after its own lock_timeout. */
  async write(operation, query2, { retryOnLockTimeout = false } = {}) {
    return await guard(operation, async () => {
      this.#assertOpen();
      const run = () => this.#use(operation, async (connection) => {
        if (connection.ownsSession) return connection.run(query2, this.deadline);
        return (await connection.transact([query2], this.deadline))[0]?.rows ?? [];
      });
      return retrying(run, retryOnLockTimeout ? RETRIABLE_OR_LOCKED : RETRIABLE).catch((error2) => {
        throw causeOf(error2);
      });
    });
  }
  /** Runs the statements of one transaction in one message, and returns the rows of each. */
  transaction(operation, queries) {
    return guard(operation, async () => {
      this.#assertOpen();
      try {
        return (await retrying(() => this.#transactOn(operation, queries))).map(({ rows }) => rows);
      } catch (error2) {
        throw error2 instanceof TransactionFailure && error2.inDoubt ? outcomeUnknown() : causeOf(error2);
      }
    });
  }
  #transactOn(operation, queries) {
    return this.#use(operation, (connection) => connection.transact(queries, this.deadline));
  }
  /** An interactive transaction, statement by statement, on a connection of its own. See {@link runSession}. */
  async session(operation, work, options = {}) {
    let begun = false;
    try {
      this.#assertOpen();
      return await this.#pool.use((connection) => {
        begun = true;
        return runSession(connection, {
          operation,
          work,
          deadline: this.deadline,
          watch: (step) => this.log.watch(operation, performance.now(), step),
          ...options
        });
      });
    } catch (error2) {
      throw begun ? error2 : toStoreError(operation, error2);
    }
  }
  /**
   * Asks for the outcome of a transaction whose connection was lost. Works while the store is being disposed of.
   *
   * First it ends the server process that ran the transaction, because the process may still wait for a lock. The same
   * connection then asks: with several hosts both have to go to the same server. `end`: see deadline.ts.
   */
  async recover(backend, queries, end = Number.POSITIVE_INFINITY) {
    const left = () => lessOf(this.deadline, msUntil(end));
    const ask = async (connection) => {
      if (backend) await endBackend(connection, backend, left);
      return connection.transact(queries, left());
    };
    const answers = await retrying(() => useBefore(this.#pool, end, ask, true)).catch((error2) => {
      throw causeOf(error2);
    });
    return answers.map(({ rows }) => rows);
  }
  /** LISTEN on a connection of its own. The listener reconnects by itself until it is stopped. */
  async listen(options) {
    this.#assertOpen();
    const listener = new Listener({ ...options, ...this.#listenTarget });
    this.#listeners.add(listener);
    try {
      await listener.start();
      return listener;
    } catch (error2) {
      this.#listeners.delete(listener);
      await listener.stop();
      throw error2;
    }
  }
  #assertOpen() {
    if (this.#stopped) throw storeClosed();
  }
  /** Refuses new work from now on, and stops the listeners at once. */
  async stopAccepting() {
    this.#stopped = true;
    const all2 = [...this.#listeners];
    this.#listeners.clear();
    await Promise.all(all2.map((listener) => listener.stop()));
  }
  /** Lets running work end, then closes every connection. */
  async close() {
    this.#closed = true;
    await this.stopAccepting();
    await Promise.all([this.#pool.close(), this.writer.close()]);
  }
};

// src/migrations/build-indexes.ts
var ASK_AGAIN_MS = 250;
var ATTEMPTS3 = 5;
var lockOf2 = ({ schema, table }) => `hashtext(${literal(`act-drizzle:build:"${schema}"."${table}"`)})`;
function buildIndexes({ names, connections }) {
  return guard(
    "seed",
    () => (
      // A new connection, because the build changes settings of its session.
      connections.writer.use(async (connection) => {
        try {
          const builder = new Builder(names, connection, connections.deadline);
          if (await builder.lock()) return await builder.build();
          log5().warn(
            `[act-drizzle] seed "${names.schema}"."${names.table}": another process still builds indexes, and queries may be slow until it is ready; this one goes on`
          );
          return [];
        } finally {
          connection.destroy(new Error("the indexes are built"));
        }
      }, true)
    )
  );
}
var Builder = class {
  #names;
  #connection;
  #deadline;
  constructor(names, connection, deadline) {
    this.#names = names;
    this.#connection = connection;
    this.#deadline = deadline;
  }
  #run(text) {
    return this.#connection.run({ text }, 0);
  }
  async lock() {
    const began = performance.now();
    for (; ; ) {
      const [row5] = await this.#run(`select pg_try_advisory_lock(${lockOf2(this.#names)}) as given`);
      if (row5?.given === true) return true;
      if (this.#deadline > 0 && performance.now() - began > this.#deadline) return false;
      await pause(ASK_AGAIN_MS);
    }
  }
  async build() {
    const { schema, table } = this.#names;
    const builds = await this.#remaining();
    if (builds.length === 0) return [];
    log5().info(
      `[act-drizzle] seed "${schema}"."${table}": building ${builds.length} indexes; reads and appends go on meanwhile`
    );
    await this.#run("set statement_timeout = 0");
    for (const build of builds) await this.#again(() => this.#buildOne(build));
    await this.#run(`analyze ${this.#names.events}, ${this.#names.streams}`);
    return builds.map(({ done }) => done);
  }
  async #catalog() {
    return introspect((query2) => this.#connection.run(query2, 0), this.#names);
  }
  async #remaining() {
    return planMigration(this.#names, await this.#catalog())?.builds ?? [];
  }
  /** Retries after a deadlock, which VACUUM or an older release's seed() may cause. */
  async #again(work) {
    for (let attempt = 1; ; attempt++) {
      try {
        return await work();
      } catch (error2) {
        if (attempt === ATTEMPTS3 || !RETRIABLE.has(codeOf(error2))) throw error2;
        await pause(ASK_AGAIN_MS);
      }
    }
  }
  async #buildOne({ name: name2, next, old, sql }) {
    const { schema } = this.#names;
    const { relations } = await this.#catalog();
    const right = (index2) => {
      const found = relations.get(index2)?.index;
      return found?.valid === true && hasDefinition(found.definition, sql);
    };
    if (!right(name2)) {
      if (relations.has(next) && !right(next)) await this.#drop(next);
      if (!right(next)) await this.#run(concurrently(sql, schema, next));
      if (relations.has(old)) await this.#drop(old);
      const rename = (from, to) => ({
        text: `alter index "${schema}"."${from}" rename to "${to}"`
      });
      const swap = [...relations.has(name2) ? [rename(name2, old)] : [], rename(next, name2)];
      await this.#connection.transact(swap, this.#deadline);
      await this.#drop(old);
    } else for (const left of [next, old]) await this.#drop(left);
  }
  async #drop(index2) {
    await this.#run(`drop index concurrently if exists "${this.#names.schema}"."${index2}"`);
  }
};

// src/migrations/look.ts
var LOCK_TIMEOUT_MS = 500;
var lockTimedOut = (error2) => codeOf(error2 instanceof Error && error2.cause ? error2.cause : error2) === "55P03";
async function unlessHeld(work) {
  try {
    return await work();
  } catch (error2) {
    if (lockTimedOut(error2)) return void 0;
    throw error2;
  }
}
async function look(connections, names) {
  const read3 = (query2) => connections.read("seed", query2);
  const full = await unlessHeld(() => read3(introspectQuery(names, { lockTimeout: LOCK_TIMEOUT_MS })));
  const [row5] = full ?? await read3(introspectQuery(names, { expressions: false }));
  const catalog2 = toCatalog(row5);
  refuseRestricted(names, catalog2);
  return { row: row5, catalog: catalog2, held: full === void 0 };
}
function lookAtIds(connections, names) {
  return unlessHeld(async () => {
    const timeout = { text: `set local lock_timeout = ${LOCK_TIMEOUT_MS}` };
    const [, rows] = await connections.transaction("seed", [timeout, idFactsQuery(names)]);
    return rows?.[0];
  });
}
function refuseRestricted({ schema }, { relations }) {
  const restricted = [...relations.values()].find((relation2) => relation2.restricted);
  if (!restricted) return;
  throw new Error(
    `row-level security is on for "${schema}"."${restricted.name}" and could hide rows from this role: connect as the tables' owner, grant the role BYPASSRLS, or alter table \u2026 disable row level security (docs/guides/security.md)`
  );
}

// src/migrations/seed.ts
async function seed(context) {
  const { names, connections } = context;
  const title = `[act-drizzle] seed "${names.schema}"."${names.table}"`;
  try {
    const { row: row5, catalog: catalog2, ...looked } = await look(connections, names);
    warnOfIdCapacity(names, row5);
    if (catalog2.encoding === "SQL_ASCII" && recordOf(catalog2.relations.get(names.table)?.comment))
      log6().warn(`[act-drizzle] ${sqlAscii(names)}`);
    const current2 = isCurrent(names, catalog2);
    const ids = current2 && !looked.held ? await lookAtIds(connections, names) : void 0;
    warnOfFutureEvents(names, ids);
    if (looked.held || current2 && ids === void 0)
      log6().warn(
        `${title}: another session holds an exclusive lock on the tables. ${current2 ? "Nothing has to be changed, as far as can be seen without them: going on" : "Waiting for it, as the tables have to be changed"}`
      );
    const missing = current2 ? unfinished(names, catalog2) : [];
    if (missing.length > 0)
      log6().warn(
        `${title}: not as this release makes it: ${missing.join(", ")}. seed() by the tables' owner mends that`
      );
    if (current2 && (ids === void 0 || isInOrder(toIdFacts(ids)))) return;
    const work = current2 ? mendIdOrder : migrate;
    let indexes = false;
    const done = await withMigrationLock(
      connections,
      "seed",
      (run) => work(run, names, {
        online: connections.config.prepare,
        later: () => {
          indexes = true;
        }
      })
    );
    if (indexes) done.push(...await buildIndexes(context));
    if (done.length > 0) log6().info(`${title}: ${done.join(", ")}`);
  } catch (error2) {
    const wrapped = toStoreError("seed", error2);
    const cause = wrapped.cause instanceof Error ? wrapped.cause : sanitize(error2);
    log6().error(`${title} failed: ${cause.message}`);
    throw wrapped;
  }
}
async function migrate(run, names, { online: online2, later }) {
  let plan2 = planMigration(names, await introspect(run, names), { online: online2 });
  if (plan2 && plan2.locks.length > 0) {
    await apply(run, plan2.locks);
    plan2 = planMigration(names, await introspect(run, names), { online: online2 });
  }
  if (!plan2) return [];
  await check3(run, plan2);
  const done = await apply(run, plan2.changes);
  if (plan2.builds.length > 0) later();
  return [...done, ...await mendIdOrder(run, names)];
}
async function check3(run, { checks }) {
  for (const { sql } of checks) {
    const [row5] = await run({ text: sql });
    if (typeof row5?.refused === "string") throw new Error(row5.refused);
  }
}

// src/options/option-list.ts
import { z as z18 } from "zod";

// src/values/pii-keys.ts
var isKey = (value) => value instanceof Uint8Array && value.byteLength === 32;
var isKeyMaterial = (value) => isKey(value) || Array.isArray(value) && value.length > 0 && value.every(isKey);
var KEPT_MS = 5 * 6e4;
var MOST = 1e4;
var ASK_AGAIN_MS2 = 5e3;
var PiiCipher = class {
  perStream;
  unreadable;
  #key;
  /** The cached keys, oldest first. */
  #asked = /* @__PURE__ */ new Map();
  constructor({ key: key3, perStream = false, unreadable = "error" }) {
    this.#key = key3;
    this.perStream = perStream;
    this.unreadable = unreadable;
  }
  /** The key to encrypt with. @throws PiiError if it is gone. */
  async current(stream2) {
    const [current2] = await this.#keys(stream2);
    if (!current2)
      throw new PiiError(`there is no key for stream "${stream2}" any more: its pii is not stored`);
    return current2;
  }
  /** The keys of these streams. */
  async keysOf(streams) {
    if (!this.perStream) {
      const keys = await this.#keys("");
      return () => keys;
    }
    const names = [...new Set(streams)];
    const all2 = await Promise.all(names.map((stream2) => this.#keys(stream2)));
    const found = new Map(names.map((stream2, i) => [stream2, all2[i] ?? []]));
    return (stream2) => found.get(stream2) ?? [];
  }
  /** Forgets the keys of these streams that were not asked for just now. True if there were any. */
  forget(streams) {
    if (typeof this.#key !== "function") return false;
    let forgotten = false;
    for (const name2 of this.perStream ? new Set(streams) : [""]) {
      const asked = this.#asked.get(name2);
      if (!asked || performance.now() - asked.at < ASK_AGAIN_MS2) continue;
      forgotten = this.#asked.delete(name2) || forgotten;
    }
    return forgotten;
  }
  #keys(stream2) {
    const name2 = this.perStream ? stream2 : "";
    const now = performance.now();
    const asked = this.#asked.get(name2);
    if (asked && !(this.perStream && now - asked.at > KEPT_MS)) return asked.keys;
    this.#asked.delete(name2);
    const keys = this.#ask(name2);
    this.#asked.set(name2, { keys, at: now });
    keys.catch(() => {
      if (this.#asked.get(name2)?.keys === keys) this.#asked.delete(name2);
    });
    const [oldest] = this.#asked.keys();
    if (this.#asked.size > MOST && oldest !== void 0) this.#asked.delete(oldest);
    return keys;
  }
  async #ask(stream2) {
    const given = typeof this.#key === "function" ? await this.#key(stream2) : this.#key;
    if (this.perStream && (given === null || given === void 0)) return [];
    if (!isKeyMaterial(given))
      throw new PiiError("the key of pii_encryption must be 32 bytes, or a list of such");
    return given instanceof Uint8Array ? [given] : given;
  }
};

// src/options/inline.ts
var INLINE = /* @__PURE__ */ Symbol.for("act-drizzle.inline");
var isInline = (value) => isRecord(value) && Reflect.get(value, INLINE) === true;

// src/options/modes.ts
var SSL_MODES = [
  "disable",
  "allow",
  "prefer",
  "require",
  "verify-ca",
  "verify-full",
  "no-verify"
];
var TARGET_SESSION_ATTRS = [
  "any",
  "read-write",
  "read-only",
  "primary",
  "standby",
  "prefer-standby"
];

// src/options/option-list.ts
var about = z18.registry();
var asText = (text) => text;
var secondsAsMillis = (text) => Number(text) * 1e3;
var asFlag = (text) => /^(1|true|on|yes)$/i.test(text) || (/^(0|false|off|no)$/i.test(text) ? false : text);
var asPooler = (text) => {
  const flag = asFlag(text);
  return flag === true ? false : flag === false ? void 0 : flag;
};
var quoted3 = (names) => names.map((name2) => JSON.stringify(name2)).join(" | ");
var url = z18.string().regex(/^postgres(ql)?:\/\//, "a URL that begins with postgres:// or postgresql://");
var name = z18.string().min(1);
var millis = z18.number().int().min(0).max(2147483647);
var isPort = (port2) => /^\d+$/.test(String(port2)) && Number(port2) >= 1 && Number(port2) <= 65535;
var port = z18.union([
  z18.number().int().refine(isPort),
  z18.string().refine((ports) => ports.split(",").every(isPort))
]);
var ssl = z18.union([z18.boolean(), z18.enum(SSL_MODES), z18.record(z18.string(), z18.unknown()).readonly()]);
var limit = z18.union([millis, z18.literal(false)]).transform((value) => value || 0);
var path = () => z18.string().default("");
var key2 = z18.custom((value) => typeof value === "function" || isKeyMaterial(value)).optional();
var pii = z18.strictObject({
  key: key2,
  keyProvider: key2,
  algorithm: z18.string().regex(/^aes-256-gcm$/i).optional(),
  perStream: z18.boolean().optional(),
  unreadable: z18.enum(["error", "omit"]).optional()
}).refine(
  ({ key: key3, keyProvider, perStream }) => key3 === void 0 !== (keyProvider === void 0) && (!perStream || typeof (key3 ?? keyProvider) === "function")
);
var optionsSchema = z18.strictObject({
  url: url.optional().register(about, {
    type: "string",
    config: false,
    docs: "`postgres://user:password@host:port/database?\u2026`; several hosts as `host1:port1,host2:port2`."
  }),
  connectionString: url.optional().register(about, {
    type: "string",
    config: false,
    docs: "The same as `url`, by node-postgres' name."
  }),
  host: name.default("localhost").register(about, {
    type: "string",
    docs: "Host, comma-separated hosts, or the folder of a Unix socket.",
    config: { type: "string", docs: "The first host." },
    url: { host: asText, hostaddr: asText },
    env: { PGHOST: asText, PGHOSTADDR: asText }
  }),
  port: port.default(5432).register(about, {
    type: "number | string",
    docs: "Port, or comma-separated ports, one for each host.",
    config: { type: "number", docs: "The port of the first host." },
    url: { port: asText },
    env: { PGPORT: asText },
    takes: "a port from 1 to 65535"
  }),
  database: name.default("postgres").register(about, {
    type: "string",
    docs: "Database to connect to.",
    url: { dbname: asText },
    env: { PGDATABASE: asText }
  }),
  user: name.default("postgres").register(about, {
    type: "string",
    docs: "User to connect as.",
    url: { user: asText },
    env: { PGUSER: asText }
  }),
  password: z18.union([z18.string(), z18.custom((value) => typeof value === "function")]).default("postgres").register(about, {
    type: "Password",
    config: false,
    docs: "Password of the user, or a function that each new connection asks for it, such as for the token of a cloud. Never shown in logs, errors or `inspect`.",
    url: { password: asText },
    env: { PGPASSWORD: asText },
    takes: "a string, or a function that returns one or a promise of one"
  }),
  schema: z18.string().default("public").register(about, {
    type: "string",
    docs: "PostgreSQL schema of the tables, created if absent.",
    url: { schema: asText }
  }),
  table: z18.string().default("events").register(about, {
    type: "string",
    docs: "Name of the events table; `<table>_streams` and `<table>_correlated` stand beside it."
  }),
  notify: z18.boolean().default(false).register(about, {
    type: "boolean",
    docs: "Announce commits by NOTIFY, and offer `store.notify`."
  }),
  pollIntervalMillis: millis.default(4e3).register(about, {
    type: "number",
    docs: "With `notify`: how often a listener looks for work that nobody announced, in milliseconds; `0` is never."
  }),
  max: z18.number().int().min(1).max(1e4).default(20).register(about, {
    type: "number",
    docs: "Most connections of this store, the writer's included, the listener's not.",
    url: { max: Number, connection_limit: Number }
  }),
  min: z18.number().int().min(0).max(1e4).default(0).register(about, {
    type: "number",
    docs: "Idle connections that are kept open, whatever `idleTimeoutMillis` says."
  }),
  maxUses: z18.union([millis, z18.literal(Number.POSITIVE_INFINITY)]).transform((uses) => Number.isFinite(uses) ? uses : 0).default(0).register(about, {
    type: "number",
    docs: "A connection is closed after so many uses; `0` and `Infinity` are no limit."
  }),
  connectionTimeoutMillis: millis.default(1e4).register(about, {
    type: "number",
    docs: "Longest wait for a connection, in milliseconds. URL and environment give seconds.",
    url: { connect_timeout: secondsAsMillis, pool_timeout: secondsAsMillis },
    env: { PGCONNECT_TIMEOUT: secondsAsMillis }
  }),
  idleTimeoutMillis: z18.union([millis, z18.null()]).default(3e4).transform((value) => value ?? 0).register(about, {
    type: "number | null",
    docs: "An idle connection is closed after this many milliseconds; `0` and `null` keep it.",
    config: {
      type: "number",
      docs: "After how many milliseconds an idle connection is closed; `0`: never."
    },
    url: { idle_timeout: secondsAsMillis }
  }),
  keepAlive: z18.boolean().default(true).register(about, {
    type: "boolean",
    docs: "TCP keep-alive of the connections.",
    url: { keepalives: asFlag }
  }),
  keepAliveInitialDelayMillis: millis.default(6e4).register(about, {
    type: "number",
    docs: "Silence before the first keep-alive probe, in milliseconds; `0` is the operating system's default.",
    url: { keepalives_idle: secondsAsMillis }
  }),
  statement_timeout: limit.default(6e4).register(about, {
    type: "number | false",
    docs: "Longest run of one statement, in milliseconds; `0` and `false` are no limit.",
    config: { type: "number", docs: "Longest run of one statement, in milliseconds; `0` is no limit." },
    url: { statement_timeout: Number }
  }),
  slowStatementMillis: limit.default(1e3).register(about, {
    type: "number | false",
    docs: "A statement that takes longer than this many milliseconds is logged, once per verb and minute; `0` and `false`: never.",
    config: {
      type: "number",
      docs: "Longer statements are logged, in milliseconds; `0`: none."
    }
  }),
  query_timeout: limit.default(0).register(about, {
    type: "number | false",
    docs: "Longest wait for an answer, in milliseconds; then the connection is given up. `0` and `false`: `statement_timeout` and 5 s.",
    config: {
      type: "number",
      docs: "Longest wait for an answer, in milliseconds; `0`: see `statement_timeout`."
    },
    url: { query_timeout: Number }
  }),
  lock_timeout: limit.default(0).register(about, {
    type: "number | false",
    docs: "Longest wait of a statement for a lock, in milliseconds; `0` and `false` leave it to the role's own. Commits wait for each other by a lock.",
    config: {
      type: "number",
      docs: "Longest wait for a lock, in milliseconds; `0` leaves it to the role's own."
    },
    url: { lock_timeout: Number }
  }),
  idle_in_transaction_session_timeout: limit.default(6e4).register(about, {
    type: "number | false",
    docs: "After this many milliseconds the server ends a transaction whose client is silent; for commits after 10 s at the latest. `0` and `false` are no limit.",
    config: { type: "number", docs: "After how many milliseconds the server ends a silent transaction." },
    url: { idle_in_transaction_session_timeout: Number }
  }),
  options: z18.string().refine(leavesTakenAlone).default("").register(about, {
    type: "string",
    docs: "Settings of the server for each session, as in libpq: `-c search_path=app -c geqo=off`.",
    url: { options: asText },
    env: { PGOPTIONS: asText },
    takes: "server settings such as -c geqo=off; statement_timeout, lock_timeout, idle_in_transaction_session_timeout and application_name are options of their own, and client_encoding, DateStyle, TimeZone, array_nulls, extra_float_digits, standard_conforming_strings, plan_cache_mode and the isolation are the store's"
  }),
  onConnect: z18.custom((value) => typeof value === "function").optional().register(about, {
    type: "OnConnect",
    config: false,
    docs: 'Called with each new connection that is not for LISTEN, before its first use: `({ query }) => query("set role app")`.',
    takes: "a function"
  }),
  listen_url: url.optional().register(about, {
    type: "string",
    config: false,
    docs: "A direct URL for LISTEN when `url` leads through a pooler in transaction mode. Left out, LISTEN goes where the store goes."
  }),
  ssl: ssl.default(false).register(about, {
    type: "boolean | SslMode | Readonly<Record<string, unknown>>",
    docs: "TLS: `true` (verify-full), a mode of libpq's sslmode, `no-verify`, or options of `tls.connect`.",
    config: {
      type: "boolean | SslMode",
      docs: "TLS: a mode of libpq's sslmode, or `true` for verify-full and for options of `tls.connect`."
    },
    url: { sslmode: asText, ssl: asFlag },
    env: { PGSSLMODE: asText },
    takes: "true, false, a libpq sslmode, no-verify or an object of tls.connect options"
  }),
  sslrootcert: path().register(about, {
    type: "string",
    docs: "File of the CA certificates that the server's is checked against, as PEM, or `system`. Without `ssl` it asks for verify-full, with `require` for verify-ca.",
    url: { sslrootcert: asText },
    env: { PGSSLROOTCERT: asText }
  }),
  sslcert: path().register(about, {
    type: "string",
    docs: "File of the client's certificate, as PEM. Without `ssl` it asks for verify-full.",
    url: { sslcert: asText },
    env: { PGSSLCERT: asText }
  }),
  sslkey: path().register(about, {
    type: "string",
    docs: "File of the key of `sslcert`, as PEM.",
    url: { sslkey: asText },
    env: { PGSSLKEY: asText }
  }),
  prepare: z18.boolean().default(true).register(about, {
    type: "boolean",
    docs: "Prepared statements. `false` behind a pooler in transaction mode.",
    url: { prepare: asFlag, pgbouncer: asPooler }
  }),
  application_name: z18.string().max(63).default("act-drizzle").register(about, {
    type: "string",
    docs: "Shown in `pg_stat_activity`.",
    url: { application_name: asText, fallback_application_name: asText },
    env: { PGAPPNAME: asText }
  }),
  target_session_attrs: z18.enum(TARGET_SESSION_ATTRS).default("any").register(about, {
    type: "TargetSessionAttrs",
    docs: `Which of several hosts to use, as in libpq: ${quoted3(TARGET_SESSION_ATTRS).replaceAll('"', "`").replaceAll(" |", ",")}.`,
    url: { target_session_attrs: asText },
    env: { PGTARGETSESSIONATTRS: asText }
  }),
  dates: z18.enum(["exact", "revive"]).default("exact").register(about, {
    type: quoted3(["exact", "revive"]),
    docs: "`exact`: what was committed comes back. `revive`: ISO strings in rows of other adapters are read as Dates."
  }),
  inline: z18.custom(isInline).optional().register(about, {
    type: "InlineProjections",
    config: false,
    docs: "Projections that are part of the commit: what `inline()` of `act-drizzle/projections` returns.",
    takes: "what inline() of act-drizzle/projections returns, as in inline: inline({ on: { Placed: (events, tx) => \u2026 } })"
  }),
  pii_encryption: pii.readonly().optional().register(about, {
    type: "PiiEncryption",
    config: false,
    docs: "`{ key }`: encrypts `pii` at rest with AES-256-GCM. Left out, `pii` is stored as plain text.",
    takes: "{ key } or { keyProvider } with 32 bytes, a list of such, or a function that returns them; and algorithm (aes-256-gcm), perStream (with a function), unreadable (error or omit)"
  })
});
var optionList = Object.entries(optionsSchema.shape).map(([option, schema]) => {
  const entry2 = about.get(schema);
  if (!entry2) throw new Error(`option ${option} is not described`);
  return { name: option, ...entry2 };
});

// src/options/check.ts
function checkOptions2(input, source2 = "") {
  const result = optionsSchema.safeParse(input);
  if (!result.success) throw explain(result.error, source2);
  return result.data;
}
function explain(error2, source2) {
  const known2 = optionList.map(({ name: name2 }) => name2).join(", ");
  const lines = error2.issues.flatMap((issue) => {
    if (issue.code === "unrecognized_keys")
      return issue.keys.map((k) => `unknown option "${k}"; the options are ${known2}`);
    const option = issue.path.join(".") || "options";
    const takes = optionList.find(({ name: name2 }) => name2 === issue.path[0])?.takes;
    return [`option "${option}"${source2}: ${takes ?? issue.message}`];
  });
  return new Error(`act-drizzle: ${lines.join("; ")}`);
}
function setOptions(input) {
  if (!isRecord(input)) return {};
  const set = optionList.map(({ name: name2 }) => [name2, input[name2]]).filter(([, value]) => value !== void 0);
  return Object.fromEntries(set);
}

// src/options/config.ts
import { inspect } from "node:util";
var HIDDEN = /* @__PURE__ */ Symbol.for("act-drizzle.hidden");
var HiddenOptions = class {
  #options;
  /** Every host with its port. The config shows only the first one as `host` and `port`. */
  #hosts;
  constructor(options, hosts) {
    this.#options = options;
    this.#hosts = hosts;
  }
  /** The options of a config that was spread, with the hidden ones. Options given beside it take precedence. */
  reveal({ hosts: _hosts, encrypted: _encrypted, ...given }) {
    const { ssl: ssl2, ...options } = this.#options;
    const [first] = this.#hosts;
    const moved = given.host !== first?.host || given.port !== first?.port;
    return {
      ...options,
      ...given,
      // The config shows an object as true.
      ...given.ssl === true && ssl2 !== void 0 && { ssl: ssl2 },
      ...!moved && {
        host: this.#hosts.map(({ host }) => host).join(","),
        port: this.#hosts.map(({ port: port2 }) => port2).join(",")
      }
    };
  }
  [inspect.custom]() {
    return "***";
  }
};
var isHidden = (value) => isRecord(value) && typeof value.reveal === "function";
function fromConfig(options) {
  const hidden = isRecord(options) ? Reflect.get(options, HIDDEN) : void 0;
  return isRecord(options) && isHidden(hidden) ? hidden.reveal(options) : options;
}
var HiddenPassword = class {
  #password;
  [HIDDEN];
  constructor(password, hidden) {
    this.#password = password;
    this[HIDDEN] = hidden;
  }
  get password() {
    return this.#password;
  }
  [inspect.custom]() {
    return { ...Object.fromEntries(Object.entries(this)), password: "***" };
  }
};
var withHiddenPassword = ({ config, secrets, hidden }) => Object.assign(new HiddenPassword(secrets.password, new HiddenOptions(hidden, config.hosts)), config);

// src/options/sources.ts
function readSource(source2, textOf) {
  const values = {};
  for (const option of optionList) {
    for (const [parameter, read3] of Object.entries(option[source2] ?? {})) {
      const text = textOf(parameter);
      if (text !== void 0) values[option.name] ??= read3(text);
    }
  }
  return values;
}

// src/options/environment.ts
var readEnvironment = (env) => readSource("env", (name2) => env[name2] || void 0);

// src/options/tls-files.ts
import { readFileSync } from "node:fs";
var SYSTEM = "system";
var refuse4 = (option, text) => new Error(`act-drizzle: option "${option}": ${text}`);
function chooseTls({ ssl: ssl2, sslrootcert, sslcert, sslkey }) {
  const named = sslrootcert !== "" || sslcert !== "" || sslkey !== "";
  const mode = modeOf(ssl2 ?? (named ? "verify-full" : false), sslrootcert);
  if (mode === false || mode === "disable") return { ssl: mode, tls: void 0 };
  const own2 = typeof ssl2 === "object" ? ssl2 : void 0;
  if (!named) return { ssl: mode, tls: own2 };
  if (sslkey !== "" && sslcert === "") throw refuse4("sslkey", "give sslcert too");
  if (sslcert !== "" && sslkey === "")
    throw refuse4("sslcert", "give sslkey too; the certificate of the server's CA goes into sslrootcert");
  return {
    ssl: mode,
    tls: {
      ...sslrootcert !== "" && sslrootcert !== SYSTEM && { ca: certificates("sslrootcert", sslrootcert) },
      ...sslcert !== "" && { cert: certificates("sslcert", sslcert), key: privateKey(sslkey) },
      ...own2
    }
  };
}
function modeOf(ssl2, sslrootcert) {
  if (typeof ssl2 === "object") return true;
  if (sslrootcert === SYSTEM && !["verify-full", "disable", true, false].includes(ssl2))
    throw refuse4(
      "sslrootcert",
      "system needs sslmode verify-full: anybody can have a certificate of such a CA"
    );
  return ssl2 === "require" && sslrootcert !== "" ? "verify-ca" : ssl2;
}
function read2(option, path2) {
  try {
    return readFileSync(path2, "utf8");
  } catch (error2) {
    const code = error2 instanceof Error && "code" in error2 ? ` (${error2.code})` : "";
    throw refuse4(
      option,
      `the file cannot be read${code}: give the path of a PEM file that this process may read`
    );
  }
}
function certificates(option, path2) {
  const text = read2(option, path2);
  if (text.includes("-----BEGIN CERTIFICATE-----") || text.includes("-----BEGIN TRUSTED CERTIFICATE-----"))
    return text;
  throw refuse4(option, "the file holds no certificate: give a PEM file");
}
function privateKey(path2) {
  const text = read2("sslkey", path2);
  if (/-----BEGIN ENCRYPTED PRIVATE KEY-----|Proc-Type: 4,ENCRYPTED/.test(text))
    throw refuse4("sslkey", "the key is encrypted: give ssl: { cert, key, passphrase } instead");
  if (/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(text)) return text;
  throw refuse4("sslkey", "the file holds no private key: give a PEM file");
}

// src/options/url-parameters.ts
var ENCODING = ["utf8", "UTF8", "utf-8", "UTF-8", "auto", "unicode", "UNICODE"];
var by = (instead) => `give the option ${instead} instead`;
var NO_SOCKET_OPTION = "Node.js cannot set it: leave it out";
var NO_KERBEROS = "the driver knows neither GSSAPI nor Kerberos: leave it out";
var NOT_CHECKED = "the driver does not check it: leave it out";
var URL_PARAMETERS = {
  search_path: {
    from: "postgres.js",
    does: "The session's search_path, as in `options`. The store names its own tables with their schema."
  },
  channel_binding: {
    from: "libpq",
    takes: ["disable", "prefer", "require"],
    does: "`require` demands what it protects from: the server's certificate is verified (verify-full, or verify-ca with `sslrootcert`). The driver itself cannot bind channels.",
    refused: "it takes disable, prefer or require"
  },
  sslnegotiation: {
    from: "libpq",
    takes: ["postgres"],
    does: "As it is.",
    refused: "TLS is asked for in PostgreSQL's way: leave it out"
  },
  sslcompression: { from: "libpq", does: "Nothing: TLS is never compressed.", takes: ["0", "1"] },
  sslsni: {
    from: "libpq",
    takes: ["1"],
    does: "As it is.",
    refused: "the server's name is sent: leave it out"
  },
  sslcertmode: {
    from: "libpq",
    takes: ["allow"],
    does: "As it is.",
    refused: "a certificate is sent if sslcert is given and the server asks: leave it out"
  },
  sslaccept: {
    from: "Prisma",
    takes: ["strict", "accept_invalid_certs"],
    does: "`strict` is `sslmode=verify-full`; `accept_invalid_certs` is `sslmode=require`.",
    refused: "it takes strict or accept_invalid_certs"
  },
  uselibpqcompat: {
    from: "node-postgres",
    takes: ["true"],
    does: "As it is: the modes of `sslmode` are libpq's.",
    refused: "the modes of sslmode are libpq's: ask for verify-full by its name"
  },
  gssencmode: {
    from: "libpq",
    takes: ["disable", "prefer"],
    does: "As without GSSAPI.",
    refused: NO_KERBEROS
  },
  client_encoding: { from: "libpq", takes: ENCODING, does: "As it is.", refused: "it is UTF8: leave it out" },
  encoding: {
    from: "node-postgres",
    takes: ENCODING,
    does: "As it is.",
    refused: "it is UTF8: leave it out"
  },
  load_balance_hosts: {
    from: "libpq",
    takes: ["disable"],
    does: "As it is.",
    refused: "hosts are tried in their order: leave it out"
  },
  supa: { from: "Vercel", does: "Nothing: Vercel's mark for Supabase." },
  workaround: { from: "Vercel", does: "Nothing: Vercel's mark for its own client." },
  sslcrl: { from: "libpq", refused: by("ssl: { ca, crl }") },
  sslcrldir: { from: "libpq", refused: by("ssl: { ca, crl }") },
  sslpassword: { from: "libpq", refused: by("ssl: { cert, key, passphrase }") },
  sslidentity: { from: "Prisma", refused: by("ssl: { pfx, passphrase }") },
  ssl_min_protocol_version: { from: "libpq", refused: by("ssl: { minVersion }") },
  ssl_max_protocol_version: { from: "libpq", refused: by("ssl: { maxVersion }") },
  sslkeylogfile: { from: "libpq", refused: by("ssl and Node's --tls-keylog") },
  service: { from: "libpq", refused: "no pg_service.conf is read: write host, port and database" },
  servicefile: { from: "libpq", refused: "no pg_service.conf is read: write host, port and database" },
  passfile: {
    from: "libpq",
    refused: "no .pgpass is read: give the option password, which may be a function"
  },
  require_auth: { from: "libpq", refused: NOT_CHECKED },
  requirepeer: { from: "libpq", refused: NOT_CHECKED },
  keepalives_interval: { from: "libpq", refused: NO_SOCKET_OPTION },
  keepalives_count: { from: "libpq", refused: NO_SOCKET_OPTION },
  tcp_user_timeout: { from: "libpq", refused: NO_SOCKET_OPTION },
  krbsrvname: { from: "libpq", refused: NO_KERBEROS },
  gsslib: { from: "libpq", refused: NO_KERBEROS },
  gssdelegation: { from: "libpq", refused: NO_KERBEROS },
  replication: { from: "libpq", refused: "a store has no use for it: leave it out" },
  max_lifetime: { from: "postgres.js", refused: by("maxUses or idleTimeoutMillis") },
  socket_timeout: { from: "Prisma", refused: by("query_timeout") },
  statement_cache_size: { from: "Prisma", refused: by("prepare: false") },
  single_use_connections: { from: "Prisma", refused: by("maxUses: 1") }
};

// src/options/url.ts
function readUrl(url2, option = "url") {
  const fail = (text) => new Error(`act-drizzle: option "${option}": ${text}`);
  const { userinfo, hosts, database, query: query2 } = split(url2.trim(), fail);
  const decode = (text) => {
    try {
      return decodeURIComponent(text);
    } catch {
      throw fail(`a % is followed by no two hexadecimal digits: ${ENCODE}`);
    }
  };
  const parameters = readParameters(query2, decode, fail);
  const colon = userinfo.indexOf(":");
  const before = {
    ...readHosts(hosts, decode, fail),
    user: decode(colon < 0 ? userinfo : userinfo.slice(0, colon)) || void 0,
    password: (colon < 0 ? "" : decode(userinfo.slice(colon + 1))) || void 0,
    database: decode(database) || void 0
  };
  const behind = readSource("url", (name2) => parameters.get(name2));
  const values = { ...setOptions(before), ...setOptions(behind), ...combine(parameters, behind, fail) };
  checkOptions2(values, ` in ${option}`);
  return values;
}
var ENCODE = "percent-encode user, password, database and parameters (encodeURIComponent): %23 for #, %2F for /, %3F for ?, %40 for @, %25 for %";
var OPTION_PARAMETERS = new Set(optionList.flatMap(({ url: url2 }) => Object.keys(url2 ?? {})));
var isKnown = (name2) => OPTION_PARAMETERS.has(name2) || Object.hasOwn(URL_PARAMETERS, name2);
function split(url2, fail) {
  const [, authority = "", path2 = "", query2 = ""] = /^postgres(?:ql)?:\/\/([^/?]*)(?:\/([^?]*))?(?:\?(.*))?$/s.exec(url2) ?? [];
  const names = query2.split("&").map((part) => part.replace(/=.*/s, ""));
  const torn = query2.includes("@") && names.some((name2) => name2 !== "" && !isKnown(name2));
  if (url2.includes("#") || /[/@]/.test(path2) || torn)
    throw fail(`a character stands in it that ends the password, or another part, too early: ${ENCODE}`);
  const at = authority.lastIndexOf("@");
  return {
    userinfo: authority.slice(0, Math.max(at, 0)),
    hosts: authority.slice(at + 1),
    database: path2,
    query: query2
  };
}
function readHosts(text, decode, fail) {
  const hosts = text.split(",").map((host) => /^(\[[^\]]*\]|[^:[\]]*)(?::(\d*))?$/.exec(host));
  const names = hosts.map((host) => {
    if (!host) throw fail(`a host and its port are written as host:5432; ${ENCODE}`);
    return decode((host[1] ?? "").replace(/^\[|\]$/g, ""));
  });
  const ports = hosts.map((host) => host?.[2]);
  return {
    host: names.join(",") || void 0,
    port: ports.some(Boolean) ? ports.map((port2) => port2 || "5432").join(",") : void 0
  };
}
function readParameters(query2, decode, fail) {
  const parameters = /* @__PURE__ */ new Map();
  for (const part of query2.split("&").filter(Boolean)) {
    const equals = part.indexOf("=");
    const name2 = decode(equals < 0 ? part : part.slice(0, equals));
    const value = equals < 0 ? "" : decode(part.slice(equals + 1));
    if (!isKnown(name2))
      throw fail(
        `${/^\w{1,40}$/.test(name2) ? `the parameter "${name2}"` : "a parameter"} is unknown: docs/reference/connection-strings.md lists those that are read, and a setting of the server goes into options`
      );
    if (parameters.has(name2)) throw fail(`the parameter "${name2}" stands there twice: leave one out`);
    if (value === "") throw fail(`the parameter "${name2}" is empty: give it a value, or leave it out`);
    const { takes, does, refused } = URL_PARAMETERS[name2] ?? { does: "" };
    if (does === void 0 || takes && !takes.includes(value))
      throw fail(
        `the parameter "${name2}" or its value is refused: ${refused ?? `it takes ${takes?.join(" or ")}`}`
      );
    parameters.set(name2, value);
  }
  if (parameters.has("host") && parameters.has("hostaddr"))
    throw fail('the parameters "host" and "hostaddr" exclude each other here: give one of them');
  return parameters;
}
var isOff = (ssl2) => ssl2 === false || ssl2 === "disable";
function combine(parameters, { ssl: ssl2, options }, fail) {
  const path2 = parameters.get("search_path");
  const words = [options, path2 !== void 0 && settingWord("search_path", path2)].filter(Boolean);
  return setOptions({
    ssl: combineTls(parameters, ssl2, fail),
    options: words.length > 0 ? words.join(" ") : void 0
  });
}
function combineTls(parameters, mode, fail) {
  const flag = parameters.get("ssl");
  const off = flag !== void 0 && /^(0|false|off|no|disable)$/i.test(flag);
  if (flag !== void 0 && parameters.has("sslmode") && off !== isOff(mode))
    throw fail("ssl and sslmode contradict each other: leave one out");
  const accept = parameters.get("sslaccept");
  const asked = accept === void 0 || isOff(mode) ? mode : accept === "strict" ? "verify-full" : mode ?? "require";
  if (parameters.get("channel_binding") !== "require") return asked;
  if (isOff(asked) || asked === "no-verify")
    throw fail("channel_binding=require needs a server that is verified: ask for sslmode=verify-full");
  if (asked === "verify-ca" || asked === "require" && parameters.has("sslrootcert")) return "verify-ca";
  return "verify-full";
}

// src/options/resolve.ts
function resolveOptions(options = {}, env = process.env) {
  const given = fromConfig(options ?? {});
  const { listen_url } = checkOptions2(given);
  const chosen = withUrl(setOptions(given));
  const target = resolve(chosen, env);
  const listen2 = listen_url === void 0 ? void 0 : listenTarget(chosen, listen_url, env);
  const { pii_encryption, inline, ssl: ssl2 } = chosen;
  const { password, onConnect } = target.secrets;
  const hidden = {
    password,
    onConnect,
    listen_url,
    pii_encryption,
    inline,
    ...typeof ssl2 === "object" && { ssl: ssl2 }
  };
  return { ...target, listen: listen2, hidden: setOptions(hidden) };
}
function withUrl(given) {
  const { url: url2, connectionString } = checkOptions2(given);
  const address = url2 ?? connectionString;
  return { ...address && readUrl(address), ...given };
}
function resolve(chosen, env) {
  const environment = Object.fromEntries(
    Object.entries(readEnvironment(env)).filter(([option]) => !(option in chosen))
  );
  checkOptions2(environment, " from the environment");
  const merged = { ...environment, ...chosen };
  const all2 = checkOptions2(merged);
  const { url: _url, connectionString: _sameUrl, listen_url: _listen, ...resolved } = all2;
  const { password, pii_encryption, inline, onConnect, ...shown } = resolved;
  const hosts = endpoints(all2.host, all2.port);
  const [first = { host: all2.host, port: 5432 }] = hosts;
  const { ssl: ssl2, tls } = chooseTls({ ...all2, ssl: "ssl" in merged ? all2.ssl : void 0 });
  return {
    config: { ...shown, ...first, hosts, ssl: ssl2, encrypted: pii_encryption !== void 0 },
    secrets: { password, tls, pii: piiOptions(pii_encryption), inline, onConnect }
  };
}
function piiOptions(given) {
  const key3 = given?.key ?? given?.keyProvider;
  return given && key3 ? { key: key3, perStream: given.perStream, unreadable: given.unreadable } : void 0;
}
function endpoints(host, port2) {
  const ports = String(port2).split(",").map(Number);
  const hosts = host.split(",").map((name2) => name2.trim());
  const empty2 = hosts.indexOf("");
  if (empty2 >= 0)
    throw new Error(
      `act-drizzle: option "host": number ${empty2 + 1} of ${hosts.length} hosts is empty: name it, or leave out the comma`
    );
  if (ports.length > 1 && ports.length !== hosts.length)
    throw new Error(`act-drizzle: option "port": ${ports.length} ports for ${hosts.length} hosts.`);
  return hosts.map((name2, i) => ({ host: name2, port: ports[i] ?? ports[0] ?? 5432 }));
}
function listenTarget(chosen, url2, env) {
  const { host: _host, port: _port, ...kept } = chosen;
  return resolve({ ...kept, ...readUrl(url2, "listen_url") }, env);
}

// src/own-methods.ts
function ownMethods(object, prototype) {
  for (const [name2, { value }] of Object.entries(Object.getOwnPropertyDescriptors(prototype))) {
    if (name2 === "constructor" || typeof value !== "function") continue;
    Object.defineProperty(object, name2, {
      value: (...args) => Reflect.apply(Reflect.get(Object.getPrototypeOf(object), name2, object), object, args),
      configurable: true,
      // As fields are: a decorator may spread a store.
      enumerable: true,
      writable: true
    });
  }
}

// src/runtime.ts
import { randomUUID as randomUUID6 } from "node:crypto";

// src/events/appender.ts
import { log as log7 } from "@rotorsoft/act";

// src/events/inline-block.ts
var GRACE_MS = 2e3;
var IDLE_GRACE_MS = 1e3;
var limits = (ms) => ({
  text: `select set_config('statement_timeout', '${ms}', true),
    set_config('idle_in_transaction_session_timeout', '${ms + IDLE_GRACE_MS}', true)`
});
var limitTo = (ms) => ({
  text: "select set_config('statement_timeout', $1, true)",
  params: [String(ms)]
});
var NO_LIMIT = { text: "select set_config('statement_timeout', '0', true)" };
var ENDS = /^\s*(begin|start|commit|end|rollback(?!\s+to\s)|abort|prepare\s+transaction)\b/i;
function toParam(value) {
  if (value === null || value === void 0) return null;
  if (typeof value === "string" || typeof value === "number" || typeof value === "boolean") return value;
  if (value instanceof Date) return value.toISOString();
  if (value instanceof Uint8Array) return `\\x${Buffer.from(value).toString("hex")}`;
  return typeof value === "bigint" ? String(value) : JSON.stringify(value);
}
var toRow = (columns, row5) => Object.fromEntries(columns.map((name2, i) => [name2, row5[i]]));
var InlineBlock = class {
  #connection;
  #options;
  #serverLimit;
  #held = [];
  #last = Promise.resolve();
  #closed = false;
  /** True while the server says that the transaction has failed, and the failure that it began with. */
  #failed;
  /** What nobody's handler is to blame for: the connection is lost, or the server has undone the transaction. */
  lost;
  /** A statement has to be parsed anew: the whole block may run again. */
  stale = false;
  /** Whose statement has failed when it was sent later. */
  blamed;
  constructor(connection, options) {
    this.#connection = connection;
    this.#options = options;
    this.#serverLimit = options.limit;
  }
  /** What the transaction has failed with, where a handler has gone on regardless. */
  get failed() {
    return this.#failed;
  }
  /** Begins the transaction; `look` comes last of all. Rejects with a {@link TransactionFailure}. */
  async begin(queries, look2) {
    const { end } = this.#options;
    const all2 = [...queries, limits(this.#serverLimit), ...look2];
    const { answers, failure } = await this.#exchange(all2, msUntil(end), "first");
    if (failure) throw failure;
    return answers;
  }
  /** Sends a statement of a handler, after those that were held back. One after the other. */
  send(query2, caller) {
    const rows = this.#last.then(() => this.#send(query2, caller));
    this.#last = rows.catch(() => {
    });
    return rows;
  }
  /** A statement whose rows nobody waits for is sent with what comes next. */
  hold(query2, caller) {
    this.#assertUsable(query2);
    this.#held.push({ query: query2, caller });
  }
  /** Resolves when nothing is on its way. */
  async idle() {
    for (let last = this.#last; ; last = this.#last) {
      await last;
      if (last === this.#last) return;
    }
  }
  /** Commits, and what was held back with it. `tail` comes before COMMIT. */
  async commit(tail) {
    this.#closed = true;
    const held = this.#takeHeld();
    const queries = held.map(({ query: query2 }) => toQuery(query2));
    const { failure } = await this.#exchange(
      [...queries, ...tail, NO_LIMIT],
      msUntil(this.#options.end),
      "last"
    );
    if (!failure) return;
    this.#blame(held, failure);
    throw failure;
  }
  /** Ends it without a trace, as soon as nothing is on its way. Statements that come later are refused. */
  async rollback() {
    this.#closed = true;
    await this.idle();
    await rollbackBlock(this.#connection, GRACE_MS);
  }
  async #send(query2, caller) {
    this.#assertUsable(query2);
    const left = Math.max(1, Math.ceil(caller.until - performance.now()));
    const held = this.#takeHeld();
    const limit2 = this.#limit(left);
    let rows = [];
    const own2 = toQuery(query2, (answered) => {
      rows = answered;
    });
    const before = held.map((h) => toQuery(h.query));
    const deadline = lessOf(left + GRACE_MS, msUntil(this.#options.end));
    const { failure } = await this.#exchange([...before, ...limit2, own2], deadline, "middle");
    if (failure) {
      this.#blame(held, failure);
      throw failure.cause;
    }
    return rows;
  }
  /** Sets the server's limit anew where it is far from the time that is left. */
  #limit(left) {
    if (left > this.#serverLimit * 0.9 && left < this.#serverLimit * 1.1) return [];
    this.#serverLimit = Math.min(left, this.#options.limit);
    return [limitTo(this.#serverLimit)];
  }
  async #exchange(queries, deadline, part) {
    try {
      const { transferred } = this.#options;
      const result = await sendBlock(this.#connection, queries, deadline, { part, transferred });
      const { failure, status, stale } = result;
      this.stale ||= stale;
      if (failure && (stale || RETRIABLE.has(codeOf(failure.cause)))) this.lost = failure;
      if (part !== "last" && status === "I" && !failure) throw outcomeUnknown();
      this.#failed = status === "E" ? this.#failed ?? failure?.cause : void 0;
      return result;
    } catch (error2) {
      this.lost = error2 instanceof Error ? error2 : new Error("unknown failure");
      throw this.lost;
    }
  }
  #blame(held, failure) {
    const caller = held[failure.failedAt ?? -1]?.caller;
    if (caller) this.blamed ??= { caller, error: failure.cause };
  }
  #takeHeld() {
    const held = this.#held;
    this.#held = [];
    return held;
  }
  #assertUsable({ text }) {
    if (this.#closed)
      throw new Error(
        "act-drizzle: the transaction of the commit is over: wait for every query within the inline handler."
      );
    if (ENDS.test(text))
      throw new Error(
        "act-drizzle: an inline handler runs in the transaction of the commit, and must not begin or end one: use tx.transaction() for a savepoint."
      );
  }
};
var toQuery = ({ text, params, arrays }, answered = () => {
}) => ({
  text,
  params: params.map(toParam),
  answer: (columns, rows) => answered(arrays ? rows : rows.map((row5) => toRow(columns, row5)))
});

// src/events/inline.ts
var InlineFailure = class extends Error {
  error;
  /** Index of the refused commit in the batch; undefined: the handler had several, and each has to be tried alone. */
  refused;
  constructor(error2, refused) {
    super(error2.message);
    this.error = error2;
    this.refused = refused;
  }
};
var CUT = /* @__PURE__ */ Symbol("cut");
var QUERY_CANCELED = "57014";
var InlineRunner = class {
  #projections;
  /** One for all commits: making it takes longer than a statement. */
  #tx;
  #block;
  #running;
  constructor(projections) {
    this.#projections = projections;
    this.#tx = projections.open(async (query2) => {
      if (!this.#block || !this.#running)
        throw new Error(
          "act-drizzle: no commit is being projected: use tx within the inline handler, and wait for every query there."
        );
      return await this.#block.send(query2, this.#running);
    });
  }
  /**
   * The transaction of a batch: the answers to its opening message. Rejects with an {@link InlineFailure} or as
   * {@link Connection.transact}.
   */
  async run(connection, send) {
    for (let attempt = 1; ; attempt++) {
      const limit2 = Math.max(...[...this.#projections.handlers.values()].map(({ timeout }) => timeout));
      const block2 = new InlineBlock(connection, { ...send, limit: limit2 });
      try {
        return await this.#run(block2, send);
      } catch (error2) {
        await block2.rollback();
        if (!block2.stale || attempt > 1) throw error2;
      } finally {
        this.#block = void 0;
        this.#running = void 0;
      }
    }
  }
  async #run(block2, { batch, queries, look: look2, tail, end }) {
    const answers = await block2.begin(queries, look2);
    this.#block = block2;
    const calls = this.#callsOf(batch, readAppended(batch, answers[1]?.rows[0]));
    for (const call of calls) {
      const left = Math.min(call.handler.timeout, msUntil(end) || Number.POSITIVE_INFINITY);
      const running = { ...call, until: performance.now() + left };
      this.#running = running;
      try {
        await this.#call(block2, running, left);
      } catch (error2) {
        throw this.#failure(block2, running, error2);
      }
    }
    try {
      await block2.commit(tail);
    } catch (error2) {
      throw block2.blamed ? this.#failure(block2, block2.blamed.caller, block2.blamed.error) : error2;
    }
    return answers;
  }
  /** A handler gets the events of one commit at a time; then those that take all of the batch get theirs. */
  #callsOf(batch, { outcomes, created: created2 }) {
    const single = [];
    const grouped = /* @__PURE__ */ new Map();
    batch.forEach(({ inline }, i) => {
      const outcome = outcomes[i];
      if (!inline || !outcome?.accepted) return;
      const own2 = /* @__PURE__ */ new Map();
      for (const event2 of inline.committed(outcome, created2)) {
        const name2 = String(event2.name);
        const handler = this.#projections.handlers.get(name2);
        if (!handler) continue;
        const calls = handler.batch ? grouped : own2;
        const call = calls.get(name2);
        if (call) call.events.push(event2);
        else
          calls.set(name2, {
            handler,
            events: [event2],
            refused: batch.length === 1 || !handler.batch ? i : void 0
          });
      }
      single.push(...own2.values());
    });
    return [...single, ...grouped.values()];
  }
  async #call(block2, call, left) {
    let timer;
    const cut = new Promise((_, reject) => {
      timer = setTimeout(() => reject(CUT), left);
    });
    cut.catch(() => {
    });
    try {
      const returned = call.handler.run(call.events, this.#tx);
      const query2 = this.#projections.toQuery(returned);
      if (query2) block2.hold(query2, call);
      else await Promise.race([returned, cut]);
      await Promise.race([block2.idle(), cut]);
    } finally {
      clearTimeout(timer);
    }
    if (performance.now() > call.until) throw CUT;
    if (block2.failed) throw block2.failed;
  }
  #failure(block2, call, thrown) {
    if (block2.lost) return block2.lost;
    const { handler, refused, events: events2 } = block2.blamed?.caller ?? call;
    const error2 = this.#projections.causeOf(block2.blamed?.error ?? thrown);
    const stream2 = events2[0]?.stream ?? "";
    const fail = (code, said, cause2) => new InlineFailure(new InlineProjectionError(code, handler.name, stream2, said, cause2), refused);
    const state = codeOf(error2);
    if (error2 === CUT || state === QUERY_CANCELED)
      return fail(
        "TIMED_OUT",
        `took longer than ${handler.timeout} ms and was cut: the append lock is held meanwhile. Make it faster, do slow work in a reaction, or raise its timeout.`
      );
    const isServers = state !== void 0 && error2 instanceof Error && "severity" in error2;
    const cause = isServers ? sanitize(error2) : error2;
    const reason = isServers && cause instanceof Error ? `failed: ${cause.message}` : "threw: see the cause.";
    return fail("HANDLER_FAILED", reason, cause);
  }
};

// src/events/appender.ts
var ARRIVAL_MS = 3e3;
var FIRST_SILENCE_MS = 1e3;
var LONGEST_SILENCE_MS = 5e3;
var TRIM_NOTIFICATIONS = { text: "select pg_notification_queue_usage()" };
var InDoubtError = class extends Error {
  transaction;
  constructor(transaction) {
    super("the connection was lost after a batch of commits had been sent");
    this.transaction = transaction;
  }
};
var isOwnFault = ({ step, failedAt = 0 }) => step === "bind" || step === "commit" || step === "execute" && failedAt > 0;
var isRefusedBy = (error2, index2) => error2 instanceof TransactionFailure && codeOf(error2.cause) === "23505" && "constraint_name" in error2.cause && error2.cause.constraint_name === index2;
var sequenceChanged = () => new ConnectionError("SEQUENCE_CHANGED", "ids are drawn from another sequence", false);
var clockChanged = () => new ConnectionError("CLOCK_CHANGED", "the server took a message for one that came too late", true);
var timeIsUp = () => new TransactionFailure(
  new ConnectionError("DEADLINE", "no time was left to send the commit: it was not applied", false)
);
var Appender = class {
  #options;
  #inline;
  #texts = /* @__PURE__ */ new Map();
  /** The highest known id. Events appended from now on get higher ones. */
  #lastId = 0;
  #firstEvent;
  /** Connections on which the log's first event has been looked up. */
  #looked = /* @__PURE__ */ new WeakSet();
  /** The last commit that was stored. */
  #known;
  /** Nothing is announced until `until`. `for` is the length of the pause in ms; 0 while announcing works. */
  #silence = { until: 0, for: 0 };
  constructor(options) {
    this.#options = options;
    this.#inline = options.inline && new InlineRunner(options.inline);
  }
  /**
   * Rejects with a {@link TransactionFailure} if nothing was stored, with an {@link InDoubtError} if that is unknown, or
   * with the pool's error if there is no connection. `end` is the deadline: an instant of `performance.now()`, or Infinity.
   */
  append(batch, end, transferred) {
    return useBefore(this.#options.connections.writer, end, async (connection) => {
      const facts3 = connection.facts ?? await connection.establish(msUntil(end));
      if (!this.#looked.has(connection)) this.#lastId = Number(facts3.last_id ?? 0);
      const mode = this.#modeFor(facts3);
      try {
        return await this.#send(connection, batch, mode, end, transferred);
      } catch (error2) {
        if (mode.sequence !== null && isRefusedBy(error2, facts3.primary_key)) {
          await this.#moveSequence(connection, mode.sequence, end).catch(() => Promise.reject(error2));
          return await this.#send(connection, batch, mode, end, transferred);
        }
        const other = this.#otherMode(error2, mode);
        if (!other) throw error2;
        const appended = await this.#send(connection, batch, other, end, transferred);
        if (other.sequence !== mode.sequence) connection.destroy(sequenceChanged());
        return appended;
      }
    });
  }
  /** Opens the connection for appends and has their statements prepared; nothing is written. */
  warmUp() {
    const { connections, names } = this.#options;
    connections.writer.warmUp(async (connection) => {
      const mode = this.#modeFor(await connection.establish(connections.deadline));
      const inserts = emptyInserts(this.#textsFor(mode), mode.sequence);
      await connection.prepare(
        [lockAppends(names, connections.deadline), firstEventQuery(names), ...inserts],
        connections.deadline
      );
    });
  }
  #modeFor(facts3) {
    return {
      announce: this.#options.announce && performance.now() >= this.#silence.until,
      headBy: facts3.ids_indexed === true ? "id" : "version",
      sequence: typeof facts3.id_sequence === "number" ? facts3.id_sequence : null,
      deferred: facts3.deferred === true
    };
  }
  /** Asks the log about a batch in doubt, until `end`. */
  async recover(batch, transaction, end) {
    const { connections, names } = this.#options;
    const queries = recoveryQueries(names, lockAppends(names, connections.deadline), batch, transaction);
    return inferOutcomes(batch, transaction, await connections.recover(transaction.backend, queries, end));
  }
  async #send(connection, batch, mode, end, transferred) {
    if (performance.now() > end) throw timeIsUp();
    const { names, connections } = this.#options;
    const firstEvent = this.#firstEvent;
    const known2 = this.#known;
    const after = firstEvent === void 0 || connection.backend === void 0 ? 0 : this.#lastId;
    let until;
    const lock = connection.backend ? lockAppends(names, connections.deadline) : lockAppendsUntil(names, connections.deadline, messageToken(batch), () => {
      until = connection.serverTime() + ARRIVAL_MS;
      return until;
    });
    const look2 = firstEvent === void 0 || !this.#looked.has(connection);
    const insert = insertQuery3(this.#textsFor(mode), batch, mode.sequence);
    const deferred = mode.deferred ? [RUN_DEFERRED] : [];
    const looks = look2 ? [firstEventQuery(names)] : [];
    const trim = mode.announce && this.#silence.for > 0 ? [TRIM_NOTIFICATIONS] : [];
    const inline = batch[0]?.inline && this.#inline;
    try {
      const answers = inline ? await inline.run(connection, {
        batch,
        queries: [lock, insert, ...trim],
        look: looks,
        tail: deferred,
        end,
        transferred
      }) : await connection.transact(
        [lock, insert, ...deferred, ...trim, ...looks],
        msUntil(end),
        transferred
      );
      if (mode.announce) this.#silence.for = 0;
      if (look2) {
        this.#looked.add(connection);
        this.#firstEvent = firstEventOf(answers.at(-1)?.rows[0]);
      }
      return this.#read(batch, answers[1]?.rows[0]);
    } catch (error2) {
      if (!(error2 instanceof TransactionFailure)) throw error2;
      if (error2.inDoubt)
        throw new InDoubtError({ backend: connection.backend, after, firstEvent, known: known2, until });
      if (codeOf(error2.cause) === "TOO_LATE") connection.destroy(clockChanged());
      throw error2;
    }
  }
  async #moveSequence(connection, sequence2, end) {
    const { connections, names } = this.#options;
    const lock = lockAppends(names, connections.deadline);
    const [, moved] = await connection.transact([lock, moveSequence2(names, sequence2)], msUntil(end));
    log7().warn(
      `[act-drizzle] "${names.schema}"."${names.table}": rows came with ids of their own; ids go on behind ${moved?.rows[0]?.id}`
    );
  }
  #textsFor(mode) {
    const key3 = `${mode.announce} ${mode.headBy}`;
    const texts = this.#texts.get(key3) ?? insertTexts(this.#options.names, mode, this.#options.by);
    this.#texts.set(key3, texts);
    return texts;
  }
  /** The batch is committed by now. So an answer that cannot be read must not lead to a retry. */
  #read(batch, row5) {
    try {
      const appended = readAppended(batch, row5);
      appended.outcomes.forEach(({ ids }, i) => {
        const [id] = ids;
        const token = batch[i]?.token;
        if (id === void 0 || token === void 0) return;
        this.#lastId = ids.at(-1) ?? id;
        this.#known = { id, token };
      });
      return appended;
    } catch {
      throw outcomeUnknown();
    }
  }
  #beSilent() {
    const ms = Math.min(LONGEST_SILENCE_MS, this.#silence.for * 2 || FIRST_SILENCE_MS);
    if (this.#silence.for === 0)
      log7().warn(
        "[act-drizzle] the server's queue of notifications is full: commits are stored and not announced until there is room; look for a session that listens and has long been in a transaction (pg_notification_queue_usage())"
      );
    this.#silence = { until: performance.now() + ms, for: ms };
  }
  /** The mode in which to send a refused batch again; undefined if no other mode can help. */
  #otherMode(error2, mode) {
    if (!(error2 instanceof TransactionFailure)) return void 0;
    const code = codeOf(error2.cause);
    if (mode.headBy === "id" && isRefusedBy(error2, `${this.#options.names.table}_stream_ix`))
      return { ...mode, headBy: "version" };
    if (code === "54000" && error2.step === "commit" && mode.announce) {
      this.#beSilent();
      return { ...mode, announce: false };
    }
    return code === "XX000" && mode.sequence !== null ? { ...mode, sequence: null, headBy: "version" } : void 0;
  }
};

// src/events/queue.ts
import { log as log8 } from "@rotorsoft/act";

// src/signals.ts
var noSignals = () => ({ observer: void 0, commitsWaiting: () => 0 });

// src/events/batch-limits.ts
var MAX_COMMITS = 512;
var MAX_EVENTS = 1e3;
var MAX_TEXT = 4e6;
var MIN_TEXT = 128e3;
var TRANSFER_MS = 500;
var PROJECTED_MS = 100;
var FIRST_PROJECTED = 64;
var BatchLimits = class {
  #text = MAX_TEXT;
  #projected = FIRST_PROJECTED;
  /** How many commits from the start of the queue go into the next batch; at least one. */
  count(waiting) {
    let text = 0;
    let events2 = 0;
    let count3 = 0;
    for (const commit2 of waiting) {
      const fits = count3 < MAX_COMMITS && text + commit2.text <= this.#text && events2 + commit2.events.length <= MAX_EVENTS;
      if (count3 > 0 && (commit2.alone || !fits)) break;
      text += commit2.text;
      events2 += commit2.events.length;
      count3++;
      if (commit2.alone) break;
    }
    return count3;
  }
  /** Adapts the limit to a measured transfer: `bytes` took `ms` to reach the server. */
  transferred(bytes2, ms) {
    const inTime = bytes2 / Math.max(ms, 0.1) * TRANSFER_MS;
    this.#text = Math.round(Math.min(MAX_TEXT, Math.max(MIN_TEXT, inTime)));
  }
  /** How many commits with inline projections go out together. */
  get projectedCount() {
    return this.#projected;
  }
  /** So many commits with inline projections took so long. */
  projected(commits, ms) {
    const inTime = Math.floor(commits / Math.max(ms, 0.1) * PROJECTED_MS);
    this.#projected = Math.min(MAX_COMMITS, Math.max(1, Math.min(inTime, this.#projected * 2)));
  }
};
function takeOneKind(waiting, limits2) {
  const inline = waiting[0]?.inline !== void 0;
  const most = inline ? limits2.projectedCount : MAX_COMMITS;
  const passed = /* @__PURE__ */ new Set();
  const same = [];
  for (const commit2 of waiting) {
    if (same.length === most) break;
    if (commit2.inline !== void 0 === inline && !passed.has(commit2.stream)) same.push(commit2);
    else passed.add(commit2.stream);
  }
  return same.slice(0, limits2.count(same));
}

// src/events/queue.ts
var MAX_WAITING = 1e5;
var MAX_WAITING_TEXT = 256e6;
var REPLAYS = 2;
var MAX_RESENT = 3;
var RECOVERY_WINDOW_MS = 5e3;
var NAMED_SLOW = "a batch of commits, with its wait for the append lock,";
var FIRST_PAUSE_MS = 100;
var LONGEST_PAUSE_MS = 1e3;
var DIED = /* @__PURE__ */ new Set(["CONNECTION_CLOSED", "57P01"]);
var wasUndone = (cause) => {
  const code = codeOf(cause) ?? "";
  return RETRIABLE.has(code) || code === "TOO_LATE";
};
var deadlineError = (deadline, tries) => new ConnectionError(
  "DEADLINE",
  tries === 0 ? `the commit waited ${deadline} ms for its turn and was not sent` : `the commit could not be completed within ${deadline} ms and was not applied`,
  false
);
var notApplied = () => new ConnectionError(
  "CONNECTION_CLOSED",
  "the connection was lost again and again: the commit was not applied",
  false
);
var AppendQueue = class {
  #database;
  #appender;
  #signals;
  #limits = new BatchLimits();
  #waiting = [];
  #waitingText = 0;
  /** A commit with inline projections may be waiting. */
  #inline = false;
  #running;
  #recovering = /* @__PURE__ */ new Set();
  #expiry;
  #closing = false;
  #closed = false;
  constructor(database, appender, signals = noSignals()) {
    this.#database = database;
    this.#appender = appender;
    this.#signals = signals;
  }
  /** Commits that wait for a batch. */
  get waiting() {
    return this.#waiting.length;
  }
  push(append) {
    return new Promise((resolve3, reject) => {
      if (this.#closed) return reject(storeClosed());
      const text = append.events.reduce(
        (sum, e) => sum + e.data.length + (e.pii?.length ?? 0),
        append.meta.length
      );
      const full = this.#waiting.length >= MAX_WAITING || this.#waitingText >= MAX_WAITING_TEXT;
      if (full)
        return reject(
          new ConnectionError(
            "QUEUE_FULL",
            `${this.#waiting.length} commits of ${this.#waitingText} characters are waiting already`,
            false
          )
        );
      this.#enqueue([
        {
          ...append,
          text,
          since: performance.now(),
          tries: 0,
          alone: false,
          queued: this.#signals.observer?.queued(),
          stored: (outcome, created2) => resolve3({ outcome, created: created2 }),
          failed: reject
        }
      ]);
    });
  }
  /** From now on the outcome of a lost commit is looked for no longer than {@link RECOVERY_WINDOW_MS}. */
  limitRecovery() {
    this.#closing = true;
  }
  /** Refuses new commits and lets the waiting ones finish. */
  async close() {
    this.#closed = true;
    while (this.#running || this.#recovering.size > 0)
      await Promise.all([this.#running, ...this.#recovering]);
  }
  /** `first`: they have waited longer than all others. */
  #enqueue(commits, first = false) {
    if (first) this.#waiting = [...commits, ...this.#waiting];
    else this.#waiting.push(...commits);
    for (const { text, inline } of commits) {
      this.#waitingText += text;
      if (inline) this.#inline = true;
    }
    this.#watchDeadlines();
    this.#running ??= Promise.resolve().then(() => this.#drain());
  }
  async #drain() {
    try {
      let tell = () => {
      };
      while (this.#waiting.length > 0) {
        const sending = this.#send(this.#nextBatch());
        tell();
        tell = await sending;
      }
      tell();
    } finally {
      this.#running = void 0;
      clearTimeout(this.#expiry);
      this.#expiry = void 0;
    }
  }
  #nextBatch() {
    if (!this.#inline) return this.#taken(this.#waiting.splice(0, this.#limits.count(this.#waiting)));
    const taken = takeOneKind(this.#waiting, this.#limits);
    const all2 = new Set(taken);
    this.#waiting = this.#waiting.filter((w) => !all2.has(w));
    this.#inline = this.#waiting.some(({ inline }) => inline);
    return this.#taken(taken);
  }
  #taken(commits) {
    for (const { text } of commits) this.#waitingText -= text;
    return commits;
  }
  /** A queued commit fails at its own deadline, even while an earlier batch is still running. */
  #watchDeadlines() {
    if (this.#expiry) return;
    const { deadline } = this.#database;
    const [oldest] = this.#waiting;
    if (deadline === 0 || !oldest) return;
    const left = oldest.since + deadline - performance.now();
    this.#expiry = setTimeout(() => {
      this.#expiry = void 0;
      const waiting = this.#dropExpired(this.#waiting);
      this.#waiting = waiting;
      this.#waitingText = waiting.reduce((sum, { text }) => sum + text, 0);
      this.#watchDeadlines();
    }, Math.max(0, left) + 1);
    this.#expiry.unref();
  }
  /** Fails those whose deadline has passed, and gives the others. None of them is in the log. */
  #dropExpired(commits) {
    const { deadline } = this.#database;
    if (deadline === 0) return [...commits];
    const now = performance.now();
    return commits.filter((w) => {
      const expired = now - w.since > deadline;
      if (expired) w.failed(deadlineError(deadline, w.tries));
      return !expired;
    });
  }
  /** Sends a batch, without a turn before it is written. The answer tells those whose commits were stored or refused. */
  async #send(all2) {
    const batch = this.#dropExpired(all2);
    const [oldest] = batch;
    if (!oldest) return () => {
    };
    const { observer } = this.#signals;
    const sent = performance.now();
    const told = (failed2) => {
      this.#database.log.ended("commit", sent, sent, NAMED_SLOW);
      observer?.batch({
        commits: batch.length,
        events: batch.reduce((sum, { events: events2 }) => sum + events2.length, 0),
        waitedMs: sent - oldest.since,
        millis: performance.now() - sent,
        queued: batch.map(({ queued }) => queued),
        failed: failed2
      });
    };
    try {
      const transferred = (bytes2, ms) => this.#limits.transferred(bytes2, ms);
      const appended = await this.#appender.append(batch, this.#endOf(oldest), transferred);
      if (oldest.inline) this.#limits.projected(batch.length, performance.now() - sent);
      told(false);
      return () => this.#resolve(batch, appended);
    } catch (error2) {
      told(true);
      await this.#handle(batch, error2);
      return () => {
      };
    }
  }
  /** When its time is over, as an instant of `performance.now()`. */
  #endOf({ since }) {
    const { deadline } = this.#database;
    return deadline === 0 ? Number.POSITIVE_INFINITY : since + deadline;
  }
  #resolve(batch, { outcomes, created: created2 }) {
    batch.forEach((w, i) => {
      const outcome = outcomes[i];
      if (outcome) w.stored(outcome, created2);
      else w.failed(outcomeUnknown());
    });
  }
  async #handle(batch, error2) {
    if (error2 instanceof InDoubtError) {
      const recovery = this.#recover(batch, error2.transaction).finally(
        () => this.#recovering.delete(recovery)
      );
      this.#recovering.add(recovery);
      return;
    }
    if (error2 instanceof InlineFailure) return this.#sendWithout(batch, error2);
    if (codeOf(error2) === "OUTCOME_UNKNOWN") {
      for (const w of batch) w.failed(sanitize(error2));
      return;
    }
    const cause = sanitize(error2 instanceof TransactionFailure ? error2.cause : error2);
    const refused = error2 instanceof TransactionFailure && error2.step !== void 0;
    if (wasUndone(cause) || DIED.has(codeOf(cause)) && !refused) return this.#sendAgain(batch, cause);
    if (batch.length > 1 && error2 instanceof TransactionFailure && isOwnFault(error2))
      for (const w of batch) (await this.#send([{ ...w, alone: true }]))();
    else this.#fail(batch, cause);
  }
  /** An inline projection has refused one of them; or one of several, of which each is tried alone. */
  async #sendWithout(batch, { error: error2, refused }) {
    if (refused === void 0) {
      for (const w of batch) (await this.#send([{ ...w, alone: true }]))();
      return;
    }
    batch[refused]?.failed(error2);
    const rest = batch.filter((_, i) => i !== refused).map((w) => ({ ...w, resent: (w.resent ?? 0) + 1 }));
    const alone = rest.some(({ resent = 0 }) => resent >= MAX_RESENT);
    const batches = alone ? rest.map((w) => [w]) : [rest];
    for (const again of batches) (await this.#send(again))();
  }
  /** All of them, unless it was the oldest's deadline that ended the batch: then those that have time left go again. */
  #fail(batch, cause) {
    const { deadline } = this.#database;
    const expires = performance.now() - deadline + 1;
    const byDeadline = deadline > 0 && batch.some(({ since }) => since <= expires);
    const isTimely = ({ since }) => byDeadline && since > expires;
    for (const w of batch) if (!isTimely(w)) w.failed(cause);
    this.#sendAgain(batch.filter(isTimely), cause);
  }
  /** After a loss each goes alone: it may be one of them that ends connections. */
  #sendAgain(batch, cause) {
    const again = batch.filter((w) => {
      if (w.tries < REPLAYS) return true;
      w.failed(DIED.has(codeOf(cause)) ? notApplied() : cause);
      return false;
    });
    this.#enqueue(
      again.map((w) => ({ ...w, tries: w.tries + 1, alone: !wasUndone(cause) })),
      true
    );
  }
  /** What the log shows is decided, what it does not hold goes again, and the rest is unknown. */
  async #recover(batch, transaction) {
    const outcomes = await this.#outcomesOf(batch, transaction);
    const absent = [];
    this.#report(batch, outcomes);
    batch.forEach((w, i) => {
      const outcome = outcomes[i] ?? "unknown";
      if (typeof outcome === "object") w.stored(outcome.outcome, outcome.created);
      else if (outcome === "absent") absent.push(w);
      else w.failed(outcomeUnknown());
    });
    const { deadline } = this.#database;
    const timely = absent.filter((w) => {
      const expired = deadline > 0 && performance.now() - w.since > deadline;
      if (expired) w.failed(deadlineError(deadline, w.tries + 1));
      return !expired;
    });
    if (timely.length > 0) this.#sendAgain(timely, notApplied());
  }
  /** Once for each lost connection: it was in doubt, and what the log said. */
  #report(batch, outcomes) {
    const found = { stored: 0, absent: 0, unknown: 0 };
    batch.forEach((_, i) => {
      const outcome = outcomes[i];
      if (typeof outcome === "object") found.stored++;
      else if (outcome === "absent") found.absent++;
      else found.unknown++;
    });
    this.#signals.observer?.inDoubt(found);
    const text = `[act-drizzle] the connection was lost after ${batch.length} commits had been sent; the log was asked: ${found.stored} had been stored, ${found.absent} had not and are sent again, ${found.unknown} are unknown`;
    if (found.unknown > 0)
      log8().error(`${text}: those callers got OUTCOME_UNKNOWN and have to look for themselves`);
    else log8().warn(text);
  }
  /** Nothing when it can't be found out in time, and nothing is guessed then. */
  async #outcomesOf(batch, transaction) {
    const window = performance.now() + RECOVERY_WINDOW_MS;
    const [oldest] = batch;
    const own2 = Math.max(window, oldest ? this.#endOf(oldest) : window);
    const end = () => this.#closing ? window : own2;
    const isOver = () => performance.now() >= end();
    let pause2 = FIRST_PAUSE_MS;
    for (; ; ) {
      try {
        const outcomes = await this.#appender.recover(batch, transaction, end());
        if (!outcomes.includes("pending")) return outcomes;
        if (isOver()) return outcomes.map((outcome) => outcome === "pending" ? "unknown" : outcome);
      } catch {
        if (isOver()) return batch.map(() => "unknown");
      }
      await new Promise((resolve3) => setTimeout(resolve3, pause2));
      pause2 = Math.min(pause2 * 2, LONGEST_PAUSE_MS);
    }
  }
};

// src/notifications/notify.ts
import { log as log9 } from "@rotorsoft/act";

// src/notifications/id-ranges.ts
var IdRanges = class {
  #limit;
  /** Ascending. Between two ranges is at least one id that belongs to neither. */
  #ranges = [];
  constructor(limit2) {
    this.#limit = limit2;
  }
  /** The number of ranges. */
  get size() {
    return this.#ranges.length;
  }
  /** The highest id; undefined for an empty set. */
  get highest() {
    return this.#ranges.at(-1)?.to;
  }
  /** Adds all ids from `from` to `to`, inclusive. */
  add(from, to) {
    const start = this.#firstReaching(from - 1);
    let end = start;
    let [low, high] = [from, to];
    for (let range = this.#ranges[end]; range && range.from <= to + 1; range = this.#ranges[++end]) {
      low = Math.min(low, range.from);
      high = Math.max(high, range.to);
    }
    this.#ranges.splice(start, end - start, { from: low, to: high });
    if (this.#ranges.length > this.#limit) this.#ranges.shift();
  }
  has(id) {
    const range = this.#ranges[this.#firstReaching(id)];
    return range !== void 0 && range.from <= id;
  }
  clear() {
    this.#ranges = [];
  }
  /** The index of the first range that ends at `id` or later. */
  #firstReaching(id) {
    let low = 0;
    let high = this.#ranges.length;
    while (low < high) {
      const middle = low + high >>> 1;
      const range = this.#ranges[middle];
      if (range && range.to < id) low = middle + 1;
      else high = middle;
    }
    return low;
  }
};

// src/notifications/claimable.ts
var PER_LANE = 10;
var MAX_NAMES = 100;
var statement = ({ events: events2, streams, correlated }) => {
  const pending = "not s.blocked and s.at < s.correlated_at";
  const waits = `${pending} and s.deferred_at is null and s.${CLAIM_ARMS.laneFair}`;
  const free = "(s.leased_until is null or s.leased_until <= now())";
  const columns = "s.lane, s.stream, s.at, s.retry, s.correlated_at";
  return `with recursive lanes(lane) as (
    (select s.lane from ${streams} s where ${waits} order by s.lane, s.at limit 1)
  union all
    select following.lane from lanes l cross join lateral (
      select s.lane from ${streams} s where ${waits} and s.lane > l.lane order by s.lane, s.at limit 1) following
), open as materialized (
    select first.* from lanes l cross join lateral (
      select ${columns} from ${streams} s
      where ${waits} and ${free} and s.lane = any(array[l.lane])
      order by s.lane, s.at limit ${PER_LANE}) first
    where l.lane <> all($1::text[])
  union all
    select due.* from (
      select ${columns} from ${streams} s
      where ${pending} and s.deferred_at is not null and s.deferred_at <= now() and ${free}
      order by s.deferred_at limit ${PER_LANE}) due
    where due.lane <> all($1::text[])
), windows(lane, state, low, high) as materialized (
    select lane, md5(string_agg(stream || ' ' || at || ' ' || retry, ',' order by stream)), min(at), max(correlated_at)
    from open group by lane
  union all
    select null, at || ' ' || $2::bigint, at, $2::bigint
    from (select coalesce((select at from ${correlated} where key = ''), -1)) checkpoint(at) where at < $2::bigint
), names(name) as (
    (select e.name from ${events2} e where exists (select from windows) order by e.name, e.id limit 1)
  union all
    select following.name from names n cross join lateral (
      select e.name from ${events2} e where e.name > n.name order by e.name, e.id limit 1) following
), schedule(due_in) as (
  select (extract(epoch from min(s.deferred_at) - now()) * 1000)::float8 from ${streams} s
  where ${pending} and s.deferred_at is not null and s.deferred_at > now()
)
select schedule.due_in, w.lane, w.state, next.id, next.name, next.stream
from schedule left join windows w on true left join lateral (
  select first.* from (select name from names limit ${MAX_NAMES}) n cross join lateral (
    select e.id, e.name, e.stream from ${events2} e
    where (e.name, e.id) > (n.name, w.low) and (e.name, e.id) <= (n.name, w.high)
    order by e.name, e.id limit 1) first
) next on true
order by next.id`;
};
var claimableQuery = (names, busy, position2) => ({
  text: statement(names),
  params: [textArray(busy), position2]
});
function toFound(rows) {
  const dueIn = rows[0]?.due_in;
  const open2 = rows.filter(({ state }) => typeof state === "string");
  const waiting = [...Map.groupBy(open2, ({ lane }) => lane ?? void 0)].map(([lane, group]) => ({
    lane: lane === void 0 ? void 0 : String(lane),
    state: String(group[0]?.state),
    events: group.filter(({ id }) => id !== null).map((row5) => ({ id: Number(row5.id), name: String(row5.name), stream: String(row5.stream) }))
  }));
  return { waiting, dueIn: typeof dueIn === "number" ? dueIn : void 0 };
}

// src/notifications/look-out.ts
var SPREAD = 500;
var LONGEST_PAUSE = 3e4;
var RecentClaims = class {
  #times = /* @__PURE__ */ new Map();
  note(lane) {
    this.#times.set(lane, performance.now());
  }
  /** The lanes in which this store has claimed since `time`; undefined if it has claimed in all lanes. */
  since(time) {
    for (const [lane, at] of this.#times) if (at < time) this.#times.delete(lane);
    if (this.#times.has(void 0)) return void 0;
    return [...this.#times.keys()].filter((lane) => lane !== void 0);
  }
};
var LookOut = class {
  #context;
  #options;
  #period;
  #timer;
  /** When work was announced, in ms of `performance.now()`, if the next poll is for that announcement. */
  #announced;
  #stopped = false;
  /** What was reported last, by lane. */
  #reported = /* @__PURE__ */ new Map();
  constructor(context, options) {
    this.#context = context;
    this.#options = options;
    this.#period = context.pollIntervalMillis;
  }
  start() {
    this.#scheduleNext(void 0);
  }
  stop() {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }
  /** A process has announced claimable work. */
  announced() {
    if (this.#stopped || this.#announced !== void 0) return;
    this.#announced = performance.now();
    this.#schedule(Math.random() * SPREAD);
  }
  #scheduleNext(dueIn) {
    const { random } = Math;
    const regular = this.#period > 0 ? this.#period * (0.75 + random() / 2) : Number.POSITIVE_INFINITY;
    const due = dueIn === void 0 ? Number.POSITIVE_INFINITY : dueIn + random() * SPREAD;
    const delay2 = Math.min(regular, due);
    if (delay2 < 2147483647) this.#schedule(delay2);
  }
  #schedule(delay2) {
    if (this.#stopped) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#look(), delay2);
    this.#timer.unref();
  }
  async #look() {
    const since = this.#announced ?? performance.now() - this.#period / 2;
    this.#announced = void 0;
    const busy = this.#options.claims.since(since);
    let found;
    if (busy) {
      const { connections, names } = this.#context;
      try {
        const query2 = claimableQuery(names, busy, this.#options.position());
        found = toFound(await connections.read("notify", query2));
      } catch {
      }
    }
    if (this.#stopped) return;
    if (found) this.#report(found.waiting);
    if (this.#announced === void 0) this.#scheduleNext(found?.dueIn);
  }
  #report(waiting) {
    const now = performance.now();
    const before = this.#reported;
    this.#reported = /* @__PURE__ */ new Map();
    for (const { lane, state, events: events2 } of waiting) {
      const last = before.get(lane);
      const same = last?.state === state;
      if (same && now < last.until) {
        this.#reported.set(lane, last);
        continue;
      }
      const pause2 = same ? Math.min(last.pause * 2, LONGEST_PAUSE) : this.#period;
      this.#reported.set(lane, { state, pause: pause2, until: now + pause2 });
      const news = lane === void 0 ? events2.filter((event2) => !this.#options.isReported(event2)) : events2;
      this.#options.report(news);
    }
  }
};

// src/notifications/payload.ts
var isId = (value) => typeof value === "number" && Number.isSafeInteger(value) && value > 0;
var isText = (value) => typeof value === "string" && refusedText(value) === void 0;
var isAbsent = (value) => value === null || value === void 0;
function readEvents(value) {
  if (!Array.isArray(value)) return void 0;
  const events2 = [];
  let last = 0;
  for (const event2 of value) {
    if (!isRecord(event2) || !isId(event2.id) || event2.id <= last || !isText(event2.name)) return void 0;
    last = event2.id;
    events2.push({ id: event2.id, name: event2.name });
  }
  return events2;
}
function parsePayload(text) {
  let value;
  try {
    value = JSON.parse(text);
  } catch {
    return void 0;
  }
  if (!isRecord(value) || !isText(value.stream)) return void 0;
  const { stream: stream2, by: by2, from, to } = value;
  if (!isAbsent(by2) && typeof by2 !== "string") return void 0;
  const events2 = readEvents(value.events);
  if (!events2) return void 0;
  const range = isId(from) && isId(to) && from <= to ? { from, to } : void 0;
  if (!range && !(isAbsent(from) && isAbsent(to))) return void 0;
  if (events2.length === 0 && !range)
    return value.claimable === true ? { stream: stream2, by: by2 ?? void 0, events: events2, range, claimable: true } : void 0;
  return { stream: stream2, by: by2 ?? void 0, events: events2, range: events2.length === 0 ? range : void 0 };
}

// src/notifications/notify.ts
var MAX_CATCH_UP = 1e3;
var MAX_EVENTS2 = 1e4;
var MAX_WAITING2 = 1e3;
var FOR_EVER = 2147483647;
var OwnCommits = class {
  ids = new IdRanges(MAX_CATCH_UP);
  #pending = /* @__PURE__ */ new Set();
  track(append) {
    const recorded = append.then(
      ({ outcome: { ids } }) => {
        const [from] = ids;
        const to = ids.at(-1);
        if (from !== void 0 && to !== void 0) this.ids.add(from, to);
      },
      () => {
      }
    );
    this.#pending.add(recorded);
    void recorded.then(() => this.#pending.delete(recorded));
  }
  /** Resolves once the appends that are running now have ended. Their events may already be in the log. */
  async allRecorded() {
    await Promise.all(this.#pending);
  }
};
var Notifier = class {
  #context;
  #own = new OwnCommits();
  #claims = new RecentClaims();
  #subscription;
  constructor(context) {
    this.#context = context;
  }
  async start(handler) {
    checkFunction("notify", "handler", handler);
    const previous = this.#subscription;
    const subscription = new Subscription(this.#context, this.#own, this.#claims, handler);
    this.#subscription = subscription;
    await previous?.end();
    try {
      await subscription.start();
    } catch (error2) {
      await subscription.end();
      throw error2;
    }
    return () => subscription.end();
  }
  /** Records a commit of this store, so that catch-up can leave it out. */
  track(append) {
    this.#own.track(append);
  }
  /** Records that this store claims, so that the look-out need not look. */
  claims(lane) {
    this.#claims.note(lane);
  }
  async stop() {
    await this.#subscription?.end();
  }
};
var Subscription = class {
  #context;
  #own;
  #handler;
  #listener;
  #ended = false;
  /** The id of the newest event when the log was last read. */
  #position = -1;
  /** The last events that payloads have named, at most MAX_CATCH_UP: id → stream. */
  #received = /* @__PURE__ */ new Map();
  #lookUps = Promise.resolve();
  #waiting = 0;
  #catchUps = Promise.resolve();
  #lookOut;
  /** A process that listens waits for work, so it must not end: without this nothing in an app keeps it alive. */
  #keepAlive = setInterval(() => {
  }, FOR_EVER);
  constructor(context, own2, claims, handler) {
    this.#context = context;
    this.#own = own2;
    this.#handler = handler;
    this.#lookOut = new LookOut(context, {
      claims,
      position: () => this.#position,
      isReported: ({ id, stream: stream2 }) => this.#isReported(id, stream2),
      report: (events2) => this.#callByStream(events2)
    });
  }
  /** Resolves once the server has confirmed LISTEN. */
  async start() {
    const { names, connections } = this.#context;
    const listener = await guard(
      "notify",
      () => connections.listen({
        channel: names.channel,
        onPayload: (payload) => this.#receive(payload),
        // Once for each loss: while it tries to listen again, nothing is said.
        onLost: () => log9().warn(
          `[act-drizzle] "${names.schema}"."${names.table}": the connection that listens was lost; until it is back, events of other processes are found by polling only`
        ),
        onReconnected: () => {
          this.#context.signals?.observer?.listenerReconnected();
          log9().info(
            `[act-drizzle] "${names.schema}"."${names.table}": listening again; reading what was missed`
          );
          this.#catchUps = this.#catchUps.then(() => this.#catchUp());
        }
      })
    );
    if (this.#ended) return listener.stop();
    this.#listener = listener;
    const [row5] = await connections.read("notify", {
      text: `select id from ${names.events} order by id desc limit 1`
    });
    this.#position = Math.max(this.#position, Number(row5?.id ?? -1));
    if (!this.#ended) this.#lookOut.start();
  }
  /** Idempotent. The handler is not called any more. */
  async end() {
    if (this.#ended) return;
    this.#ended = true;
    clearInterval(this.#keepAlive);
    this.#lookOut.stop();
    await this.#listener?.stop();
  }
  #receive(text) {
    const payload = parsePayload(text);
    if (payload?.claimable) this.#lookOut.announced();
    if (!payload || payload.claimable || payload.by === this.#context.by) return;
    if (!payload.range) {
      this.#report(payload.stream, payload.events);
      return;
    }
    if (this.#waiting >= MAX_WAITING2) return;
    this.#waiting++;
    this.#lookUps = this.#lookUps.then(async () => {
      await this.#lookUp(payload);
      this.#waiting--;
    });
  }
  async #lookUp({ stream: stream2, range }) {
    if (this.#ended || !range) return;
    const { names, connections } = this.#context;
    try {
      const rows = await connections.read("notify", {
        text: `select id, name from ${names.events}
  where stream = $1::text and id between $2::bigint and $3::bigint order by id limit ${MAX_EVENTS2}`,
        params: [stream2, range.from, range.to]
      });
      this.#report(stream2, rows.map(toEvent));
    } catch {
    }
  }
  async #catchUp() {
    if (this.#ended) return;
    const { names, connections } = this.#context;
    const highest = this.#highestKnown();
    try {
      const rows = await connections.read("notify", {
        text: `select id, name, stream from ${names.events}
  where id > coalesce((select $1::bigint where $2::bigint <= (select max(id) from ${names.events})), -1)
  order by id desc limit ${MAX_CATCH_UP}`,
        params: [this.#position, highest]
      });
      const [newest] = rows;
      if (!newest) return;
      this.#position = Number(newest.id);
      if (this.#position < highest) {
        this.#received.clear();
        this.#own.ids.clear();
      }
      await this.#own.allRecorded();
      const missed = rows.filter((row5) => !this.#isReported(Number(row5.id), String(row5.stream))).reverse();
      this.#callByStream(missed.map((row5) => ({ ...toEvent(row5), stream: String(row5.stream) })));
    } catch {
    }
  }
  /** The highest id seen so far: in the log, in an own commit or in a payload. */
  #highestKnown() {
    let highest = Math.max(this.#position, this.#own.ids.highest ?? -1);
    for (const id of this.#received.keys()) highest = Math.max(highest, id);
    return highest;
  }
  /** The app knows of the event: by its own commit, or by a payload. */
  #isReported(id, stream2) {
    return this.#own.ids.has(id) || this.#received.get(id) === stream2;
  }
  /** Calls the handler with the events of a payload, and records them for the next catch-up. */
  #report(stream2, events2) {
    for (const { id } of events2) {
      this.#received.delete(id);
      this.#received.set(id, stream2);
    }
    for (const id of this.#received.keys()) {
      if (this.#received.size <= MAX_CATCH_UP) break;
      this.#received.delete(id);
    }
    this.#call(stream2, events2);
  }
  #callByStream(events2) {
    for (const [stream2, group] of Map.groupBy(events2, (event2) => event2.stream))
      this.#call(
        stream2,
        group.map(({ id, name: name2 }) => ({ id, name: name2 }))
      );
  }
  #call(stream2, events2) {
    if (this.#ended || events2.length === 0) return;
    const failed2 = (error2) => log9().error(
      `[act-drizzle] a notify handler failed: ${error2 instanceof Error ? error2.name : "not an Error"}`
    );
    try {
      const result = this.#handler({ stream: stream2, events: events2 });
      Promise.resolve(result).catch(failed2);
    } catch (error2) {
      failed2(error2);
    }
  }
};
var toEvent = (row5) => ({ id: Number(row5.id), name: String(row5.name) });

// src/operations.ts
import { AsyncLocalStorage } from "node:async_hooks";
var READING = /* @__PURE__ */ new Set(["query", "query_stats", "query_streams"]);
var current = new AsyncLocalStorage();
function callers() {
  const found = [];
  for (let one = current.getStore(); one; one = one.caller) found.push(one);
  return found;
}
var Operations = class {
  /** Maximum number of connections of the store. */
  #max;
  #running = /* @__PURE__ */ new Set();
  #closed = false;
  #idle = () => {
  };
  constructor(max = Number.POSITIVE_INFINITY) {
    this.#max = max;
  }
  /** Runs a verb. After close() it rejects, unless a verb that is still running makes the call. */
  async run(verb, work) {
    this.assertOpen(verb);
    this.assertNotInRestore(verb);
    const operation = { verb, caller: current.getStore() };
    this.#running.add(operation);
    try {
      return await current.run(operation, work);
    } finally {
      this.#leave(operation);
    }
  }
  /** The same for a verb that runs no code of its caller, so that no other call can come from within it. */
  async runAlone(verb, work) {
    this.assertOpen(verb);
    this.assertNotInRestore(verb);
    const operation = { verb, caller: void 0 };
    this.#running.add(operation);
    try {
      return await work();
    } finally {
      this.#leave(operation);
    }
  }
  /** @throws StoreError after close(). */
  assertOpen(verb) {
    if (this.#closed && !callers().some((caller) => this.#running.has(caller)))
      throw toStoreError(verb, storeClosed());
  }
  /**
   * Refuses calls that would never end: the driver of a restore waits for the verb that it calls, and the verb would wait
   * for the restore's append lock, its row locks, or its connection.
   *
   * @throws StoreError if the verb is called by the driver of a running restore of this store, and would wait for it.
   */
  assertNotInRestore(verb) {
    const inRestore = callers().some((one) => one.verb === "restore" && this.#running.has(one));
    if (!inRestore || READING.has(verb) && this.#max >= 3) return;
    const text = READING.has(verb) ? `${verb} was called by the driver of a restore, which has the only connection that it could use` : `${verb} was called by the driver of a restore, and would wait for that restore`;
    throw toStoreError(verb, new ConnectionError("IN_RESTORE", text, false));
  }
  /** Stops waiting for the verbs from whose callbacks this is called: they may be waiting for dispose() themselves. */
  leave() {
    for (const caller of callers()) this.#leave(caller);
  }
  /** Refuses new verbs. Resolves once the running ones have ended, or after `limit` ms. */
  async close(limit2) {
    this.#closed = true;
    if (this.#running.size === 0) return;
    await new Promise((resolve3) => {
      const timer = setTimeout(resolve3, limit2);
      this.#idle = () => {
        clearTimeout(timer);
        resolve3();
      };
    });
  }
  #leave(operation) {
    if (this.#running.delete(operation) && this.#running.size === 0) this.#idle();
  }
};

// src/runtime.ts
var DISPOSE_LIMIT = 65e3;
var Runtime = class {
  config;
  context;
  /** Only with `notify: true`. */
  notifier;
  operations;
  #appender;
  #queue;
  #disposed;
  constructor(resolved) {
    const { config, secrets } = resolved;
    this.operations = new Operations(config.max);
    this.config = withHiddenPassword(resolved);
    const names = namesOf(config.schema, config.table);
    const connections = new Database(resolved, appendFacts(names));
    const cipher = secrets.pii && new PiiCipher(secrets.pii);
    const by2 = randomUUID6();
    const reader = eventReader(config.dates, cipher);
    const { notify, pollIntervalMillis } = config;
    const { inline } = secrets;
    const signals = noSignals();
    this.context = { names, connections, cipher, inline, reader, by: by2, notify, pollIntervalMillis, signals };
    this.#appender = new Appender({ connections, names, by: by2, announce: config.notify, inline });
    this.#queue = new AppendQueue(connections, this.#appender, signals);
    signals.commitsWaiting = () => this.#queue.waiting;
    this.notifier = config.notify ? new Notifier(this.context) : void 0;
  }
  /** Opens the connection for appends before the first commit needs it. */
  warmUp() {
    this.#appender.warmUp();
  }
  append = (append) => {
    const appended = this.#queue.push(append);
    this.notifier?.track(appended);
    return appended;
  };
  async dispose() {
    this.operations.assertNotInRestore("dispose");
    this.operations.leave();
    this.#disposed ??= this.#dispose();
    await this.#disposed;
  }
  async #dispose() {
    const { connections } = this.context;
    this.#queue.limitRecovery();
    await Promise.all([this.notifier?.stop(), this.operations.close(connections.deadline || DISPOSE_LIMIT)]);
    await this.#queue.close();
    await connections.close();
  }
};

// src/schema/load-tables.ts
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
var here = import.meta.url;
var resolve2 = import.meta.resolve;
function source() {
  if (here?.endsWith("/src/schema/load-tables.ts")) return "./tables.ts";
  return resolve2 ? fileURLToPath(resolve2("act-drizzle/schema")) : "act-drizzle/schema";
}
var known = /* @__PURE__ */ new WeakMap();
function tablesOf(config) {
  const tables = known.get(config) ?? loadTables(config);
  known.set(config, tables);
  return tables;
}
function loadTables({ schema, table }) {
  let module;
  try {
    module = createRequire(here ?? "")(source());
  } catch (cause) {
    throw new Error(
      "act-drizzle: store.tables could not load act-drizzle/schema: install drizzle-orm, and in a bundled app call actTables() of act-drizzle/schema instead.",
      { cause }
    );
  }
  return module.actTables({ schema, table });
}

// src/subscriptions/lease.ts
var LONGEST_LEASE_MS = 100 * 365.25 * 864e5;
var toLeaseMillis = (millis2) => Math.max(-LONGEST_LEASE_MS, Math.min(LONGEST_LEASE_MS, millis2));
function firstPerHolder(leases2) {
  const seen = /* @__PURE__ */ new Set();
  return leases2.filter(({ stream: stream2, by: by2 }) => {
    const key3 = JSON.stringify([stream2, by2]);
    if (seen.has(key3)) return false;
    seen.add(key3);
    return true;
  });
}
function checkLeases(verb, leases2) {
  checkArray(verb, "leases", leases2);
  for (const lease of leases2) {
    checkObject(verb, "each lease", lease);
    checkText(verb, "stream", lease.stream);
    checkText(verb, "by", lease.by);
  }
}
function toLease({ stream: stream2, by: by2, lagging }, row5) {
  return {
    stream: stream2,
    source: row5.source ?? void 0,
    at: row5.at,
    by: by2,
    retry: row5.retry,
    lagging,
    lane: row5.lane
  };
}

// src/subscriptions/ack.ts
var statement2 = (names) => `with given as materialized (
  select * from unnest($1::text[], $2::text[], $3::bigint[], $4::int[], $5::float8[])
    with ordinality as g(stream, by, at, retry, due, ord)
), held as materialized (
  select s.stream, g.by, g.at, g.retry, g.due, g.ord
  from ${names.streams} s join given g on g.stream = s.stream
  where s.leased_by = g.by order by s.stream for update of s
)
update ${names.streams} s set at = h.at, leased_by = null, leased_until = null,
  retry = case when h.due is null then -1 else h.retry end,
  deferred_at = to_timestamp(h.due / 1000)
from held h where s.stream = h.stream and s.leased_by = h.by
returning h.ord::int as ord, s.source, s.at, s.retry, s.lane`;
async function ack({ names, connections }, leases2) {
  checkLeases("ack", leases2);
  if (leases2.length === 0) return [];
  const given = firstPerHolder(leases2);
  for (const lease of given) {
    checkNumber("ack", "at", lease.at);
    checkNumber("ack", "retry", lease.retry ?? -1);
    if (lease.due !== void 0 && lease.due !== null) checkNumber("ack", "due", lease.due);
  }
  const rows = await connections.write("ack", {
    text: statement2(names),
    params: [
      textArray(given.map((l) => l.stream)),
      nullableTextArray(given.map((l) => l.by)),
      numberArray(given.map((l) => toId(l.at))),
      numberArray(given.map((l) => toInt(l.retry ?? -1))),
      numberArray(given.map((l) => l.due === void 0 || l.due === null ? null : toTime(l.due)))
    ]
  });
  const stored = new Map(rows.map((row5) => [row5.ord, row5]));
  return given.flatMap((lease, i) => {
    const row5 = stored.get(i + 1);
    if (!row5 || lease.due !== void 0 && lease.due !== null) return [];
    return [toLease(lease, row5)];
  });
}

// src/subscriptions/log-blocked.ts
import { log as log10 } from "@rotorsoft/act";
var PER_MINUTE = 10;
var throttles = /* @__PURE__ */ new WeakMap();
function logBlocked(context, blocked2) {
  const throttle = throttles.get(context) ?? new Throttle(PER_MINUTE);
  throttles.set(context, throttle);
  const { schema, table } = context.names;
  for (const { stream: stream2, lane, at, retry } of blocked2)
    throttle.tell(
      "blocked",
      (leftOut) => log10().warn(
        `[act-drizzle] "${schema}"."${table}": the subscription ${JSON.stringify(stream2)} (lane ${lane ?? "default"}) is blocked behind event ${at}, after ${retry + 1} attempts: \`act-drizzle blocked\` shows the error and the event${alsoLeftOut(leftOut)}`
      )
    );
}

// src/subscriptions/block.ts
var statement3 = (names) => `with given as materialized (
  select * from unnest($1::text[], $2::text[], $3::text[]) with ordinality as g(stream, by, error, ord)
), held as materialized (
  select s.stream, g.by, g.error, g.ord from ${names.streams} s join given g on g.stream = s.stream
  where s.leased_by = g.by and not s.blocked order by s.stream for update of s
)
update ${names.streams} s set blocked = true, error = h.error, deferred_at = null
from held h where s.stream = h.stream and s.leased_by = h.by and not s.blocked
returning h.ord::int as ord, s.source, s.at, s.retry, s.lane`;
function storable(error2) {
  let text = "an error that has no text";
  try {
    text = String(error2 ?? "");
  } catch {
  }
  return text.toWellFormed().replaceAll("\0", "\uFFFD");
}
async function block(context, leases2) {
  const { names, connections } = context;
  checkLeases("block", leases2);
  if (leases2.length === 0) return [];
  const given = firstPerHolder(leases2);
  const rows = await connections.write("block", {
    text: statement3(names),
    params: [
      textArray(given.map((l) => l.stream)),
      textArray(given.map((l) => l.by)),
      textArray(given.map((l) => storable(l.error)))
    ]
  });
  const stored = new Map(rows.map((row5) => [row5.ord, row5]));
  const blocked2 = given.flatMap((lease, i) => {
    const row5 = stored.get(i + 1);
    if (!row5) return [];
    return [{ ...toLease(lease, row5), error: storable(lease.error) }];
  });
  logBlocked(context, blocked2);
  return blocked2;
}

// src/subscriptions/claim.ts
var NOW = "greatest(now(), least(to_timestamp($3::float8 / 1000), now() + interval '1 minute'))";
var TIMER_SKEW_MS = 1;
var LOCK_TIMEOUT_MS2 = 25;
var LANE_ARMS = { byPriority: "laneByPriority", fair: "laneFair" };
var MAX_CLAIM = 1e5;
var DUE = 320;
var SPARE = 256;
var STEPS2 = [16, 256, 4096, MAX_CLAIM];
var stepFor = (limits2) => {
  const most = Math.max(limits2.byPriority, limits2.fair, limits2.leading);
  return STEPS2.find((step) => most <= step) ?? MAX_CLAIM;
};
function statement4(names, step, inLane) {
  const available = `not s.blocked and coalesce(s.leased_until <= now(), true)${inLane ? " and s.lane = any(array[(select lane from call)])" : ""}`;
  const behind = "s.at < s.correlated_at";
  const byLane = (direction = "") => inLane ? `s.lane${direction}, ` : "";
  const due = "s.deferred_at <= (select due from call)";
  const taken = (walk, limit2) => `(select * from (select * from (${walk} limit ${step} for update of s skip locked) walk limit (select ${limit2} from call)) taken)`;
  const arm = (kind2, rest, order, limit2, direction = "") => `
  select * from (
    ${taken(
    `select s.stream, s.at, s.priority from ${names.streams} s
      where (select limited from call) and ${available} and ${behind} and s.deferred_at is null
      and s.${CLAIM_ARMS[inLane ? LANE_ARMS[kind2] : kind2]}${rest}
      order by ${byLane(direction)}${order("s.")}`,
    limit2
  )}
    union all
    ${taken(
    `select s.stream, s.at, s.priority from (select * from due order by ${order("")} limit ${2 * step + SPARE}) d
      join ${names.streams} s on s.stream = d.stream
      where (select limited from call) and ${available} and ${behind} and coalesce(${due}, false)${rest} order by ${order("d.")}`,
    limit2
  )}
  ) both_kinds order by ${order("")} limit (select ${limit2} from call)`;
  const more = " and (select count(*) from by_priority) >= (select by_priority from call)";
  const others = `${more} and not coalesce((select jsonb_object_agg(stream, 0) from by_priority), '{}') ? s.stream`;
  return `with call as materialized (
  select set_config('lock_timeout', '${LOCK_TIMEOUT_MS2}', true) is not null as limited, ${NOW} as due,
    $4::bigint as by_priority, $5::bigint as fair, $6::bigint as furthest${inLane ? ", $7::text as lane" : ""}
), due as materialized (
  select s.stream, s.at, s.priority from ${names.streams} s
  where ${available} and ${inLane ? LANE_SCHEDULE : behind} and ${due} order by ${byLane()}s.deferred_at limit ${Math.max(DUE, step)}
), by_priority as materialized (${arm("byPriority", "", (of) => `${of}priority desc, ${of}at`, "by_priority")}
), fair as materialized (${arm("fair", others, (of) => `${of}at`, "fair")}
), leading_arm as materialized (${arm("fair", more, (of) => `${of}at desc`, "furthest", " desc")}
), picked as (
  select stream, min(ord) as ord, bool_or(lagging) as lagging from (
    select stream, true as lagging, row_number() over () as ord from by_priority
    union all select stream, true, 1000000000 + row_number() over () from fair
    union all select stream, false, 2000000000 + row_number() over () from leading_arm
  ) ranked group by stream
), leased as (
  update ${names.streams} s set retry = least(s.retry::bigint + 1, 2147483647)::int, leased_by = $1::text,
    leased_until = clock_timestamp() + $2::float8 * interval '1 millisecond'
  from picked p where s.stream = p.stream
  returning s.stream, s.source, s.at, s.retry, s.lane, p.lagging, p.ord
)
select * from leased order by ord`;
}
var count2 = (value) => Math.max(0, Math.min(MAX_CLAIM, Math.trunc(value)));
async function claim({ names, connections }, lagging, leading, by2, millis2, lane) {
  checkNumber("claim", "lagging", lagging);
  checkNumber("claim", "leading", leading);
  checkText("claim", "by", by2);
  checkNumber("claim", "millis", millis2);
  checkOptionalText("claim", "lane", lane);
  const behind = count2(lagging);
  const fair = behind >= 2 ? Math.max(1, Math.floor(behind / 4)) : 0;
  const limits2 = { byPriority: behind - fair, fair, leading: count2(leading) };
  if (limits2.byPriority + limits2.fair + limits2.leading === 0) return [];
  const inLane = lane !== void 0 && lane !== null;
  const params = [
    by2,
    toLeaseMillis(millis2),
    Date.now() + TIMER_SKEW_MS,
    limits2.byPriority,
    limits2.fair,
    limits2.leading
  ];
  const query2 = {
    text: statement4(names, stepFor(limits2), inLane),
    params: inLane ? [...params, lane] : params
  };
  const rows = await connections.write("claim", query2, { retryOnLockTimeout: true });
  return rows.map(
    (row5) => toLease({ stream: row5.stream, by: by2, lagging: row5.lagging }, row5)
  );
}

// src/subscriptions/source-matches.ts
import { StoreError as StoreError5 } from "@rotorsoft/act";
var BETWEEN = "\0";
var REPETITION = /[*+?{]/;
var INVALID_REGULAR_EXPRESSION = "2201B";
var matchQuery = (patterns, names) => ({
  text: `select p.ord::int as ord from unnest($1::text[]) with ordinality as p(pattern, ord)
where exists (select from unnest($2::text[]) as n(name) where n.name ~ p.pattern)`,
  params: [textArray(patterns), textArray(names)]
});
var SourceMatches = class {
  #names;
  #distinct;
  #joined;
  #decided = /* @__PURE__ */ new Map();
  constructor(names) {
    this.#distinct = new Set(names);
    this.#names = [...this.#distinct];
    this.#joined = BETWEEN + this.#names.join(BETWEEN);
  }
  /** Whether a source matches, after {@link decide}. True also if that could not be found out. */
  has(source2) {
    return typeof source2 !== "string" || source2 === "" || this.#decided.get(source2) !== false;
  }
  /** Matches these sources against the names, and keeps the results for {@link has}. */
  async decide(connections, sources) {
    const regular = [];
    for (const source2 of new Set(sources)) {
      if (typeof source2 !== "string" || source2 === "" || this.#decided.has(source2)) continue;
      const found = this.#find(source2);
      if (typeof found === "boolean") this.#decided.set(source2, found);
      else regular.push({ source: source2, text: found.text });
    }
    if (regular.length === 0) return;
    const patterns = regular.map(({ text }) => text);
    const matching = await connections.read("query_streams", matchQuery(patterns, this.#names)).then((rows) => new Set(rows.map((row5) => row5.ord))).catch(unlessInvalid);
    regular.forEach(({ source: source2 }, i) => {
      this.#decided.set(source2, matching === void 0 || matching.has(i + 1));
    });
  }
  /** Whether the source matches, or the regular expression that the server has to match. */
  #find(source2) {
    let pattern;
    try {
      pattern = toPattern("source", source2);
    } catch {
      return this.#findUntranslated(source2);
    }
    switch (pattern.kind) {
      case "any":
        return true;
      case "equals":
        return this.#distinct.has(pattern.text);
      case "contains":
        return this.#joined.includes(pattern.text);
      case "prefix":
        return this.#joined.includes(BETWEEN + pattern.text);
      case "regex":
        if (pattern.prefix && !this.#joined.includes(BETWEEN + pattern.prefix)) return false;
        return { text: pattern.text };
    }
  }
  #findUntranslated(source2) {
    if (REPETITION.test(source2)) return true;
    try {
      const pattern = new RegExp(source2);
      return this.#names.some((name2) => pattern.test(name2));
    } catch {
      return true;
    }
  }
};
function unlessInvalid(error2) {
  const cause = error2 instanceof StoreError5 ? error2.cause : void 0;
  if (cause instanceof DatabaseError && cause.code === INVALID_REGULAR_EXPRESSION) return void 0;
  throw error2;
}

// src/subscriptions/query-streams.ts
var DEFAULT_LIMIT5 = 100;
var PAGE5 = 1e3;
var BETWEEN2 = "";
function positionsQuery(names, query2, after, limit2) {
  const where = filterConditions("query_streams", query2, new Conditions());
  if (after !== void 0) where.add(`s.stream ~>~ ${where.param(after)}::text`);
  if (query2.source_matches?.length) {
    const given = where.param(query2.source_matches.join(BETWEEN2));
    where.add(`(s.source is null or s.source = '' or s.source ~ '[][^$.*+?(){}|\\\\]'
      or strpos(${given}::text, s.source) > 0)`);
  }
  const text = `select (select id from ${names.events} order by id desc limit 1) as head, p.* from (select 1) one left join lateral (
  select s.stream, s.source, s.at, s.retry, s.blocked, s.error, s.priority, s.leased_by, s.lane, s.correlated_at,
    (extract(epoch from s.leased_until) * 1000)::text as leased_until, (extract(epoch from s.deferred_at) * 1000)::text as deferred_at
  from ${names.streams} s${where.where}
  order by s.stream using ~<~ limit ${where.param(limit2)}::bigint) p on true`;
  return { text, params: where.params };
}
var toMillis = (value) => value === null ? void 0 : Number(value);
var orUndefined = (value) => value === null ? void 0 : value;
function toPosition(row5) {
  const until = toMillis(row5.leased_until);
  const deferred = toMillis(row5.deferred_at);
  return {
    stream: row5.stream,
    source: orUndefined(row5.source),
    at: row5.at,
    retry: row5.retry,
    blocked: row5.blocked,
    error: row5.error ?? "",
    priority: row5.priority,
    leased_by: orUndefined(row5.leased_by),
    leased_until: until === void 0 ? void 0 : new Date(until),
    lane: row5.lane,
    ...deferred !== void 0 && { deferred_at: Math.round(deferred) },
    correlated_at: orUndefined(row5.correlated_at)
  };
}
async function queryStreams({ names, connections }, callback, query2 = {}) {
  checkFunction("query_streams", "callback", callback);
  checkObject("query_streams", "query", query2);
  checkOptionalText("query_streams", "after", query2.after);
  if (query2.source_matches !== void 0) checkTexts("query_streams", "source_matches", query2.source_matches);
  if (query2.limit !== void 0) checkNumber("query_streams", "limit", query2.limit);
  const wanted = Math.max(0, query2.limit ?? DEFAULT_LIMIT5);
  const sources = query2.source_matches?.length ? new SourceMatches(query2.source_matches) : void 0;
  let after = query2.after ?? void 0;
  let count3 = 0;
  for (; ; ) {
    const limit2 = Math.ceil(Math.min(PAGE5, wanted - count3));
    const rows = await connections.read("query_streams", positionsQuery(names, query2, after, limit2));
    const maxEventId = Number(rows[0]?.head ?? -1);
    const found = rows.filter((row5) => row5.stream !== null);
    await sources?.decide(
      connections,
      found.map(({ source: source2 }) => source2)
    );
    for (const row5 of found) {
      if (sources && !sources.has(row5.source)) continue;
      callback(toPosition(row5));
      count3++;
    }
    if (found.length < limit2 || count3 >= wanted) return { maxEventId, count: count3 };
    after = String(found.at(-1)?.stream);
  }
}

// src/subscriptions/advise.ts
import { log as log11 } from "@rotorsoft/act";
var advised = /* @__PURE__ */ new WeakSet();
function adviseNotify(context, subscriptions) {
  if (context.notify || subscriptions === 0 || advised.has(context)) return;
  advised.add(context);
  const { schema, table } = context.names;
  log11().info(
    `[act-drizzle] "${schema}"."${table}": notify is off, so this process claims after its own commits only; other processes' events, expired leases and what is reset or unblocked elsewhere wait for its next one: docs/guides/reliability.md, "Reactions without notify"`
  );
}

// src/subscriptions/subscribe.ts
var streamsPart = ({ streams }) => `given as materialized (
  select * from unnest($1::text[], $2::text[], $3::int[], $4::text[], $5::bigint[]) as g(stream, source, priority, lane, mark)
), wanted as materialized (
  select g.* from given g left join ${streams} s on s.stream = g.stream
  where s.stream is null or g.priority > s.priority or (g.priority = s.priority and g.lane <> s.lane)
     or g.mark > s.correlated_at or (g.mark is not null and s.correlated_at is null)
), upserted as (
  insert into ${streams} as s (stream, source, priority, lane, correlated_at, retry, at)
  select stream, source, priority, lane, mark, -1, -1 from wanted order by stream
  on conflict (stream) do update set
    lane = case when excluded.priority >= s.priority then excluded.lane else s.lane end,
    priority = greatest(s.priority, excluded.priority),
    correlated_at = greatest(s.correlated_at, excluded.correlated_at)
  where excluded.priority > s.priority or (excluded.priority = s.priority and excluded.lane <> s.lane)
     or excluded.correlated_at > s.correlated_at or (excluded.correlated_at is not null and s.correlated_at is null)
  returning (xmax = 0) as created, s.at < s.correlated_at as pending
)`;
var sharedPart = ({ correlated }, at) => `shared as (
  insert into ${correlated} as c (key, at) select '', ${at}::bigint
  where ${at}::bigint > coalesce((select at from ${correlated} where key = ''), -1)
  on conflict (key) do update set at = excluded.at where c.at < excluded.at
  returning at
)`;
var correlatorPart = ({ correlated }, at, [key3, by2, millis2]) => {
  const free = `(c.leased_until is null or c.leased_until < clock_timestamp() or c.leased_by = excluded.leased_by)`;
  return `lease as (
  insert into ${correlated} as c (key, at, leased_by, leased_until)
  select ${key3}::text, greatest(-1, coalesce((select at from ${correlated} where key = ''), -1)${at ? `, ${at}::bigint` : ""}), ${by2}::text,
    case when ${millis2}::float8 > 0 then clock_timestamp() + ${millis2}::float8 * interval '1 millisecond' end
  on conflict (key) do update set
    at = greatest(c.at, ${at ? `${at}::bigint` : "-1"}),
    leased_by = case when ${free} then excluded.leased_by else c.leased_by end,
    leased_until = case when ${free} then excluded.leased_until else c.leased_until end
  returning at, leased_by = ${by2}::text as correlating
)`;
};
function fold(streams) {
  const byStream = /* @__PURE__ */ new Map();
  for (const entry2 of streams) {
    const next = { ...entry2, priority: toInt(entry2.priority ?? 0), lane: entry2.lane ?? "default" };
    const first = byStream.get(entry2.stream);
    if (!first) {
      byStream.set(entry2.stream, next);
      continue;
    }
    const marks = [first.correlated_at, next.correlated_at].filter((m) => m !== void 0 && m !== null);
    byStream.set(entry2.stream, {
      ...first,
      lane: next.priority >= first.priority ? next.lane : first.lane,
      priority: Math.max(first.priority, next.priority),
      correlated_at: marks.length > 0 ? Math.max(...marks) : void 0
    });
  }
  return [...byStream.values()];
}
function check4(streams, correlatedAt, correlator) {
  checkArray("subscribe", "streams", streams);
  for (const entry2 of streams) {
    checkObject("subscribe", "each entry", entry2);
    checkText("subscribe", "stream", entry2.stream);
    checkOptionalText("subscribe", "source", entry2.source);
    checkOptionalText("subscribe", "lane", entry2.lane);
    if (entry2.priority !== void 0) checkNumber("subscribe", "priority", entry2.priority);
    if (entry2.correlated_at !== void 0 && entry2.correlated_at !== null)
      checkNumber("subscribe", "correlated_at", entry2.correlated_at);
  }
  if (correlatedAt !== void 0 && correlatedAt !== null)
    checkNumber("subscribe", "correlated_at", correlatedAt);
  if (correlator === void 0 || correlator === null) return;
  checkObject("subscribe", "correlator", correlator);
  checkText("subscribe", "correlator.key", correlator.key);
  checkText("subscribe", "correlator.by", correlator.by);
  checkNumber("subscribe", "correlator.millis", correlator.millis);
}
async function subscribe(context, streams, correlatedAt, correlator) {
  check4(streams, correlatedAt, correlator);
  adviseNotify(context, streams.length);
  const { names } = context;
  const params = [];
  const parts2 = [];
  const param = (value) => `$${params.push(value)}`;
  if (streams.length > 0) {
    const given = fold(streams);
    param(textArray(given.map((s) => s.stream)));
    param(nullableTextArray(given.map((s) => s.source ?? null)));
    param(numberArray(given.map((s) => s.priority)));
    param(textArray(given.map((s) => s.lane)));
    param(
      numberArray(
        given.map(
          (s) => s.correlated_at === void 0 || s.correlated_at === null ? null : toId(s.correlated_at)
        )
      )
    );
    parts2.push(streamsPart(names));
  }
  const at = correlatedAt === void 0 || correlatedAt === null ? void 0 : param(toId(correlatedAt));
  if (at && correlator?.key !== "") parts2.push(sharedPart(names, at));
  if (correlator)
    parts2.push(
      correlatorPart(names, at, [
        param(correlator.key),
        param(correlator.by),
        param(toLeaseMillis(correlator.millis))
      ])
    );
  const checkpoint = correlator ? "(select at from lease)" : `greatest(-1, coalesce((select at from ${names.correlated} where key = ''), -1)${at ? `, ${at}::bigint` : ""})`;
  const byHand = !at && !correlator && streams.length > 0;
  const text = (announce) => {
    const all2 = announce ? [...parts2, announcedPart(context, "exists (select from upserted where pending)")] : parts2;
    return `${all2.length > 0 ? `with ${all2.join(", ")} ` : ""}select
  ${streams.length > 0 ? "(select count(*) from upserted where created)" : "0"}::int as subscribed,
  coalesce((select at from ${names.streams} order by at desc limit 1), -1) as watermark,
  ${checkpoint} as checkpoint${correlator ? ", (select correlating from lease) as correlating" : ""}${announce ? ", (select count(*) from announced) as announced" : ""}`;
  };
  const [row5] = await writeAnnounced(context, "subscribe", (announce) => ({
    text: text(announce && byHand),
    params
  }));
  return {
    subscribed: Number(row5?.subscribed),
    watermark: Math.max(-1, Number(row5?.watermark)),
    correlated_at: Number(row5?.checkpoint),
    ...correlator && { correlating: row5?.correlating === true }
  };
}

// src/store.ts
var PostgresStore = class _PostgresStore {
  /** The options with every default applied. The password does not print. */
  config;
  #runtime;
  /**
   * @param options Where the server is and how to use it; the environment (`PGHOST`, …) and defaults fill the rest.
   * @throws Error that names each wrong option, and shows no value.
   */
  constructor(options) {
    const runtime = new Runtime(resolveOptions(options));
    const { notifier, operations } = runtime;
    this.config = runtime.config;
    this.#runtime = runtime;
    Object.defineProperty(this, CONTEXT, { value: runtime.context });
    if (notifier)
      this.notify = async (handler) => {
        operations.assertOpen("notify");
        return notifier.start(handler);
      };
    ownMethods(this, _PostgresStore.prototype);
  }
  /**
   * The store's Drizzle tables, to query and join with your own. Drizzle is loaded when they are first asked for.
   *
   * @throws Error if drizzle-orm is not installed.
   * @example const { events, streams, correlated } = store.tables;
   */
  get tables() {
    return tablesOf(this.config);
  }
  /**
   * The SQL that creates a store's schema, tables and indexes, for running it by hand.
   *
   * @param options `schema`, default `public`, and `table`, default `events`.
   * @throws Error if one of the names cannot be used.
   * @example writeFileSync("act.sql", PostgresStore.ddl({ schema: "shop" }));
   */
  static ddl(options = {}) {
    return ddl(namesOf(options.schema ?? "public", options.table ?? "events"));
  }
  /**
   * Creates the store's schema, tables and indexes, or brings them up to date, those of act-pg too. Nothing that holds
   * events is dropped or rewritten. Call it at every start of every process. Processes may call it at the same time, and on
   * an up-to-date schema it only reads the catalog.
   *
   * @throws StoreError; the database is then as it was before, or lacks indexes of a large table, which the next call
   *   builds.
   * @example await store.seed();
   */
  seed() {
    return this.#run("seed", async (context) => {
      await seed(context);
      this.#runtime.warmUp();
    });
  }
  /**
   * Deletes the store's own tables with every event, subscription and checkpoint, and nothing else of the schema. There
   * is no way back. Absent tables are fine.
   *
   * @throws StoreError, also if a table of another application stands in their place: it stays.
   * @example await store.drop();
   */
  drop() {
    return this.#run("drop", (context) => drop(context));
  }
  /**
   * Stops listening, refuses new calls, carries out those that were made before, and closes every connection.
   * Idempotent. It waits at most `statement_timeout` and 5 s for running calls. A call that takes longer, such as a query
   * with a slow callback, rejects at its next statement.
   *
   * @example process.once("SIGTERM", () => store.dispose());
   */
  dispose() {
    return this.#runtime.dispose();
  }
  /**
   * Appends events to a stream, all or none. Commits that are made at the same time share one transaction; each
   * resolves once it is durable.
   *
   * @param stream Name of the stream; it begins with its first event.
   * @param msgs The events. `[]` costs nothing.
   * @param meta Correlation and causation, the same for all of them.
   * @param expectedVersion Version of the stream's last event, -1 for a new stream. Left out: no check.
   * @returns The events as they stand in the log, with `id`, `version` and `created`.
   * @throws ConcurrencyError with the real version, ValidationError for what PostgreSQL cannot store, both with nothing
   *   written. StoreError: nothing written either, unless the cause's `code` is `OUTCOME_UNKNOWN`.
   * @example await store.commit("order-1", [{ name: "Placed", data: { total: 42 } }], { correlation: "c", causation: {} }, -1);
   */
  commit(stream2, msgs, meta, expectedVersion) {
    const { context, append, operations } = this.#runtime;
    const work = () => commit(context, append, stream2, msgs, meta, expectedVersion);
    return context.cipher ? operations.run("commit", work) : operations.runAlone("commit", work);
  }
  /**
   * Calls `callback` with each matching event in order of id, and waits for what it returns. It reads page by page, so
   * a log of any length fits in memory, and holds no connection meanwhile.
   *
   * @param filter Stream or pattern, names, range of ids and times, `limit` (default and 0: none), `backward`.
   *   Left out: all events, snapshots too.
   * @returns How many events there were.
   * @throws What `callback` throws. ValidationError for a pattern that cannot be matched exactly.
   * @example await store.query((event) => console.log(event.id, event.name), { stream: "order-1", stream_exact: true });
   */
  query(callback, filter) {
    return this.#run("query", (context) => query(context, callback, filter));
  }
  /**
   * The last event of each stream, and on request its first event, the number of events, and their number by name. Never
   * pii.
   *
   * @param input Names of streams, or a filter; `{}` is all.
   * @param options `tail`, `count`, `names`; `exclude` names of events, `before` an id, `after` a stream, `limit` streams.
   * @returns By stream, in code-unit order. A stream without a matching event is absent.
   * @example const stats = await store.query_stats({ stream: "^order-" }, { count: true, limit: 50 });
   */
  query_stats(input, options) {
    return this.#run("query_stats", (context) => queryStats(context, input, options));
  }
  /**
   * Replaces all events of streams by one snapshot or tombstone. With `before`, deletes the events before the latest
   * snapshot that is older than that time. All streams or none. There is no way back.
   *
   * @returns By stream: how many events were deleted, and the event that the stream now begins with.
   * @throws StoreError if the database fails; see its cause for whether it was done.
   * @example await store.truncate([{ stream: "order-1", snapshot: { total: 42 } }]);
   */
  truncate(targets) {
    return this.#run("truncate", (context) => truncate(context, targets));
  }
  /**
   * Replaces the whole log by the events that `driver` hands over, and deletes subscriptions and checkpoints, in one
   * transaction. Ids are given anew from 1. The driver may read from this store with `max: 3` or more; a verb of it that
   * would wait for the restore is refused at once (`IN_RESTORE`).
   *
   * @param driver Called once with a function that takes an event and resolves to its new id.
   * @throws What `driver` throws; then everything is as it was.
   * @example
   * ```ts
   * await store.restore(async (insert) => {
   *   for (const event of backup) await insert(event);
   * });
   * ```
   */
  restore(driver) {
    return this.#run("restore", (context) => restore(context, driver));
  }
  /**
   * Erases the pii of a stream's events, and leaves the rest of them. Backups and the WAL are not reached.
   *
   * @returns How many events had pii: 0 the second time.
   * @example await store.forget_pii("customer-7");
   */
  forget_pii(stream2) {
    return this.#run("forget_pii", (context) => forgetPii(context, stream2));
  }
  /**
   * Registers subscriptions, raises their work marks and, for Act's correlators, the checkpoint and its lease.
   *
   * @param streams Subscriptions with `source`, `priority` (default 0), `lane` (default `default`) and `correlated_at`,
   *   the id up to which there is work. A priority or mark only ever rises.
   * @param correlated_at Id up to which the log has been correlated.
   * @param correlator `by` asks for the lease of `key` for `millis` ms. 0 or less releases it.
   * @returns How many are new, the highest watermark (-1: none), the checkpoint, and whether the lease is held.
   * @example await store.subscribe([{ stream: "mailer", source: "^order-", correlated_at: 10 }]);
   */
  subscribe(streams, correlated_at, correlator) {
    return this.#run("subscribe", (context) => subscribe(context, streams, correlated_at, correlator));
  }
  /**
   * Leases subscriptions that have work to `by`. No two workers hold one at the same time.
   *
   * @param lagging How many of those that are behind: by priority, and a quarter of them by age.
   * @param leading How many of those that are furthest ahead.
   * @param millis Length of the lease in ms, by the server's clock.
   * @param lane Only from this lane. Left out: from all.
   * @example const leases = await store.claim(5, 5, "worker-1", 10_000);
   */
  claim(lagging, leading, by2, millis2, lane) {
    this.#runtime.notifier?.claims(lane ?? void 0);
    return this.#run("claim", (context) => claim(context, lagging, leading, by2, millis2, lane));
  }
  /**
   * Moves the watermarks of leases to their `at` and gives the leases back, all in one statement. With `due` (ms since
   * the epoch) a subscription is not claimed again before then, and is left out of the result.
   *
   * @returns Those that `by` still held.
   * @example await store.ack(leases.map((lease) => ({ ...lease, at: 10 })));
   */
  ack(leases2) {
    return this.#run("ack", (context) => ack(context, leases2));
  }
  /**
   * Blocks subscriptions whose handler fails, with the error's text, until `unblock` or `reset`.
   *
   * @returns Those that `by` still held and that were not blocked before.
   * @example await store.block(leases.map((lease) => ({ ...lease, error: "no such address" })));
   */
  block(leases2) {
    return this.#run("block", (context) => block(context, leases2));
  }
  /**
   * Keeps subscriptions from being claimed until a time.
   *
   * @param input Names, or a filter; `{}` is all.
   * @param deferred_at ms since the epoch. The past makes them claimable at once.
   * @returns How many were deferred.
   * @example await store.defer({ lane: "mail" }, Date.now() + 60_000);
   */
  defer(input, deferred_at) {
    return this.#run("defer", (context) => defer(context, input, deferred_at));
  }
  /**
   * Sets subscriptions back to the beginning, and unblocks them: they handle every event again.
   *
   * @param input Names, or a filter; `{}` is all.
   * @returns How many there were.
   * @example await store.reset(["mailer"]);
   */
  reset(input) {
    return this.#run("reset", (context) => reset(context, input));
  }
  /**
   * Lets blocked subscriptions go on from where they stopped.
   *
   * @param input Names, or a filter; `{}` is all that are blocked.
   * @returns How many were blocked.
   * @example await store.unblock({ source: "^order-" });
   */
  unblock(input) {
    return this.#run("unblock", (context) => unblock(context, input));
  }
  /**
   * Sets the priority of subscriptions, up or down. Higher ones are claimed first; the default is 0.
   *
   * @returns How many had another priority before.
   * @example await store.prioritize({ stream: "mailer", stream_exact: true }, 10);
   */
  prioritize(filter, priority) {
    return this.#run("prioritize", (context) => prioritize(context, filter, priority));
  }
  /**
   * Calls `callback` with the position of each subscription, in code-unit order of their names.
   *
   * @param filter As of `reset`, and `after` a name, `limit` (default 100; 0 is none), `source_matches`.
   * @returns The last id of the log (-1: empty), and how many positions there were.
   * @example await store.query_streams(({ stream, error }) => console.log(stream, error), { blocked: true });
   */
  query_streams(callback, filter) {
    return this.#run("query_streams", (context) => queryStreams(context, callback, filter));
  }
  /**
   * Whether this process can work with its store now: one round trip, and it never rejects.
   *
   * @param options `timeoutMs` (2,000); `deep`: also append lock, blocked, oldest lag.
   * @example const { ok, problems } = await store.health();
   */
  health(options) {
    return health(this.#runtime.context, options);
  }
  #run(verb, work) {
    const { operations, context } = this.#runtime;
    return operations.run(verb, () => work(context));
  }
  toJSON() {
    return { config: this.config };
  }
  /** What `console.log(store)` shows: the configuration, without the password. */
  [inspect2.custom]() {
    return `PostgresStore ${inspect2(this.config)}`;
  }
};

// bench/lib/memory.ts
import { readFileSync as readFileSync2, writeFileSync } from "node:fs";
function peakRss() {
  const kilobytes = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync2("/proc/self/status", "utf8"))?.[1];
  return Number(kilobytes) / 1024;
}

// bench/jobs/transfer.ts
async function transfer({ url: url2, from, into, file, events: events2 }) {
  const source2 = new PostgresStore({ url: url2, schema: from, max: 3 });
  const copy = new PostgresStore({ url: url2, schema: into, max: 3 });
  await copy.seed();
  const onProgress = keepHeapSmall();
  const perSecond = async (work) => {
    const start = performance.now();
    await work();
    return 1e3 * events2 / (performance.now() - start);
  };
  const exported = await perSecond(
    () => pipeline(compress(new Admin(source2).export({ onProgress }), "zstd"), createWriteStream(file))
  );
  const imported = await perSecond(async () => {
    const text = decompress(createReadStream(file), "zstd");
    const done = await new Admin(copy).import(text, { onProgress });
    if (done.events !== events2) throw new Error(`${done.events} of ${events2} events were imported`);
  });
  await Promise.all([source2.dispose(), copy.dispose()]);
  return { exported, imported, rss: peakRss() * 2 ** 20 / 1e6 };
}
process.once("message", (params) => {
  transfer(params).then(
    (result) => process.send?.(result, () => process.disconnect()),
    (error2) => {
      console.error(error2);
      process.exit(1);
    }
  );
});
