/**
 * The move gave up and moved nothing: the log grew or changed faster than it was copied, changes may not have been
 * recorded (a crash, TRUNCATE, a rewritten table, a disabled trigger), the copy differs from the log, or Citus
 * distributes one of the logs.
 */
export class MoveError extends Error {
  override readonly name = "MoveError";
}
