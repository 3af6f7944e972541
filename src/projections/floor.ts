/**
 * The row of a projection that was rebuilt: the one with an empty target. Its `at` is the floor: the tables hold every
 * event up to it, whatever its target, also of targets that have no row yet. While `handlers` is set the tables are
 * being rebuilt in place, and no handler writes.
 *
 * A rebuild changes this row under an EXCLUSIVE lock of the table. A handler's first statement waits for that lock before
 * it takes its snapshot, so it reads the row as the rebuild has left it.
 */
import { type SQL, sql } from "drizzle-orm";
import type { ActPositions } from "./positions.ts";

/** The row, or none. Its columns are those of the positions. */
export const floorOf = (positions: ActPositions, projection: string): SQL => sql`
  select at, handlers, generation, since from ${positions} where projection = ${projection} and target = ''`;

/** Until this transaction ends no handler runs, and each handler that has run is committed or rolled back. */
export const lockPositions = (positions: ActPositions): SQL => sql`lock table ${positions} in exclusive mode`;

/** Makes the row, if it is not there. */
export const makeFloor = (positions: ActPositions, projection: string): SQL => sql`
  insert into ${positions} (projection, target) values (${projection}, '')
  on conflict (projection, target) do nothing`;

/**
 * From here on handlers write nothing. The tables are empty, so every position of the projection goes back to the beginning.
 */
export const holdHandlers = (positions: ActPositions, projection: string): SQL => sql`
  update ${positions} set at = -1, generation = generation + 1, since = clock_timestamp(),
    handlers = case when target = '' then array['rebuilding'] end
  where projection = ${projection}`;

/**
 * Handlers run again, from the first event. This begins a new generation: a handler that was called while handlers were held
 * may have been claimed at an old watermark, and would skip the events before it.
 */
export const deliverAgain = (positions: ActPositions, projection: string): SQL => sql`
  update ${positions} set at = -1, handlers = null, generation = generation + 1, since = clock_timestamp()
  where projection = ${projection}`;

/** Handlers run again, and skip what the tables hold: every event up to `at`, whatever their own positions say. */
export const raiseFloor = (positions: ActPositions, projection: string, at: number): SQL => sql`
  update ${positions} set at = ${at}::bigint, handlers = null where projection = ${projection} and target = ''`;

/** What to say of an event that came while the tables were being rebuilt. */
export const heldReason = (projection: string): string =>
  `projection ${JSON.stringify(projection)} is being rebuilt in place: nothing was written, and the event is delivered again. If no rebuild is running, one was interrupted: run it again, it goes on where it stopped.`;
