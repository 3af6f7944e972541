/** The new events of a batch and the position of its target, in one transaction: for `.batch` of projections. */
import { sql } from "drizzle-orm";
import { ProjectionError } from "./errors.ts";
import type { Fence } from "./fence.ts";
import { floorOf, heldReason } from "./floor.ts";
import { ISOLATION, type Row, type Transactions } from "./transactions.ts";

/** The position, locked until COMMIT. It is inserted for the first batch of a target. */
async function lock<Tx>(transactions: Transactions<Tx>, tx: Tx, target: string): Promise<Row | undefined> {
  const { projection, positions } = transactions;
  const floor = floorOf(positions, projection);
  const select = sql`
    select greatest(at, (select f.at from (${floor}) f)) as at, generation,
      (extract(epoch from since) * 1000)::bigint as since,
      exists (select 1 from (${floor}) f where f.handlers is not null) as held, ${ISOLATION}
    from ${positions} where projection = ${projection} and target = ${target} for update`;
  const [row] = await transactions.query(tx, select);
  if (row) return row;
  await transactions.query(
    tx,
    sql`insert into ${positions} (projection, target, generation, since)
      select ${projection}::text, ${target}::text, coalesce(f.generation, 0), coalesce(f.since, now())
      from (select) as one left join (${floor}) f on true
      on conflict (projection, target) do nothing`,
  );
  const [inserted] = await transactions.query(tx, select);
  return inserted;
}

export function handleBatch<Tx, Event extends { readonly id: number }>(
  transactions: Transactions<Tx>,
  fence: Fence,
  handler: (events: readonly Event[], tx: Tx, stream: string) => PromiseLike<unknown>,
): (events: readonly Event[], stream: string) => Promise<void> {
  const { projection, positions } = transactions;
  const once = async (events: readonly Event[], stream: string) => {
    const doing = `the batch of projection ${JSON.stringify(projection)} failed at events ${events[0]?.id} to ${events.at(-1)?.id}`;
    await transactions.run(doing, async (tx) => {
      const row = await lock(transactions, tx, stream);
      transactions.assertReadCommitted(row);
      const at = Number(row?.at ?? -1);
      const fresh = events.filter(({ id }) => id > at);
      const last = fresh.at(-1);
      if (!last) return;
      if (row?.held) throw new ProjectionError("SUPERSEDED", heldReason(projection));
      if (fence.refuses(stream, Number(row?.generation), Number(row?.since)))
        throw new ProjectionError("SUPERSEDED", fence.reason(stream));
      await handler(fresh, tx, stream);
      await transactions.query(
        tx,
        sql`update ${positions} set at = ${last.id}::bigint, handlers = null
          where projection = ${projection} and target = ${stream}`,
      );
    });
  };
  Object.defineProperty(once, "name", { value: handler.name || projection });
  return once;
}
