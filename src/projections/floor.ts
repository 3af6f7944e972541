/**
 * The row with an empty target, of a projection that was rebuilt. Its `at` is the floor: the tables hold every event up to
 * it, also events of targets that have no row yet. While `handlers` is set, the tables are being rebuilt in place, and no
 * handler writes.
 *
 * A rebuild holds and releases the handlers under an EXCLUSIVE lock of the table. A handler's first statement waits for
 * that lock before it takes its snapshot, so it reads the row as the rebuild has left it. While the handlers are held,
 * a rebuild in place moves `at` without the lock.
 */
import { type SQL, sql } from "drizzle-orm";
import type { ActPositions } from "./positions.ts";

/** Selects the row, if there is one. */
export const floorOf = (positions: ActPositions, projection: string): SQL => sql`
  select at, handlers, generation, since from ${positions} where projection = ${projection} and target = ''`;

/** Waits until each handler that runs is committed or rolled back. Then no handler runs until this transaction ends. */
export const lockPositions = (positions: ActPositions): SQL => sql`lock table ${positions} in exclusive mode`;

/** Creates the row, if it does not exist. */
export const makeFloor = (positions: ActPositions, projection: string): SQL => sql`
  insert into ${positions} (projection, target) values (${projection}, '')
  on conflict (projection, target) do nothing`;

/**
 * Holds the handlers: from here on they write nothing. The tables are empty, so every position goes back to the beginning.
 */
export const holdHandlers = (positions: ActPositions, projection: string): SQL => sql`
  update ${positions} set at = -1, generation = generation + 1, since = clock_timestamp(),
    handlers = case when target = '' then array['rebuilding'] end
  where projection = ${projection}`;

/**
 * Lets handlers run again, from the first event. This begins a new generation: an event that came while handlers were held
 * may have been claimed at an old watermark, and to handle it would skip the events before it.
 */
export const deliverAgain = (positions: ActPositions, projection: string): SQL => sql`
  update ${positions} set at = -1, handlers = null, generation = generation + 1, since = clock_timestamp()
  where projection = ${projection}`;

/** Lets handlers run again. They skip the events that the tables hold: all up to `at`, whatever their own positions are. */
export const raiseFloor = (positions: ActPositions, projection: string, at: number): SQL => sql`
  update ${positions} set at = ${at}::bigint, handlers = null where projection = ${projection} and target = ''`;

/** The message for an event that came while the tables were being rebuilt. */
export const heldReason = (projection: string): string =>
  `projection ${JSON.stringify(projection)} is being rebuilt in place or redelivered: nothing was written, and the event is delivered again. If neither rebuild() nor redeliver() is running, one was interrupted: run it again.`;
