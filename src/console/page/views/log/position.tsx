/** Where in the log the list is, and the way to any other place of it. */
import { ArrowUpToLine } from "lucide-react";
import { type RefObject, useEffect, useRef, useState } from "react";
import { integer } from "../../data/format.ts";
import type { FeedState } from "../../data/log-feed.ts";
import { useNarrow } from "../../ui/use-narrow.ts";

const STEPS = 1_000;
/** ms without a move of the slider after which its place is read. */
const SETTLED = 120;

/** The id of the row that is at the top of the list. */
function useTopId(
  { rows }: FeedState,
  list: RefObject<HTMLElement | null>,
  height: number,
): number | undefined {
  const [index, setIndex] = useState(0);
  // The list is another element after the placeholder of a first read and after an error, so it is looked for each time.
  useEffect(() => {
    const element = list.current;
    if (!element) return;
    const look = () => setIndex(Math.floor(element.scrollTop / height));
    look();
    element.addEventListener("scroll", look, { passive: true });
    return () => element.removeEventListener("scroll", look);
  });
  return rows[Math.min(index, rows.length - 1)]?.id;
}

export function Position({
  state,
  list,
  onJump,
  onNewest,
}: {
  readonly state: FeedState;
  readonly list: RefObject<HTMLElement | null>;
  readonly onJump: (id: number) => void;
  readonly onNewest: () => void;
}) {
  const { firstId, lastId, atTop } = state;
  const topId = useTopId(state, list, useNarrow(620) ? 54 : 31);
  const [dragged, setDragged] = useState<number>();
  const timer = useRef<number>(undefined);
  useEffect(() => () => clearTimeout(timer.current), []);
  if (firstId === undefined || lastId === undefined) return null;
  const span = Math.max(1, lastId - firstId);
  const id = dragged ?? topId ?? lastId;
  const value = Math.round((STEPS * (lastId - id)) / span);
  const move = (step: number) => {
    const to = Math.round(lastId - (step / STEPS) * span);
    setDragged(to);
    clearTimeout(timer.current);
    timer.current = window.setTimeout(() => {
      setDragged(undefined);
      if (step === 0) onNewest();
      else onJump(to);
    }, SETTLED);
  };
  return (
    <div className="position">
      <button
        type="button"
        className="icon-button"
        aria-label="To the newest event"
        title="To the newest"
        onClick={onNewest}
        disabled={atTop && id === topId && value === 0}
      >
        <ArrowUpToLine size={16} aria-hidden="true" />
      </button>
      <input
        type="range"
        aria-label="Position in the log"
        aria-valuetext={`event ${id}`}
        min={0}
        max={STEPS}
        value={Math.min(STEPS, Math.max(0, value))}
        onChange={(event) => move(event.target.valueAsNumber)}
      />
      <span className="muted nowrap">
        #{integer(id)} <span className="position-of">of {integer(lastId)}</span>
      </span>
    </div>
  );
}
