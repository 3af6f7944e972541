import { Menu, Search } from "lucide-react";
import { type ReactNode, useEffect, useState } from "react";
import { useConnection } from "../data/connection.ts";
import { useConsole, useOverview } from "../data/console.tsx";
import { href, useAddress } from "../router.ts";
import { Link } from "../ui/link.tsx";
import { GoTo } from "./go-to.tsx";
import { Logo } from "./logo.tsx";
import { StoreChoice } from "./store-choice.tsx";
import { ThemeSwitch } from "./theme-switch.tsx";
import { VIEWS } from "./views.ts";

export function Shell({ children }: { readonly children: ReactNode }) {
  const { path, params } = useAddress();
  const [menu, setMenu] = useState(false);
  const [finding, setFinding] = useState(false);
  const address = `${path.join("/")}?${params}`;
  // biome-ignore lint/correctness/useExhaustiveDependencies: the menu closes when the address changes
  useEffect(() => setMenu(false), [address]);
  useEffect(() => {
    const key = (event: KeyboardEvent) => {
      if (event.key === "Escape") setMenu(false);
      if (event.key.toLowerCase() !== "k" || !(event.metaKey || event.ctrlKey)) return;
      event.preventDefault();
      setFinding(true);
    };
    document.addEventListener("keydown", key);
    return () => document.removeEventListener("keydown", key);
  }, []);
  return (
    <div className="shell">
      <a className="skip-link" href="#main">
        Skip to the view
      </a>
      <header className="topbar">
        <button
          type="button"
          className="icon-button menu-button"
          aria-label="Menu"
          aria-expanded={menu}
          aria-controls="menu"
          onClick={() => setMenu(!menu)}
        >
          <Menu size={18} aria-hidden="true" />
        </button>
        <Link className="brand" to={href([])}>
          <Logo />
          <span>
            act-drizzle <span className="muted">console</span>
          </span>
        </Link>
        <StoreChoice />
        <span className="spring" />
        <button type="button" className="button find" onClick={() => setFinding(true)}>
          <Search size={14} aria-hidden="true" />
          <span className="find-words">Go to …</span>
          <kbd>Ctrl K</kbd>
        </button>
        <ConnectionState />
        <ThemeSwitch />
      </header>
      <nav id="menu" className={`sidebar${menu ? " open" : ""}`} aria-label="Views">
        <ul>
          {VIEWS.map(({ path: to, title, icon: Icon }) => (
            <li key={to}>
              <Link
                to={href(to === "" ? [] : [to])}
                aria-current={(path[0] ?? "") === to ? "page" : undefined}
              >
                <Icon size={16} aria-hidden="true" />
                {title}
                {to === "reactions" && <BlockedCount />}
              </Link>
            </li>
          ))}
        </ul>
        <Mode />
      </nav>
      {children}
      {finding && <GoTo onClose={() => setFinding(false)} />}
    </div>
  );
}

function BlockedCount() {
  const { data } = useOverview();
  const count = data?.overview.subscriptions.blocked.count ?? 0;
  return count > 0 ? (
    <span className="badge danger count" title="Blocked">
      {count}
      <span className="visually-hidden"> blocked</span>
    </span>
  ) : null;
}

function ConnectionState() {
  const { server, database } = useConnection();
  const [tone, words] =
    server === "gone" || server === "renewed"
      ? ["danger", "No server"]
      : database !== undefined
        ? ["danger", "No database"]
        : server === "up"
          ? ["ok", "Live"]
          : ["", "Connecting"];
  return (
    <span className="connection-state" role="status">
      <span className={`dot ${tone}`} aria-hidden="true" />
      <span className="connection-words">{words}</span>
    </span>
  );
}

function Mode() {
  const { session } = useConsole();
  return (
    <div className="foot">
      {session.write ? (
        <>
          <span className="badge warn">Writes on</span>
          <p>Actions are logged as {session.user}.</p>
        </>
      ) : (
        <>
          <span className="badge">Read-only</span>
          <p>
            Start with <code>--write</code> to operate.
          </p>
        </>
      )}
      <p>Version {session.version}</p>
    </div>
  );
}
