/** The stores that this console sees: of several schemas, or of several databases. */
import { useInfiniteQuery } from "@tanstack/react-query";
import type { Tenant, Tenants } from "../../api.ts";
import { type CallError, get } from "../data/client.ts";
import { useConsole } from "../data/console.tsx";
import { counted, integer } from "../data/format.ts";
import { href } from "../router.ts";
import { Link } from "../ui/link.tsx";
import { Failed, Loading, Notice } from "../ui/states.tsx";
import { type Column, Table } from "../ui/table.tsx";
import { Ago } from "../ui/time.tsx";

const PAGE = 50;
const EVERY_MS = 5_000;

export function TenantsView() {
  const { session, store } = useConsole();
  const { data, error, refetch, fetchNextPage, hasNextPage, isFetchingNextPage } = useInfiniteQuery<
    Tenants,
    CallError,
    { readonly pages: readonly Tenants[] },
    readonly unknown[],
    string | undefined
  >({
    queryKey: ["tenants"],
    queryFn: ({ pageParam, signal }) => get("GET /api/tenants", { after: pageParam, limit: PAGE }, signal),
    initialPageParam: undefined,
    getNextPageParam: (page) => page.next,
    refetchInterval: ({ state }) => ((state.data?.pages.length ?? 0) > 1 ? false : EVERY_MS),
  });
  const tenants = data?.pages.flatMap((page) => page.tenants);
  return (
    <>
      <div className="view-head">
        <h1>Tenants</h1>
        <span className="muted">
          {integer(session.stores.length)} {session.stores.length === 1 ? "store" : "stores"}
        </span>
        {!data && !error && <Loading what="stores" />}
      </div>
      {error && !data ? (
        <Failed error={error} retry={() => void refetch()} />
      ) : (
        <div className="panel">
          <Table
            columns={columnsOf(store.id)}
            rows={tenants}
            keyOf={({ store: { id } }) => id}
            isSelected={(tenant) => tenant.store.id === store.id}
            skeletons={5}
            cards
          />
          {hasNextPage && (
            <p className="more">
              <button
                type="button"
                className="button"
                onClick={() => void fetchNextPage()}
                disabled={isFetchingNextPage}
              >
                More
              </button>
            </p>
          )}
        </div>
      )}
      <p className="muted">
        These are the stores that the console knows. <code>--also &lt;url&gt;</code> adds those of another
        database.
      </p>
    </>
  );
}

/** An unknown value is a dash, and the reason is beside the name. */
const columnsOf = (current: string): readonly Column<Tenant>[] => [
  {
    head: "Store",
    kind: "name",
    cell: ({ store: { id, label }, problem }) => (
      <>
        <Link to={href([], { store: id })} className="break">
          {label}
        </Link>{" "}
        {id === current && <span className="badge">shown now</span>}
        {problem !== undefined && <Notice tone="warn">{problem}</Notice>}
      </>
    ),
  },
  { head: "Database", className: "break", cell: ({ store }) => store.database },
  {
    head: "Events, about",
    kind: "number",
    cell: ({ estimate }) => (estimate === undefined ? "—" : integer(Math.max(0, Math.round(estimate)))),
  },
  {
    head: "Last id",
    kind: "number",
    cell: ({ lastId }) => (lastId === undefined ? "—" : integer(lastId)),
  },
  {
    head: "Newest",
    cell: ({ lastCreated }) => (lastCreated === undefined ? "—" : <Ago at={lastCreated} />),
  },
  { head: "Behind", kind: "number", cell: ({ behind }) => (behind ? counted(behind) : "—") },
  {
    head: "Blocked",
    kind: "number",
    cell: ({ blocked }) =>
      blocked && blocked.count > 0 ? (
        <span className="badge danger">{counted(blocked)}</span>
      ) : blocked ? (
        "0"
      ) : (
        "—"
      ),
  },
];
