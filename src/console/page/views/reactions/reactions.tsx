/** All subscriptions: how far they are, why they stand still, and what to do about it. */
import { useInfiniteQuery } from "@tanstack/react-query";
import type { RowSelectionState } from "@tanstack/react-table";
import { useEffect, useMemo, useState } from "react";
import type { Reaction, Reactions } from "../../../api.ts";
import { type CallError, get } from "../../data/client.ts";
import { useConsole } from "../../data/console.tsx";
import { counted, integer } from "../../data/format.ts";
import { useAddress } from "../../router.ts";
import { Failed, Loading } from "../../ui/states.tsx";
import { ActionBar } from "./action-bar.tsx";
import { ActionDialog } from "./action-dialog.tsx";
import type { Chosen, Operation } from "./operations.ts";
import { everyMatch, filterOf } from "./query.ts";
import { ReactionDrawer } from "./reaction-drawer.tsx";
import { ReactionFilters } from "./reaction-filters.tsx";
import { ReactionsTable } from "./table.tsx";

const PAGE = 100;
const EVERY_MS = 5_000;
/**
 * The list is refreshed automatically only while at most this many pages are loaded. With more, it would read many
 * rows that are out of view.
 */
const FEW_PAGES = 2;
const NOTHING: readonly Reaction[] = [];

export function ReactionsView() {
  const { store } = useConsole();
  const { params } = useAddress();
  const filter = filterOf(params);
  const { state, lane, kind, q, sort, desc } = filter;
  const query = { store: store.id, state, lane, kind, q, sort, desc };
  const { data, error, refetch, fetchNextPage, hasNextPage, isFetchingNextPage } = useInfiniteQuery<
    Reactions,
    CallError,
    { readonly pages: readonly Reactions[] },
    readonly unknown[],
    string | undefined
  >({
    queryKey: ["reactions", query],
    queryFn: ({ pageParam, signal }) =>
      get("GET /api/reactions", { ...query, after: pageParam, limit: PAGE }, signal),
    initialPageParam: undefined,
    getNextPageParam: (page) => page.next,
    refetchInterval: ({ state: { data: read } }) =>
      (read?.pages.length ?? 0) > FEW_PAGES ? false : EVERY_MS,
    placeholderData: (before) => before,
  });
  const pages = data?.pages;
  const reactions = useMemo(() => pages?.flatMap((page) => page.reactions) ?? NOTHING, [pages]);
  const first = pages?.[0];

  const [selected, setSelected] = useState<RowSelectionState>({});
  const [all, setAll] = useState(false);
  const [asked, setAsked] = useState<{ readonly operation: Operation; readonly chosen: Chosen }>();
  const key = JSON.stringify([store.id, state, lane, kind, q]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: what is chosen belongs to what was filtered
  useEffect(() => {
    setSelected({});
    setAll(false);
  }, [key]);

  const rows = reactions.filter(({ stream }) => selected[stream]);
  const every = everyMatch(filter);
  const chosen: Chosen =
    all && every && first
      ? { on: every, reactions: reactions, count: first.count }
      : {
          on: { streams: rows.map(({ stream }) => stream) },
          reactions: rows,
          count: { count: rows.length, exact: true },
        };
  const clear = () => {
    setSelected({});
    setAll(false);
  };
  return (
    <>
      <div className="view-head">
        <h1>Reactions</h1>
        <span className="muted">{first && `${counted(first.count)} found`}</span>
        {!data && !error && <Loading what="reactions" />}
      </div>
      <ReactionFilters filter={filter} />
      <ActionBar
        chosen={chosen}
        all={all}
        everything={
          every && first && first.count.count > rows.length && rows.length === reactions.length
            ? first.count
            : undefined
        }
        onAll={() => setAll(true)}
        onClear={clear}
        onAsk={(operation) => setAsked({ operation, chosen })}
      />
      {error && !data ? (
        <Failed error={error} retry={() => void refetch()} />
      ) : (
        <ReactionsTable
          reactions={data ? reactions : undefined}
          filter={filter}
          selected={selected}
          onSelected={(next) => {
            setAll(false);
            setSelected(next);
          }}
        />
      )}
      {first?.searched !== undefined && (
        <p className="muted looked-at">
          There are many: only {integer(first.searched)} of them were searched for this filter and order.
        </p>
      )}
      {hasNextPage && (
        <p className="more">
          <button
            type="button"
            className="button"
            onClick={() => void fetchNextPage()}
            disabled={isFetchingNextPage}
          >
            More
          </button>
        </p>
      )}
      <ReactionDrawer onAsk={(operation, reaction) => setAsked({ operation, chosen: chosenOne(reaction) })} />
      {asked && <ActionDialog {...asked} onClose={() => setAsked(undefined)} onDone={clear} />}
    </>
  );
}

const chosenOne = (reaction: Reaction): Chosen => ({
  on: { streams: [reaction.stream] },
  reactions: [reaction],
  count: { count: 1, exact: true },
});
