/**
 * What clients were told about their commits and how long they waited, to be compared with what the database
 * holds in the end (`verify`). Each commit carries a token in its data; a commit of several events also the
 * number of each part.
 */
import { randomBytes } from "node:crypto";
import { ConcurrencyError, type Lease, StoreError } from "@rotorsoft/act";
import { ConnectionError, DatabaseError, type PostgresStore } from "../../../src/index.ts";
import { lockText, type TableName } from "../../order/lock.ts";
import { throughStore } from "../../order/tail.ts";
import type { Entry, Placed } from "./entry.ts";
import { Grants } from "./grants.ts";
import { type Verdict, verify } from "./verify.ts";

type Names = Pick<TableName, "schema" | "table">;

export class Ledger {
  readonly acknowledged = new Map<string, Entry>();
  /** Refused or failed: certainly not in the log. */
  readonly failed = new Map<string, Entry>();
  /** The store said that it could not find out. */
  readonly unknown = new Map<string, Entry>();
  /** Whatever is no error of the contract, a call that did not settle in time among it. */
  readonly untyped: unknown[] = [];
  /** Failures by code. */
  readonly codes = new Map<string, number>();
  readonly grants = new Grants();
  /** Ids as readers saw them that tailed the log, each in its order. */
  readonly tails: number[][] = [];
  readonly tables = new Map<string, Names>();
  /** The longest that a commit took, and any call, in ms. */
  slowestCommit = 0;
  slowest = 0;
  /** The highest id that was acknowledged. */
  head = -1;
  readonly #deadline: number;
  readonly #prefix = randomBytes(3).toString("hex");
  #tokens = 0;
  #pending = 0;
  /** Since when somebody waits for an acknowledgement, of this call or a later one. */
  #waitingSince: number | undefined;
  #outage = 0;

  /** `deadline`: ms within which every call must settle, one way or the other. */
  constructor({ deadline = 60_000 }: { readonly deadline?: number } = {}) {
    this.#deadline = deadline;
  }

  /** The longest time without any acknowledged commit while somebody tried, or that one commit took; in ms. */
  get longestOutageMs(): number {
    return Math.max(this.#outage, this.slowestCommit);
  }

  /** Commits `size` events to the store; true once they are acknowledged. */
  commit(
    store: Pick<PostgresStore, "commit" | "config">,
    stream: string,
    expected?: number,
    size = 1,
  ): Promise<boolean> {
    return this.through(store.config, stream, size, (token) => {
      const events = Array.from({ length: size }, (_, part) => ({ name: "Noted", data: { token, part } }));
      return store.commit(stream, events, { correlation: token, causation: {} }, expected);
    });
  }

  /** The same by whatever way: `call` puts the token, and the part from 0, into the data of `size` events. */
  async through(
    names: Names,
    stream: string,
    size: number,
    call: (token: string) => Promise<readonly Placed[]>,
  ): Promise<boolean> {
    this.tables.set(lockText(names), names);
    const token = `${this.#prefix}-${this.#tokens++}`;
    const start = performance.now();
    this.#waitingSince ??= start;
    this.#pending++;
    try {
      const told = await this.#timed(`commit to ${stream}`, call(token));
      const placed = told.map(({ id, version }) => ({ id, version }));
      if (placed.length !== size) this.untyped.push(new Error(`${placed.length} events instead of ${size}`));
      this.acknowledged.set(token, { stream, size, placed, at: performance.now() });
      this.head = Math.max(this.head, ...placed.map(({ id }) => id));
      this.#noteAcknowledged();
      return true;
    } catch (error) {
      const outcome =
        error instanceof Unsettled || codeOf(error) === "OUTCOME_UNKNOWN" ? "unknown" : "failed";
      this[outcome].set(token, { stream, size, placed: [], at: performance.now() });
      this.#noteFailure(error);
      return false;
    } finally {
      this.#pending--;
      this.slowestCommit = Math.max(this.slowestCommit, performance.now() - start);
    }
  }

  /** Anything else; failures of the contract are no surprise here. */
  async attempt<T>(call: () => Promise<T>): Promise<T | undefined> {
    try {
      return await this.#timed("call", call());
    } catch (error) {
      this.#noteFailure(error);
      return undefined;
    }
  }

  /** Of the default lane: an app beside keeps its streams to itself. */
  async claim(store: PostgresStore, by: string, millis: number, lagging = 3, leading = 1): Promise<Lease[]> {
    const start = performance.now();
    const leases = (await this.attempt(() => store.claim(lagging, leading, by, millis, "default"))) ?? [];
    this.grants.granted(leases, start, millis);
    return leases;
  }

  async ack(store: PostgresStore, leases: Lease[]): Promise<Lease[]> {
    this.grants.returning(leases);
    return (await this.attempt(() => store.ack(leases))) ?? [];
  }

  /** Tails the log by `after`, through whatever fails, until `over` and nothing more is found. */
  async tail(store: PostgresStore, over: () => boolean, limit = 500): Promise<void> {
    const ids: number[] = [];
    this.tails.push(ids);
    const read = throughStore(store);
    for (;;) {
      // In this order: what was committed before the end is found by a read that begins after it.
      const last = over();
      const page = await this.attempt(() => read(ids.at(-1) ?? -1, limit));
      if (page) ids.push(...page);
      if (last && page?.length === 0) return;
      // Until the next look: no notification is relied on here, and a server that is down fails at once.
      if (!page?.length) await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** Listens to what nobody catches, until the function that it returns is called. */
  watch(): () => void {
    const uncaught = (error: unknown) => void this.untyped.push(error);
    process.on("uncaughtException", uncaught).on("unhandledRejection", uncaught);
    return () => void process.off("uncaughtException", uncaught).off("unhandledRejection", uncaught);
  }

  /** Compares all of this with the tables, over a plain connection: those committed to, or these. */
  verify(url: string, ...tables: readonly Names[]): Promise<Verdict> {
    return verify(url, this, tables.length > 0 ? tables : [...this.tables.values()]);
  }

  async #timed<T>(what: string, promise: Promise<T>): Promise<T> {
    const start = performance.now();
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Unsettled(what, this.#deadline)), this.#deadline);
    });
    try {
      return await Promise.race([promise, late]);
    } finally {
      clearTimeout(timer);
      this.slowest = Math.max(this.slowest, performance.now() - start);
    }
  }

  #noteAcknowledged(): void {
    const now = performance.now();
    this.#outage = Math.max(this.#outage, now - (this.#waitingSince ?? now));
    this.#waitingSince = this.#pending > 1 ? now : undefined;
  }

  #noteFailure(error: unknown): void {
    const code = codeOf(error) ?? (error instanceof Error ? error.name : "not an Error");
    this.codes.set(code, (this.codes.get(code) ?? 0) + 1);
    if (!isTyped(error)) this.untyped.push(error);
  }
}

class Unsettled extends Error {
  constructor(what: string, deadline: number) {
    super(`${what}: not settled within ${deadline} ms`);
  }
}

/** SQLSTATE, or the connection's code, of an error of the store. */
export function codeOf(error: unknown): string | undefined {
  if (!(error instanceof StoreError)) return undefined;
  const { cause } = error;
  return cause instanceof ConnectionError || cause instanceof DatabaseError ? cause.code : undefined;
}

/** An error that the contract knows: a conflict, or a StoreError whose cause is one of the store's own. */
export function isTyped(error: unknown): boolean {
  return error instanceof ConcurrencyError || codeOf(error) !== undefined;
}
