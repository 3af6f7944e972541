/**
 * A cluster of Citus, if `TEST_CITUS_URL` names the database on its coordinator: a superuser's URL, of a cluster with at
 * least two workers. Each test file gets schemas of its own, which Citus puts on the workers in turn.
 */
import { randomBytes } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { eventually } from "../conformance/kit/eventually.ts";
import { connect, type TestDatabase } from "../support/database.ts";

/** ms to wait for a turn: the contract takes longest. */
export const TURN_MS = 1_200_000;

const url = process.env.TEST_CITUS_URL;

/** Why the tests are skipped; empty if they run. */
export const reason = url === undefined ? "TEST_CITUS_URL names no cluster of Citus" : "";

/** The coordinator, as an administrator reaches it. */
export function citusUrl(): string {
  if (url === undefined) throw new Error(reason);
  return url;
}

/** The same for stores: the schemas that they create are distributed. */
export function tenantUrl(): string {
  const tenants = new URL(citusUrl());
  tenants.search = `options=${encodeURIComponent("-c citus.enable_schema_based_sharding=on")}`;
  return tenants.href;
}

/** Short: the names that a test makes of it have a limit. */
export const schemaName = (): string => `c${randomBytes(4).toString("hex")}`;

/** A new distributed schema. */
export async function createCitusSchema(): Promise<TestDatabase> {
  const name = schemaName();
  await administer(`create schema ${name}`);
  return { url: tenantUrl(), name, schema: name, drop: () => dropSchema(name) };
}

/** Citus keeps a schema as long as a store uses its tables: both may wait for each other's locks. */
export async function dropSchema(name: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await administer(`drop schema if exists "${name}" cascade`);
      return;
    } catch (error) {
      if (attempt === 5) throw error;
      // The deadlock is over for this side. That the store's statement is, too, nobody tells.
      await delay(200 * attempt);
    }
  }
}

const TURN = 4_710;

/** Files of tests use the cluster beside each other. Who ends a worker has it `alone`. Returns what ends the turn. */
export async function takeTurn(alone = false): Promise<() => Promise<void>> {
  const sql = connect(citusUrl());
  const ask = async () => {
    const [row] = alone
      ? await sql`select pg_try_advisory_lock(${TURN}) as given`
      : await sql`select pg_try_advisory_lock_shared(${TURN}) as given`;
    return row?.given === true;
  };
  // Asked again, because who waits for the lock alone would keep all others out meanwhile.
  await eventually(ask, { within: TURN_MS, every: 250 });
  return () => sql.end();
}

async function administer(statement: string): Promise<void> {
  const sql = connect(tenantUrl());
  try {
    await sql.unsafe(statement);
  } finally {
    await sql.end();
  }
}
