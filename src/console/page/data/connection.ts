/** Whether the console's server and the database answer, for the banner and for reading again once they do. */
import { useSyncExternalStore } from "react";

export type ConnectionState = {
  /** `renewed`: the console was started again, and this page does not have its new token. */
  readonly server: "connecting" | "up" | "gone" | "renewed";
  /** Why the database cannot be reached; undefined: it can. */
  readonly database: string | undefined;
  /** Raised each time that both answer again: what failed meanwhile is read again. */
  readonly recoveries: number;
};

let state: ConnectionState = { server: "connecting", database: undefined, recoveries: 0 };
const listeners = new Set<() => void>();

const isDown = ({ server, database }: ConnectionState): boolean =>
  server === "gone" || server === "renewed" || database !== undefined;

export function setConnection(changes: Partial<Pick<ConnectionState, "server" | "database">>): void {
  const next = { ...state, ...changes };
  const recovered = isDown(state) && !isDown(next);
  state = { ...next, recoveries: state.recoveries + (recovered ? 1 : 0) };
  for (const listener of listeners) listener();
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export const useConnection = (): ConnectionState => useSyncExternalStore(subscribe, () => state);
