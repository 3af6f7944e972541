/** Sends a notification to itself, because a pooler in transaction mode confirms LISTEN and then delivers nothing. */
import { randomUUID } from "node:crypto";
import type { Context } from "../../context.ts";

const LIMIT_MS = 5_000;

/** True if a notification comes back. Stores ignore its payload. */
export async function receivesOwnNotification(
  { names, connections }: Context,
  limitMs = LIMIT_MS,
): Promise<boolean> {
  const payload = JSON.stringify({ probe: randomUUID() });
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const listener = await connections.listen({
    channel: names.channel,
    onPayload: (text) => {
      if (text === payload) resolve(true);
    },
    onReconnected: () => {},
  });
  const timer = setTimeout(resolve, limitMs, false);
  try {
    await connections.read("admin", {
      text: "select pg_notify($1::text, $2::text)",
      params: [names.channel, payload],
    });
    return await promise;
  } finally {
    clearTimeout(timer);
    await listener.stop();
  }
}
