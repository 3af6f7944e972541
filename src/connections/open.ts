/**
 * Finds the server to use among several hosts, as libpq does: the first that answers and is of the wanted
 * kind. With one host and no wish there is nothing to find, and connecting costs no extra round trip.
 */
import type { Config } from "../config.ts";
import { ConnectionError } from "../errors.ts";
import { Slot, type SlotOptions } from "./slot.ts";

/** Where to begin looking: shared by the slots of a store, so that a silent host is waited for once. */
export type Hosts = {
  first: number;
  /** Called when a new connection has got its first answer. */
  readonly answers?: () => void;
};

type Attrs = Config["target_session_attrs"];

const STATE =
  "select pg_is_in_recovery() as standby, current_setting('transaction_read_only') = 'on' as read_only";

function suits(attrs: Attrs, standby: boolean, readOnly: boolean): boolean {
  switch (attrs) {
    case "any":
      return true;
    case "read-write":
      return !readOnly;
    case "read-only":
      return readOnly;
    case "primary":
      return !standby;
    case "standby":
    case "prefer-standby":
      return standby;
  }
}

/** Opens a slot. Rejects with the last host's failure, or with NO_SERVER when all answer and none suits. */
export async function openSlot(
  options: Omit<SlotOptions, "endpoint">,
  hosts: Hosts,
  onClose: (slot: Slot) => void,
): Promise<Slot> {
  const { config } = options;
  const [only] = config.hosts;
  const attrs = config.target_session_attrs;
  if (only && config.hosts.length === 1 && attrs === "any")
    return new Slot({ ...options, endpoint: only, answers: hosts.answers }, onClose);
  const found = await search(options, hosts, onClose, attrs);
  if (typeof found !== "string") return found;
  // No standby is there: then the primary will do.
  const second = attrs === "prefer-standby" ? await search(options, hosts, onClose, "any") : found;
  if (typeof second !== "string") return second;
  throw new ConnectionError("NO_SERVER", `no host is ${attrs} (target_session_attrs): ${second}`, false);
}

/** A slot, or what was found instead of one. */
async function search(
  options: Omit<SlotOptions, "endpoint">,
  hosts: Hosts,
  onClose: (slot: Slot) => void,
  attrs: Attrs,
): Promise<Slot | string> {
  const { config } = options;
  const unsuited: string[] = [];
  let failure: unknown;
  const start = hosts.first;
  for (let i = 0; i < config.hosts.length; i++) {
    const turn = (start + i) % config.hosts.length;
    const endpoint = config.hosts[turn];
    if (!endpoint) continue;
    const slot = new Slot(
      { ...options, endpoint, answers: hosts.answers },
      (dead) => dead.answered && onClose(dead),
    );
    try {
      const [row] = await slot.run({ text: STATE }, config.connectionTimeoutMillis);
      if (suits(attrs, row?.standby === true, row?.read_only === true)) {
        hosts.first = turn;
        return slot;
      }
      unsuited.push(
        `${endpoint.host}:${endpoint.port} is ${row?.standby === true ? "a standby" : "a primary"}`,
      );
      slot.destroy(new ConnectionError("UNSUITED", "not the wanted kind of server", false));
    } catch (error) {
      failure = error;
    }
  }
  if (unsuited.length > 0) return unsuited.join(", ");
  throw failure;
}
