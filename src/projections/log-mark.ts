/**
 * A mark is a fingerprint of the last event that a rebuild has applied. It is kept with the position, because an id alone
 * does not tell whether the log is still the same one: a restore gives the same ids to other events. It is a digest, so that
 * the database of the read models learns no names of streams.
 */
import { createHash } from "node:crypto";

type Marked = {
  readonly id: number;
  readonly stream: string;
  readonly version: number;
  readonly name: PropertyKey;
  readonly created: Date;
};

/** The event's id and a digest. */
export const markOf = ({ id, stream, version, name, created }: Marked): string =>
  `${id} ${createHash("sha256")
    .update(JSON.stringify([stream, version, String(name), created.getTime()]))
    .digest("hex")}`;

/** The id of the event of a mark. */
export const idOfMark = (mark: string): number => Number(mark.split(" ", 1)[0]);

/** How far tables are filled: up to the id `at`. `mark`: of the last event that they hold; undefined if they hold none. */
export type Filling = { readonly at: number; readonly mark: string | undefined };
export const EMPTY: Filling = { at: -1, mark: undefined };
