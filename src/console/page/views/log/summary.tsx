import { useQuery } from "@tanstack/react-query";
import type { Query } from "../../data/client.ts";
import { plural } from "../../data/format.ts";
import { summarize } from "../../data/summary.ts";
import { changed, href, useAddress } from "../../router.ts";
import { nameOf } from "../../ui/link.tsx";
import { Failed, Loading, Skeleton } from "../../ui/states.tsx";
import { Tallied } from "../../ui/tallied.tsx";

/** Which streams, actors and events are the most frequent among the newest that match. */
export function Summary({ query }: { readonly query: Query }) {
  const { data, error, refetch, isFetching } = useQuery({
    queryKey: ["summary", query],
    queryFn: ({ signal }) => summarize(query, signal),
    staleTime: 30_000,
    placeholderData: (before) => before,
  });
  const address = useAddress();
  const exact = address.params.get("exact") === "1";
  const filter = (changes: Parameters<typeof changed>[1]) => changed(address, { at: undefined, ...changes });
  if (error && !data) return <Failed error={error} retry={() => void refetch()} />;
  return (
    <section className="summary panel" aria-label="Summary">
      <header>
        <h2>Summary</h2>
        <span className="spring" />
        <button type="button" className="button small" onClick={() => void refetch()} disabled={isFetching}>
          Count again
        </button>
      </header>
      {data ? (
        <div className="body">
          <p className="muted">
            {data.complete
              ? `All ${plural(data.events, "event")} that match.`
              : `The newest ${plural(data.events, "event")} that match.`}
          </p>
          {!exact && (
            <Tallied
              title="Busiest streams"
              tally={data.streams}
              of={data.events}
              link={(stream) => href(["stream"], { stream })}
            />
          )}
          <Tallied title="By whom" tally={data.actors} of={data.events} link={(actor) => filter({ actor })} />
          <Tallied
            title="Events"
            tally={data.names}
            of={data.events}
            link={(name) => filter({ name })}
            shown={nameOf}
          />
        </div>
      ) : (
        <div className="body">
          <Loading what="the summary" />
          <Skeleton width="90%" />
        </div>
      )}
    </section>
  );
}
