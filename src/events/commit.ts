/** commit(): encodes the events, queues them, and returns them as they stand in the log. */

import { AsyncLocalStorage } from "node:async_hooks";
import { randomUUID } from "node:crypto";
import { type Committed, ConcurrencyError, type EventMeta, type Message, type Schemas } from "@rotorsoft/act";
import type { Context } from "../context.ts";
import { guard, toStoreError } from "../errors.ts";
import type { Scope } from "../options/inline.ts";
import { safeId } from "../schema/event-rows.ts";
import { watchForFutureEvents } from "../schema/future-events.ts";
import { watchIdCapacity } from "../schema/id-capacity.ts";
import { checkArray, checkNumber } from "../values/validate.ts";
import { type Append, type Outcome, UNSATISFIABLE_VERSION } from "./append.ts";
import { encodeEvents } from "./encode-messages.ts";
import type { Decided } from "./queue.ts";

const isHead = (version: number) => Number.isInteger(version) && version >= -1 && version <= 2_147_483_647;

/** Handlers run in the async context of the call of commit(). */
const enterIn =
  (within: <T>(work: () => T) => T, { projecting }: Context) =>
  (): Scope => {
    const { run, end } = within(projecting);
    return { run: (work) => within(() => run(work)), end };
  };

/**
 * Appends `msgs` to `stream` atomically. For `[]` nothing is sent. With `expectedVersion` the stream's head
 * must be that version (-1: a new stream), else nothing is written.
 *
 * @throws ConcurrencyError with the real head; ValidationError for data that PostgreSQL cannot store;
 *   StoreError for failures of the database.
 */
export async function commit<E extends Schemas>(
  context: Context,
  append: (append: Append) => Promise<Decided>,
  stream: string,
  msgs: Message<E, keyof E>[],
  meta: EventMeta,
  expectedVersion?: number,
): Promise<Committed<E, keyof E>[]> {
  checkArray("commit", "msgs", msgs);
  if (msgs.length === 0) return [];
  if (expectedVersion !== undefined && expectedVersion !== null)
    checkNumber("commit", "expectedVersion", expectedVersion);
  const { piiKeys } = context;
  const { seen } = context.connections;
  const personal = piiKeys && msgs.some((msg) => msg?.pii !== null && msg?.pii !== undefined);
  const key = personal ? await guard("commit", () => piiKeys.current(stream)) : undefined;
  const encoded = encodeEvents(stream, msgs as Message<Schemas, keyof Schemas>[], meta, key);
  const expected =
    typeof expectedVersion === "number"
      ? isHead(expectedVersion)
        ? expectedVersion
        : UNSATISFIABLE_VERSION
      : null;
  const committed = (
    { head, ids, dates }: Pick<Outcome, "head" | "ids" | "dates">,
    at: Date,
  ): Committed<E, keyof E>[] =>
    msgs.map((msg, i) => {
      const event = {
        id: ids[i] ?? 0,
        stream,
        version: head + 1 + i,
        created: new Date(dates?.[i] ?? at),
        name: msg.name,
        data: msg.data,
        meta,
      };
      return msg.pii === null || msg.pii === undefined ? event : { ...event, pii: msg.pii };
    });
  const inlined = context.inline?.handlers;
  const inline =
    inlined && msgs.some(({ name }) => inlined.has(String(name)))
      ? { committed, enter: enterIn(AsyncLocalStorage.snapshot(), context) }
      : undefined;
  let decided: Decided;
  try {
    decided = await append({
      stream,
      expected,
      meta: encoded.meta,
      events: encoded.events,
      token: randomUUID(),
      inline,
    });
  } catch (error) {
    // A commit that failed may still be stored, and the caller may look for it.
    seen?.changed();
    throw toStoreError("commit", error);
  }
  const { outcome, created } = decided;
  if (!outcome.accepted) {
    // The caller reads the stream again and must find the events that it conflicted with, whose ids are not known here.
    seen?.changed();
    throw new ConcurrencyError(
      stream,
      outcome.head,
      msgs as Message<Schemas, keyof Schemas>[],
      expectedVersion ?? UNSATISFIABLE_VERSION,
    );
  }
  const ids = readIds(outcome.ids);
  seen?.event(ids.at(-1) ?? -1);
  watchIdCapacity(context, ids.at(-1) ?? 0);
  watchForFutureEvents(context, created.getTime());
  return committed({ ...outcome, ids }, created);
}

function readIds(ids: readonly number[]): number[] {
  try {
    return ids.map(safeId);
  } catch (error) {
    throw toStoreError("commit", error);
  }
}
