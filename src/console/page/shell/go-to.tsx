import { useQuery } from "@tanstack/react-query";
import { type KeyboardEvent, useDeferredValue, useId, useState } from "react";
import type { Streams } from "../../api.ts";
import { type CallError, get } from "../data/client.ts";
import { useConsole } from "../data/console.tsx";
import { integer } from "../data/format.ts";
import { go, href } from "../router.ts";
import { Dialog } from "../ui/dialog.tsx";

type Place = { readonly key: string; readonly kind: string; readonly name: string; readonly to: string };

const SUGGESTIONS = 12;

/** One field for everything that has a name: events, streams, correlations, reactions. */
export function GoTo({ onClose }: { readonly onClose: () => void }) {
  const { store } = useConsole();
  const [text, setText] = useState("");
  const [chosen, setChosen] = useState(0);
  const list = useId();
  const typed = text.trim();
  const wanted = useDeferredValue(typed);
  const { data } = useQuery<Streams, CallError>({
    queryKey: ["streams", store.id, wanted, SUGGESTIONS],
    queryFn: ({ signal }) =>
      get("GET /api/streams", { store: store.id, prefix: wanted, limit: SUGGESTIONS }, signal),
    placeholderData: (before) => before,
    staleTime: 10_000,
  });
  const places: Place[] = [
    ...(/^#?\d+$/.test(typed)
      ? [
          {
            key: "event",
            kind: "Event",
            name: `#${integer(Number(typed.replace("#", "")))}`,
            to: href(["log"], { event: typed.replace("#", "") }),
          },
        ]
      : []),
    // While an answer is on its way, `data` is the answer to an earlier text.
    ...(data?.streams ?? [])
      .filter((stream) => stream.startsWith(wanted) && stream.startsWith(typed))
      .map((stream) => ({
        key: `stream ${stream}`,
        kind: "Stream",
        name: stream,
        to: href(["stream"], { stream }),
      })),
    ...(typed === ""
      ? []
      : [
          { key: "log", kind: "Log of streams with", name: typed, to: href(["log"], { stream: typed }) },
          { key: "trace", kind: "Trace", name: typed, to: href(["trace"], { correlation: typed }) },
          { key: "reactions", kind: "Reactions with", name: typed, to: href(["reactions"], { q: typed }) },
        ]),
  ];
  const index = Math.min(chosen, Math.max(0, places.length - 1));
  const visit = (place = places[index]) => {
    if (!place) return;
    onClose();
    go(place.to);
  };
  const key = (event: KeyboardEvent) => {
    const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
    if (step === 0 || places.length === 0) return;
    event.preventDefault();
    setChosen((index + step + places.length) % places.length);
  };
  return (
    <Dialog title="Go to" onClose={onClose} onSubmit={() => visit()}>
      <input
        type="text"
        role="combobox"
        aria-expanded="true"
        aria-controls={list}
        aria-activedescendant={places[index] ? `${list}-${index}` : undefined}
        aria-label="Stream, event id, correlation or reaction"
        placeholder="Stream, event id, correlation or reaction"
        autoComplete="off"
        value={text}
        autoFocus
        onChange={(event) => {
          setText(event.target.value);
          setChosen(0);
        }}
        onKeyDown={key}
      />
      <div className="places" role="listbox" id={list} aria-label="Places">
        {places.map((place, at) => (
          // biome-ignore lint/a11y/useKeyWithClickEvents: the field above has the focus and the keys
          // biome-ignore lint/a11y/useFocusableInteractive: the field above has the focus and the keys
          <div
            key={place.key}
            id={`${list}-${at}`}
            role="option"
            aria-selected={at === index}
            onClick={() => visit(place)}
          >
            <span className="muted">{place.kind}</span> <span className="break">{place.name}</span>
          </div>
        ))}
      </div>
      {data?.streams.length === 0 && wanted !== "" && (
        <p className="muted">No stream begins with “{wanted}”.</p>
      )}
    </Dialog>
  );
}
