/** How the server was found: a URL that was given, a container, or the binaries in `node_modules`. */
export type ServerKind = "url" | "container" | "embedded";

/** `fast` and `immediate` are PostgreSQL's own shutdown modes; `kill` is SIGKILL to the postmaster. */
export type RestartMode = "fast" | "immediate" | "kill";

export type StartOptions = {
  /** A running server to use. It is only looked at: neither configured nor stopped. */
  readonly url?: string;
  /** Server settings by name, e.g. `{ log_min_duration_statement: "100ms" }`. Not for a given URL. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Major version, e.g. `"16"`. Default: what is installed, or 18 in a container. */
  readonly version?: string;
  /** `embedded` skips the look for a container runtime. Default `any`. */
  readonly prefer?: "any" | "embedded";
  /** Embedded only: the data in memory, where there is plenty; for tests. Default false: the temporary folder. */
  readonly inMemory?: boolean;
  /** Leave fsync, full_page_writes and synchronous_commit on, for benchmarks. Default false. */
  readonly durable?: boolean;
  /** Told what is being started, and why something else was not. */
  readonly log?: (line: string) => void;
};

export type RunningPostgres = {
  readonly url: string;
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly database: string;
  readonly kind: ServerKind;
  /** As the server says it, e.g. `18.4`. */
  readonly version: string;
  /** Stops what was started and deletes its data. May be called again; a given URL is left alone. */
  stop(): Promise<void>;
  /** Embedded only: the folder of the data, in one of `folders`. */
  readonly dataDir?: string;
  /** Embedded only: what `stop` deletes. */
  readonly folders?: readonly string[];
  /** Embedded only: the postmaster's process id; changes with `restart`. */
  readonly pid?: number;
  /** Embedded only: stops the server in this mode (default `fast`) and starts it again on the same port. */
  restart?(mode?: RestartMode): Promise<void>;
};

/** What every server gets: room for many stores, and no waiting for disks unless that is measured. */
export function serverSettings({ durable = false, settings = {} }: StartOptions): Record<string, string> {
  const fast = { fsync: "off", full_page_writes: "off", synchronous_commit: "off" };
  return { max_connections: "200", ...(durable ? {} : fast), ...settings };
}
