/** forget_pii(): erases the pii of a stream's events. Backups and the WAL keep it. */
import type { Context } from "../context.ts";
import { checkText } from "../values/validate.ts";

/** Returns how many events had pii, so a second call returns 0. Data and meta stay. */
export async function forgetPii({ names, connections }: Context, stream: string): Promise<number> {
  checkText("forget_pii", "stream", stream);
  // The path of a Date in pii may contain personal keys, so it is erased too. $1 stream
  const [row] = await connections
    .write("forget_pii", {
      text: `with erased as (
  update ${names.events} set pii = null, dates = dates - 'pii'
  where stream = $1::text and pii is not null returning 1
) select count(*)::int as count from erased`,
      params: [stream],
    })
    .finally(() => connections.seen?.changed());
  return Number(row?.count ?? 0);
}
