/**
 * Counts that stay cheap on any size of table: the server stops counting at a limit.
 */
import { z } from "zod";

/** `exact` is false if there are more than `count`. */
export type Count = { readonly count: number; readonly exact: boolean };

/** Rows that are counted at most. */
export const COUNT_LIMIT = 10_000;

/** An expression that counts the rows of `from …`, but no more than `limit` and one. */
export const countOf = (from: string, limit = COUNT_LIMIT): string =>
  `(select count(*) from (select 1 ${from} limit ${limit + 1}) counted)`;

/** Reads what {@link countOf} returned. */
export const boundedCount = (limit = COUNT_LIMIT) =>
  z.coerce.number().transform((found): Count => ({ count: Math.min(found, limit), exact: found <= limit }));

/** A timestamp of the server, sent as milliseconds since the epoch. */
export const instant = z.coerce.number().transform((ms) => new Date(ms));
export const optionalInstant = z
  .number()
  .nullable()
  .transform((ms) => (ms === null ? undefined : new Date(ms)));

/** An expression for milliseconds since the epoch, which {@link instant} reads. */
export const epochMs = (expression: string): string => `extract(epoch from ${expression})::float8 * 1000`;

/** An expression for the time of the log's last event, which by mistake may be `infinity`: no Date holds that. */
export const lastCreatedMs = (events: string): string =>
  `(select ${epochMs("least(created, timestamptz '9999-12-31 00:00:00+00')")} from ${events} order by id desc limit 1)`;

export const optionalText = z
  .string()
  .nullable()
  .transform((text) => text ?? undefined);
