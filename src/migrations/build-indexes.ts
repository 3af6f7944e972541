/**
 * Builds indexes of large tables while they are in use: CREATE INDEX CONCURRENTLY under another name, then a swap of
 * names. No step takes a lock for which readers or writers of the table wait.
 *
 * If the build is interrupted, the next seed() finds the unfinished indexes by their names, and continues.
 *
 * States of one index: missing or outdated → built as `next` → renamed (`old` is the former one) → complete (`old` is
 * dropped).
 */
import type { Context } from "../context.ts";
import { ConnectionError, codeOf, guard } from "../errors.ts";
import { type Connection, RETRIABLE } from "../postgres/index.ts";
import { pause } from "../postgres/retry.ts";
import { literal, type Names } from "../schema/names.ts";
import { log } from "../values/log.ts";
import { concurrently, hasDefinition } from "./index-definition.ts";
import { introspectAgain } from "./introspect.ts";
import { planMigration } from "./plan.ts";
import type { Build } from "./plan-indexes.ts";

/**
 * ms between two attempts to take the lock, so that one process at a time builds. A process that waits in
 * `pg_advisory_lock` would hold a snapshot, and CREATE INDEX CONCURRENTLY waits for snapshots. So a process polls.
 */
const ASK_AGAIN_MS = 250;
const ATTEMPTS = 5;

const lockOf = ({ schema, table }: Names) =>
  `hashtext(${literal(`act-drizzle:build:"${schema}"."${table}"`)})`;

/**
 * Builds the indexes that are still missing once this process has the lock, and returns a text for each. If another process
 * builds for longer than a statement may take, this one returns without the indexes.
 */
export function buildIndexes({ names, connections }: Context): Promise<string[]> {
  return guard("seed", () =>
    // On a connection that is closed afterwards, because the build changes settings of its session.
    connections.useAlone(async (connection) => {
      try {
        const builder = new Builder(names, connection, connections.deadline);
        if (await builder.lock()) return await builder.build();
        log().warn(
          `[act-drizzle] seed "${names.schema}"."${names.table}": another process still builds indexes, and queries may be slow until it is done; this process waits no longer`,
        );
        return [];
      } finally {
        // Closing the connection releases the lock and discards the settings.
        connection.destroy(new ConnectionError("CONNECTION_ENDED", "the indexes are built", false));
      }
    }),
  );
}

class Builder {
  readonly #names: Names;
  readonly #connection: Connection;
  readonly #deadline: number;

  constructor(names: Names, connection: Connection, deadline: number) {
    this.#names = names;
    this.#connection = connection;
    this.#deadline = deadline;
  }

  #run(text: string) {
    return this.#connection.run({ text }, 0);
  }

  async lock(): Promise<boolean> {
    const began = performance.now();
    for (;;) {
      const [row] = await this.#run(`select pg_try_advisory_lock(${lockOf(this.#names)}) as given`);
      if (row?.given === true) return true;
      if (this.#deadline > 0 && performance.now() - began > this.#deadline) return false;
      await pause(ASK_AGAIN_MS);
    }
  }

  async build(): Promise<string[]> {
    const { schema, table } = this.#names;
    const builds = await this.#remaining();
    if (builds.length === 0) return [];
    log().info(
      `[act-drizzle] seed "${schema}"."${table}": building ${builds.length} indexes; reads and appends continue meanwhile`,
    );
    // A build blocks no reader or writer, so it has no time limit.
    await this.#run("set statement_timeout = 0");
    for (const build of builds) await this.#again(() => this.#buildOne(build));
    await this.#run(`analyze ${this.#names.events}, ${this.#names.streams}`);
    return builds.map(({ done }) => done);
  }

  async #catalog() {
    return introspectAgain((query) => this.#connection.run(query, 0), this.#names);
  }

  async #remaining(): Promise<readonly Build[]> {
    return planMigration(this.#names, await this.#catalog())?.builds ?? [];
  }

  /** Retries after a deadlock, which VACUUM or an older release's seed() may cause. */
  async #again(work: () => Promise<void>): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await work();
      } catch (error) {
        if (attempt === ATTEMPTS || !RETRIABLE.has(codeOf(error))) throw error;
        await pause(ASK_AGAIN_MS);
      }
    }
  }

  async #buildOne({ name, next, old, sql }: Build): Promise<void> {
    const { schema } = this.#names;
    const { relations } = await this.#catalog();
    const right = (index: string) => {
      const found = relations.get(index)?.index;
      return found?.valid === true && hasDefinition(found.definition, sql);
    };
    if (!right(name)) {
      if (relations.has(next) && !right(next)) await this.#drop(next);
      if (!right(next)) await this.#run(concurrently(sql, schema, next));
      if (relations.has(old)) await this.#drop(old);
      const rename = (from: string, to: string) => ({
        text: `alter index "${schema}"."${from}" rename to "${to}"`,
      });
      const swap = [...(relations.has(name) ? [rename(name, old)] : []), rename(next, name)];
      await this.#connection.transact(swap, this.#deadline);
      await this.#drop(old);
    } else for (const left of [next, old]) await this.#drop(left);
  }

  async #drop(index: string): Promise<void> {
    await this.#run(`drop index concurrently if exists "${this.#names.schema}"."${index}"`);
  }
}
