/** forget_pii(): erases the pii of a stream's events. Backups and the WAL keep it. */
import type { Context } from "../context.ts";
import { storeError } from "../errors.ts";
import { checkText } from "../values/validate.ts";

/**
 * Returns how many events had pii, so a second call returns 0. Data and meta stay.
 *
 * A trigger that keeps the log from being changed leaves rows out without an error, and 0 would mean that there was no pii.
 * So the rows are locked first: the UPDATE then finds each of them, whatever other writers do meanwhile.
 *
 * @throws StoreError if pii is still there.
 */
export async function forgetPii({ names, connections }: Context, stream: string): Promise<number> {
  checkText("forget_pii", "stream", stream);
  // The path of a Date in pii may contain personal keys, so it is erased too. $1 stream
  const [row] = await connections
    .write("forget_pii", {
      text: `with personal as materialized (
  select id from ${names.events} where stream = $1::text and pii is not null order by id for update
), erased as (
  update ${names.events} set pii = null, dates = dates - 'pii'
  where id = any(array(select id from personal)) returning pii
) select (select count(*) from personal)::int as found, (select count(*) from erased where pii is null)::int as count`,
      params: [stream],
    })
    .finally(() => connections.seen?.changed());
  const count = Number(row?.count ?? 0);
  if (count < Number(row?.found ?? 0))
    throw storeError(
      "forget_pii",
      new Error(
        `a trigger on ${names.events} kept pii of this stream from being erased: fix or drop the trigger, and call forget_pii() again`,
      ),
    );
  return count;
}
