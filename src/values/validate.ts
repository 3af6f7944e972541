/** Checks the arguments of the verbs, before anything is sent. A ValidationError names the argument. */
import { ValidationError } from "@rotorsoft/act";
import { refusedText } from "./json-dates.ts";

/** Its message ends with the details: loggers print the message and the stack only. */
export function invalid(verb: string, details: string): ValidationError {
  const error = new ValidationError(verb, undefined, details);
  error.message += `: ${details}`;
  Error.captureStackTrace(error, invalid);
  return error;
}

export function checkText(verb: string, name: string, value: unknown): asserts value is string {
  if (typeof value !== "string") throw invalid(verb, `${name} must be a string, not ${kind(value)}`);
  const refused = refusedText(value);
  if (refused) throw invalid(verb, `${name} ${refused}`);
}

export function checkOptionalText(
  verb: string,
  name: string,
  value: unknown,
): asserts value is string | undefined {
  if (value !== undefined && value !== null) checkText(verb, name, value);
}

export function checkArray(verb: string, name: string, value: unknown): asserts value is readonly unknown[] {
  if (!Array.isArray(value)) throw invalid(verb, `${name} must be an array, not ${kind(value)}`);
  // map and forEach skip holes, so that a missing element would go unnoticed.
  for (let i = 0; i < value.length; i++)
    if (!(i in value)) throw invalid(verb, `${name} has nothing at ${i}`);
}

export function checkTexts(verb: string, name: string, value: unknown): asserts value is readonly string[] {
  checkArray(verb, name, value);
  for (const item of value) checkText(verb, `each of ${name}`, item);
}

export function checkObject(verb: string, name: string, value: unknown): asserts value is object {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw invalid(verb, `${name} must be an object, not ${kind(value)}`);
}

/** A number, but not NaN. The verb that stores it cuts fractions off. */
export function checkNumber(verb: string, name: string, value: unknown): asserts value is number {
  if (typeof value !== "number" || Number.isNaN(value))
    throw invalid(verb, `${name} must be a number, not ${kind(value)}`);
}

export function checkFlag(verb: string, name: string, value: unknown): asserts value is boolean | undefined {
  if (value !== undefined && value !== null && typeof value !== "boolean")
    throw invalid(verb, `${name} must be true or false, not ${kind(value)}`);
}

/** An object or nothing: an event's meta, a snapshot's state. */
export function checkOptionalObject(verb: string, name: string, value: unknown): void {
  if (value !== undefined && value !== null) checkObject(verb, name, value);
}

export function checkFunction(verb: string, name: string, value: unknown): void {
  if (typeof value !== "function") throw invalid(verb, `${name} must be a function, not ${kind(value)}`);
}

/** The kind of a wrong value, for a message that must not show the value. */
export function kind(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "an array";
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? "an invalid Date" : "a Date";
  if (typeof value === "number" && !Number.isFinite(value)) return String(value);
  return value === "" ? "an empty string" : typeof value;
}

const INT_MAX = 2_147_483_647;

/** The number without its fraction, within the range of a PostgreSQL integer. */
export const toInt = (value: number): number => Math.max(-INT_MAX - 1, Math.min(INT_MAX, Math.trunc(value)));

/** The number without its fraction, within the range of whole numbers that JavaScript holds exactly. */
export const toId = (value: number): number =>
  Math.max(-Number.MAX_SAFE_INTEGER, Math.min(Number.MAX_SAFE_INTEGER, Math.trunc(value)));
