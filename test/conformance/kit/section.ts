/** What a conformance test is made of: the harness an adapter brings, and the lines a section holds it to. */
import type { Store } from "@rotorsoft/act";
import type postgres from "postgres";
import type { LineId } from "../lines.ts";

/**
 * What not every store has. A test that needs one is skipped, by name, where it is missing.
 *
 * - `shared`: a second store instance over the same data, as another process would open it
 * - `notify`, `restore`, `pii`: the optional verbs of the port
 * - `encryption`: the option `pii_encryption`
 * - `exact_dates`: a string that looks like a date stays a string
 * - `sql`: the data lives in PostgreSQL, reachable behind the store's back as a superuser
 */
export type Capability = "shared" | "notify" | "restore" | "pii" | "encryption" | "exact_dates" | "sql";

export type Capabilities = Readonly<Partial<Record<Capability, boolean>>>;

/** Options of the adapter's constructor, beyond those that point it to its data. */
export type StoreOptions = Readonly<Record<string, unknown>>;

/** A table where its rows are. On a cluster of servers that is not where the store connects to. */
export type Stored = {
  /** Several connections to that server: for looking on, and for DDL. */
  readonly sql: postgres.Sql;
  /** For a connection to that server, if it is another one. */
  readonly url?: string;
  /** The table's name there, with its schema, quoted. */
  readonly name: string;
  /** Whether no session there works for one that has ended. */
  ended(): Promise<boolean>;
};

/** Access to the database behind the store's back. Everything it hands out ends with the harness. */
export type RawAccess = {
  /** Several connections: for looking on, never for a transaction. */
  readonly sql: postgres.Sql;
  /** One connection of its own, as for a transaction that stays open; to this database unless told otherwise. */
  connect(url?: string): postgres.Sql;
  readonly url: string;
  readonly schema: string;
  readonly table: string;
  /** Where a table of {@link schema} is, if that is elsewhere: see `storedOf`. */
  stored?(table: string): Promise<Stored>;
  /** A store with exactly these options, neither seeded nor connected. */
  construct(options?: StoreOptions): Store & { readonly config: Readonly<Record<string, unknown>> };
};

/** One store under test and what surrounds it. */
export type Harness = {
  /** Fresh, empty and seeded. */
  readonly store: Store;
  /** Another instance over the same data; its options override the first one's. Not seeded again. */
  second?(options?: StoreOptions): Promise<Store>;
  readonly raw?: RawAccess;
  /** Disposes of every store that this harness opened and removes their data. */
  dispose(): Promise<void>;
};

/** The harness as a test sees it: what the test declared to need is there. */
export type DatabaseFixture = {
  readonly store: Store;
  readonly second: (options?: StoreOptions) => Promise<Store>;
  readonly raw: RawAccess;
  /** The id of the first event that `restore` writes. */
  readonly firstId: number;
};

export type Requirements = {
  readonly needs?: readonly Capability[];
  /** Options for the store under test. */
  readonly options?: StoreOptions;
  /** Milliseconds; the runner's default otherwise. */
  readonly timeout?: number;
};

export type ConformanceTest = Requirements & {
  readonly id: LineId;
  /** The id and the sentence: the name the runner shows. */
  readonly name: string;
  readonly run: (fixture: DatabaseFixture) => Promise<void>;
};

export type Section = { readonly title: string; readonly tests: readonly ConformanceTest[] };

type Run = ConformanceTest["run"];
export type Line = {
  (id: LineId, sentence: string, run: Run): void;
  (id: LineId, sentence: string, requirements: Requirements, run: Run): void;
};

/** Collects the tests of one part of the contract, without running them. */
export function section(title: string, write: (line: Line) => void): Section {
  const tests: ConformanceTest[] = [];
  const line: Line = (id: LineId, sentence: string, ...rest: [Run] | [Requirements, Run]) => {
    const [requirements, run] = rest.length === 1 ? [{}, rest[0]] : rest;
    tests.push({ ...requirements, id, name: `${id} ${sentence}`, run });
  };
  write(line);
  return { title, tests };
}
