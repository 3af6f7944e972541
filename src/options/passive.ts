/**
 * A CLI command imports an app to learn which events it reacts to. If the app's store listened (`notify: true`), the app
 * would begin to work in the operator's terminal, and the command would never end. So a store that is made during the import
 * has no `notify`.
 */

/** On globalThis, because the command and the app each have a copy of this module. */
const PASSIVE = Symbol.for("act-drizzle.passive");

export const isPassive = (): boolean => Reflect.get(globalThis, PASSIVE) === true;

/** Imports a user's module. Stores that it makes do not listen. */
export async function importPassively(url: string): Promise<Readonly<Record<string, unknown>>> {
  Reflect.set(globalThis, PASSIVE, true);
  try {
    return await import(url);
  } finally {
    Reflect.deleteProperty(globalThis, PASSIVE);
  }
}
