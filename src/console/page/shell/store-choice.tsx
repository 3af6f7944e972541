import { useConsole } from "../data/console.tsx";
import { go, setParams, useAddress } from "../router.ts";

/** Stores that the choice lists at most. If there are more, its last entry opens the view of tenants. */
const MANY = 30;

/** Which store is looked at. With one there is nothing to choose. */
export function StoreChoice() {
  const { session, store } = useConsole();
  const { path } = useAddress();
  const { stores } = session;
  if (stores.length < 2) return <span className="place clip">{store.label}</span>;
  const shown = stores.slice(0, MANY);
  const choose = (id: string) => {
    if (id === "") return go(`/tenants?${new URLSearchParams({ store: store.id })}`);
    // Filters of a view may fit another store; one event or stream does not.
    const view = path[0] ?? "";
    if (view === "stream" || view === "trace") go(`/${view}?${new URLSearchParams({ store: id })}`);
    else setParams({ store: id, event: undefined, reaction: undefined, at: undefined });
  };
  return (
    <select
      className="place-choice"
      aria-label="Store"
      value={store.id}
      onChange={(e) => choose(e.target.value)}
    >
      {!shown.some(({ id }) => id === store.id) && <option value={store.id}>{store.label}</option>}
      {shown.map(({ id, label }) => (
        <option key={id} value={id}>
          {label}
        </option>
      ))}
      {stores.length > MANY && <option value="">All {stores.length} stores …</option>}
    </select>
  );
}
