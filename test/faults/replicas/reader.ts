/** Tails the log of one server by the last id seen, and checks at each look that it is still an exact prefix. */
import { setTimeout as delay } from "node:timers/promises";
import type postgres from "postgres";
import { connect } from "../../support/database.ts";
import type { Node } from "../failover/pair.ts";

const PAGE = 5_000;
/** So many of the events seen last are counted again at each look. */
const WINDOW = 5_000;

export class Reader {
  readonly node: Node;
  readonly ids: number[] = [];
  looks = 0;
  /** Connections that were lost, as its server was killed or promoted. */
  lost = 0;
  /** What was wrong with the prefix. */
  failure: string | undefined;
  #stopped = false;

  constructor(node: Node) {
    this.node = node;
  }

  get last(): number {
    return this.ids.at(-1) ?? -1;
  }

  stop(): void {
    this.#stopped = true;
  }

  async run(): Promise<void> {
    while (!this.#stopped && this.failure === undefined) {
      const sql = connect(this.node.url);
      try {
        while (!this.#stopped && this.failure === undefined) await this.#look(sql);
      } catch {
        this.lost++;
        // A server that is down tells nobody when it is back.
        await delay(100);
      } finally {
        await sql.end({ timeout: 1 }).catch(() => {});
      }
    }
  }

  async #look(sql: postgres.Sql): Promise<void> {
    const from = this.ids.at(-WINDOW) ?? -1;
    const expected = Math.min(WINDOW, this.ids.length);
    // One statement, so one snapshot: what was seen is all there is up to there, and the next events come behind it.
    const rows = await sql<{ id: number | null; seen: number }[]>`
      select page.id::float8 as id, (select count(*)::int from events where id >= ${from} and id <= ${this.last}) as seen
      from (select 1) one left join lateral
        (select id from events where id > ${this.last} order by id limit ${PAGE}) page on true order by page.id`;
    this.looks++;
    const seen = rows[0]?.seen ?? 0;
    if (seen !== expected)
      this.failure = `${this.node.name}: ${seen} events up to ${this.last} instead of ${expected}, counted from ${from}`;
    for (const { id } of rows) {
      if (id === null) continue;
      if (id <= this.last) this.failure = `${this.node.name}: ${id} came after ${this.last}`;
      this.ids.push(id);
    }
  }
}
