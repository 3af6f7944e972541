/** The log, newest first, as far back as one scrolls. */
import { Pause, Play, Sigma } from "lucide-react";
import { useMemo, useRef } from "react";
import { useConsole } from "../../data/console.tsx";
import { setParams, useAddress } from "../../router.ts";
import { filterOf, isFiltered, queryOf } from "./filter.ts";
import { Filters } from "./filters.tsx";
import { EventList, TOP } from "./list.tsx";
import { Position } from "./position.tsx";
import { Summary } from "./summary.tsx";
import { NONE_WAITING, useFeed } from "./use-feed.ts";

export function LogView() {
  const { store } = useConsole();
  const { params } = useAddress();
  const filter = filterOf(params);
  const key = JSON.stringify(filter);
  // biome-ignore lint/correctness/useExhaustiveDependencies: `key` is the filter
  const query = useMemo(() => queryOf(store.id, filter), [store.id, key]);
  const at = params.get("at");
  const start = at !== null && Number.isSafeInteger(Number(at)) ? Number(at) : undefined;
  const live = params.get("live") !== "off";
  const list = useRef<HTMLElement>(null);
  const isTop = () => (list.current?.scrollTop ?? 0) < TOP;
  const { feed, state, waiting, seen, showNewest } = useFeed(query, start, live, isTop);
  const summary = params.get("summary") === "1";

  const newest = () => {
    setParams({ at: undefined }, { replace: true });
    showNewest();
  };
  const jump = (id: number) => {
    setParams({ at: String(id) }, { replace: true });
    void feed.seek(id + 1);
  };
  return (
    <div className="log-view">
      <div className="view-head">
        <h1>Log</h1>
        <Position state={state} list={list} onJump={jump} onNewest={newest} />
        <span className="spring" />
        <button
          type="button"
          className="button"
          aria-pressed={summary}
          onClick={() => setParams({ summary: summary ? undefined : "1" }, { replace: true })}
        >
          <Sigma size={14} aria-hidden="true" /> <span className="button-words">Summary</span>
        </button>
        <button
          type="button"
          className="button live-button"
          aria-pressed={live}
          onClick={() => setParams({ live: live ? "off" : undefined }, { replace: true })}
        >
          {live ? <Pause size={14} aria-hidden="true" /> : <Play size={14} aria-hidden="true" />}
          <span className="button-words">{live ? "Pause" : "Go live"}</span>
        </button>
      </div>
      <Filters filter={filter} />
      <div className={`log-body${summary ? " with-summary" : ""}`}>
        <EventList
          feed={feed}
          state={state}
          list={list}
          filtered={isFiltered(filter)}
          waiting={live ? waiting : NONE_WAITING}
          onNewest={newest}
          onTop={seen}
        />
        {summary && <Summary query={query} />}
      </div>
    </div>
  );
}
