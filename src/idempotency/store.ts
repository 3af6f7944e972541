/**
 * PostgresIdempotency: which requests a receiver has handled already.
 *
 * The framework's operations package declares a port for this, which adapters implement structurally: `claim` reserves a
 * key, `commit` keeps it for its time to live, `release` gives it back.
 *
 * States of a key: free → reserved (by one caller) → committed → free again, when its time to live is over. A
 * reservation whose process died is free when its own, shorter time is over.
 */
import { randomUUID } from "node:crypto";
import { type Context, contextOf } from "../context.ts";
import { withMigrationLock } from "../migrations/migration-lock.ts";
import { literal, namesOf } from "../schema/names.ts";
import { ANY, checkArgument, checkOptionsOf, millis, type Rules } from "../values/rules.ts";
import { checkText, invalid } from "../values/validate.ts";

/** Where the keys are kept, and for how long. */
export type IdempotencyOptions = {
  /** PostgreSQL schema. Default: the store's. */
  readonly schema?: string | undefined;
  /** Name of the table. Default `act_idempotency`. */
  readonly table?: string | undefined;
  /** ms for which a committed key is refused. Default 24 hours. */
  readonly ttlMs?: number | undefined;
  /**
   * ms after which the reservation of a process that died is free again. It must exceed the time of any handler. Default 1
   * minute.
   */
  readonly reservationMs?: number | undefined;
};

const RULES: Rules<IdempotencyOptions> = { schema: ANY, table: ANY, ttlMs: ANY, reservationMs: ANY };
const DAY = 24 * 3_600_000;
const MINUTE = 60_000;
/** An index entry of PostgreSQL ends at 2,704 bytes. */
const LONGEST_KEY = 500;
/** Most expired keys that one claim deletes. Each claim adds at most one key, so expired keys get fewer. */
const CLEANED = 10;

function checkKey(verb: string, key: string): void {
  checkText(verb, "key", key);
  if (key === "" || key.length > LONGEST_KEY)
    throw invalid(verb, `key must have 1 to ${LONGEST_KEY} characters: use a digest of longer ones`);
}

const MILLIS = millis(0);

function duration(name: string, ms: number): number {
  if (ms === 0 || !MILLIS.test(ms))
    throw new Error(`act-drizzle: ${name} must be a number of ms above 0, and at most 6,000 years.`);
  return ms;
}

/**
 * Which requests a receiver has handled already, by a key that the caller gives: 1 to 500 characters, without personal
 * data. The keys are in a table beside the log, on the store's own connections.
 *
 * @throws StoreError from every method if the database fails; ValidationError if a key is empty or too long.
 * @example
 * ```ts
 * const idempotency = new PostgresIdempotency(store);
 * await idempotency.seed();
 * ```
 */
export class PostgresIdempotency {
  readonly #context: Context;
  readonly #schema: string;
  readonly #name: string;
  readonly #table: string;
  readonly #ttlMs: number;
  readonly #reservationMs: number;
  /** Marks this instance's reservations, so that a late release of another process does not free them. */
  readonly #holder = randomUUID();

  /**
   * @param store A PostgresStore: the keys are kept in its database, on its connections.
   * @throws Error if an option cannot be used.
   */
  constructor(store: object, options: IdempotencyOptions = {}) {
    this.#context = contextOf(store);
    checkOptionsOf("PostgresIdempotency", options, RULES);
    const { schema = this.#context.names.schema, table = "act_idempotency" } = options;
    const names = namesOf(schema, table);
    this.#schema = schema;
    this.#name = table;
    this.#table = names.events;
    this.#ttlMs = duration("ttlMs", options.ttlMs ?? DAY);
    this.#reservationMs = duration("reservationMs", options.reservationMs ?? MINUTE);
  }

  /**
   * Creates the table if it is missing. Any number of processes may do so at the same time. If the table exists, nothing is
   * locked, and the role needs no right to create anything.
   */
  async seed(): Promise<void> {
    const { connections } = this.#context;
    const there = (name: string) => `to_regclass(${literal(`"${this.#schema}"."${name}"`)}) is not null`;
    const [found] = await connections.read("idempotency seed", {
      text: `select ${there(this.#name)} and ${there(`${this.#name}_expires_ix`)} as seeded`,
    });
    if (found?.seeded === true) return;
    const names = namesOf(this.#schema, this.#name);
    await withMigrationLock({ names, connections }, "idempotency seed", async (run) => {
      await run({ text: `create schema if not exists "${this.#schema}"` });
      await run({
        text: `create table if not exists ${this.#table} (
  key text primary key not null, committed boolean not null default false, holder uuid,
  expires_at timestamp with time zone not null)`,
      });
      await run({
        text: `create index if not exists "${this.#name}_expires_ix" on ${this.#table} (expires_at)`,
      });
    });
  }

  /**
   * Reserves a key.
   *
   * @param now ms since the epoch, for tests. Default: the server's clock.
   * @returns True for one caller: the key was free. False for all others, until it is released or expires.
   */
  async claim(key: string, now?: number): Promise<boolean> {
    checkKey("claim", key);
    // $1 key, $2 now, $3 ms, $4 holder. Only keys that have expired by the server's clock are deleted, whatever `now` says.
    const rows = await this.#write("claim", {
      text: `with old as materialized (
  select key from ${this.#table} where expires_at <= clock_timestamp() and key <> $1::text
  order by expires_at limit ${CLEANED} for update skip locked
), cleaned as (
  delete from ${this.#table} t using old where t.key = old.key
)
insert into ${this.#table} as t (key, committed, holder, expires_at)
values ($1::text, false, $4::uuid, ${NOW} + ${MS})
on conflict (key) do update set committed = false, holder = excluded.holder, expires_at = excluded.expires_at
  where excluded.expires_at - t.expires_at >= ${MS}
returning 1`,
      params: [key, this.#now("claim", now), this.#reservationMs, this.#holder],
    });
    return rows.length > 0;
  }

  /** The handler has succeeded: the key is refused until its time to live is over. An unknown key is recorded, too. */
  async commit(key: string, now?: number): Promise<void> {
    checkKey("commit", key);
    // $1 key, $2 now, $3 ms. A key that was committed before keeps the later end.
    await this.#write("commit", {
      text: `insert into ${this.#table} as t (key, committed, expires_at)
values ($1::text, true, ${NOW} + ${MS})
on conflict (key) do update set committed = true, holder = null,
  expires_at = case when t.committed then greatest(t.expires_at, excluded.expires_at) else excluded.expires_at end`,
      params: [key, this.#now("commit", now), this.#ttlMs],
    });
  }

  /** The handler failed for a passing reason: a retry may claim the key. A committed key stays. */
  async release(key: string): Promise<void> {
    checkKey("release", key);
    await this.#write("release", {
      text: `delete from ${this.#table} where key = $1::text and not committed and holder = $2::uuid`,
      params: [key, this.#holder],
    });
  }

  #write(verb: string, query: Parameters<Context["connections"]["write"]>[1]) {
    return this.#context.connections.write(`idempotency ${verb}`, query);
  }

  #now(verb: string, now: number | undefined): number | null {
    if (now === undefined) return null;
    checkArgument(verb, "now", now, MILLIS);
    return now;
  }
}

const NOW = "coalesce(to_timestamp($2::float8 / 1000), clock_timestamp())";
const MS = "$3::float8 * interval '1 millisecond'";
