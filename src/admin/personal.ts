/**
 * The personal data of one event, for a person who has a reason to see it. Of the other calls of admin, only export() and
 * archive() give personal data.
 */
import type { Context } from "../context.ts";
import { guard } from "../errors.ts";
import { eventColumns } from "../schema/event-rows.ts";
import type { Names } from "../schema/names.ts";
import { checkArgument, ID } from "../values/rules.ts";

/** The personal data of one event. */
export type Personal = {
  /** Undefined if the event has none, or if it is encrypted and the store has no key for it. */
  readonly pii: unknown;
  /** It is encrypted, and the store has no key for it. */
  readonly encrypted: boolean;
};

/** $1 the id */
export const personalText = ({ events: log }: Names): string =>
  `select ${eventColumns("e", { pii: true })} from ${log} e where e.id = $1::bigint`;

/** Compared by name, because each entry point is bundled separately and has its own copy of the class. */
const isPiiError = (error: unknown): boolean => error instanceof Error && error.name === "PiiError";

/** Undefined if the log does not hold the event. */
export async function personal(
  { names, connections, reader }: Context,
  id: number,
): Promise<Personal | undefined> {
  checkArgument("personal", "id", id, ID);
  const rows = await connections.read("admin", { text: personalText(names), params: [id] });
  const [row] = rows;
  if (!row) return undefined;
  if (row.pii === null) return { pii: undefined, encrypted: false };
  return guard("admin", async () => {
    try {
      const decode = await reader.forRows(rows);
      const { pii } = decode(row);
      return { pii, encrypted: pii === undefined };
    } catch (error) {
      if (isPiiError(error)) return { pii: undefined, encrypted: true };
      throw error;
    }
  });
}
