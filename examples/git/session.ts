/** Runs a program that must not leave anything behind, however it ends. */

export type Session = {
  /** Aborts on Ctrl-C. */
  readonly signal: AbortSignal;
  /** Runs at the end, the latest first; each waits for the one before. */
  onEnd(cleanUp: () => Promise<unknown> | unknown): void;
};

/** Something to tell the user in one line, without a stack. */
export class UserError extends Error {
  override readonly name = "UserError";
}

const SIGNALS = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;
/** How long the program may take to notice a signal, and the clean-up to finish, in milliseconds. */
const GRACE = 1_000;
const SHUTDOWN_MS = 15_000;

/**
 * Runs the program, cleans up, and exits with the program's code, or with the signal's (130 for
 * Ctrl-C). A second Ctrl-C, or a clean-up that hangs, ends the process at once.
 */
export async function runSession(
  program: (session: Session) => Promise<number>,
  explain: (error: unknown) => string,
): Promise<never> {
  const controller = new AbortController();
  const cleanUps: (() => Promise<unknown> | unknown)[] = [];
  let interrupted: number | undefined;

  const ended = new Promise<number>((resolve) => {
    for (const [signal, code] of Object.entries(SIGNALS)) {
      // The framework's own handlers would end the process with code 0, before the server is stopped.
      process.removeAllListeners(signal);
      process.on(signal, () => {
        if (interrupted) process.exit(code);
        interrupted = code;
        controller.abort(new Error(`ended by ${signal}`));
        resolve(code);
      });
    }
  });
  const { signal } = controller;
  const running = program({ signal, onEnd: (cleanUp) => cleanUps.push(cleanUp) }).catch((error) => {
    // What ends because of a signal is no news.
    if (!interrupted) console.error(`\n${explain(error)}`);
    return 1;
  });
  const code = await Promise.race([running, ended]);
  if (interrupted) {
    console.error("\nStopping …");
    await Promise.race([running, new Promise((resolve) => setTimeout(resolve, GRACE))]);
  }

  setTimeout(() => process.exit(interrupted ?? 1), SHUTDOWN_MS).unref();
  for (const cleanUp of cleanUps.reverse()) {
    try {
      await cleanUp();
    } catch (error) {
      if (!interrupted) console.error(explain(error));
    }
  }
  process.exit(interrupted ?? code);
}
