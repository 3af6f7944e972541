/** The checks of doctor(). Each is a pure function of the facts, and returns a finding with its remedy, or nothing. */
import { isNarrow } from "../../schema/id-capacity.ts";
import type { Names } from "../../schema/names.ts";
import type { Facts } from "./facts.ts";
import { benchFindings, moveFindings, rebuildFindings } from "./unfinished.ts";

/**
 * - `error`: the store does not work, or loses what it promises.
 * - `warning`: it works, but slowly, or it will stop working.
 * - `hint`: worth knowing.
 */
export type Severity = "error" | "warning" | "hint";

/** One thing that `doctor()` found, with its remedy. */
export type Finding = {
  /** Stable, for scripts. */
  readonly code: FindingCode;
  readonly severity: Severity;
  /** What was found, with its figures. */
  readonly found: string;
  /** What to do. */
  readonly remedy: string;
};

export type Client = {
  /** The most connections that the store opens, without the listener's. */
  readonly max: number;
  /** ms by which this machine's clock is ahead of the server's; negative if it is behind. */
  readonly clockAheadMs: number;
  readonly names: Names;
};

type Check = (facts: Facts, client: Client) => readonly Omit<Finding, "code">[];

const error = (found: string, remedy: string) => ({ severity: "error" as const, found, remedy });
const warning = (found: string, remedy: string) => ({ severity: "warning" as const, found, remedy });
const hint = (found: string, remedy: string) => ({ severity: "hint" as const, found, remedy });

const MINUTE = 60_000;
const minutes = (ms: number) => `${Math.floor(ms / MINUTE)} minutes`;
const percent = (share: number) => `${Math.round(share * 100)} %`;

/** The last day of support of each major version, from PostgreSQL's versioning policy. */
const END_OF_LIFE: Readonly<Record<number, string>> = {
  14: "2026-11-12",
  15: "2027-11-11",
  16: "2028-11-09",
  17: "2029-11-08",
  18: "2030-11-14",
};
/** How long before a version's end of life doctor() reports it, in ms. */
const END_OF_LIFE_NOTICE = 90 * 24 * 60 * MINUTE;

const LONG_TRANSACTION = 10 * MINUTE;
/** ms by which the clocks may differ. If this machine's is ahead, it claims deferred work early, by up to a minute. */
const CLOCK_SKEW = 5_000;
/**
 * Dead rows are reported if there are more of them than this, than half the live rows, and than twice the number that starts
 * autovacuum.
 */
const MANY_DEAD = 50_000;
const MANY_ROWS = 10_000;

const CHECKS = {
  "server-end-of-life": ({ version_number, now }) => {
    const major = Math.floor(version_number / 10_000);
    const end = END_OF_LIFE[major];
    if (major < 14)
      return [
        error(`PostgreSQL ${major} is older than the store needs.`, "Upgrade to PostgreSQL 14 or newer."),
      ];
    if (end === undefined || Date.parse(end) - now > END_OF_LIFE_NOTICE) return [];
    const ended = Date.parse(end) <= now;
    return [
      (ended ? warning : hint)(
        `PostgreSQL ${major} ${ended ? "has got" : "will get"} no fixes ${ended ? "since" : "after"} ${end}.`,
        "Plan an upgrade of the server.",
      ),
    ];
  },
  "encoding-not-utf8": ({ encoding }) =>
    encoding === "UTF8"
      ? []
      : [
          error(
            `The database's encoding is ${encoding}: patterns and the order of names are not as the store expects.`,
            "Move the tables to a database with encoding UTF8.",
          ),
        ],
  "read-only": ({ read_only, standby }) =>
    standby
      ? [
          error(
            "The server is a standby, which takes no writes.",
            "Connect to the primary, or set target_session_attrs=read-write.",
          ),
        ]
      : read_only
        ? [
            error(
              "Transactions are read-only by default (default_transaction_read_only).",
              "Reset it for the role or the database: alter role … reset default_transaction_read_only.",
            ),
          ]
        : [],
  "isolation-default": ({ isolation }) =>
    isolation === null
      ? []
      : [
          hint(
            `The role's or the database's default isolation is "${isolation}". The store sets its own; other programs on these tables use this one.`,
            "Make sure that they repeat transactions that fail with 40001.",
          ),
        ],
  "tables-exposed": ({ tables }) =>
    tables
      .filter((t) => t.readers.length > 0 && !t.rowSecurity)
      .map((t) =>
        warning(
          `${t.table} can be read by ${t.readers.join(", ")}.`,
          "Revoke SELECT from them, or keep the tables in a schema of their own that an API does not expose.",
        ),
      ),
  "tables-unlogged": ({ tables }) =>
    tables
      .filter((t) => t.unlogged)
      .map((t) =>
        error(
          `${t.table} is unlogged: a crash of the server empties it, and a standby does not have its rows.`,
          "alter table … set logged.",
        ),
      ),
  "tables-with-rules": ({ tables }) =>
    tables
      .filter((t) => t.rules.length > 0)
      .map((t) =>
        error(
          `The rule ${t.rules.join(", ")} on ${t.table} rewrites statements. With most rules PostgreSQL refuses the store's statements (0A000), every commit among them.`,
          "Drop it, and make a trigger of it: drop rule … on ….",
        ),
      ),
  "sequence-cached": ({ sequence }) =>
    !sequence || sequence.cache === 1
      ? []
      : [
          error(
            `${sequence.name} hands out ${sequence.cache} ids at once, so ids appear out of order and readers miss events.`,
            "Restart a process of the store: seed() sets it to 1. Or: alter sequence … cache 1.",
          ),
        ],
  "sequence-altered": ({ sequence }) =>
    !sequence || (sequence.increment === 1 && !sequence.cycle)
      ? []
      : sequence.increment > 0 && !sequence.cycle
        ? [
            hint(
              `${sequence.name} has increment ${sequence.increment}: ids stay in order, and run out earlier.`,
              "If that is not intended: alter sequence … increment 1.",
            ),
          ]
        : [
            error(
              `${sequence.name} has increment ${sequence.increment}${sequence.cycle ? " and cycles" : ""}: new ids may be below those that readers have passed.`,
              "alter sequence … increment 1 no cycle.",
            ),
          ],
  "sequence-behind": ({ sequence, last_id }) =>
    !sequence || last_id === null || sequence.last === null || sequence.last >= last_id
      ? []
      : [
          warning(
            `${sequence.name} stands at ${sequence.last}, the log's last id is ${last_id}: rows came in with ids of their own.`,
            "Call seed(), which moves it at once. A process moves it with the first commit of a new connection; an open connection looks again after 30 s. Until then commits may get ids below the log's last id, which readers have passed.",
          ),
        ],
  "ids-without-sequence": ({ sequence }) =>
    sequence
      ? []
      : [
          error(
            "The ids of events do not come from a sequence: they may appear out of order, and then readers miss events. seed() and restore() refuse.",
            "Make the default of column id nextval('…'::regclass), or the column an identity.",
          ),
        ],
  "ids-set-by-trigger": ({ id_triggers }) =>
    id_triggers.length === 0
      ? []
      : [
          error(
            `The trigger ${id_triggers.join(", ")} sets ids of events itself: seed() refuses it, and commits fail.`,
            "Drop it. The store draws ids from the sequence, under its append lock.",
          ),
        ],
  "ids-near-end": ({ ids_used: used, highest_possible_id: highest }) =>
    used === null || highest === null || used < highest * 0.75
      ? []
      : [
          (used > highest * 0.95 ? error : warning)(
            `${percent(used / highest)} of the ids are used (${used} of ${highest}). At the end commits or acks fail.`,
            isNarrow(highest)
              ? 'Widen the ids to bigint: docs/guides/migrating-from-act-pg.md, "Widen the ids".'
              : "Restore the log: restore() numbers its events from 1 again.",
          ),
        ],
  "vacuum-held-back": ({ horizon, slots, prepared }) => [
    ...(horizon && horizon.ms > LONG_TRANSACTION
      ? [
          warning(
            `A transaction of ${horizon.application ?? "an unnamed application"} (process ${horizon.pid}, ${horizon.state}) is open for ${minutes(horizon.ms)}. Until it ends, VACUUM cannot remove rows that died after it began.`,
            `End it in its application, or: select pg_terminate_backend(${horizon.pid}).`,
          ),
        ]
      : []),
    ...slots.map(({ name }) =>
      warning(
        `Nobody reads the replication slot "${name}". It keeps WAL, and may hold back VACUUM.`,
        "Start its consumer, or drop it: select pg_drop_replication_slot(…).",
      ),
    ),
    ...(prepared > 0
      ? [
          warning(
            `${prepared} prepared transactions are older than 5 minutes. They hold locks and hold back VACUUM.`,
            "Commit or roll them back: see pg_prepared_xacts.",
          ),
        ]
      : []),
  ],
  "autovacuum-off": ({ autovacuum, tables }) => {
    const off = tables.filter((t) => !t.autovacuum).map((t) => t.table);
    if (!autovacuum)
      return [warning("autovacuum is off on this server.", "Turn it on: alter system set autovacuum = on.")];
    return off.length === 0
      ? []
      : [warning(`autovacuum is off for ${off.join(", ")}.`, "alter table … reset (autovacuum_enabled).")];
  },
  bloat: ({ tables }) =>
    tables
      .filter((t) => t.dead > MANY_DEAD && t.dead > t.live / 2 && t.dead > 2 * t.threshold)
      .map((t) =>
        warning(
          `${t.table} has ${t.dead} dead rows beside ${t.live} live ones: autovacuum does not keep up.`,
          `vacuum (analyze) "${t.table}"; then see what holds it back.`,
        ),
      ),
  "no-statistics": ({ tables }) =>
    tables
      .filter((t) => t.analyzed === undefined && t.live > MANY_ROWS)
      .map((t) =>
        warning(
          `${t.table} was never analyzed (${t.live} rows): the planner guesses.`,
          `analyze "${t.table}"`,
        ),
      ),
  "connections-short": ({ max_connections, reserved, used }, { max }) => {
    const usable = max_connections - reserved;
    const arithmetic = `max_connections ${max_connections} − ${reserved} reserved = ${usable}; in use ${used}; this store opens up to ${max} and one for LISTEN`;
    if (used > usable * 0.9)
      return [
        warning(
          `The server's connections run short: ${arithmetic}.`,
          "Lower `max` of the stores, or use a pooler.",
        ),
      ];
    return max + 1 > usable
      ? [warning(`This store alone may use up the server's connections: ${arithmetic}.`, "Lower `max`.")]
      : [];
  },
  "clocks-apart": (_facts, { clockAheadMs }) =>
    Math.abs(clockAheadMs) <= CLOCK_SKEW
      ? []
      : [
          warning(
            `This machine's clock is ${Math.round(Math.abs(clockAheadMs) / 1000)} s ${clockAheadMs > 0 ? "ahead of" : "behind"} the server's: deferred work runs early or late.`,
            "Synchronise both with NTP.",
          ),
        ],
  "created-in-future": ({ last_created, now }) =>
    last_created === null || last_created - now < MINUTE
      ? []
      : [
          warning(
            `The newest event is dated ${new Date(last_created).toISOString()}. Times of events never run backward, so every later event gets this time too.`,
            'Correct the `created` of the event: docs/guides/reliability.md, "Events dated in the future".',
          ),
        ],
  "unmarked-subscriptions": ({ unmarked }) =>
    unmarked === 0
      ? []
      : [
          warning(
            `${unmarked > 1_000 ? "More than 1,000" : unmarked} subscriptions have no work mark and are behind the log: another adapter wrote them, or the app has not correlated since they were added.`,
            "Start the app's correlation, or backfill the reaction: docs/guides/projections.md.",
          ),
        ],
  "idle-correlators": ({ idle_correlators, correlators }) =>
    idle_correlators < 20
      ? []
      : [
          hint(
            `${idle_correlators} of ${correlators} correlators have not run for a week, or last ran with an older release, which did not record when: their apps' registries are gone.`,
            "Remove them with `act-drizzle reap`. For those without a recorded time, the week begins with the first reap.",
          ),
        ],
  "move-unfinished": ({ unfinished }, { names }) => moveFindings(names, unfinished),
  "rebuild-unfinished": ({ unfinished }) => rebuildFindings(unfinished),
  "bench-unfinished": ({ unfinished }) => benchFindings(unfinished),
} satisfies Readonly<Record<string, Check>>;

/** A finding if a replica is not read, or is further behind than `limit` ms. A `limit` of 0 is no limit. */
export function replicaFinding(
  address: string,
  problem: string | undefined,
  lagMs: number | undefined,
  limit: number,
): Finding | undefined {
  const late = limit > 0 && (lagMs ?? Number.POSITIVE_INFINITY) > limit;
  if (problem === undefined && !late) return undefined;
  const behind = lagMs === undefined ? "by an unknown time" : `by ${Math.round(lagMs / 1_000)} s`;
  const why = problem ?? `it is behind the primary ${behind}, and replicaLagMillis is ${limit}`;
  return {
    code: "replica-not-read",
    ...warning(
      `The replica ${address} is not read: ${why}.`,
      "Check the standby (pg_stat_wal_receiver, max_standby_streaming_delay), or correct `replicas`: docs/guides/replicas.md.",
    ),
  };
}

/** Codes of findings that doctor() does not derive from the facts, but from its own calls of the server. */
const OTHER_CODES = [
  "unreachable",
  "rows-hidden",
  "pooler-in-transaction-mode",
  "not-seeded",
  "schema-drift",
  "listen-deaf",
  "server-lacks",
  "replica-not-read",
] as const;
/** What a finding is about. Codes stay the same from release to release. */
export type FindingCode = keyof typeof CHECKS | (typeof OTHER_CODES)[number];
/** Every code that a finding may have. */
export const FINDING_CODES: readonly FindingCode[] = [
  ...(Object.keys(CHECKS) as (keyof typeof CHECKS)[]),
  ...OTHER_CODES,
];

export function findings(facts: Facts, client: Client): Finding[] {
  return Object.entries<Check>(CHECKS).flatMap(([code, check]) =>
    check(facts, client).map((found) => ({ code: code as FindingCode, ...found })),
  );
}
