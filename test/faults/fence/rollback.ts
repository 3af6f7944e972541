/**
 * For a proxy: each COMMIT becomes a ROLLBACK on its way to the server. The transaction ends as one that failed
 * does, with the tag ROLLBACK instead of COMMIT and without an error, and nothing of it is in the tables.
 */
import type { Shape } from "../../postgres/proxy.ts";
import type { Struck } from "../kit/shapes.ts";

/** The last statement of a message, whether it stands alone or not. */
const COMMIT = /\bcommit(?=\s*;?\s*$)/i;

/** What a client sends is a message without a letter, and then messages with one. */
class Messages {
  #rest: Buffer = Buffer.alloc(0);
  #begun = false;

  /** Those that are whole by now. */
  *add(bytes: Buffer): Generator<Buffer> {
    this.#rest = Buffer.concat([this.#rest, bytes]);
    for (;;) {
      const letter = this.#begun ? 1 : 0;
      if (this.#rest.length < letter + 4) return;
      const size = letter + this.#rest.readInt32BE(letter);
      if (this.#rest.length < size) return;
      this.#begun = true;
      yield this.#rest.subarray(0, size);
      this.#rest = this.#rest.subarray(size);
    }
  }
}

/** Query holds a text, Parse a name and a text, each ended by a zero; undefined for other messages. */
function statementIn(message: Buffer): { readonly from: number; readonly to: number } | undefined {
  const kind = String.fromCharCode(message[0] ?? 0);
  if (kind !== "Q" && kind !== "P") return undefined;
  const from = kind === "Q" ? 5 : message.indexOf(0, 5) + 1;
  return { from, to: message.indexOf(0, from) };
}

function rolledBack(message: Buffer): Buffer | undefined {
  const place = statementIn(message);
  if (!place) return undefined;
  const text = message.toString("utf8", place.from, place.to);
  if (!COMMIT.test(text)) return undefined;
  const changed = Buffer.concat([
    message.subarray(0, place.from),
    Buffer.from(text.replace(COMMIT, "rollback")),
    message.subarray(place.to),
  ]);
  changed.writeInt32BE(changed.length - 1, 1);
  return changed;
}

export function commitsRolledBack(struck: Struck): Shape {
  const clients = new WeakMap<object, Messages>();
  return (bytes, way, connection) => {
    if (way === "down") return { pieces: [bytes] };
    const messages = clients.get(connection) ?? new Messages();
    clients.set(connection, messages);
    const all = [...messages.add(bytes)].map((message) => {
      const changed = rolledBack(message);
      if (changed) struck.count++;
      return changed ?? message;
    });
    return { pieces: all.length > 0 ? [Buffer.concat(all)] : [] };
  };
}
