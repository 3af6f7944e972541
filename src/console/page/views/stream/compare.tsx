import { useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import type { FoldedState, VersionDetail } from "../../../api.ts";
import { type CallError, get } from "../../data/client.ts";
import { useConsole } from "../../data/console.tsx";
import { type DiffLine, diffLines, toLines } from "../../data/diff.ts";
import { plural } from "../../data/format.ts";
import { setParams, useAddress } from "../../router.ts";
import { nameOf } from "../../ui/link.tsx";
import { Panel } from "../../ui/panel.tsx";
import { Failed, Skeleton } from "../../ui/states.tsx";
import { compared } from "./history.tsx";

type Side = { readonly title: string; readonly value: unknown };

/** What a side shows: the event with this version, or the state up to it. */
function useSide(stream: string, version: number, what: "state" | "data") {
  const { store } = useConsole();
  return useQuery<Side, CallError>({
    queryKey: ["side", store.id, stream, version, what],
    queryFn: async ({ signal }) => {
      const query = { store: store.id, stream, version };
      if (what === "state") {
        const {
          name,
          state,
          version: reached,
        }: FoldedState = await get("GET /api/stream/state", query, signal);
        return { title: `${name} at version ${reached}`, value: state };
      }
      const { event }: VersionDetail = await get("GET /api/stream/version", query, signal);
      return { title: `${nameOf(event.name)}, version ${version}`, value: event.data };
    },
    staleTime: 60_000,
  });
}

/** Two versions side by side. */
export function Compare({ stream }: { readonly stream: string }) {
  const [left, right] = compared(useAddress().params);
  return left === undefined || right === undefined ? null : <Two stream={stream} left={left} right={right} />;
}

function Two({
  stream,
  left,
  right,
}: {
  readonly stream: string;
  readonly left: number;
  readonly right: number;
}) {
  const { session } = useConsole();
  const { params } = useAddress();
  const wanted = session.app && params.get("compare") !== "data" ? "state" : "data";
  // Where the app has no state of the stream, its events are compared.
  const what = useSide(stream, left, wanted).error?.code === "no-state" ? "data" : wanted;
  const one = useSide(stream, left, what);
  const other = useSide(stream, right, what);
  const error = one.error ?? other.error;
  const lines = useMemo(
    () =>
      one.data && other.data ? diffLines(toLines(one.data.value), toLines(other.data.value)) : undefined,
    [one.data, other.data],
  );
  const differing = lines?.filter(({ kind }) => kind !== "same").length;
  return (
    <Panel
      title={`Version ${left} and version ${right}`}
      aside={
        <>
          <span className="muted">
            {differing !== undefined &&
              (differing === 0 ? "No difference" : `${plural(differing, "line differs", "lines differ")}`)}
          </span>
          {wanted === what && session.app && (
            <select
              aria-label="What is compared"
              value={what}
              onChange={({ target }) =>
                setParams({ compare: target.value === "data" ? "data" : undefined }, { replace: true })
              }
            >
              <option value="state">Folded states</option>
              <option value="data">Data of the events</option>
            </select>
          )}
          <button
            type="button"
            className="button small"
            onClick={() => setParams({ v: undefined, compare: undefined }, { replace: true })}
          >
            Close
          </button>
        </>
      }
    >
      {error ? (
        <div className="body">
          <Failed
            error={error}
            retry={() => {
              void one.refetch();
              void other.refetch();
            }}
          />
        </div>
      ) : lines ? (
        <Diff lines={lines} titles={[one.data?.title ?? "", other.data?.title ?? ""]} />
      ) : (
        <div className="body">
          <Skeleton width="70%" />
        </div>
      )}
    </Panel>
  );
}

const SIGNS = { same: "", changed: "~", removed: "−", added: "+" } as const;
const WORDS = { same: "", changed: "changed", removed: "removed", added: "added" } as const;

function Diff({
  lines,
  titles,
}: {
  readonly lines: readonly DiffLine[];
  readonly titles: readonly [string, string];
}) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls has to be reachable by keyboard
    <section className="scroll diff-scroll" tabIndex={0} aria-label="Difference">
      <table className="diff">
        <thead>
          <tr>
            <th scope="col">
              <span className="visually-hidden">Change</span>
            </th>
            <th scope="col">{titles[0]}</th>
            <th scope="col">{titles[1]}</th>
          </tr>
        </thead>
        <tbody>
          {lines.map(({ kind, left, right }, index) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: a line has no other name
            <tr key={index} className={kind}>
              <td className="sign">
                <span aria-hidden="true">{SIGNS[kind]}</span>
                <span className="visually-hidden">{WORDS[kind]}</span>
              </td>
              <td className="old">{left}</td>
              <td className="new">{right}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
