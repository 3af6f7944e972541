import { Eye, LockKeyhole } from "lucide-react";
import { useState } from "react";
import type { Revealed } from "../../../api.ts";
import { post } from "../../data/client.ts";
import { useConsole } from "../../data/console.tsx";
import { Json } from "../../ui/json.tsx";
import { Notice } from "../../ui/states.tsx";

/** Masked until somebody asks for it; that is logged. It is gone again when the event is closed. */
export function PersonalData({ id }: { readonly id: number }) {
  const { session, store } = useConsole();
  const [state, setState] = useState<Revealed | Error | "asking" | undefined>();
  const reveal = () => {
    setState("asking");
    post("POST /api/reveal", { store: store.id, id }).then(setState, setState);
  };
  return (
    <>
      <h3>
        <LockKeyhole size={13} aria-hidden="true" /> Personal data
      </h3>
      {state instanceof Error ? (
        <Notice tone="danger">{state.message}</Notice>
      ) : state === undefined || state === "asking" ? (
        <div className="masked">
          <span aria-hidden="true">•••••••• ••••••••••••</span>
          <span className="visually-hidden">Masked.</span>
          <span className="spring" />
          {session.pii ? (
            <button type="button" className="button small" onClick={reveal} disabled={state === "asking"}>
              <Eye size={14} aria-hidden="true" /> Reveal
            </button>
          ) : (
            <span className="muted">Turned off by --no-pii</span>
          )}
        </div>
      ) : state.encrypted ? (
        <Notice>It is encrypted, and the console has no key.</Notice>
      ) : state.pii === undefined ? (
        <Notice>The personal data was erased meanwhile.</Notice>
      ) : (
        <Json value={state.pii} dates={state.dates} label="the event's personal data" />
      )}
      {session.pii && state === undefined && <p className="muted">Revealing is logged with who and when.</p>}
    </>
  );
}
