/** The error of a commit that an inline projection refuses. Its message has no data of an event. */
import { StoreError } from "@rotorsoft/act";

/**
 * - `HANDLER_FAILED`: the handler threw; `cause` is its error.
 * - `TIMED_OUT`: the handler took longer than its `timeout`, and was cancelled.
 */
export type InlineProjectionErrorCode = "HANDLER_FAILED" | "TIMED_OUT";

/** An inline projection refused the commit. Neither its events nor the writes of the handler were stored. */
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
