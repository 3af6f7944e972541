/** Positions of exactly-once projections, and how far a rebuild is. */
import { useQuery } from "@tanstack/react-query";
import { Boxes } from "lucide-react";
import type { PositionsTable, Projection, Projections } from "../../api.ts";
import { type CallError, get } from "../data/client.ts";
import { useConsole } from "../data/console.tsx";
import { counted, integer, plural } from "../data/format.ts";
import { Panel } from "../ui/panel.tsx";
import { Empty, Failed, Loading, Notice, SkeletonRows } from "../ui/states.tsx";
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
          <Empty
            title="This database has no table of positions"
            icon={<Boxes size={22} aria-hidden="true" />}
          >
            Projections by <code>exactlyOnce</code> of act-drizzle/projections keep theirs in a table{" "}
            <code>act_positions</code>. Reactions are in the view of that name.
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
        <div className="scroll">
          <table className="table cards">
            <thead>
              <tr>
                <th scope="col">Projection</th>
                <th scope="col">State</th>
                <th scope="col" className="number">
                  Run
                </th>
                <th scope="col">Since</th>
                <th scope="col" className="number">
                  Targets
                </th>
                <th scope="col" className="number">
                  Lowest at
                </th>
                <th scope="col" className="number">
                  Highest at
                </th>
                <th scope="col" className="wide-bar">
                  Position
                </th>
              </tr>
            </thead>
            <tbody>
              {projections.map((projection) => (
                <ProjectionRow key={projection.projection} projection={projection} lastId={lastId} />
              ))}
            </tbody>
          </table>
        </div>
      )}
      {cut && <p className="body muted">There are more: the first in order of their name are shown.</p>}
    </Panel>
  );
}

const place = (at: number | undefined): string =>
  at === undefined ? "—" : at < 0 ? "start" : `#${integer(at)}`;

/** How far of the log, 0 to 1. */
const shareOf = ({ rebuilding, progress, highest, builtUpTo }: Projection, lastId = 0): number =>
  rebuilding && progress !== undefined
    ? progress
    : lastId <= 0
      ? 0
      : Math.min(1, Math.max(0, highest ?? 0, builtUpTo ?? 0) / lastId);

function ProjectionRow({
  projection,
  lastId,
}: {
  readonly projection: Projection;
  readonly lastId: number | undefined;
}) {
  const {
    projection: name,
    generation,
    since,
    targets,
    lowest,
    highest,
    builtUpTo,
    rebuilding,
    positions,
  } = projection;
  const share = shareOf(projection, lastId);
  const percent = `${Math.floor(share * 100)} %`;
  return (
    <tr>
      <th scope="row">
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
      </th>
      <td data-label="State">
        {rebuilding ? (
          <span className="badge info">rebuilding</span>
        ) : (
          <span className="badge ok">running</span>
        )}
      </td>
      <td data-label="Run" className="number">
        {integer(generation)}
      </td>
      <td data-label="Since">
        <Time at={since} />
      </td>
      <td data-label="Targets" className="number">
        {counted(targets)}
      </td>
      <td data-label="Lowest at" className="number">
        {place(lowest)}
      </td>
      <td data-label="Highest at" className="number">
        {place(highest)}
      </td>
      <td data-label="Position" className="wide-bar">
        <span className="progress">
          <progress max={1} value={share} aria-label={`${name}: position in the log`} />
          <span className="nowrap">{percent}</span>
        </span>
        {builtUpTo !== undefined && !rebuilding && (
          <span className="muted nowrap built"> built up to #{integer(builtUpTo)}</span>
        )}
      </td>
    </tr>
  );
}
