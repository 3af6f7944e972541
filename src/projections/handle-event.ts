/** One event and its position, in one transaction: for `.do` of projections and reactions. */
import { DeferSignal } from "@rotorsoft/act";
import { sql } from "drizzle-orm";
import type { Fence } from "./fence.ts";
import { floorOf, heldReason } from "./floor.ts";
import type { ActPositions } from "./positions.ts";
import { ISOLATION, type Transactions } from "./transactions.ts";

/** ms until an event that came while its read model was being rebuilt in place is delivered again. */
const HELD_MS = 500;

/**
 * Moves the target's position to the event, and returns a row if the handler has not handled it yet. The position is locked
 * either way, unless the event is at or below the floor. Several handlers may react to one event for one target. The position
 * stays at that event while they are recorded one after the other.
 */
const advance = (
  positions: ActPositions,
  projection: string,
  target: string,
  id: number,
  handler: string,
) => sql`
  with floor as (${floorOf(positions, projection)})
  insert into ${positions} as p (projection, target, at, handlers, generation, since)
  select ${projection}::text, ${target}::text, ${id}::bigint, array[${handler}::text],
    coalesce(f.generation, 0), coalesce(f.since, now())
  from (select) as one left join floor f on true
  where f.at is null or f.at < ${id}::bigint
  on conflict (projection, target) do update set
    at = excluded.at,
    handlers = case when p.at = excluded.at then p.handlers || excluded.handlers else excluded.handlers end
  where p.at < excluded.at or (p.at = excluded.at and not p.handlers @> excluded.handlers)
  returning generation, (extract(epoch from since) * 1000)::bigint as since,
    exists (select 1 from floor where handlers is not null) as held, ${ISOLATION}`;

export function handleEvent<Tx, Event extends { readonly id: number }, Rest extends unknown[]>(
  transactions: Transactions<Tx>,
  fence: Fence,
  handler: (event: Event, tx: Tx, stream: string, ...rest: Rest) => PromiseLike<unknown>,
): (event: Event, stream: string, ...rest: Rest) => Promise<void> {
  const { projection, positions } = transactions;
  const name = handler.name || projection;
  const once = async (event: Event, stream: string, ...rest: Rest) => {
    const doing = `handler ${JSON.stringify(name)} of projection ${JSON.stringify(projection)} failed at event ${event.id}`;
    await transactions.run(doing, async (tx) => {
      const [row] = await transactions.query(tx, advance(positions, projection, stream, event.id, name));
      if (!row) return;
      transactions.assertReadCommitted(row);
      if (row.held)
        throw Object.assign(new DeferSignal({ at: new Date(Date.now() + HELD_MS) }), {
          message: heldReason(projection),
        });
      // Deferred until now: Act then neither counts a failure nor moves the watermark, and delivers again at once.
      if (fence.refuses(stream, Number(row.generation), Number(row.since)))
        throw Object.assign(new DeferSignal({ at: new Date() }), { message: fence.reason(stream) });
      await handler(event, tx, stream, ...rest);
      await transactions.assertAlive(tx);
    });
  };
  // Act tells handlers of one event apart by their names.
  Object.defineProperty(once, "name", { value: name });
  return once;
}
