/** forget_pii(): erases the pii of a stream's events. Backups and the WAL keep it. */
import type { Context } from "../context.ts";
import { storeError } from "../errors.ts";
import type { Names } from "../schema/names.ts";
import { checkText } from "../values/validate.ts";

/**
 * Erases what the statement sees. `looked` is how many events with pii it saw, `found` how many of them it could lock, and
 * `count` how many it erased. $1 stream
 *
 * The path of a Date in pii may contain personal keys, so it is erased too.
 */
const eraseText = ({ events }: Names): string => `with looked as materialized (
  select id from ${events} where stream = $1::text and pii is not null
), personal as materialized (
  select id from ${events} where id = any(array(select id from looked)) and pii is not null order by id for update
), erased as (
  update ${events} set pii = null, dates = dates - 'pii'
  where id = any(array(select id from personal)) returning pii
) select (select count(*) from looked)::int as looked, (select count(*) from personal)::int as found,
  (select count(*) from erased where pii is null)::int as count`;

/**
 * Returns how many events had pii, so a second call returns 0. Data and meta stay.
 *
 * A trigger that keeps the log from being changed leaves rows out without an error, and a caller would take 0 for "there was
 * no pii". So the statement first locks the rows, and then compares how many it locked with how many it erased. The UPDATE
 * finds each locked row, whatever other writers do meanwhile.
 *
 * Rows that could not be locked are gone or changed. A restore or an import that ran meanwhile may have written the stream
 * again, with its pii, in rows that the statement does not see. So it is repeated until it has locked all that it saw.
 *
 * @throws StoreError if pii is still there.
 */
export async function forgetPii({ names, connections }: Context, stream: string): Promise<number> {
  checkText("forget_pii", "stream", stream);
  for (let erased = 0; ; ) {
    const [row] = await connections
      .write("forget_pii", { text: eraseText(names), params: [stream] })
      .finally(() => connections.seen?.changed());
    const found = Number(row?.found ?? 0);
    const count = Number(row?.count ?? 0);
    erased += count;
    if (count < found)
      throw storeError(
        "forget_pii",
        new Error(
          `a trigger on ${names.events} kept pii of this stream from being erased: fix or drop the trigger, and call forget_pii() again`,
        ),
      );
    if (found === Number(row?.looked ?? 0)) return erased;
  }
}
