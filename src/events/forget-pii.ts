/** forget_pii(): erases the personal side of a stream's events. What backups and the WAL hold is not reached. */

import type { Context } from "../context.ts";
import { checkText } from "../values/validate.ts";

/** Returns how many events had pii; 0 the second time. The log's other columns are not touched. */
export async function forgetPii({ names, connections }: Context, stream: string): Promise<number> {
  checkText("forget_pii", "stream", stream);
  // The way to a Date in pii can name personal keys: it goes too.
  const [row] = await connections.write("forget_pii", {
    text: `with erased as (
  update ${names.events} set pii = null, dates = dates - 'pii'
  where stream = $1::text and pii is not null returning 1
) select count(*)::int as count from erased`,
    params: [stream],
  });
  return Number(row?.count ?? 0);
}
