/** Serialization failure and deadlock: the server undid the transaction because of others, and it may run again. */
export const RETRIABLE: ReadonlySet<string | undefined> = new Set(["40001", "40P01"]);

/** The same for a statement that sets a lock_timeout for itself: it may also run again when that has passed. */
export const RETRIABLE_OR_LOCKED: ReadonlySet<string | undefined> = new Set([...RETRIABLE, "55P03"]);
