/** Retries work that the server has rolled back because of other transactions. */
import { codeOf } from "../errors.ts";

/** serialization_failure, deadlock_detected. */
export const RETRIABLE: ReadonlySet<string | undefined> = new Set(["40001", "40P01"]);
/** These and lock_not_available, for a statement that sets its own lock_timeout. */
export const RETRIABLE_OR_LOCKED: ReadonlySet<string | undefined> = new Set([...RETRIABLE, "55P03"]);

const RETRIES = 5;
const PAUSE_MS = 10;

export const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

/** Runs `work` again, up to five times, if it fails with one of `codes`. */
export async function retrying<T>(work: () => Promise<T>, codes = RETRIABLE): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
      const code = codeOf(error) ?? codeOf(cause) ?? "";
      if (attempt > RETRIES || !codes.has(code)) throw error;
      await pause(Math.random() * PAUSE_MS * attempt);
    }
  }
}
