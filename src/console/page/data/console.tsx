/** What every view needs: the session, the chosen store, and what the server pushes. */
import { type QueryClient, useQuery, useQueryClient } from "@tanstack/react-query";
import { createContext, type ReactNode, useContext, useEffect, useRef } from "react";
import type { LiveEvents, Overview, Session, StoreInfo } from "../../api.ts";
import { useAddress } from "../router.ts";
import { CallError, get } from "./client.ts";
import { setConnection, useConnection } from "./connection.ts";
import { useLive } from "./live.ts";
import { addSample } from "./rates.ts";

type Console = { readonly session: Session; readonly store: StoreInfo };

const Context = createContext<Console | undefined>(undefined);

export function useConsole(): Console {
  const found = useContext(Context);
  if (!found) throw new Error("useConsole() outside of ConsoleProvider");
  return found;
}

export const useSession = () =>
  useQuery<Session, CallError>({
    queryKey: ["session"],
    queryFn: ({ signal }) => get("GET /api/session", {}, signal),
    staleTime: Number.POSITIVE_INFINITY,
  });

/** The store that the address names. A name that the server does not know stays: the server's answers then say so. */
function chosenStore({ stores, defaultStore }: Session, id = defaultStore): StoreInfo {
  return stores.find((store) => store.id === id) ?? { id, label: id, database: "", schema: "", table: "" };
}

export function ConsoleProvider({
  session,
  children,
}: {
  readonly session: Session;
  readonly children: ReactNode;
}) {
  const { params } = useAddress();
  const store = chosenStore(session, params.get("store") ?? undefined);
  return (
    <Context value={{ session, store }}>
      <Live store={store.id} />
      {children}
    </Context>
  );
}

const ANSWER_MS = 3_000;

/** A live connection ends without a reason, so this asks the server. If it answers, the connection is opened again. */
async function findOut(): Promise<void> {
  try {
    await get("GET /api/session", {}, AbortSignal.timeout(ANSWER_MS));
  } catch (error) {
    setConnection({ server: error instanceof CallError && error.code === "no-token" ? "renewed" : "gone" });
  }
}

const overviewKey = (store: string) => ["overview", store];

/** Holds the live connection of the overview open, on every view: it also tells when the server or the database is gone. */
function Live({ store }: { readonly store: string }) {
  const client = useQueryClient();
  useLive<LiveEvents>("/api/live", { store }, ["overview", "connection"], {
    onOpen: () => setConnection({ server: "up" }),
    onLost: () => void findOut(),
    connection: ({ connected, message }) =>
      setConnection({ database: connected ? undefined : (message ?? "The database does not answer.") }),
    overview: (overview) => {
      addSample(store, overview);
      client.setQueryData(overviewKey(store), overview);
    },
  });
  useReadAgain(client);
  return null;
}

function useReadAgain(client: QueryClient): void {
  const { recoveries } = useConnection();
  const seen = useRef(recoveries);
  useEffect(() => {
    if (seen.current === recoveries) return;
    seen.current = recoveries;
    void client.invalidateQueries();
  }, [client, recoveries]);
}

export function useOverview() {
  const { store } = useConsole();
  return useQuery<Overview, CallError>({
    queryKey: overviewKey(store.id),
    queryFn: ({ signal }) => get("GET /api/overview", { store: store.id }, signal),
    // The live connection replaces it every 2 s, or less often if an overview takes long.
    staleTime: Number.POSITIVE_INFINITY,
  });
}
