import { useQuery } from "@tanstack/react-query";
import type { Storage } from "../../../api.ts";
import { type CallError, get } from "../../data/client.ts";
import { useConsole } from "../../data/console.tsx";
import { bytes, integer } from "../../data/format.ts";
import { Panel } from "../../ui/panel.tsx";
import { Failed } from "../../ui/states.tsx";
import { type Column, Table } from "../../ui/table.tsx";

const EVERY_MS = 60_000;

const COLUMNS: readonly Column<Storage["tables"][number]>[] = [
  { head: "Table", kind: "name", className: "break", cell: ({ table }) => table },
  { head: "Table size", kind: "number", cell: ({ tableBytes }) => bytes(tableBytes) },
  { head: "Index size", kind: "number", cell: ({ indexBytes }) => bytes(indexBytes) },
  { head: "Dead rows", kind: "number", cell: ({ deadRows }) => integer(deadRows) },
];

/** How large the tables are, and how many dead rows VACUUM has still to remove. */
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
        <Table columns={COLUMNS} rows={data?.tables} keyOf={({ table }) => table} skeletons={3} limited />
      )}
    </Panel>
  );
}
