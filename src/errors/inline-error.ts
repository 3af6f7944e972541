/** What a commit rejects with when an inline projection refuses it. No message carries data of an event. */
import { StoreError } from "@rotorsoft/act";

/**
 * - `HANDLER_FAILED`: the handler threw; `cause` is its error.
 * - `TIMED_OUT`: the handler took longer than its `timeout`, and was cut.
 */
export type InlineProjectionErrorCode = "HANDLER_FAILED" | "TIMED_OUT";

/** The commit was refused by an inline projection. Nothing of it was stored, neither events nor what the handler wrote. */
export class InlineProjectionError extends StoreError {
  readonly code: InlineProjectionErrorCode;
  /** The name of the events that the handler is for. */
  readonly event: string;
  /** The stream of the commit. */
  readonly stream: string;

  constructor(code: InlineProjectionErrorCode, event: string, stream: string, said: string, cause?: unknown) {
    super("commit", { cause });
    this.name = "InlineProjectionError";
    this.code = code;
    this.event = event;
    this.stream = stream;
    this.message = `act-drizzle: the commit to ${JSON.stringify(stream)} was not stored: the inline projection of ${JSON.stringify(event)} ${said}`;
  }
}
