/** Positions of exactly-once projections, and how far a rebuild is. */
import { useQuery } from "@tanstack/react-query";
import { Boxes } from "lucide-react";
import type { PositionsTable, Projection, Projections } from "../../api.ts";
import { type CallError, get } from "../data/client.ts";
import { useConsole } from "../data/console.tsx";
import { counted, integer, plural } from "../data/format.ts";
import { href } from "../router.ts";
import { Link } from "../ui/link.tsx";
import { Panel } from "../ui/panel.tsx";
import { Empty, Failed, Loading, Notice, SkeletonRows } from "../ui/states.tsx";
import { type Column, Table } from "../ui/table.tsx";
import { Time } from "../ui/time.tsx";

const EVERY_MS = 3_000;

export function ProjectionsView() {
  const { store } = useConsole();
  const { data, error, refetch } = useQuery<Projections, CallError>({
    queryKey: ["projections", store.id],
    queryFn: ({ signal }) => get("GET /api/projections", { store: store.id }, signal),
    refetchInterval: EVERY_MS,
  });
  return (
    <>
      <div className="view-head">
        <h1>Projections</h1>
        <span className="muted">
          {data?.lastId !== undefined && `The log ends at #${integer(data.lastId)}`}
        </span>
        {!data && !error && <Loading what="projections" />}
      </div>
      {error && !data ? (
        <Failed error={error} retry={() => void refetch()} />
      ) : data?.tables.length === 0 ? (
        <div className="panel">
          <Empty title="This store has no table of positions" icon={<Boxes size={22} aria-hidden="true" />}>
            Projections by <code>exactlyOnce</code> of act-drizzle/projections keep their positions in a table{" "}
            <code>act_positions</code>. For reactions, open the view Reactions.
          </Empty>
        </div>
      ) : data ? (
        data.tables.map((table) => (
          <Positions key={`${table.schema}.${table.table}`} table={table} lastId={data.lastId} />
        ))
      ) : (
        <div className="panel">
          <table className="table">
            <tbody>
              <SkeletonRows rows={5} columns={6} />
            </tbody>
          </table>
        </div>
      )}
      {data && data.elsewhere.length > 0 && (
        <p className="muted">
          Tables of positions beside the logs of other stores:{" "}
          {data.elsewhere.map(({ schema, table, store: other }, index) => (
            <span key={`${schema}.${table}`}>
              {index > 0 && ", "}
              <Link to={href(["projections"], { store: other })}>
                {schema}.{table}
              </Link>
            </span>
          ))}
        </p>
      )}
    </>
  );
}

function Positions({
  table,
  lastId,
}: {
  readonly table: PositionsTable;
  readonly lastId: number | undefined;
}) {
  const { schema, table: name, problem, projections, cut } = table;
  return (
    <Panel
      title={`${schema}.${name}`}
      aside={<span className="muted">{plural(projections.length, "projection")}</span>}
    >
      {problem !== undefined ? (
        <div className="body">
          <Notice tone="warn">{problem}</Notice>
        </div>
      ) : projections.length === 0 ? (
        <p className="body muted">No projection has handled anything yet.</p>
      ) : (
        <Table columns={columnsOf(lastId)} rows={projections} keyOf={({ projection }) => projection} cards />
      )}
      {cut && <p className="body muted">There are more: the first in order of their name are shown.</p>}
    </Panel>
  );
}

const place = (at: number | undefined): string =>
  at === undefined ? "—" : at < 0 ? "start" : `#${integer(at)}`;

/** How far the projection is in the log, 0 to 1. */
const shareOf = ({ rebuilding, progress, highest, builtUpTo }: Projection, lastId = 0): number =>
  rebuilding && progress !== undefined
    ? progress
    : lastId <= 0
      ? 0
      : Math.min(1, Math.max(0, highest ?? 0, builtUpTo ?? 0) / lastId);

const columnsOf = (lastId: number | undefined): readonly Column<Projection>[] => [
  { head: "Projection", kind: "name", cell: (projection) => <Targets projection={projection} /> },
  {
    head: "State",
    cell: ({ rebuilding }) =>
      rebuilding ? <span className="badge info">rebuilding</span> : <span className="badge ok">running</span>,
  },
  { head: "Generation", kind: "number", cell: ({ generation }) => integer(generation) },
  { head: "Since", cell: ({ since }) => <Time at={since} /> },
  { head: "Targets", kind: "number", cell: ({ targets }) => counted(targets) },
  { head: "Lowest at", kind: "number", cell: ({ lowest }) => place(lowest) },
  { head: "Highest at", kind: "number", cell: ({ highest }) => place(highest) },
  {
    head: "Position",
    column: "wide-bar",
    cell: (projection) => <Position projection={projection} share={shareOf(projection, lastId)} />,
  },
];

/** Its name, and its targets when they are asked for. */
const Targets = ({ projection: { projection: name, positions } }: { readonly projection: Projection }) => (
  <details className="targets">
    <summary className="break">{name}</summary>
    <table>
      <caption className="muted">Furthest-behind targets</caption>
      <tbody>
        {positions.map(({ target, at, handlers }) => (
          <tr key={target}>
            <th scope="row" className="break">
              {target === "" ? <span className="muted">all</span> : target}
            </th>
            <td className="number">{place(at)}</td>
            <td className="muted break">{handlers.join(", ")}</td>
          </tr>
        ))}
      </tbody>
    </table>
  </details>
);

const Position = ({
  projection: { projection: name, builtUpTo, rebuilding },
  share,
}: {
  readonly projection: Projection;
  readonly share: number;
}) => (
  <>
    <span className="progress">
      <progress max={1} value={share} aria-label={`${name}: position in the log`} />
      <span className="nowrap">{Math.floor(share * 100)} %</span>
    </span>
    {builtUpTo !== undefined && !rebuilding && (
      <span className="muted nowrap built"> built up to #{integer(builtUpTo)}</span>
    )}
  </>
);
