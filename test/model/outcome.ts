/** What a verb did, a value or an error, as something that can be compared. */
import { ConcurrencyError, StoreError, ValidationError } from "@rotorsoft/act";

export type Outcome<T> = { readonly value: T } | { readonly error: unknown };

export async function outcome<T>(run: () => Promise<T>): Promise<Outcome<T>> {
  try {
    return { value: await run() };
  } catch (error) {
    return { error };
  }
}

/** Thrown by the callbacks that the model hands to a store; must come out as it went in. */
export class CallbackError extends Error {}

/** The class of an error and the fields that the contract promises. */
export function describeError(error: unknown): Record<string, unknown> {
  if (error instanceof ConcurrencyError) {
    const { stream, lastVersion, expectedVersion, events } = error;
    return {
      class: "ConcurrencyError",
      stream,
      lastVersion,
      expectedVersion,
      events: events.map(withoutNull),
    };
  }
  if (error instanceof ValidationError) return { class: "ValidationError" };
  if (error instanceof CallbackError) return { class: "CallbackError", message: error.message };
  if (error instanceof StoreError) {
    return { class: "StoreError", operation: error.operation, cause: String(error.cause) };
  }
  return { class: error instanceof Error ? error.constructor.name : typeof error, stack: stackOf(error) };
}

/** `pii: null` and no pii are the same (P1). */
export function withoutNull<T extends { readonly pii?: unknown }>(event: T): T {
  return { ...event, pii: event.pii ?? undefined };
}

function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
