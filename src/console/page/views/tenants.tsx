/** The stores that this console sees: of several schemas, or of several databases. */
import { useInfiniteQuery } from "@tanstack/react-query";
import type { Tenant, Tenants } from "../../api.ts";
import { type CallError, get } from "../data/client.ts";
import { useConsole } from "../data/console.tsx";
import { counted, integer } from "../data/format.ts";
import { href } from "../router.ts";
import { Link } from "../ui/link.tsx";
import { Failed, Loading, Notice, SkeletonRows } from "../ui/states.tsx";
import { Ago } from "../ui/time.tsx";

const PAGE = 50;
const EVERY_MS = 5_000;

export function TenantsView() {
  const { session } = useConsole();
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
          <div className="scroll">
            <table className="table cards">
              <thead>
                <tr>
                  <th scope="col">Store</th>
                  <th scope="col">Database</th>
                  <th scope="col" className="number">
                    Events, about
                  </th>
                  <th scope="col" className="number">
                    Last id
                  </th>
                  <th scope="col">Newest</th>
                  <th scope="col" className="number">
                    Behind
                  </th>
                  <th scope="col" className="number">
                    Blocked
                  </th>
                </tr>
              </thead>
              <tbody>
                {tenants ? (
                  tenants.map((tenant) => <TenantRow key={tenant.store.id} tenant={tenant} />)
                ) : (
                  <SkeletonRows rows={5} columns={7} />
                )}
              </tbody>
            </table>
          </div>
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
        These are the stores that were found in the database. Start the console with{" "}
        <code>--also &lt;url&gt;</code> for those of another one.
      </p>
    </>
  );
}

function TenantRow({ tenant }: { readonly tenant: Tenant }) {
  const { store, problem, estimate, lastId, lastCreated, behind, blocked } = tenant;
  const current = useConsole().store.id === store.id;
  return (
    <tr aria-selected={current}>
      <th scope="row">
        <Link to={href([], { store: store.id })} className="break">
          {store.label}
        </Link>{" "}
        {current && <span className="badge">shown now</span>}
      </th>
      <td data-label="Database" className="break">
        {store.database}
      </td>
      {problem === undefined ? (
        <>
          <td data-label="Events, about" className="number">
            {estimate === undefined ? "—" : integer(Math.max(0, Math.round(estimate)))}
          </td>
          <td data-label="Last id" className="number">
            {lastId === undefined ? "—" : integer(lastId)}
          </td>
          <td data-label="Newest">{lastCreated === undefined ? "—" : <Ago at={lastCreated} />}</td>
          <td data-label="Behind" className="number">
            {behind ? counted(behind) : "—"}
          </td>
          <td data-label="Blocked" className="number">
            {blocked && blocked.count > 0 ? (
              <span className="badge danger">{counted(blocked)}</span>
            ) : blocked ? (
              "0"
            ) : (
              "—"
            )}
          </td>
        </>
      ) : (
        <td colSpan={5}>
          <Notice tone="warn">{problem}</Notice>
        </td>
      )}
    </tr>
  );
}
