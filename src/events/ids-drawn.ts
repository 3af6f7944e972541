/**
 * Refuses events whose ids a trigger has set. Readers that have passed such an id would never read its event.
 *
 * seed() refuses a trigger whose source assigns to NEW.id, but a source cannot be read completely: it may replace NEW, or call
 * another function. A trial INSERT at boot would run the trigger's side effects, and would miss a trigger that acts only on
 * some events. So on a log with triggers each INSERT compares the ids that it got with the sequence (18 of 180 µs, so not on
 * other logs).
 */
import { raise } from "../errors.ts";
import type { Query } from "../postgres/index.ts";
import { idSequence } from "../schema/id-sequence.ts";
import { insertTriggers } from "../schema/insert-triggers.ts";
import { literal, type Names } from "../schema/names.ts";

/** The last value of the sequence at the moment in which the expression is evaluated. */
export const lastValue = (sequence: string): string => `pg_sequence_last_value(${sequence}::oid)`;

/** Columns of new events for {@link unlessDrawn}. */
export const LOWEST_AND_HIGHEST = ", min(id) as first, max(id) as last";

/**
 * A WHEN clause that fails if the log has a trigger, and ids of the new events, from `first` to `last`, were not drawn from
 * the sequence. `before`: the sequence's last value before the INSERT. Without a trigger such ids come from a sequence with
 * a cache, which seed() mends, or from a sequence that has replaced this one. The catalog is read only for such ids.
 */
export const unlessDrawn = (
  names: Names,
  sequence: string,
  before: string,
  first: string,
  last: string,
): string => `
    when (${first} <= ${before} or ${last} > ${lastValue(sequence)})
      and exists (select 1 ${insertTriggers(literal(names.events))}) then ${raise("ids_set_by_trigger")}`;

/** One row if the log has triggers that may set ids. */
export const triggersQuery = ({ events }: Names): Query => ({
  text: `select 1 as found ${insertTriggers("$1::text")} limit 1`,
  params: [events],
  ignoresSettings: true,
});

/** The sequence that ids are drawn from now. */
export const sequenceQuery = (names: Names): Query => ({
  text: `select ${idSequence(names)}::bigint as sequence`,
  once: true,
});
