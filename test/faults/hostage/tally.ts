/** What a client (client.ts) and the test that started it say to one another, and how commits ended. */
import { StoreError } from "@rotorsoft/act";

export type ToClient =
  /** Calls so many commits in one turn. */
  | { readonly commit: { calls: number; events: number; bytes: number } }
  /** Blocks the event loop for so many ms. */
  | { readonly block: number }
  | { readonly tally: true }
  /** Commits one event after the other until told to end. */
  | { readonly loop: { bytes: number } }
  | { readonly end: true }
  /** Answers each byte that comes on so many sockets, after so many ms of calculation. */
  | { readonly serve: { port: number; sockets: number; millis: number } };

/** Commits by how they ended: `ok`, or the code of the error's cause. `slowest`: ms that one took. */
export type Tally = {
  readonly called: number;
  readonly settled: Readonly<Record<string, number>>;
  readonly slowest: number;
};
export type FromClient = "ready" | "blocked" | { readonly tally: Tally } | { readonly done: Tally };

/** `ok`, the code of a StoreError's cause, or the error's own name. */
export const outcomeOf = (commit: Promise<unknown>): Promise<string> =>
  commit.then(
    () => "ok",
    (error: unknown) => {
      const cause = error instanceof StoreError ? error.cause : undefined;
      if (cause instanceof Error && "code" in cause) return String(cause.code);
      return error instanceof Error ? error.name : String(error);
    },
  );
