import {
  createColumnHelper,
  type Header,
  type RowSelectionState,
  rowSelectionFeature,
  rowSortingFeature,
  type SortingState,
  tableFeatures,
  useTable,
} from "@tanstack/react-table";
import { ArrowDown, ArrowUp, ArrowUpDown, Inbox } from "lucide-react";
import { useMemo } from "react";
import type { Reaction } from "../../../api.ts";
import { counted, duration, integer } from "../../data/format.ts";
import { setParams, useAddress } from "../../router.ts";
import { EventRefLink, Link, useHere } from "../../ui/link.tsx";
import { Empty, SkeletonRows } from "../../ui/states.tsx";
import { type ReactionsFilter, SORTS } from "./query.ts";
import { StateBadges } from "./state-badges.tsx";

const features = tableFeatures({ rowSelectionFeature, rowSortingFeature });
const helper = createColumnHelper<typeof features, Reaction>();

const sortable = (id: string): boolean => SORTS.some((sort) => sort === id);
const NUMBERS = new Set(["priority", "at", "waiting", "lagMs", "attempts"]);
const NOTHING: Reaction[] = [];

function Name({ reaction }: { readonly reaction: Reaction }) {
  const to = useHere({ reaction: reaction.stream, event: undefined });
  return (
    <Link className="break" to={to}>
      {reaction.stream}
    </Link>
  );
}

const sourceOf = ({ kind, source }: Reaction) =>
  kind === "all" ? (
    <span className="muted">the whole log</span>
  ) : (
    <span className="mono break">{source}</span>
  );

const columns = helper.columns([
  helper.accessor("stream", { header: "Reaction", cell: ({ row }) => <Name reaction={row.original} /> }),
  helper.display({
    id: "state",
    header: "State",
    cell: ({ row }) => <StateBadges reaction={row.original} />,
  }),
  helper.accessor("source", { header: "Reads", cell: ({ row }) => sourceOf(row.original) }),
  helper.accessor("lane", { header: "Lane" }),
  helper.accessor("priority", { header: "Priority", cell: ({ getValue }) => integer(getValue()) }),
  helper.accessor("at", {
    header: "At",
    cell: ({ getValue }) => (getValue() < 0 ? <span className="muted">start</span> : integer(getValue())),
  }),
  helper.accessor(({ waiting }) => waiting, {
    id: "waiting",
    header: "Waiting",
    cell: ({ getValue }) => counted(getValue()),
  }),
  helper.accessor("lagMs", {
    header: "Lag",
    cell: ({ row: { original } }) => (original.lagMs === undefined ? "—" : duration(original.lagMs)),
  }),
  helper.display({
    id: "next",
    header: "Next event",
    cell: ({ row: { original } }) => (
      <span>
        {original.next ? <EventRefLink event={original.next} /> : <span className="muted">none</span>}
        {original.error !== undefined && <span className="error-text row-error">{original.error}</span>}
      </span>
    ),
  }),
]);

export function ReactionsTable({
  reactions,
  filter,
  selected,
  onSelected,
}: {
  readonly reactions: readonly Reaction[] | undefined;
  readonly filter: ReactionsFilter;
  readonly selected: RowSelectionState;
  readonly onSelected: (next: RowSelectionState) => void;
}) {
  const open = useAddress().params.get("reaction");
  const data = useMemo(() => (reactions ? [...reactions] : NOTHING), [reactions]);
  const sorting: SortingState = useMemo(
    () => [{ id: filter.sort, desc: filter.desc }],
    [filter.sort, filter.desc],
  );
  const table = useTable({
    features,
    columns,
    data,
    getRowId: ({ stream }) => stream,
    manualSorting: true,
    state: { sorting, rowSelection: selected },
    onRowSelectionChange: (update) => onSelected(typeof update === "function" ? update(selected) : update),
    onSortingChange: (update) => {
      const [next] = typeof update === "function" ? update(sorting) : update;
      setParams(
        { sort: next?.id === "stream" ? undefined : next?.id, desc: next?.desc ? "1" : undefined },
        { replace: true },
      );
    },
    enableSortingRemoval: false,
  });
  if (reactions?.length === 0)
    return (
      <div className="panel">
        <Empty title="No reaction matches" icon={<Inbox size={22} aria-hidden="true" />}>
          {filter.state === "all" && filter.q === "" && filter.lane === "" && filter.kind === ""
            ? "No app has subscribed to this log yet."
            : "Widen the filter to see others."}
        </Empty>
      </div>
    );
  const headers = table.getHeaderGroups()[0]?.headers ?? [];
  return (
    <div className="panel reactions">
      <div className="scroll">
        <table className="table cards">
          <thead>
            <tr>
              <th scope="col">
                <input
                  type="checkbox"
                  aria-label="Choose all that are shown"
                  checked={table.getIsAllRowsSelected()}
                  ref={(box) => {
                    if (box)
                      box.indeterminate = table.getIsSomeRowsSelected() && !table.getIsAllRowsSelected();
                  }}
                  onChange={table.getToggleAllRowsSelectedHandler()}
                />
              </th>
              {headers.map((header) => (
                <HeaderCell key={header.id} header={header} filter={filter} />
              ))}
            </tr>
          </thead>
          <tbody>
            {reactions === undefined ? (
              <SkeletonRows rows={10} columns={10} />
            ) : (
              table.getRowModel().rows.map((row) => (
                <tr key={row.id} aria-selected={row.getIsSelected() || row.id === open}>
                  <td className="choose">
                    <input
                      type="checkbox"
                      aria-label={`Choose ${row.id}`}
                      checked={row.getIsSelected()}
                      onChange={row.getToggleSelectedHandler()}
                    />
                  </td>
                  {row.getAllCells().map((cell) => {
                    const id = cell.column.id;
                    return id === "stream" ? (
                      <th scope="row" key={id}>
                        <table.FlexRender cell={cell} />
                      </th>
                    ) : (
                      <td
                        key={id}
                        className={`column-${id}${NUMBERS.has(id) ? " number" : ""}`}
                        data-label={String(cell.column.columnDef.header)}
                      >
                        <table.FlexRender cell={cell} />
                      </td>
                    );
                  })}
                </tr>
              ))
            )}
          </tbody>
        </table>
      </div>
    </div>
  );
}

function HeaderCell({
  header,
  filter,
}: {
  readonly header: Header<typeof features, Reaction, unknown>;
  readonly filter: ReactionsFilter;
}) {
  const { id } = header.column;
  const words = String(header.column.columnDef.header);
  const classes = `column-${id}${NUMBERS.has(id) ? " number" : ""}`;
  if (!sortable(id))
    return (
      <th scope="col" className={classes}>
        {words}
      </th>
    );
  const sorted = filter.sort === id ? (filter.desc ? "descending" : "ascending") : "none";
  const Icon = sorted === "none" ? ArrowUpDown : sorted === "descending" ? ArrowDown : ArrowUp;
  return (
    <th scope="col" className={classes} aria-sort={sorted}>
      <button type="button" className="sort" onClick={header.column.getToggleSortingHandler()}>
        {words} <Icon size={12} aria-hidden="true" />
      </button>
    </th>
  );
}
