/** What clients were told about their commits, to be compared with what the log holds in the end. */
import { ConcurrencyError, StoreError } from "@rotorsoft/act";
import { ConnectionError, DatabaseError, type PostgresStore } from "../../src/index.ts";
import { event, meta } from "./scene.ts";

export class Ledger {
  readonly acknowledged = new Set<string>();
  /** Refused or failed: certainly not in the log. */
  readonly failed = new Set<string>();
  /** The store said that it could not find out. */
  readonly unknown = new Set<string>();
  /** Whatever is no error of the contract. */
  readonly untyped: unknown[] = [];
  /** The longest that an operation took, in ms. */
  slowest = 0;
  #tokens = 0;

  /** Commits one event whose name is a token of its own; true once it is acknowledged. */
  async commit(store: PostgresStore, stream: string, expected?: number): Promise<boolean> {
    const token = `e${this.#tokens++}`;
    try {
      const call = store.commit(stream, [event(token)], { ...meta, correlation: token }, expected);
      const [committed] = await this.timed(call);
      if (committed?.name !== token) this.untyped.push(committed);
      this.acknowledged.add(token);
      return true;
    } catch (error) {
      const unknown = isTyped(error) && error instanceof StoreError && codeOf(error) === "OUTCOME_UNKNOWN";
      (unknown ? this.unknown : this.failed).add(token);
      if (!isTyped(error)) this.untyped.push(error);
      return false;
    }
  }

  /** Anything else; failures of the contract are no surprise here. */
  async attempt<T>(call: () => Promise<T>): Promise<T | undefined> {
    try {
      return await this.timed(call());
    } catch (error) {
      if (!isTyped(error)) this.untyped.push(error);
      return undefined;
    }
  }

  private async timed<T>(promise: Promise<T>): Promise<T> {
    const start = performance.now();
    try {
      return await promise;
    } finally {
      this.slowest = Math.max(this.slowest, performance.now() - start);
    }
  }
}

const codeOf = ({ cause }: StoreError) =>
  cause instanceof ConnectionError || cause instanceof DatabaseError ? cause.code : undefined;

/** An error that the contract knows: a conflict, or a StoreError whose cause is one of the store's own. */
function isTyped(error: unknown): boolean {
  return (
    error instanceof ConcurrencyError ||
    (error instanceof StoreError && codeOf(error) !== undefined && !(error.cause instanceof StoreError))
  );
}
