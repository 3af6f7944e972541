import { useQuery } from "@tanstack/react-query";
import type { NamesInUse } from "../../../api.ts";
import { type CallError, get } from "../../data/client.ts";
import { useConsole } from "../../data/console.tsx";
import { changed, setParams, useAddress } from "../../router.ts";
import { Link } from "../../ui/link.tsx";
import { TextFilter } from "../../ui/text-filter.tsx";
import { KINDS, type ReactionsFilter, STATES } from "./query.ts";

const change = (changes: Parameters<typeof setParams>[0]) => setParams(changes, { replace: true });

export function ReactionFilters({ filter }: { readonly filter: ReactionsFilter }) {
  const { store } = useConsole();
  const address = useAddress();
  const { data } = useQuery<NamesInUse, CallError>({
    queryKey: ["names", store.id],
    queryFn: ({ signal }) => get("GET /api/names", { store: store.id }, signal),
    staleTime: 60_000,
  });
  const lanes = [...new Set([...(filter.lane === "" ? [] : [filter.lane]), ...(data?.lanes ?? [])])].sort();
  return (
    <div className="toolbar reaction-filters">
      <nav aria-label="State" className="segments">
        {STATES.map(([state, words]) => (
          <Link
            key={state}
            to={changed(address, { state: state === "all" ? undefined : state })}
            aria-current={filter.state === state ? "true" : undefined}
          >
            {words}
          </Link>
        ))}
      </nav>
      <span className="spring" />
      <TextFilter label="Name or source" value={filter.q} onChange={(q) => change({ q })} />
      <label className="field">
        Lane
        <select value={filter.lane} onChange={({ target }) => change({ lane: target.value })}>
          <option value="">All</option>
          {lanes.map((lane) => (
            <option key={lane} value={lane}>
              {lane}
            </option>
          ))}
        </select>
      </label>
      <label className="field">
        Reads
        <select value={filter.kind} onChange={({ target }) => change({ kind: target.value })}>
          <option value="">Anything</option>
          {KINDS.map(([kind, words]) => (
            <option key={kind} value={kind}>
              {words}
            </option>
          ))}
        </select>
      </label>
    </div>
  );
}
