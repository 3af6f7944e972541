/** Reads the catalog for seed(), before it changes anything. */
import { codeOf } from "../errors.ts";
import type { Row, Run, StoreConnections } from "../postgres/index.ts";
import { retrying } from "../postgres/retry.ts";
import type { Names } from "../schema/names.ts";
import { type Catalog, DROPPED_MEANWHILE, introspectQuery, toCatalog } from "./introspect.ts";
import { idFactsQuery } from "./sequence.ts";

/** ms to wait for a lock. A user's own migration may lock the log for long, and a boot must not wait for that. */
const LOCK_TIMEOUT_MS = 500;

export type Look = {
  /** The row of {@link introspectQuery}, which also has the columns of the id capacity. */
  readonly row: Row | undefined;
  readonly catalog: Catalog;
  /** Whether another session holds an exclusive lock on one of the tables. Then facts that need a lock are left out. */
  readonly held: boolean;
};

const lockTimedOut = (error: unknown) =>
  codeOf(error instanceof Error && error.cause ? error.cause : error) === "55P03";

/** Runs `work`; undefined if a lock was not granted in time. */
async function unlessHeld<T>(work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if (lockTimedOut(error)) return undefined;
    throw error;
  }
}

/**
 * Reads the catalog, with a short wait for locks.
 *
 * @throws if row-level security could hide rows from this role.
 */
export async function look(connections: StoreConnections, names: Names): Promise<Look> {
  const read: Run = (query) => connections.read("seed", query);
  const full = await unlessHeld(() =>
    retrying(() => read(introspectQuery(names, { lockTimeout: LOCK_TIMEOUT_MS })), DROPPED_MEANWHILE),
  );
  const [row] = full ?? (await read(introspectQuery(names, { expressions: false })));
  const catalog = toCatalog(row);
  refuseRestricted(names, catalog);
  return { row, catalog, held: full === undefined };
}

/** The row of {@link idFactsQuery}; undefined if another session has locked the log. */
export function lookAtIds(connections: StoreConnections, names: Names): Promise<Row | undefined> {
  return unlessHeld(async () => {
    const timeout = { text: `set local lock_timeout = ${LOCK_TIMEOUT_MS}` };
    const [, rows] = await connections.transaction("seed", [timeout, idFactsQuery(names)]);
    return rows?.[0];
  });
}

/** Row-level security could hide events: the store would take them for absent, and use their versions again. */
function refuseRestricted({ schema }: Names, { relations }: Catalog): void {
  const restricted = [...relations.values()].find((relation) => relation.restricted);
  if (!restricted) return;
  throw new Error(
    `row-level security is on for "${schema}"."${restricted.name}" and could hide rows from this role: connect as the tables' owner, grant the role BYPASSRLS, or alter table … disable row level security (docs/guides/security.md)`,
  );
}
