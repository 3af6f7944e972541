/** Readers that tail a log by `after`, as correlators and projections do. */
import type { Schemas } from "@rotorsoft/act";
import type postgres from "postgres";
import type { PostgresStore } from "../../src/index.ts";
import { lockText, type TableName } from "./lock.ts";

export type Tail = { readonly ids: number[] /** Reads that found something. */; readonly pages: number };

/** One page of ids beyond `after`, at most `limit`, in ascending order. */
export type ReadPage = (after: number, limit: number) => Promise<number[]>;

export const throughStore =
  (store: PostgresStore): ReadPage =>
  async (after, limit) => {
    const ids: number[] = [];
    await store.query<Schemas>(({ id }) => ids.push(id), { after, limit, with_snaps: true });
    return ids;
  };

export const throughSql =
  (sql: postgres.Sql, name: TableName): ReadPage =>
  async (after, limit) => {
    const rows = await sql.unsafe(
      `select id from ${lockText(name)} where id > $1 order by id limit $2`,
      [after, limit],
      { prepare: true },
    );
    return rows.map(({ id }) => Number(id));
  };

/** Reads on from the last id seen until the writers are done and nothing more is found. */
export async function tail(read: ReadPage, writers: Promise<unknown>, limit: number): Promise<Tail> {
  let done = false;
  const finished = writers.finally(() => {
    done = true;
  });
  finished.catch(() => {});
  const ids: number[] = [];
  let pages = 0;
  for (;;) {
    // In this order: what was committed before the writers ended is found by a read that begins after.
    const last = done;
    const page = await read(ids.at(-1) ?? -1, limit);
    ids.push(...page);
    if (page.length > 0) pages++;
    else if (last) return { ids, pages };
  }
}
