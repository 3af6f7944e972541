/** Shows what an action will do, and does it when that is confirmed. */
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import type { ActionResult, Preview } from "../../../api.ts";
import { type CallError, post } from "../../data/client.ts";
import { useConsole } from "../../data/console.tsx";
import { counted, toTime } from "../../data/format.ts";
import { Dialog } from "../../ui/dialog.tsx";
import { Failed, Notice, Skeleton } from "../../ui/states.tsx";
import { ActionFields, type Draft } from "./action-fields.tsx";
import { type Chosen, type Operation, toAction } from "./operations.ts";
import { Sample } from "./sample.tsx";

const SETTLED = 300;

/** The value, once it has not changed for 300 ms. */
function useSettled<Value>(value: Value): Value {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), SETTLED);
    return () => clearTimeout(timer);
  }, [value]);
  return settled;
}

export function ActionDialog({
  operation,
  chosen,
  onClose,
  onDone,
}: {
  readonly operation: Operation;
  readonly chosen: Chosen;
  readonly onClose: () => void;
  readonly onDone: () => void;
}) {
  const { session, store } = useConsole();
  const client = useQueryClient();
  const [draft, setDraft] = useState<Draft>({ until: "30m", priority: "0", reason: "" });
  const settled = useSettled(draft);
  // A time that counts from now is made once, so that the preview and the action have the same.
  const [until, setUntil] = useState(() => toTime(draft.until, 1));
  useEffect(() => setUntil(toTime(settled.until, 1)), [settled.until]);
  const number = Number(settled.priority);
  const action = toAction(operation.type, chosen, {
    until,
    priority: settled.priority.trim() !== "" && Number.isSafeInteger(number) ? number : undefined,
    reason: settled.reason,
  });
  const preview = useQuery<Preview, CallError>({
    queryKey: ["preview", store.id, action],
    queryFn: () => post("POST /api/actions/preview", { store: store.id, action }),
    enabled: action !== undefined,
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: 0,
  });
  const run = useMutation<ActionResult, CallError, string>({
    mutationFn: (confirmation) => post("POST /api/actions/run", { confirmation }),
    onSettled: () => client.invalidateQueries({ predicate: ({ queryKey }) => queryKey[0] !== "preview" }),
    onSuccess: onDone,
  });
  const shown = action && draft === settled ? preview.data : undefined;
  const confirmation = shown?.confirmation;
  if (run.data) return <Done result={run.data} title={operation.title} onClose={onClose} />;
  return (
    <Dialog
      wide
      title={operation.title}
      onClose={onClose}
      onSubmit={() =>
        confirmation !== undefined && !run.isPending && !run.isError && run.mutate(confirmation)
      }
      actions={
        <>
          {!session.write && (
            <span className="muted read-only-reason">
              The console is read-only. Start it with <code>--write</code> to do this.
            </span>
          )}
          <button type="button" className="button" onClick={onClose}>
            Cancel
          </button>
          {run.isError ? (
            <button
              type="button"
              className="button main-action"
              onClick={() => {
                run.reset();
                void preview.refetch();
              }}
            >
              Preview again
            </button>
          ) : (
            <button
              type="submit"
              className={`button ${operation.dangerous ? "danger" : "main-action"}`}
              disabled={confirmation === undefined || run.isPending}
            >
              {operation.label}
              {shown && ` ${counted(shown.count)} ${shown.count.count === 1 ? "reaction" : "reactions"}`}
            </button>
          )}
        </>
      }
    >
      <ActionFields type={operation.type} draft={draft} onChange={setDraft} />
      {run.error && (
        <Notice tone="danger">{run.error.message} Preview again to see the present state.</Notice>
      )}
      {preview.error ? (
        <Failed error={preview.error} retry={() => void preview.refetch()} />
      ) : shown ? (
        <Shown preview={shown} />
      ) : action || draft !== settled ? (
        <div className="preview-wait">
          <Skeleton width="80%" />
          <Skeleton width="60%" />
        </div>
      ) : (
        <Sample reactions={chosen.reactions.slice(0, 20)} />
      )}
    </Dialog>
  );
}

function Shown({ preview: { description, warnings, sample, count } }: { readonly preview: Preview }) {
  return (
    <>
      <p className="preview-words">{description}</p>
      {warnings.map((warning) => (
        <Notice key={warning} tone="warn">
          {warning}
        </Notice>
      ))}
      <Sample reactions={sample} />
      {count.count > sample.length && sample.length > 0 && (
        <p className="muted">
          The first {sample.length} of {counted(count)}.
        </p>
      )}
    </>
  );
}

/** What was done, and what was not. */
function Done({
  result: { description, refused },
  title,
  onClose,
}: {
  readonly result: ActionResult;
  readonly title: string;
  readonly onClose: () => void;
}) {
  const close = useRef<HTMLButtonElement>(null);
  useEffect(() => close.current?.focus(), []);
  return (
    <Dialog
      title={title}
      onClose={onClose}
      onSubmit={onClose}
      actions={
        <button type="button" ref={close} className="button main-action" onClick={onClose}>
          Close
        </button>
      }
    >
      <div role="status">
        <Notice tone="ok">{description}</Notice>
      </div>
      {refused.map(({ stream, message }) => (
        <Notice key={stream} tone="warn">
          <strong className="break">{stream}</strong>: {message}
        </Notice>
      ))}
    </Dialog>
  );
}
