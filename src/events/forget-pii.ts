/** forget_pii(): erases the pii of a stream's events. Backups and the WAL keep it. */
import type { Context } from "../context.ts";
import { storeError } from "../errors.ts";
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
) select count(*)::int as count, (select max(id)::text from ${names.events}) as last from erased`,
      params: [stream],
    })
    .finally(() => connections.seen?.changed());
  if (typeof row?.last === "string") await assertErased({ names, connections }, stream, row.last);
  return Number(row?.count ?? 0);
}

/**
 * A trigger that keeps the log from being changed leaves rows out without an error, and 0 would mean that there was no pii.
 * Events after `last` were committed meanwhile.
 *
 * @throws StoreError
 */
async function assertErased(
  { names, connections }: Pick<Context, "names" | "connections">,
  stream: string,
  last: string,
): Promise<void> {
  // $1 stream, $2 the last id of the log when the pii was erased
  const [row] = await connections.read("forget_pii", {
    text: `select exists (select 1 from ${names.events}
  where stream = $1::text and id <= $2::bigint and pii is not null) as kept`,
    params: [stream, last],
  });
  if (row?.kept !== true) return;
  throw storeError(
    "forget_pii",
    new Error(
      `a trigger on ${names.events} kept pii of this stream from being erased: fix or drop the trigger, and call forget_pii() again`,
    ),
  );
}
