import { useInfiniteQuery } from "@tanstack/react-query";
import { useDeferredValue, useState } from "react";
import type { Streams } from "../../../api.ts";
import { type CallError, get } from "../../data/client.ts";
import { useConsole } from "../../data/console.tsx";
import { go, href } from "../../router.ts";
import { StreamLink } from "../../ui/link.tsx";
import { Panel } from "../../ui/panel.tsx";
import { Empty, Failed, SkeletonRows } from "../../ui/states.tsx";

const PAGE = 50;

/** Streams by the beginning of their name. */
export function FindStream() {
  const { store } = useConsole();
  const [text, setText] = useState("");
  const prefix = useDeferredValue(text.trim());
  const { data, error, refetch, fetchNextPage, hasNextPage } = useInfiniteQuery<
    Streams,
    CallError,
    { readonly pages: readonly Streams[] },
    readonly unknown[],
    string | undefined
  >({
    queryKey: ["streams", store.id, prefix],
    queryFn: ({ pageParam, signal }) =>
      get("GET /api/streams", { store: store.id, prefix, after: pageParam, limit: PAGE }, signal),
    initialPageParam: undefined,
    getNextPageParam: (page) => page.next,
    placeholderData: (before) => before,
  });
  const streams = data?.pages.flatMap((page) => page.streams) ?? [];
  return (
    <>
      <div className="view-head">
        <h1>Streams</h1>
      </div>
      <form
        className="toolbar find-stream"
        onSubmit={(event) => {
          event.preventDefault();
          if (prefix !== "") go(href(["stream"], { stream: prefix }));
        }}
      >
        <label className="field">
          Name begins with
          <input
            type="search"
            value={text}
            placeholder="order-"
            spellCheck={false}
            onChange={({ target }) => setText(target.value)}
          />
        </label>
        <button type="submit" className="button" disabled={prefix === ""}>
          Open as typed
        </button>
      </form>
      <Panel title="In order of their name">
        {error && !data ? (
          <Failed error={error} retry={() => void refetch()} />
        ) : data && streams.length === 0 ? (
          <Empty title={prefix === "" ? "The log is empty" : `No stream begins with “${prefix}”`}>
            {prefix !== "" && "Names are compared as they are written, upper and lower case included."}
          </Empty>
        ) : (
          <>
            <table className="table">
              <tbody>
                {data ? (
                  streams.map((stream) => (
                    <tr key={stream}>
                      <td>
                        <StreamLink stream={stream} />
                      </td>
                    </tr>
                  ))
                ) : (
                  <SkeletonRows rows={8} columns={1} />
                )}
              </tbody>
            </table>
            {hasNextPage && (
              <p className="more">
                <button type="button" className="button" onClick={() => void fetchNextPage()}>
                  More
                </button>
              </p>
            )}
          </>
        )}
      </Panel>
    </>
  );
}
