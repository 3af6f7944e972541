/** Copies events of one log into another with their ids. They replace whatever the other log has in their place. */
import type { Context } from "../../context.ts";
import { insertedBy } from "../../events/restore.ts";
import type { Query, Run } from "../../postgres/index.ts";
import { numberArray, textArray } from "../../postgres/parameters.ts";
import type { Names } from "../../schema/names.ts";
import { LINE } from "../event-lines.ts";
import { type LogSource, pagesOf } from "../export.ts";
import { insertQuery, moveSequence } from "../import.ts";
import { fill } from "./target.ts";

/** `copied`: how many events were copied. `added`: by how many events the target grew. */
export type Copied = { readonly copied: number; readonly added: number };

type Line = { readonly id: number; readonly line: string };

const insert = (names: Names, lines: readonly Line[]): Query => {
  const texts = lines.map(({ line }) => line);
  return insertQuery(names, texts, "on conflict do nothing");
};

/** $1 ids */
const remove = (names: Names, ids: readonly number[]): Query => ({
  text: `with removed as (delete from ${names.events} where id = any($1::bigint[]) returning 1)
select count(*)::int as count from removed`,
  params: [numberArray(ids)],
});

/** $1 streams, $2 versions */
const removeVersions = (names: Names, streams: readonly string[], versions: readonly number[]): Query => ({
  text: `with removed as (
  delete from ${names.events} e using unnest($1::text[], $2::int[]) as v(stream, version)
  where e.stream = v.stream and e.version = v.version returning 1
) select count(*)::int as count from removed`,
  params: [textArray(streams), numberArray(versions)],
});

/** How many rows a statement has inserted or deleted. */
const changedBy = async (run: Run, query: Query): Promise<number> => insertedBy(await run(query));

/**
 * Writes a page. A row of the target that conflicts with it is older than the page. Either it has the same id, or it
 * has the same stream and version under another id: a truncate or a restore has since given that version to an event of
 * the page. In the second case the event with the other id was changed or deleted, which was recorded too: it is
 * copied again if it still exists.
 */
async function put(write: Run, names: Names, page: readonly Line[]): Promise<number> {
  const added = await changedBy(write, insert(names, page));
  if (added === page.length) return added;
  const places = page.map(({ line }) => JSON.parse(line) as { stream: string; version: number });
  const removed =
    (await changedBy(
      write,
      remove(
        names,
        page.map(({ id }) => id),
      ),
    )) +
    (await changedBy(
      write,
      removeVersions(
        names,
        places.map(({ stream }) => stream),
        places.map(({ version }) => version),
      ),
    ));
  const again = await changedBy(write, insert(names, page));
  if (again !== page.length)
    throw new Error(`act-drizzle: ${page.length - again} events were not written to ${names.events}`);
  return added - removed + again;
}

async function write(
  source: LogSource,
  target: Context,
  page: (after: number, limit: number) => Query,
  {
    after = -1,
    before = () => Promise.resolve(0),
  }: { after?: number; before?: (run: Run) => Promise<number> } = {},
): Promise<Copied> {
  let [copied, added, lastId] = [0, 0, after];
  await fill(target, async (run) => {
    await run({ text: "set local statement_timeout = 0" });
    added += await before(run);
    for await (const lines of pagesOf(source, page, after)) {
      added += await put(run, target.names, lines);
      copied += lines.length;
      lastId = lines.at(-1)?.id ?? lastId;
    }
    if (lastId > after) await moveSequence(run, target.names, lastId);
  });
  return { copied, added };
}

/** Copies the events with ids in `(after, upTo]`. */
export const copyRange = (source: LogSource, target: Context, after: number, upTo: number): Promise<Copied> =>
  write(
    source,
    target,
    // $1 and $2 bounds of the ids, $3 rows
    (from, limit) => ({
      text: `select e.id, ${LINE} as line from ${source.names.events} e
where e.id > $1::bigint and e.id <= $2::bigint order by e.id limit $3::bigint`,
      params: [from, upTo, limit],
    }),
    { after },
  );

/** Copies the events with these ids as they are now, and deletes those that no longer exist. */
export const copyAgain = (source: LogSource, target: Context, ids: readonly number[]): Promise<Copied> =>
  write(
    source,
    target,
    // $1 the ids, $2 the last one of the page before, $3 rows
    (from, limit) => ({
      text: `select e.id, ${LINE} as line from ${source.names.events} e
where e.id = any($1::bigint[]) and e.id > $2::bigint order by e.id limit $3::bigint`,
      params: [numberArray(ids), from, limit],
    }),
    { before: async (run) => -(await changedBy(run, remove(target.names, ids))) },
  );
