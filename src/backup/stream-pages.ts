/**
 * Pages of the events of some streams, in order of id. The ids are looked up stream by stream, many at once, and the pages
 * are then read by id. With one statement that has ORDER BY id and a LIMIT, the planner walked the whole log for each page,
 * or sorted all events of the streams: 25,000 events of 500 streams in a log of a million took 73 s without statistics.
 */
import { WITHOUT_SORT } from "../postgres/by-index.ts";
import type { Query, StoreConnections } from "../postgres/index.ts";
import { numberArray, textArray } from "../postgres/parameters.ts";
import type { Names } from "../schema/names.ts";

/** A stream, and the id before which its events are read. */
export type Cut = { readonly stream: string; readonly id: number };

/** Most ids that one look-up returns: of each stream, and of all streams together. */
const IDS_PER_STREAM = 1_000;
const IDS = 100_000;

/**
 * The text of a query: the ids of the events before each cut, and the number of the cut (`nth`).
 *
 * It compares the stream with a list of one, and orders by stream first. Run after {@link WITHOUT_SORT}, only an index that
 * begins with the stream can serve it, whatever the statistics say. $1 streams, $2 ids of the cuts. `bounds`: more conditions
 * on `e`
 */
export const idsBefore = ({ events }: Names, bounds = "", limit = ""): string =>
  `select c.nth, x.id from unnest($1::text[], $2::bigint[]) with ordinality as c(stream, id, nth) cross join lateral (
  select e.id from ${events} e where e.stream = any(array[c.stream]) and e.id < c.id${bounds} order by e.stream using ~<~, e.id${limit}) x`;

/** The parameters $1 and $2 of {@link idsBefore}. */
export const cutParams = (cuts: readonly Cut[]): readonly [string, string] => [
  textArray(cuts.map(({ stream }) => stream)),
  numberArray(cuts.map(({ id }) => id)),
];

/** The lines of events by their ids, in order. The line of a deleted event is null. $1 ids */
export const linesQuery = ({ events }: Names, line: string, ids: readonly number[]): Query => ({
  text: `select i.id, e.line from unnest($1::bigint[]) as i(id) left join lateral (
  select ${line} as line from ${events} e where e.id = i.id limit 1) e on true order by i.id`,
  params: [numberArray(ids)],
});

export class StreamPages {
  readonly #names: Names;
  readonly #connections: Pick<StoreConnections, "readWith">;
  readonly #cuts: readonly Cut[];
  readonly #line: string;
  /** The next ids, in order. */
  #ids: number[] = [];
  /** There are no more ids after these. */
  #complete = false;

  /** `line`: the row `e` as text. */
  constructor(
    names: Names,
    connections: Pick<StoreConnections, "readWith">,
    cuts: readonly Cut[],
    line: string,
  ) {
    this.#names = names;
    this.#connections = connections;
    this.#cuts = cuts;
    this.#line = line;
  }

  /** The query of the page after `after`: an id and a line for each event. The line of a deleted event is null. */
  readonly page = async (after: number, limit: number): Promise<Query> => {
    const known = this.#ids.findIndex((id) => id > after);
    this.#ids = known < 0 ? [] : this.#ids.slice(known);
    if (this.#ids.length < limit && !this.#complete) await this.#lookUp(after);
    return linesQuery(this.#names, this.#line, this.#ids.slice(0, limit));
  };

  /**
   * Looks up the next ids. A stream that returns IDS_PER_STREAM ids may have more. So the list ends at the last id of such
   * a stream; if there are several, at the lowest of their last ids.
   */
  async #lookUp(after: number): Promise<void> {
    // $3 after
    const rows = await this.#connections.readWith("export", WITHOUT_SORT, {
      text: `with found as materialized (
  select x.id, count(*) over (partition by x.nth) as found, max(x.id) over (partition by x.nth) as last
  from (${idsBefore(this.#names, " and e.id > $3::bigint", ` limit ${IDS_PER_STREAM}`)}) x
), known as (
  select min(last) as up_to from found where found = ${IDS_PER_STREAM}
)
select f.id, k.up_to is not null as more from found f, known k
where k.up_to is null or f.id <= k.up_to order by f.id limit ${IDS}`,
      params: [...cutParams(this.#cuts), after],
    });
    this.#ids = rows.map(({ id }) => Number(id));
    this.#complete = rows.length < IDS && rows[0]?.more !== true;
  }
}
