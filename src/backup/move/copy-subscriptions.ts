/**
 * Copies subscriptions and checkpoints, without leases, because their holders work on the old server. Most
 * subscriptions are copied before the tables are locked. Under the lock, those written since are copied, and the table
 * is compared with the target's. If they differ, subscriptions that only the target has are deleted. If they still
 * differ, the whole table is copied.
 */
import type { Context } from "../../context.ts";
import { byIndex } from "../../postgres/by-index.ts";
import type { Run } from "../../postgres/index.ts";
import { textArray } from "../../postgres/parameters.ts";
import type { Names } from "../../schema/names.ts";
import { NEXT_TRANSACTION, writtenSince } from "../written-since.ts";
import { fill } from "./target.ts";

const PAGE = 5_000;
const ROW = "to_jsonb(r) - 'leased_by' - 'leased_until'";

/** Rows that were written since PostgreSQL's snapshot `$2`. */
const SINCE = writtenSince("r", "$2", "n.next");
const NEXT = `cross join (select ${NEXT_TRANSACTION} as next) n`;

type Page = { readonly keys: readonly string[]; readonly lines: readonly string[] };

/**
 * The rows of a table, page by page in byte order of their key. `since`: only those that were written after this
 * snapshot of PostgreSQL. An index of the subscriptions has this order, so that no page sorts them. The checkpoints are few.
 */
async function* rowsOf(run: Run, table: string, key: string, since?: string): AsyncGenerator<Page> {
  for (let after: string | undefined; ; ) {
    const rows = await run({
      text: `select r.${key} as key, (${ROW})::text as line from ${table} r ${since === undefined ? "" : NEXT}
where r.${key} ${after === undefined ? "~>=~" : "~>~"} $1::text${since === undefined ? "" : ` and ${SINCE}`}
order by r.${key} using ~<~ limit ${PAGE}`,
      params: since === undefined ? [after ?? ""] : [after ?? "", since],
    });
    if (rows.length === 0) return;
    const keys = rows.map((row) => String(row.key));
    yield { keys, lines: rows.map(({ line }) => String(line)) };
    if (rows.length < PAGE) return;
    after = keys.at(-1);
  }
}

/** $1 keys, $2 the rows as a JSON array */
async function put(write: Run, table: string, key: string, { keys, lines }: Page): Promise<void> {
  await write({ text: `delete from ${table} where ${key} = any($1::text[])`, params: [textArray(keys)] });
  await write({
    text: `insert into ${table} select r.* from jsonb_array_elements($1::jsonb) j(line)
cross join jsonb_populate_record(null::${table}, j.line) r`,
    params: [`[${lines.join(",")}]`],
  });
}

async function digestOf(run: Run, table: string): Promise<{ readonly text: string; readonly count: number }> {
  const [row] = await run({
    text: `select count(*)::int as count,
  sum(('x' || left(md5((${ROW})::text), 16))::bit(64)::bigint)::text as digest from ${table} r`,
  });
  return { text: `${row?.count} ${row?.digest}`, count: Number(row?.count) };
}

export class SubscriptionsCopy {
  readonly #names: Names;
  readonly #target: Context;
  /** PostgreSQL's transaction snapshot from before the last copy. */
  #pgSnapshot: string | undefined;

  constructor(names: Names, target: Context) {
    this.#names = names;
    this.#target = target;
  }

  /**
   * Copies the subscriptions that were written since the last call. Returns how many. `pages` runs the queries of the first
   * copy, which need the index. Default: in the transaction of `run`.
   */
  async copy(run: Run, pages = byIndex(run)): Promise<number> {
    const { streams } = this.#target.names;
    const since = this.#pgSnapshot;
    // The next call copies again what is written while this one reads.
    const [now] = await run({ text: "select pg_current_snapshot()::text as snapshot" });
    let count = 0;
    await fill(this.#target, async (write) => {
      if (since === undefined) await write({ text: `delete from ${streams}` });
      const read = since === undefined ? pages : run;
      for await (const page of rowsOf(read, this.#names.streams, "stream", since)) {
        await put(write, streams, "stream", page);
        count += page.keys.length;
      }
    });
    this.#pgSnapshot = String(now?.snapshot);
    return count;
  }

  /** Copies the rest, under the lock. Returns the number of subscriptions. */
  async finish(run: Run): Promise<number> {
    const { streams, correlated } = this.#target.names;
    await this.copy(run);
    const wanted = await digestOf(run, this.#names.streams);
    await fill(this.#target, async (write) => {
      const isSame = async () => (await digestOf(write, streams)).text === wanted.text;
      let same = await isSame();
      if (!same) {
        await this.#removeOthers(run, write);
        same = await isSame();
      }
      if (!same) {
        await write({ text: `delete from ${streams}` });
        for await (const page of rowsOf(byIndex(run), this.#names.streams, "stream"))
          await put(write, streams, "stream", page);
      }
      await write({ text: `delete from ${correlated}` });
      for await (const page of rowsOf(run, this.#names.correlated, "key"))
        await put(write, correlated, "key", page);
    });
    return wanted.count;
  }

  /**
   * Deletes subscriptions from the target that the source no longer has, page by page of the source's names.
   *
   * $1 the names of a page. Then the bounds that exist: the last name of the page before (not on the first page), and the
   * last name of this page (not on the last page). Whatever else lies between them is deleted.
   */
  async #removeOthers(run: Run, write: Run): Promise<void> {
    const read = byIndex(run);
    for (let after: string | undefined; ; ) {
      const rows = await read({
        text: `select s.stream from ${this.#names.streams} s${after === undefined ? "" : " where s.stream ~>~ $1::text"}
order by s.stream using ~<~ limit ${PAGE}`,
        params: after === undefined ? [] : [after],
      });
      const names = rows.map(({ stream }) => String(stream));
      const last = rows.length < PAGE ? undefined : names.at(-1);
      const bounds = [
        ...(after === undefined ? [] : [["~>~", after]]),
        ...(last === undefined ? [] : [["~<=~", last]]),
      ];
      await write({
        text: `delete from ${this.#target.names.streams} t
where not exists (select from unnest($1::text[]) k(stream) where k.stream = t.stream)${bounds.map(([than], n) => ` and t.stream ${than} $${n + 2}::text`).join("")}`,
        params: [textArray(names), ...bounds.map(([, name]) => String(name))],
      });
      if (last === undefined) return;
      after = last;
    }
  }
}
