/** doctor(): checks a store for known problems, and returns each with its remedy. It changes nothing. */
import type { Context } from "../../context.ts";
import { engineQuery, lacking } from "../../migrations/engine.ts";
import { introspectAgain } from "../../migrations/introspect.ts";
import { planMigration } from "../../migrations/plan.ts";
import { tableNames } from "../../schema/table-names.ts";
import { checkGiven, FLAG, type Rules } from "../../values/rules.ts";
import { type Finding, findings, replicaFinding } from "./checks.ts";
import { readFacts } from "./facts.ts";
import { receivesOwnNotification } from "./listen.ts";

/** What `doctor()` does, besides reading. */
export type DoctorOptions = {
  /**
   * Sends itself a notification, on one more connection, or on the one for LISTEN that stores share. Default: if the
   * store notifies.
   */
  readonly listen?: boolean | undefined;
};

const RULES: Rules<DoctorOptions> = { listen: FLAG };

/**
 * If the tables are absent, or may hide rows, or the server cannot be reached, that is the only finding. Other errors, such as
 * a missing privilege, are thrown.
 */
export async function doctor(context: Context, options: DoctorOptions = {}): Promise<Finding[]> {
  checkGiven("doctor", options, RULES);
  const { names, connections } = context;
  try {
    const catalog = await introspectAgain((query) => connections.read("admin", query), names);
    if (!catalog.relations.has(tableNames(names.table).events)) return [notSeeded(names.events)];
    // Sessions set row_security = off, so a query of a restricted table fails instead of leaving rows out.
    const hidden = [...catalog.relations.values()].filter(({ restricted }) => restricted);
    if (hidden.length > 0) return [rowsHidden(hidden.map(({ name }) => name))];
    return [
      ...schemaDrift(context, catalog),
      ...(await engine(context)),
      ...(await facts(context)),
      ...((options.listen ?? context.notify) ? await listening(context) : []),
      ...(await replicas(context)),
    ];
  } catch (error) {
    const found = ofConnection(error);
    if (found) return [found];
    throw error;
  }
}

const notSeeded = (table: string): Finding => ({
  code: "not-seeded",
  severity: "error",
  found: `There is no table ${table}.`,
  remedy: "Call seed(), or check `schema` and `table`.",
});

/** The store may come from another bundle of this package, with classes of its own, so its errors are recognized by name. */
const isConnectionError = (error: unknown): error is Error & { readonly code: string } =>
  error instanceof Error && error.name === "ConnectionError" && "code" in error;

const rowsHidden = (tables: readonly string[]): Finding => ({
  code: "rows-hidden",
  severity: "error",
  found: `Row level security could hide rows of ${tables.join(", ")} from this role.`,
  remedy: "Connect as the owner, give the role BYPASSRLS, or disable row level security on these tables.",
});

function ofConnection(error: unknown): Finding | undefined {
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
  if (!isConnectionError(cause)) return undefined;
  return {
    code: cause.code === "POOLER" ? "pooler-in-transaction-mode" : "unreachable",
    severity: "error",
    found: cause.message,
    remedy:
      cause.code === "POOLER"
        ? "Set `prepare: false`, or connect to the server directly."
        : `See ${cause.code} in docs/reference/errors.md.`,
  };
}

function schemaDrift({ names }: Context, catalog: Awaited<ReturnType<typeof introspectAgain>>): Finding[] {
  try {
    const plan = planMigration(names, catalog);
    return [...(plan?.changes ?? []), ...(plan?.builds ?? [])].flatMap(({ done }) =>
      done === undefined
        ? []
        : [
            {
              code: "schema-drift",
              severity: "warning",
              found: `The tables differ from those that this release makes. seed() would do this: ${done}.`,
              remedy: "Call seed(). `act-drizzle plan` shows the statements and their locks.",
            } satisfies Finding,
          ],
    );
  } catch (error) {
    return [
      {
        code: "schema-drift",
        severity: "error",
        found: error instanceof Error ? error.message : String(error),
        remedy: "Correct it by hand: seed() refuses to.",
      },
    ];
  }
}

/** A lock of its own, which nobody waits for, shows whether the server has advisory locks. */
const OWN_LOCK = "select pg_try_advisory_xact_lock_shared(hashtext('act-drizzle:doctor'))";

async function engine({ connections }: Context): Promise<Finding[]> {
  const [, rows] = await connections.transaction("admin", [{ text: OWN_LOCK }, engineQuery]);
  return lacking(rows?.[0]).map((name) => ({
    code: "server-lacks",
    severity: "error",
    found: `The server lacks ${name}.`,
    remedy: "Move the tables to a server that has it: docs/reference/servers.md.",
  }));
}

async function facts(context: Context): Promise<Finding[]> {
  const { connections, names } = context;
  const before = Date.now();
  const found = await readFacts(context);
  const after = Date.now();
  // The server read its clock somewhere between the two.
  const ahead = found.now < before ? before - found.now : found.now > after ? after - found.now : 0;
  return findings(found, { max: connections.config.max, clockAheadMs: ahead, names });
}

/** Asks each replica for its current state. */
async function replicas({ connections }: Context): Promise<Finding[]> {
  await connections.replicas?.checkAll();
  const { replicaLagMillis: limit } = connections.config;
  return (connections.replicas?.states ?? []).flatMap(({ address, problem, lagMs }): Finding[] => {
    const found = replicaFinding(address, problem, lagMs, limit);
    return found ? [found] : [];
  });
}

async function listening(context: Context): Promise<Finding[]> {
  if (await receivesOwnNotification(context)) return [];
  return [
    {
      code: "listen-deaf",
      severity: "error",
      found: "A notification that was sent did not come back: LISTEN receives nothing.",
      remedy: "LISTEN needs a direct connection: set `listen_url`.",
    },
  ];
}
