/** ConnectionError, and every code that it can have. docs/reference/errors.md is generated from this table. */

/** The entry of a code in docs/reference/errors.md. */
export type ErrorEntry = {
  /** What happened. */
  readonly happened: string;
  /** Whether the work of the call is in the database. */
  readonly applied: string;
  /** What to do. Every message ends with it. */
  readonly advice: string;
  /** Whether the call may be made again. */
  readonly retry: string;
};

const NOTHING_SENT = "No. The statement was not sent.";
const NOTHING_WRITTEN = "No. Nothing was written.";
const COMMIT_KNOWN =
  "A commit: no, because a commit in doubt has the code `OUTCOME_UNKNOWN`. Another verb that writes: unknown if `sent` is true, otherwise no.";
const SAFE_TO_REPEAT =
  "Yes. Verbs of subscriptions may be repeated safely: a lease that was granted to a lost call expires.";
const WHEN_FIXED = "Only when the cause is fixed.";
const LATER = "Yes, after a pause.";
const NEVER = "No.";

const certificate: ErrorEntry = {
  happened: "the server's certificate is not trusted",
  applied: NOTHING_SENT,
  advice:
    "give the certificate's authority as ssl: { ca }, or renew the certificate (docs/guides/security.md)",
  retry: WHEN_FIXED,
};

/** Codes with which the store closes its own connections. None of them should reach a caller. */
const internal = (happened: string): ErrorEntry => ({
  happened,
  applied: "Unknown.",
  advice: "report that you saw it, because this code should not leave the store",
  retry: "A read: yes. Look at the data before you repeat a write.",
});

export const CONNECTION_ERRORS = {
  OUTCOME_UNKNOWN: {
    happened:
      "It is not known whether the transaction was committed: the connection was lost and the store could not find out in time, the server's answer could not be read, or an inline projection ended the transaction.",
    applied: "Unknown: all of it, or none.",
    advice: "load the stream before trying again",
    retry:
      "Not blindly. Load the stream first; a commit with `expectedVersion` is safe, because it is stored at most once.",
  },
  DEADLINE: {
    happened:
      "No answer came within `query_timeout` (by default `statement_timeout` plus 5 s), or a commit waited as long for its turn in the queue.",
    applied: COMMIT_KNOWN,
    advice:
      "see whether the server is overloaded or a transaction holds the append lock (pg_locks), or raise query_timeout (by default statement_timeout plus 5 s)",
    retry: SAFE_TO_REPEAT,
  },
  CONNECTION_CLOSED: {
    happened: "The server, a pooler or a firewall closed the connection.",
    applied: COMMIT_KNOWN,
    advice:
      "try again; if it happens often, look at the server's log and at idle limits of poolers and firewalls",
    retry: SAFE_TO_REPEAT,
  },
  CONNECTION_DESTROYED: {
    happened: "The driver closed the connection.",
    applied: COMMIT_KNOWN,
    advice: "try again",
    retry: SAFE_TO_REPEAT,
  },
  QUEUE_FULL: {
    happened: "100,000 commits, or 256 million characters of JSON, wait in this store already.",
    applied: NOTHING_SENT,
    advice: "slow down, and wait for commits before you make more",
    retry: LATER,
  },
  POOL_TIMEOUT: {
    happened: "No connection of the pool became free within `connectionTimeoutMillis`.",
    applied: NOTHING_SENT,
    advice: "raise max or connectionTimeoutMillis, or make fewer calls at once",
    retry: LATER,
  },
  CONNECT_TIMEOUT: {
    happened: "The server did not answer within `connectionTimeoutMillis` of connecting.",
    applied: NOTHING_SENT,
    advice: "check host, port and firewalls, or raise connectionTimeoutMillis",
    retry: LATER,
  },
  POOLER: {
    happened: "A pooler in transaction mode stands between the store and the server, and `prepare` is true.",
    applied: NOTHING_WRITTEN,
    advice: "set prepare: false (docs/guides/pgbouncer.md)",
    retry: WHEN_FIXED,
  },
  CITUS_WORKER: {
    happened: "The server is a worker of a Citus cluster, which numbers events from a range of its own.",
    applied: NOTHING_WRITTEN,
    advice: "connect to the coordinator (docs/reference/servers.md)",
    retry: WHEN_FIXED,
  },
  PASSWORD: {
    happened: "The function given as option `password` failed, or returned no password in time.",
    applied: NOTHING_SENT,
    advice: "fix the function given as option password",
    retry: LATER,
  },
  ON_CONNECT: {
    happened:
      "The function given as option `onConnect` failed, or did not end within `connectionTimeoutMillis`, as when it calls the store.",
    applied: NOTHING_SENT,
    advice: "mend the function given as option onConnect, and let it use only the query that it gets",
    retry: LATER,
  },
  NO_SERVER: {
    happened: "Hosts answer, but none is of the kind that `target_session_attrs` asks for.",
    applied: NOTHING_SENT,
    advice: "check host and target_session_attrs; during a failover, try again",
    retry: LATER,
  },
  NO_TLS: {
    happened: "`ssl` demands TLS, and the server does not offer it.",
    applied: NOTHING_SENT,
    advice: "turn TLS on at the server, or choose another mode of ssl",
    retry: WHEN_FIXED,
  },
  STORE_CLOSED: {
    happened: "The verb was called after `dispose()`, or dispose() stopped waiting for it.",
    applied: "No, except for the statements that a long verb had completed before.",
    advice: "create a new PostgresStore",
    retry: "On a new store.",
  },
  IN_RESTORE: {
    happened:
      "The driver of `restore`, or the source of `admin.import()`, made a call that would wait for the restore or the import to end: for its locks, or for its connection.",
    applied: NOTHING_SENT,
    advice:
      "write and dispose after it has ended, and read from a store with connections of its own or with max: 3 or more",
    retry: "After the restore or the import.",
  },
  IN_PROJECTION: {
    happened:
      "An inline projection made a call that would wait for the commit that it projects: for the append lock, or for its connection. Or it would wait for the projection of another store that waits for this one.",
    applied: NOTHING_SENT,
    advice:
      "write and dispose after the commit, for example in a reaction; max: 2 or more lets it read, and more writers of a PostgresDatabase let it commit to another store",
    retry: "After the commit.",
  },
  BACKEND_ALIVE: {
    happened:
      "The server process of a lost connection is still running, and did not end when the store asked it to.",
    applied: "Unknown.",
    advice:
      "load the stream before trying again, and end the process that holds the append lock (pg_locks, pg_terminate_backend)",
    retry: "Not blindly. Load the stream first.",
  },
  CONNECT: {
    happened:
      "The connection could not be opened, for a reason without a code of its own. The message names it.",
    applied: NOTHING_SENT,
    advice: "check host, port and ssl",
    retry: LATER,
  },
  ECONNREFUSED: {
    happened: "no server listens there",
    applied: NOTHING_SENT,
    advice: "check that the server is running, and that host and port are right",
    retry: LATER,
  },
  ECONNRESET: {
    happened: "the connection was reset",
    applied: COMMIT_KNOWN,
    advice: "try again; if it happens often, check the server's log, and poolers and firewalls in between",
    retry: SAFE_TO_REPEAT,
  },
  EPIPE: {
    happened: "the other side had closed the connection",
    applied: COMMIT_KNOWN,
    advice: "try again; if it happens often, check the server's log, and poolers and firewalls in between",
    retry: SAFE_TO_REPEAT,
  },
  ETIMEDOUT: {
    happened: "the network gave no answer",
    applied: COMMIT_KNOWN,
    advice: "check host, port and firewalls",
    retry: SAFE_TO_REPEAT,
  },
  ENOTFOUND: {
    happened: "the host name is unknown",
    applied: NOTHING_SENT,
    advice: "check host, and DNS",
    retry: WHEN_FIXED,
  },
  EAI_AGAIN: {
    happened: "the host name cannot be looked up now",
    applied: NOTHING_SENT,
    advice: "check host, and DNS",
    retry: LATER,
  },
  EHOSTUNREACH: {
    happened: "the host cannot be reached",
    applied: NOTHING_SENT,
    advice: "check host, and the network between",
    retry: LATER,
  },
  ENETUNREACH: {
    happened: "the network cannot be reached",
    applied: NOTHING_SENT,
    advice: "check host, and the network between",
    retry: LATER,
  },
  ENOENT: {
    happened: "there is no such socket",
    applied: NOTHING_SENT,
    advice: "check that the server is running, and that host is the folder of its socket",
    retry: LATER,
  },
  EACCES: {
    happened: "this process may not use the socket",
    applied: NOTHING_SENT,
    advice: "check the rights of the socket's file and folder",
    retry: WHEN_FIXED,
  },
  EMFILE: {
    happened: "this process has too many open files",
    applied: NOTHING_SENT,
    advice: "lower max, or raise the process's limit of open files (ulimit -n)",
    retry: LATER,
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
    retry: WHEN_FIXED,
  },
  AUTH_TYPE_NOT_IMPLEMENTED: {
    happened: "The server asks for a way to log in that the driver does not know, such as GSSAPI.",
    applied: NOTHING_SENT,
    advice: "let pg_hba.conf ask this user for scram-sha-256",
    retry: WHEN_FIXED,
  },
  SASL_SIGNATURE_MISMATCH: {
    happened: "The server could not prove that it knows the password: it may be another server.",
    applied: NOTHING_SENT,
    advice: "check host, and poolers and proxies in between",
    retry: NEVER,
  },
  CONNECTION_ENDED: internal("The store had closed the connection, which was not in use."),
  SESSION_FAILED: internal("A migration or a restore failed, and its connection was closed."),
  SEQUENCE_CHANGED: internal(
    "Ids are drawn from another sequence, or the log has got a trigger: the connection for appends is opened again.",
  ),
  CLOCK_CHANGED: internal("The server's clock has changed: the connection for appends is opened again."),
  SUSPECT: internal("An idle connection was closed after another one had died."),
  YIELDED: internal("An attempt to connect was given up, so that the store's other pool could connect."),
  BUDGET: internal("A page of a query reached its limit of characters, and the rest was not read."),
  LOOKED: internal("A second connection, used only to detect a pooler, was closed."),
  HOST_FOUND: internal("A connection, used only to select a host, was closed."),
  OTHER_SERVER: internal(
    "A host was not of the kind that target_session_attrs asks for, and the next one was tried.",
  ),
  LISTEN_FAILED: internal("LISTEN could not start, and its connection was closed."),
  LISTEN_STOPPED: internal("The listener was stopped."),
  LISTEN_SILENT: internal("The connection for LISTEN did not answer a ping, and is opened again."),
} as const satisfies Readonly<Record<string, ErrorEntry>>;

/** Every `code` of a {@link ConnectionError}. Each has an entry in docs/reference/errors.md. */
export type ConnectionErrorCode = keyof typeof CONNECTION_ERRORS;

export const isConnectionErrorCode = (code: string): code is ConnectionErrorCode =>
  Object.hasOwn(CONNECTION_ERRORS, code);

/** A message, followed by the advice. */
export function withAdvice(message: string, advice: string): string {
  if (message === "") return advice;
  return `${message}${message.includes(": ") ? "; " : ": "}${advice}`;
}

/**
 * The connection was lost or could not be opened, or the store refused the call or gave it up: the `cause` of a
 * `StoreError`. The message shows no data and ends with what to do; docs/reference/errors.md has an entry for each
 * `code`.
 *
 * @example
 * ```ts
 * try {
 *   await store.commit("order-1", [event], meta, 3);
 * } catch (error) {
 *   if (error instanceof StoreError && error.cause instanceof ConnectionError)
 *     if (error.cause.code === "OUTCOME_UNKNOWN") await reload("order-1");
 * }
 * ```
 */
export class ConnectionError extends Error {
  override readonly name = "ConnectionError";
  readonly code: ConnectionErrorCode;
  /** False when the statement certainly did not run. */
  readonly sent: boolean;

  /** `message` says what happened. The advice on `code` is added to it. */
  constructor(code: ConnectionErrorCode, message: string, sent: boolean) {
    super(withAdvice(message, CONNECTION_ERRORS[code].advice));
    this.code = code;
    this.sent = sent;
  }
}

/** The error of a connection to `endpoint` that could not be opened because of `error`. */
export function connectFailed(endpoint: string, error: Error & { readonly code?: string }): ConnectionError {
  const { code = "", message } = error;
  if (!isConnectionErrorCode(code))
    return new ConnectionError("CONNECT", `cannot connect to ${endpoint}: ${message}`, false);
  const { happened } = CONNECTION_ERRORS[code];
  return new ConnectionError(code, `cannot connect to ${endpoint}: ${happened} (${code})`, false);
}

/** What happened to a transaction of which it is not known whether it was committed. */
const DOUBTS = {
  lost: "the connection was lost while the transaction was under way",
  unreadable: "the server's answer could not be read",
  ended: "an inline projection ended the transaction of its commit",
} as const;

/** It is not known whether a transaction was committed. */
export const outcomeUnknown = (doubt: keyof typeof DOUBTS = "lost"): ConnectionError =>
  new ConnectionError(
    "OUTCOME_UNKNOWN",
    `${DOUBTS[doubt]}: it is not known whether the transaction was committed`,
    true,
  );

export const storeClosed = () => new ConnectionError("STORE_CLOSED", "the store is disposed", false);
