/** Reads and checks the parameters and bodies of requests. */
import type { Context } from "hono";
import * as z from "zod";
import type { LogFilter } from "../admin/index.ts";
import { ConsoleError } from "./failures.ts";

const bad = (message: string) => new ConsoleError("bad-request", message);

export const text = (c: Context, name: string): string | undefined => c.req.query(name) || undefined;

export function required(c: Context, name: string): string {
  const value = text(c, name);
  if (value === undefined) throw bad(`The parameter ${name} is needed.`);
  return value;
}

export const flag = (c: Context, name: string): boolean => c.req.query(name) === "1";

/** A whole number. */
export function integer(c: Context, name: string): number | undefined {
  const given = text(c, name);
  if (given === undefined) return undefined;
  const value = Number(given);
  if (!Number.isSafeInteger(value)) throw bad(`${name} must be a whole number.`);
  return value;
}

export function requiredInteger(c: Context, name: string): number {
  const value = integer(c, name);
  if (value === undefined) throw bad(`The parameter ${name} is needed.`);
  return value;
}

/** From 1 to `most`. */
export function limit(c: Context, byDefault: number, most: number): number {
  const value = integer(c, "limit") ?? byDefault;
  if (value < 1 || value > most) throw bad(`limit must be from 1 to ${most}.`);
  return value;
}

function time(c: Context, name: string): Date | undefined {
  const given = text(c, name);
  if (given === undefined) return undefined;
  const value = new Date(given);
  if (Number.isNaN(value.getTime())) throw bad(`${name} must be a time, as 2026-01-31T12:00:00Z.`);
  return value;
}

export function oneOf<const T extends string>(c: Context, name: string, values: readonly T[]): T | undefined {
  const given = text(c, name);
  if (given === undefined) return undefined;
  const found = values.find((value) => value === given);
  if (found === undefined) throw bad(`${name} must be one of ${values.join(", ")}.`);
  return found;
}

/** The filters of the log, without `before`, `after` and `limit`. */
export function logFilter(c: Context): LogFilter {
  const names = c.req.queries("name")?.filter((name) => name !== "");
  return {
    stream: text(c, "stream"),
    streamExact: flag(c, "exact") || undefined,
    names: names?.length ? names : undefined,
    correlation: text(c, "correlation"),
    actor: text(c, "actor"),
    createdAfter: time(c, "since"),
    createdBefore: time(c, "until"),
    payload: flag(c, "payload"),
  };
}

/** The body of a request, of the form of `schema`. */
export async function body<T>(c: Context, schema: z.ZodType<T>): Promise<T> {
  const given: unknown = await c.req.json().catch(() => {
    throw bad("The body must be JSON.");
  });
  const read = schema.safeParse(given);
  if (!read.success) throw bad(`The body is not as it should be: ${z.prettifyError(read.error)}`);
  return read.data;
}
