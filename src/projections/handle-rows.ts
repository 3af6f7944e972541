/** The newer rows of a flush and their positions, in one transaction: for `.of(State).flush` of projections. */
import { sql } from "drizzle-orm";
import { ProjectionError } from "./errors.ts";
import type { Fence } from "./fence.ts";
import { floorOf, heldReason } from "./floor.ts";
import type { ActPositions } from "./positions.ts";
import { ISOLATION, type Transactions } from "./transactions.ts";

/**
 * Moves the position of each stream to the event of its row, and returns the streams whose position was lower. The rows are
 * locked in order of stream, so that two flushes of the same streams do not deadlock.
 *
 * The streams and ids are sent as one text. Drizzle would turn an array into a list, and drivers send arrays in different
 * ways.
 */
const advance = (positions: ActPositions, projection: string, rows: string) => sql`
  with floor as (${floorOf(positions, projection)})
  insert into ${positions} as p (projection, target, at, generation, since)
  select ${projection}::text, r.stream, r.event_id, coalesce(f.generation, 0), coalesce(f.since, now())
  from jsonb_to_recordset((${rows}::text)::jsonb) as r(stream text, event_id bigint) left join floor f on true
  where f.at is null or f.at < r.event_id
  order by r.stream
  on conflict (projection, target) do update set at = excluded.at, handlers = null where p.at < excluded.at
  returning target, generation, (extract(epoch from since) * 1000)::bigint as since,
    exists (select 1 from floor where handlers is not null) as held, ${ISOLATION}`;

export function handleRows<Tx, Flushed extends { readonly stream: string; readonly event_id: number }>(
  transactions: Transactions<Tx>,
  fence: Fence,
  handler: (rows: readonly Flushed[], tx: Tx) => PromiseLike<unknown>,
): (rows: readonly Flushed[]) => Promise<void> {
  const { projection, positions } = transactions;
  const once = async (rows: readonly Flushed[]) => {
    const doing = `the flush of projection ${JSON.stringify(projection)} failed with ${rows.length} streams`;
    const heads = JSON.stringify(rows.map(({ stream, event_id }) => ({ stream, event_id })));
    await transactions.run(doing, async (tx) => {
      const moved = await transactions.query(tx, advance(positions, projection, heads));
      transactions.assertReadCommitted(moved[0]);
      if (moved.some(({ held }) => held)) throw new ProjectionError("SUPERSEDED", heldReason(projection));
      // Asks about all rows, not only up to the first refusal, so that each target is refused only once.
      const refused = moved.filter(({ target, generation, since }) =>
        fence.refuses(String(target), Number(generation), Number(since)),
      );
      if (refused.length > 0)
        throw new ProjectionError("SUPERSEDED", fence.reason(String(refused[0]?.target)));
      const newer = new Set(moved.map(({ target }) => target));
      const fresh = rows.filter(({ stream }) => newer.has(stream));
      if (fresh.length === 0) return;
      await handler(fresh, tx);
      await transactions.assertAlive(tx);
    });
  };
  Object.defineProperty(once, "name", { value: handler.name || projection });
  return once;
}
