import { useQuery } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import type { FoldedState } from "../../../api.ts";
import { type CallError, get } from "../../data/client.ts";
import { useConsole } from "../../data/console.tsx";
import { integer, plural } from "../../data/format.ts";
import { setParams, useAddress } from "../../router.ts";
import { Json } from "../../ui/json.tsx";
import { Panel } from "../../ui/panel.tsx";
import { Failed, Notice, Skeleton } from "../../ui/states.tsx";

const SETTLED = 120;

/** The state that the app folds up to a version, chosen by a slider. */
export function FoldedStatePanel({
  stream,
  head,
  first = 0,
}: {
  readonly stream: string;
  readonly head: number | undefined;
  readonly first: number | undefined;
}) {
  const { session } = useConsole();
  if (head === undefined) return null;
  if (!session.app)
    return (
      <p className="muted state-hint">
        Start the console with <code>--app ./app.ts</code> to see the state at any version.
      </p>
    );
  return <State stream={stream} head={head} first={first} />;
}

function State({
  stream,
  head,
  first,
}: {
  readonly stream: string;
  readonly head: number;
  readonly first: number;
}) {
  const { store } = useConsole();
  const given = Number(useAddress().params.get("at") ?? head);
  const version = Number.isSafeInteger(given) ? Math.min(head, Math.max(first, given)) : head;
  const [dragged, setDragged] = useState<number>();
  const timer = useRef<number>(undefined);
  useEffect(() => () => clearTimeout(timer.current), []);
  const { data, error, refetch } = useQuery<FoldedState, CallError>({
    queryKey: ["state", store.id, stream, version],
    queryFn: ({ signal }) => get("GET /api/stream/state", { store: store.id, stream, version }, signal),
    placeholderData: (before) => before,
  });
  const move = (to: number) => {
    setDragged(to);
    clearTimeout(timer.current);
    timer.current = window.setTimeout(() => {
      setDragged(undefined);
      setParams({ at: to === head ? undefined : String(to) }, { replace: true });
    }, SETTLED);
  };
  if (error?.code === "no-state") return <p className="muted state-hint">{error.message}</p>;
  return (
    <Panel
      title={`State at version ${integer(dragged ?? version)}`}
      aside={
        <input
          type="range"
          aria-label="Version"
          min={first}
          max={head}
          value={dragged ?? version}
          onChange={({ target }) => move(target.valueAsNumber)}
          disabled={first === head}
        />
      }
    >
      <div className="body">
        {error ? (
          <Failed error={error} retry={() => void refetch()} />
        ) : data ? (
          <>
            <p className="muted state-from">
              {data.name}: {plural(data.patches, "event")} applied
              {data.fromSnapshot !== undefined && ` to the snapshot at version ${integer(data.fromSnapshot)}`}
            </p>
            {data.cut && (
              <Notice tone="warn">
                There are more events than are folded at once: this is the state at version{" "}
                {integer(data.version)}.
              </Notice>
            )}
            <Json value={data.state} label="the state" />
          </>
        ) : (
          <Skeleton width="60%" />
        )}
      </div>
    </Panel>
  );
}
