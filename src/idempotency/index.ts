/** `act-drizzle/idempotency`: which requests a receiver has handled already. It needs `drizzle-orm`. */
export { type IdempotencyOptions, PostgresIdempotency } from "./store.ts";
export { type ActIdempotencyOptions, actIdempotency } from "./table.ts";
