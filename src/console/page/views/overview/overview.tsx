/** The state of the store at a glance, pushed by the server every 2 s. */
import { useEffect } from "react";
import { get } from "../../data/client.ts";
import { useConsole, useOverview } from "../../data/console.tsx";
import { duration, rate } from "../../data/format.ts";
import { isSeeded, seedSamples, useSamples } from "../../data/rates.ts";
import { Panel } from "../../ui/panel.tsx";
import { Failed, Loading } from "../../ui/states.tsx";
import { Findings } from "./findings.tsx";
import { BlockedReactions, Lagging } from "./lagging.tsx";
import { Plot } from "./plot.tsx";
import { Connections, Correlators, Leases, Server } from "./server.tsx";
import { Sizes } from "./sizes.tsx";
import { Tiles } from "./tiles.tsx";

const NEWEST = 500;

/** Shows the minutes before the page was opened, as far as one page of the log reaches. */
function useSeed(store: string): void {
  useEffect(() => {
    if (isSeeded(store)) return;
    const abort = new AbortController();
    get("GET /api/log", { store, limit: NEWEST }, abort.signal).then(
      ({ events, older }) => {
        if (!abort.signal.aborted) seedSamples(store, events, older === undefined, Date.now() / 1_000);
      },
      // If the read fails, the plot begins with the pushed samples.
      () => {},
    );
    return () => abort.abort();
  }, [store]);
}

export function OverviewView() {
  const { store } = useConsole();
  const { data, error, refetch } = useOverview();
  const samples = useSamples(store.id);
  useSeed(store.id);
  const at = samples.map((sample) => sample.at);
  const last = samples.at(-1);
  return (
    <>
      <div className="view-head">
        <h1>Overview</h1>
        <span className="muted clip">{store.label}</span>
        {!data && !error && <Loading what="the overview" />}
      </div>
      {error && !data && <Failed error={error} retry={() => void refetch()} />}
      <Tiles data={data} />
      <div className="columns plots">
        <Panel title="Events per second">
          <Plot
            label={`Events per second over time, now ${rate(last?.perSecond ?? 0)}`}
            series={{ at, values: samples.map(({ perSecond }) => perSecond) }}
            format={rate}
          />
        </Panel>
        <Panel title="Age of the oldest waiting event">
          <Plot
            label={`Age of the oldest event that waits, over time, now ${duration(last?.lagMs ?? 0)}`}
            series={{ at, values: samples.map(({ lagMs }) => lagMs) }}
            format={duration}
          />
        </Panel>
      </div>
      <Findings />
      <BlockedReactions reactions={data?.blocked} />
      <Lagging reactions={data?.behind} someBlocked={(data?.blocked.length ?? 0) > 0} />
      <div className="columns">
        <Leases leases={data?.leases} />
        <Connections data={data} />
        <Correlators data={data} />
        <Server data={data} />
        <Sizes />
      </div>
    </>
  );
}
