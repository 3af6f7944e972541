/**
 * Reads of one store on its replicas. A replica gets a statement only if it has everything that the process has seen
 * (seen.ts). Otherwise, and after each failure, the primary gets it.
 *
 * A check runs before the read, in the same message. Its snapshot is older than the read's, and a standby never shows less
 * than before, so the read sees all that the check has seen. If the replica may lack something, the check is sent alone
 * first, so that a replica that is behind does not run the read in vain.
 */
import { ConnectionError, codeOf } from "../errors.ts";
import type { Connection, Page } from "./connection.ts";
import type { Query, Row } from "./exchange.ts";
import { ANSWER_MS, type Replica, type ReplicaState } from "./replica.ts";
import { later, type Needed, type Position, Seen } from "./seen.ts";
import { causeOf } from "./transaction.ts";

/** The statements that compare a replica with the primary. */
export type ReplicaTexts = {
  /** On a replica: its state. $1 WAL position, or null */
  readonly check: string;
  /** On the primary: its last event and its WAL position. */
  readonly position: string;
};

/**
 * Bounds in ms of `behind` of a {@link View}. It starts at `least` when a replica lacks something, doubles each time that
 * it does, and halves otherwise; below `least` it becomes 0. After an error the replica pauses for `most`.
 */
const BEHIND = { least: 2, most: 250 } as const;

/**
 * What a store knows of a replica. `until`: the instant (of performance.now()) until which the replica is not asked.
 * `behind`: an estimate of how long, in ms, the replica lacks an event after this process has seen it.
 */
type View = { head: number; lsn: string | undefined; until: number; behind: number };

export class ReplicaReads {
  readonly seen: Seen;
  readonly replicas: readonly Replica[];
  readonly #check: string;
  readonly #maxLag: number;
  readonly #primary: (query: Query) => Promise<readonly Row[]>;
  readonly #views = new Map<Replica, View>();
  #next = 0;

  /** `maxLag` in ms; 0 is no limit. `primary`: runs a statement on the primary. */
  constructor(
    replicas: readonly Replica[],
    texts: ReplicaTexts,
    maxLag: number,
    primary: (query: Query) => Promise<readonly Row[]>,
  ) {
    this.replicas = replicas;
    this.#check = texts.check;
    this.#maxLag = maxLag;
    this.#primary = primary;
    this.seen = new Seen(() => this.#position(texts.position));
    for (const replica of replicas)
      this.#views.set(replica, { head: -1, lsn: undefined, until: 0, behind: 0 });
  }

  async #position(text: string): Promise<Position> {
    const [row] = await this.#primary({ text });
    if (typeof row?.lsn !== "string") throw new Error("the server returned no WAL position");
    return { head: Number(row.head), lsn: row.lsn };
  }

  /**
   * The rows of a statement; undefined if the primary has to answer. `at`: what the read needs beside what was seen.
   */
  async rows(query: Query, deadline: number, at?: Partial<Needed>): Promise<readonly Row[] | undefined> {
    const rows: Row[] = [];
    const onRow = (row: Row) => void rows.push(row);
    const done = await this.#read(at, (connection, before) =>
      connection.transact([...before, { ...query, onRow }], deadline),
    );
    return done && rows;
  }

  /** Like {@link rows}, up to `limit` rows, but it stops after `budget` bytes. */
  async page(
    query: Query,
    deadline: number,
    { budget, limit, at }: { budget: number; limit: number; at: Partial<Needed> | undefined },
  ): Promise<Page | undefined> {
    const rows: Row[] = [];
    let bytes = 0;
    let cut = false;
    const done = await this.#read(at, async (connection, before) => {
      const onRow = (row: Row, size: number) => {
        if (cut) return;
        rows.push(row);
        bytes += size;
        cut = bytes > budget && rows.length < limit;
        if (cut) connection.destroy(new ConnectionError("BUDGET", "read budget reached", true));
      };
      await connection.transact([...before, { ...query, onRow }], deadline).catch((error: unknown) => {
        if (!cut) throw error;
      });
    });
    return done && { rows, cut, bytes };
  }

  get states(): ReplicaState[] {
    return this.replicas.map(({ state }) => state);
  }

  /** Asks each replica for its current state, for a report. */
  async checkAll(): Promise<void> {
    await Promise.all(
      this.replicas.map(async (replica) => {
        if (!(await replica.admitNow(this.#primary))) return;
        await replica
          .use(async (connection) => {
            const [row] = await connection.run({ text: this.#check, params: [null] }, ANSWER_MS);
            this.#note(replica, row);
          })
          .catch((error: unknown) => replica.failed(causeOf(error)));
      }),
    );
  }

  /** The next replica that is up and does not pause. It pauses after it lacked something, and after an error. */
  #choose(): Replica | undefined {
    const now = performance.now();
    for (let tries = 0; tries < this.replicas.length; tries++) {
      const replica = this.replicas[this.#next++ % this.replicas.length];
      if (!replica?.isUp(this.#primary)) continue;
      if (now >= (this.#views.get(replica)?.until ?? 0)) return replica;
    }
    return undefined;
  }

  /** Runs `work` on a replica. True if the replica had everything that is needed; otherwise undefined. */
  async #read(
    at: Partial<Needed> | undefined,
    work: (connection: Connection, before: readonly Query[]) => Promise<unknown>,
  ): Promise<true | undefined> {
    const seen = this.seen.needed;
    if (!seen) return undefined;
    const replica = this.#choose();
    const view = replica && this.#views.get(replica);
    if (!replica || !view) return undefined;
    const needed = { event: Math.max(seen.event, at?.event ?? -1), lsn: later(at?.lsn, seen.lsn) };
    const likely = view.head >= needed.event && (needed.lsn === undefined || view.lsn === needed.lsn);
    // Without this, a process that commits without a pause would spend one more round trip on each read.
    if (!likely && this.seen.age < view.behind) return undefined;
    try {
      const upToDate = await replica.use(async (connection, answered) => {
        let there = false;
        const onRow = (row: Row) => {
          there = this.#isUpToDate(replica, view, row, needed);
          answered();
        };
        const check: Query = { text: this.#check, params: [needed.lsn ?? null], onRow };
        if (likely) await work(connection, [check]);
        else {
          await connection.transact([check], ANSWER_MS);
          if (there) await work(connection, []);
        }
        return there;
      });
      if (upToDate) replica.reads++;
      else replica.fallbacks++;
      return upToDate || undefined;
    } catch (error) {
      const cause = causeOf(error);
      // After every error the primary runs the statement. If the statement is wrong, it fails there too; a recovery conflict
      // (40001) happens on replicas only.
      if (codeOf(cause) !== "POOL_TIMEOUT") view.until = performance.now() + BEHIND.most;
      replica.failed(cause);
      return undefined;
    }
  }

  #note(replica: Replica, row: Row | undefined): boolean {
    if (row?.standby !== true) {
      replica.down("it is no longer a standby");
      return false;
    }
    replica.lagMs = row.lag === null ? undefined : Number(row.lag);
    return true;
  }

  #isUpToDate(replica: Replica, view: View, row: Row, needed: Needed): boolean {
    if (!this.#note(replica, row)) return false;
    view.head = Number(row.head);
    if (row.replayed === true) view.lsn = needed.lsn;
    const lags = this.#maxLag > 0 && (replica.lagMs ?? Number.POSITIVE_INFINITY) > this.#maxLag;
    const missing = view.head < (this.seen.needed?.event ?? -1);
    if (missing) this.seen.missing();
    if (lags || missing || row.replayed !== true) {
      view.behind = Math.min(Math.max(view.behind * 2, BEHIND.least), BEHIND.most);
      view.until = performance.now() + view.behind;
      return false;
    }
    view.behind = view.behind < BEHIND.least ? 0 : view.behind / 2;
    return view.head >= needed.event;
  }
}
