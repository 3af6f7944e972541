/** The words of this benchmark: subjects are measured, in rounds of scenarios, and rows judge the figures. */
import type { Store } from "@rotorsoft/act";
import type postgres from "postgres";

/** What one round of one subject measured, by name of the metric; the unit is the row's. */
export type Metrics = Readonly<Record<string, number>>;

export type OpenOptions = {
  readonly url: string;
  readonly schema: string;
  readonly table?: string;
  readonly notify?: boolean;
  readonly max?: number;
  /** False: as behind a pooler in transaction mode. Only for subjects that prepare statements. */
  readonly prepare?: boolean;
};

/** Something with the Store port: ours, the baseline, or a peer from npm. */
export type Subject = {
  readonly id: string;
  readonly title: string;
  /** Its tables are PostgreSQL tables of act-pg's column names, so that fast SQL can fill them. */
  readonly sql: boolean;
  open(options: OpenOptions): Promise<Store>;
};

/** A prepared subject (or floor): `run` is one measured round, `close` gives everything back. */
export type Prepared = {
  run(): Promise<Metrics>;
  close(): Promise<void>;
};

export type Requirement =
  /** Our figure must be this many times better than the baseline's, and itself no less than `atLeast`. */
  | { readonly times: number; readonly atLeast?: number }
  /** Our figure must be at most this many times our own figure of another metric (flatness). */
  | { readonly own: string; readonly atMost: number }
  /** Our figure itself must not exceed this. */
  | { readonly atMost: number };

/** One line of the report: a metric of a scenario, which way is better, and what it must reach. */
export type Row = {
  readonly id: string;
  readonly label: string;
  readonly metric: string;
  readonly unit: string;
  readonly better: "more" | "less";
  readonly must?: Requirement;
  /** As the goal was written, e.g. `≥ 4 ×`. */
  readonly goal?: string;
  /** What act-pg's own release did on this kind of machine, for comparison with our baseline. */
  readonly published?: string;
};

export type Scenario = {
  readonly name: string;
  readonly title: string;
  /** Run by `--all` only, or when named by `--only`. */
  readonly extra?: boolean;
  /** Only ours can run it: its rows judge our figures alone. */
  readonly alone?: boolean;
  /** Longest duration of a round. Default 5. */
  readonly minutes?: number;
  /** Ids of the peers that can run it. */
  readonly peers?: readonly string[];
  rows(bench: Bench): readonly Row[];
  prepare(bench: Bench, subject: Subject): Promise<Prepared>;
  /** What the server can do without a store around it. */
  readonly floor?: { readonly note: string; prepare(bench: Bench): Promise<Prepared> };
};

/** What a scenario is given. */
export type Bench = {
  readonly url: string;
  /** Set-up and clean-up only; never measured. */
  readonly admin: postgres.Sql;
  /** `--all`: full sizes and longer loops. */
  readonly full: boolean;
  /** Length of one measured closed loop. */
  readonly millis: number;
  /** A schema name that nothing else uses; dropped at the end of the run. */
  freshSchema(): Promise<string>;
  /** Builds a data set once per subject and key, and keeps it until the end of the run. */
  dataset(subject: Subject, key: string, fill: (schema: string) => Promise<void>): Promise<string>;
};
