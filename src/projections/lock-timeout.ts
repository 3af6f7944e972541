/**
 * Repeats a transaction whose locks were not granted in time. The limit is short, because readers queue behind a lock request
 * that waits.
 */
import { setTimeout as pause } from "node:timers/promises";
import { sql } from "drizzle-orm";
import { codeOf } from "../errors.ts";
import { ProjectionError, sqlStateOf } from "./errors.ts";

const ATTEMPTS = 30;
const PAUSE = 200;
const LOCK_NOT_AVAILABLE = "55P03";

/** The first statement of such a transaction: it limits each wait for a lock. */
export const LIMIT_LOCKS = sql.raw("set local lock_timeout = '2s'");

/** Whether a lock was not granted in time. */
export const isLocked = (error: unknown): boolean =>
  (error instanceof ProjectionError ? codeOf(error.cause) : sqlStateOf(error)) === LOCK_NOT_AVAILABLE;

export async function retryOnLockTimeout<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      if (attempt >= ATTEMPTS || !isLocked(error)) throw error;
      await pause(PAUSE, undefined, { signal });
    }
  }
}
