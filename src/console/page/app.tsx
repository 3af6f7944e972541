import { useEffect, useRef } from "react";
import type { CallError } from "./data/client.ts";
import { setConnection } from "./data/connection.ts";
import { ConsoleProvider, useConsole, useSession } from "./data/console.tsx";
import { useAddress } from "./router.ts";
import { Banner } from "./shell/banner.tsx";
import { Shell } from "./shell/shell.tsx";
import { viewAt } from "./shell/views.ts";
import { Empty } from "./ui/states.tsx";
import { EventDrawer } from "./views/event/event-drawer.tsx";

const RETRY_MS = 2_000;

export function App() {
  const { data: session, error, refetch } = useSession();
  // Before the first answer there is no live connection that would tell when the server is back.
  useEffect(() => {
    if (!error?.isTransient) return;
    setConnection({ server: "gone" });
    const timer = setInterval(() => void refetch(), RETRY_MS);
    return () => clearInterval(timer);
  }, [error, refetch]);
  if (session)
    return (
      <ConsoleProvider session={session}>
        <View />
      </ConsoleProvider>
    );
  return <main className="lobby">{error ? <Refused error={error} /> : <Empty title="Opening …" />}</main>;
}

function Refused({ error }: { readonly error: CallError }) {
  if (error.code === "no-token")
    return (
      <Empty title="This page needs its token">
        Open the address that <code>act-drizzle console</code> printed. Each start of the command has a new
        one.
      </Empty>
    );
  return (
    <Empty title={error.isTransient ? "The console does not answer" : "The console refused"}>
      {error.message}
    </Empty>
  );
}

function View() {
  const { path } = useAddress();
  const { store } = useConsole();
  const { title, View: Found } = viewAt(path[0]);
  const main = useRef<HTMLElement>(null);
  const shown = useRef(path[0]);
  useEffect(() => {
    document.title = `${title} · ${store.label} · act-drizzle`;
    // A new view is read from its top, by eyes and by screen readers.
    if (shown.current === path[0]) return;
    shown.current = path[0];
    window.scrollTo(0, 0);
    main.current?.focus({ preventScroll: true });
  }, [title, store.label, path]);
  return (
    <Shell>
      <main className="main" id="main" ref={main} tabIndex={-1}>
        <Banner />
        {/* Another store is another page: nothing of the one before stays. */}
        <Found key={store.id} />
      </main>
      <EventDrawer key={store.id} />
    </Shell>
  );
}
