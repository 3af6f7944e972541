import { Camera, CircleSlash, LockKeyhole, Scissors } from "lucide-react";
import type { EventView, StreamDetail } from "../../../api.ts";
import { integer, plural } from "../../data/format.ts";
import { setParams, useAddress } from "../../router.ts";
import { EventLink, nameOf } from "../../ui/link.tsx";
import { Panel } from "../../ui/panel.tsx";
import { SkeletonRows } from "../../ui/states.tsx";
import { Time } from "../../ui/time.tsx";

/** The versions that are compared, the lower one first. */
export const compared = (params: URLSearchParams): number[] =>
  params
    .getAll("v")
    .map(Number)
    .filter(Number.isSafeInteger)
    .sort((a, b) => a - b);

export function History({
  detail,
  history,
  more,
  loading,
}: {
  readonly detail: StreamDetail | undefined;
  readonly history: readonly EventView[];
  readonly more: (() => void) | undefined;
  readonly loading: boolean;
}) {
  const { params } = useAddress();
  const chosen = compared(params);
  const toggle = (version: number) => {
    const next = chosen.includes(version)
      ? chosen.filter((each) => each !== version)
      : [...chosen, version].slice(-2);
    setParams({ v: next.map(String) }, { replace: true });
  };
  return (
    <Panel
      title="History"
      aside={
        <span className="muted">
          {chosen.length === 1 ? "Choose a second version to compare" : "Choose two versions to compare"}
        </span>
      }
    >
      <div className="scroll">
        <table className="table history">
          <thead>
            <tr>
              <th scope="col">
                <span className="visually-hidden">Compare</span>
              </th>
              <th scope="col" className="number">
                Version
              </th>
              <th scope="col">Event</th>
              <th scope="col">Committed</th>
              <th scope="col" className="by">
                By
              </th>
              <th scope="col" className="holds">
                Holds
              </th>
              <th scope="col" className="number">
                Id
              </th>
            </tr>
          </thead>
          <tbody>
            {detail === undefined ? (
              <SkeletonRows rows={8} columns={7} />
            ) : (
              history.map((event) => (
                <HistoryRow
                  key={event.id}
                  event={event}
                  chosen={chosen.includes(event.version)}
                  open={params.get("event") === String(event.id)}
                  onToggle={toggle}
                />
              ))
            )}
            {detail && !more && <Beginning detail={detail} />}
          </tbody>
        </table>
      </div>
      {more && (
        <p className="more">
          <button type="button" className="button" onClick={more} disabled={loading}>
            Older
          </button>
        </p>
      )}
    </Panel>
  );
}

function HistoryRow({
  event,
  chosen,
  open,
  onToggle,
}: {
  readonly event: EventView;
  readonly chosen: boolean;
  readonly open: boolean;
  readonly onToggle: (version: number) => void;
}) {
  const { id, version, name, created, actor, cause, keys, personal } = event;
  const snapshot = name === "__snapshot__";
  const special = snapshot || name === "__tombstone__";
  return (
    <tr className={special ? "special-row" : undefined} aria-selected={open || chosen}>
      <td>
        <input
          type="checkbox"
          aria-label={`Compare version ${version}`}
          checked={chosen}
          onChange={() => onToggle(version)}
        />
      </td>
      <td className="number">{integer(version)}</td>
      <td>
        <span className="history-name">
          {snapshot && <Camera size={14} aria-hidden="true" />}
          {name === "__tombstone__" && <CircleSlash size={14} aria-hidden="true" />}
          {nameOf(name)}
        </span>
      </td>
      <td>
        <Time at={created} />
      </td>
      <td className="by" title={actor}>
        {actor ?? (cause && <span className="muted">reaction to {cause.name}</span>)}
      </td>
      <td className="holds">
        <span className="muted mono">
          {personal && <LockKeyhole size={12} aria-label="with personal data" />} {keys.join(", ")}
        </span>
      </td>
      <td className="number">
        <EventLink id={id} />
      </td>
    </tr>
  );
}

/** Says whether events before the first one were truncated. */
function Beginning({ detail: { truncated, firstVersion = 0, head } }: { readonly detail: StreamDetail }) {
  if (!head) return null;
  return (
    <tr className="beginning">
      <td colSpan={7}>
        <span>
          {truncated ? (
            <>
              <Scissors size={14} aria-hidden="true" /> Truncated:{" "}
              {firstVersion > 0
                ? `${plural(firstVersion, "version")} before this ${firstVersion === 1 ? "is" : "are"} not in the log any more.`
                : "what was before this event is not in the log any more."}
            </>
          ) : (
            "The stream begins here."
          )}
        </span>
      </td>
    </tr>
  );
}
