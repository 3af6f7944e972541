/**
 * Counts that stay cheap on any size of table: the server stops counting at a limit.
 */
import * as z from "zod";

/** `exact` is false if there may be more than `count`. */
export type Count = { readonly count: number; readonly exact: boolean };

/** Rows that are counted at most. */
export const COUNT_LIMIT = 10_000;

/** An expression that counts the rows of `from …`, and stops at `limit` + 1. */
export const countOf = (from: string, limit = COUNT_LIMIT): string =>
  `(select count(*) from (select 1 ${from} limit ${limit + 1}) counted)`;

/** Reads what {@link countOf} returned. */
export const boundedCount = (limit = COUNT_LIMIT) =>
  z.coerce.number().transform((found): Count => ({ count: Math.min(found, limit), exact: found <= limit }));

/**
 * A timestamp of the server, sent as milliseconds since the epoch. `infinity`, which no Date holds, becomes an invalid
 * Date, as in `query`.
 */
export const instant = z
  .custom<number | string>((ms) => typeof ms === "number" || typeof ms === "string")
  .transform((ms) => new Date(Number(ms)));
export const optionalInstant = z.union([z.null().transform(() => undefined), instant]);

/** ms from one time to another; 0 if one of them is `infinity`. */
export const msBetween = (from: Date, to: Date): number => {
  const ms = to.getTime() - from.getTime();
  return Number.isNaN(ms) ? 0 : ms;
};

/**
 * An expression for milliseconds since the epoch, which {@link instant} reads, or for the milliseconds of an interval. It is
 * numeric: behind a pooler a role's extra_float_digits could cut digits off a float8. The driver returns it as text.
 */
export const epochMs = (expression: string): string => `extract(epoch from ${expression}) * 1000`;

/**
 * An expression for the time of the log's last event. `created` may be `infinity` by mistake, which no Date holds, so it is
 * limited to the years 1 to 9999.
 */
export const lastCreatedMs = (events: string): string =>
  `(select ${epochMs("greatest(least(created, timestamptz '9999-12-31 00:00:00+00'), timestamptz '0001-01-01 00:00:00+00')")} from ${events} order by id desc limit 1)`;

export const optionalText = z
  .string()
  .nullable()
  .transform((text) => text ?? undefined);
