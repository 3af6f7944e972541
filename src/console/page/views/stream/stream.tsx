/** One stream: its history, two versions of it compared, its state, and who reads it. */
import { useInfiniteQuery } from "@tanstack/react-query";
import { ScrollText } from "lucide-react";
import type { StreamDetail } from "../../../api.ts";
import { type CallError, get } from "../../data/client.ts";
import { useConsole } from "../../data/console.tsx";
import { counted, integer } from "../../data/format.ts";
import { href, useAddress } from "../../router.ts";
import { Link } from "../../ui/link.tsx";
import { Empty, Failed, Loading } from "../../ui/states.tsx";
import { Compare } from "./compare.tsx";
import { FindStream } from "./find.tsx";
import { History } from "./history.tsx";
import { Readers } from "./readers.tsx";
import { FoldedStatePanel } from "./state.tsx";
import { StreamSummary } from "./stream-summary.tsx";

const PAGE = 100;

export function StreamView() {
  const { params } = useAddress();
  const stream = params.get("stream");
  return stream === null ? <FindStream /> : <OneStream stream={stream} key={stream} />;
}

function OneStream({ stream }: { readonly stream: string }) {
  const { store } = useConsole();
  const { data, error, refetch, fetchNextPage, hasNextPage, isFetchingNextPage } = useInfiniteQuery<
    StreamDetail,
    CallError,
    { readonly pages: readonly StreamDetail[] },
    readonly unknown[],
    number | undefined
  >({
    queryKey: ["stream", store.id, stream],
    queryFn: ({ pageParam, signal }) =>
      get("GET /api/stream", { store: store.id, stream, before: pageParam, limit: PAGE }, signal),
    initialPageParam: undefined,
    getNextPageParam: (page) => page.older,
  });
  const detail = data?.pages[0];
  const history = data?.pages.flatMap((page) => page.history) ?? [];
  return (
    <>
      <div className="view-head">
        <h1 className="break">{stream}</h1>
        {detail?.closed && <span className="badge danger">closed</span>}
        {detail?.truncated && <span className="badge warn">truncated</span>}
        {detail && <Facts detail={detail} />}
        <span className="spring" />
        <Link className="button" to={href(["log"], { stream, exact: "1" })}>
          <ScrollText size={14} aria-hidden="true" /> In the log
        </Link>
        {!detail && !error && <Loading what="the stream" />}
      </div>
      {error && !detail ? (
        <Failed error={error} retry={() => void refetch()} />
      ) : detail && detail.head === undefined && detail.readers.length === 0 ? (
        <Empty title="No such stream">
          The log holds no event of it. <Link to={href(["stream"])}>Find another</Link>
        </Empty>
      ) : (
        <div className="stream-columns">
          <div>
            <Compare stream={stream} />
            <FoldedStatePanel stream={stream} head={detail?.head?.version} first={detail?.firstVersion} />
            <History
              detail={detail}
              history={history}
              more={hasNextPage ? () => void fetchNextPage() : undefined}
              loading={isFetchingNextPage}
            />
          </div>
          <div>
            <Readers detail={detail} />
            <StreamSummary stream={stream} head={detail?.head?.id} />
          </div>
        </div>
      )}
    </>
  );
}

function Facts({ detail: { head, events, snapshot } }: { readonly detail: StreamDetail }) {
  return (
    <span className="muted">
      {head ? `Version ${integer(head.version)}` : "No events"} · {counted(events)}{" "}
      {events.count === 1 ? "event" : "events"}
      {snapshot && ` · snapshot at version ${integer(snapshot.version)}`}
    </span>
  );
}
