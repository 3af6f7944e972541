import { useQuery } from "@tanstack/react-query";
import type { Storage } from "../../../api.ts";
import { type CallError, get } from "../../data/client.ts";
import { useConsole } from "../../data/console.tsx";
import { bytes, integer } from "../../data/format.ts";
import { Panel } from "../../ui/panel.tsx";
import { Failed, SkeletonRows } from "../../ui/states.tsx";

const EVERY_MS = 60_000;

/** How large the tables are, and what VACUUM has left. */
export function Sizes() {
  const { store } = useConsole();
  const { data, error, refetch } = useQuery<Storage, CallError>({
    queryKey: ["storage", store.id],
    queryFn: ({ signal }) => get("GET /api/storage", { store: store.id }, signal),
    refetchInterval: EVERY_MS,
    staleTime: EVERY_MS,
  });
  const share = data?.ids.share;
  return (
    <Panel
      title="Storage"
      aside={
        <span className="muted">
          {share !== undefined &&
            `${share < 0.001 ? "under 0.1" : (share * 100).toFixed(1)} % of the ids used`}
        </span>
      }
    >
      {error && !data ? (
        <div className="body">
          <Failed error={error} retry={() => void refetch()} />
        </div>
      ) : (
        <div className="scroll limited">
          <table className="table">
            <thead>
              <tr>
                <th scope="col">Table</th>
                <th scope="col" className="number">
                  Rows
                </th>
                <th scope="col" className="number">
                  Indexes
                </th>
                <th scope="col" className="number">
                  Dead rows
                </th>
              </tr>
            </thead>
            <tbody>
              {data ? (
                data.tables.map(({ table, tableBytes, indexBytes, deadRows }) => (
                  <tr key={table}>
                    <th scope="row" className="break">
                      {table}
                    </th>
                    <td className="number">{bytes(tableBytes)}</td>
                    <td className="number">{bytes(indexBytes)}</td>
                    <td className="number">{integer(deadRows)}</td>
                  </tr>
                ))
              ) : (
                <SkeletonRows rows={3} columns={4} />
              )}
            </tbody>
          </table>
        </div>
      )}
    </Panel>
  );
}
