import { useQuery } from "@tanstack/react-query";
import { useConsole } from "../../data/console.tsx";
import { plural } from "../../data/format.ts";
import { summarize } from "../../data/summary.ts";
import { href } from "../../router.ts";
import { nameOf } from "../../ui/link.tsx";
import { Panel } from "../../ui/panel.tsx";
import { Failed, Skeleton } from "../../ui/states.tsx";
import { Tallied } from "../../ui/tallied.tsx";

/** Who committed the stream's events, and which they are. */
export function StreamSummary({
  stream,
  head,
}: {
  readonly stream: string;
  readonly head: number | undefined;
}) {
  const { store } = useConsole();
  const { data, error, refetch } = useQuery({
    queryKey: ["summary", store.id, stream, head],
    queryFn: ({ signal }) => summarize({ store: store.id, stream, exact: true }, signal),
    enabled: head !== undefined,
    staleTime: Number.POSITIVE_INFINITY,
  });
  if (head === undefined) return null;
  const link = (name: string, value: string) => href(["log"], { stream, exact: "1", [name]: value });
  return (
    <Panel title="Who changed it">
      <div className="body">
        {error ? (
          <Failed error={error} retry={() => void refetch()} />
        ) : data ? (
          <>
            <p className="muted">
              {data.complete
                ? `All ${plural(data.events, "event")}.`
                : `The newest ${plural(data.events, "event")}.`}
            </p>
            <Tallied
              title="By whom"
              tally={data.actors}
              of={data.events}
              link={(actor) => link("actor", actor)}
            />
            <Tallied
              title="Events"
              tally={data.names}
              of={data.events}
              link={(name) => link("name", name)}
              shown={nameOf}
            />
          </>
        ) : (
          <Skeleton width="80%" />
        )}
      </div>
    </Panel>
  );
}
