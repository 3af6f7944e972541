/**
 * A command that is given an app imports it to learn what it reacts to. An app that listens, as one does whose store was made
 * with `notify: true`, would begin to work in the operator's terminal, and the command would never end. So a store that is
 * made meanwhile has no `notify`, and the app waits for nothing.
 */

/** On globalThis, because the command and the app each have a copy of this module. */
const PASSIVE = Symbol.for("act-drizzle.passive");

export const isPassive = (): boolean => Reflect.get(globalThis, PASSIVE) === true;

/** Imports a module of the user's. Stores that it makes do not listen. */
export async function importPassively(url: string): Promise<Readonly<Record<string, unknown>>> {
  Reflect.set(globalThis, PASSIVE, true);
  try {
    return await import(url);
  } finally {
    Reflect.deleteProperty(globalThis, PASSIVE);
  }
}
