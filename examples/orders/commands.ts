/**
 * Commands that may be sent twice. The Idempotency-Key becomes the correlation of the events that the command
 * commits, so key and events are written together or not at all, and no table of keys is needed: a command
 * whose events are in the log has been done. What failed left nothing behind and is tried again.
 */
import { createHash, randomUUID } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import { ConcurrencyError, type DoOptions, InvariantError, type Snapshot } from "@rotorsoft/act";
import { Order, type OrderActions, type OrderEvents, type OrderState, type Shop } from "./domain.ts";

export type Command = {
  readonly action: keyof OrderActions;
  readonly stream: string;
  /** What the action was called with. */
  readonly data: object;
  /** A key is good for one order. In a service with accounts, put the caller's before it. */
  readonly key: string | undefined;
};

export type Done = { readonly state: OrderState; readonly version: number; readonly replayed: boolean };

/** The key came before, with another command or other data. */
export class KeyReusedError extends Error {
  override readonly name = "KeyReusedError";
}

/** The same key makes the same order, so a repeated `placeOrder` meets the stream that the first one began. */
export function newStream(key: string | undefined): string {
  const id = key === undefined ? randomUUID() : createHash("sha256").update(key).digest("hex").slice(0, 32);
  return `order-${id}`;
}

/** Runs the command, or answers as it was answered the first time. */
export async function once(
  shop: Shop,
  command: Command,
  run: (options: DoOptions) => Promise<Snapshot<OrderState, OrderEvents>[]>,
): Promise<Done> {
  const { key } = command;
  const before = key === undefined ? undefined : await find(shop, command, key);
  if (before) return before;
  try {
    const snapshots = await run(key === undefined ? {} : { correlator: () => key });
    const last = snapshots.at(-1);
    if (!last) throw new Error(`${command.action} came back without a snapshot`);
    return { state: last.state, version: last.version, replayed: false };
  } catch (error) {
    // Its twin may have been faster: then the order has moved on, and the version or the rule says no.
    const refused = error instanceof ConcurrencyError || error instanceof InvariantError;
    const twin = refused && key !== undefined ? await find(shop, command, key) : undefined;
    if (twin) return twin;
    throw error;
  }
}

async function find(shop: Shop, command: Command, key: string): Promise<Done | undefined> {
  const { stream, action, data } = command;
  const caused = await shop.query_array({ stream, stream_exact: true, correlation: key });
  // Reactions carry the correlation on: what they did to this order came from another action.
  const event = caused.findLast(({ meta }) => meta.causation.event === undefined);
  if (!event) return undefined;
  const kept: Record<string, unknown> = event.data;
  const same = Object.entries(data).every(([name, value]) => isDeepStrictEqual(kept[name], value));
  if (event.meta.causation.action?.name !== action || !same)
    throw new KeyReusedError("This Idempotency-Key belongs to another command");
  const { state, version } = await shop.load(Order, stream, undefined, { before: event.id + 1 });
  return { state, version, replayed: true };
}
