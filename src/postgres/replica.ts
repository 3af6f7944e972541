/**
 * One replica: a pool of connections to it, and whether it can be read. Stores that share connections share it.
 *
 * States: new → up (it is a standby of the primary, and answers) → down (it does not answer, or is no standby) → up. Only an
 * admission, which asks whether it is a standby of this primary, moves it to up. Reads start the admission in the
 * background, so no read waits for a replica that is not up.
 */
import { ConnectionError, codeOf, sanitize } from "../errors.ts";
import type { ConnectionTarget } from "../options/config.ts";
import { log } from "../values/log.ts";
import type { Connection } from "./connection.ts";
import { isGone } from "./ended.ts";
import type { Query, Row } from "./exchange.ts";
import { Pool, type PoolOptions } from "./pool.ts";

/** Time in ms in which a replica must answer the check that comes before each read. */
export const ANSWER_MS = 2_000;
/** Pauses in ms between two attempts to admit a replica that is down: the first and the longest. */
const PAUSES = [1_000, 30_000] as const;

const IS_STANDBY: Query = { text: "select pg_is_in_recovery() as standby" };
/** Some services refuse this query. Then the store trusts the configured address. */
const SYSTEM: Query = { text: "select system_identifier::text as system from pg_control_system()" };

/** The public state of a replica. */
export type ReplicaState = {
  /** Host and port. */
  readonly address: string;
  /** Whether it is read. If not, its reads go to the primary. */
  readonly up: boolean;
  /** ms by which it was behind the primary at the last read; undefined if that is not known. */
  readonly lagMs: number | undefined;
  /** Statements that it has answered. */
  readonly reads: number;
  /** How often it was asked and was behind, or failed. The reads that are not sent to it during its pauses do not count. */
  readonly fallbacks: number;
  /** Why it is not read; undefined while it is up. */
  readonly problem: string | undefined;
};

const timedOut = () => new ConnectionError("DEADLINE", `no answer within ${ANSWER_MS} ms`, true);

export class Replica {
  readonly address: string;
  readonly #pool: Pool;
  #up = false;
  #problem: string | undefined = "not asked yet";
  #logged = false;
  #checking: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #pause: number = PAUSES[0];
  #closed = false;
  lagMs: number | undefined;
  reads = 0;
  fallbacks = 0;

  constructor(
    { config, secrets }: ConnectionTarget,
    limits: Pick<PoolOptions, "max" | "maxPrepared" | "maxOwners">,
  ) {
    const { connectionTimeoutMillis: limit } = config;
    const limited = { ...config, connectionTimeoutMillis: Math.min(limit || ANSWER_MS, ANSWER_MS) };
    this.address = config.hosts.map(({ host, port }) => `${host}:${port}`).join(",");
    this.#pool = new Pool(
      { config: limited, secrets, ...limits, min: 0, purpose: "all calls" },
      { first: 0 },
    );
  }

  get state(): ReplicaState {
    const { address, lagMs, reads, fallbacks } = this;
    return { address, up: this.#up, lagMs, reads, fallbacks, problem: this.#problem };
  }

  /** Whether it may be read. If not, this starts a check in the background, unless the pause after the last one runs. */
  isUp(primary: (query: Query) => Promise<readonly Row[]>): boolean {
    if (!this.#up && !this.#timer) void this.#admitOnce(primary);
    return this.#up;
  }

  /** Whether it may be read. If it is not up, an admission is tried now. `primary`: runs a query on the primary. */
  async admitNow(primary: (query: Query) => Promise<readonly Row[]>): Promise<boolean> {
    if (!this.#up) await this.#admitOnce(primary);
    return this.#up;
  }

  #admitOnce(primary: (query: Query) => Promise<readonly Row[]>): Promise<void> {
    this.#checking ??= this.#admit(primary).finally(() => {
      this.#checking = undefined;
    });
    return this.#checking;
  }

  async #admit(primary: (query: Query) => Promise<readonly Row[]>): Promise<void> {
    const problem = await this.#problemOf(primary).catch(reasonOf);
    if (this.#closed) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (problem === undefined) {
      if (this.#logged) log().info(`[act-drizzle] replica ${this.address}: it is read again`);
      this.#logged = false;
      this.#up = true;
      this.#problem = undefined;
      this.#pause = PAUSES[0];
      return;
    }
    this.down(problem);
  }

  async #problemOf(primary: (query: Query) => Promise<readonly Row[]>): Promise<string | undefined> {
    const ask = (query: Query) => this.use((connection) => connection.run(query, ANSWER_MS));
    const [who] = await ask(IS_STANDBY);
    if (who?.standby !== true) return "it is no standby";
    const [theirs, ours] = await Promise.all([ask(SYSTEM).catch(() => []), primary(SYSTEM).catch(() => [])]);
    const [one, other] = [theirs[0]?.system, ours[0]?.system];
    return one !== undefined && other !== undefined && one !== other
      ? "it is a standby of another server than the primary"
      : undefined;
  }

  /** Takes the replica out of use until it is admitted again. */
  down(problem: string): void {
    this.#up = false;
    this.#problem = problem;
    if (this.#closed) return;
    if (!this.#logged)
      log().warn(
        `[act-drizzle] replica ${this.address}: ${problem}; its reads go to the primary until it is back`,
      );
    this.#logged = true;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
    }, this.#pause);
    this.#timer.unref();
    this.#pause = Math.min(this.#pause * 2, PAUSES[1]);
  }

  /** Counts a failed read, and takes the replica out of use if the failure is the replica's. */
  failed(error: unknown): void {
    this.fallbacks++;
    const gone = isGone(error) || (error instanceof ConnectionError && error.code !== "POOL_TIMEOUT");
    if (gone || /^(57P|08|28|3D|53)/.test(codeOf(error) ?? "")) this.down(reasonOf(error));
  }

  /**
   * Runs `work` on a connection. If `work` does not call `answered` within ANSWER_MS, the connection is closed, and the
   * caller gets an error at once.
   */
  async use<T>(work: (connection: Connection, answered: () => void) => Promise<T>): Promise<T> {
    let over = false;
    let taken: Connection | undefined;
    let timer: NodeJS.Timeout | undefined;
    const waited = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        over = true;
        const error = timedOut();
        taken?.destroy(error);
        reject(error);
      }, ANSWER_MS);
    });
    const running = this.#pool.use(async (connection) => {
      if (over) throw timedOut();
      taken = connection;
      return work(connection, () => clearTimeout(timer));
    });
    running.catch(() => {});
    try {
      return await Promise.race([running, waited]);
    } finally {
      clearTimeout(timer);
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#up = false;
    clearTimeout(this.#timer);
    await this.#pool.close();
  }
}

const reasonOf = (error: unknown): string => sanitize(error).message;
