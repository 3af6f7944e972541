import type { Lease, Overview } from "../../../api.ts";
import { duration, integer, plural } from "../../data/format.ts";
import { href } from "../../router.ts";
import { Link } from "../../ui/link.tsx";
import { Panel } from "../../ui/panel.tsx";
import { SkeletonRows } from "../../ui/states.tsx";
import { type Column, Table } from "../../ui/table.tsx";
import { Ago, Time } from "../../ui/time.tsx";

type Data = { readonly data: Overview | undefined };

const LEASE: readonly Column<Lease>[] = [
  {
    head: "Reaction",
    kind: "name",
    cell: ({ stream }) => (
      <Link className="break" to={href(["reactions"], { reaction: stream })}>
        {stream}
      </Link>
    ),
  },
  { head: "Held by", className: "mono break", cell: ({ holder }) => holder },
  {
    head: "Ends in",
    kind: "number",
    cell: ({ leftMs }) => (leftMs < 0 ? <span className="badge warn">expired</span> : duration(leftMs)),
  },
];

export function Leases({ leases }: { readonly leases: readonly Lease[] | undefined }) {
  return (
    <Panel title="Leases" aside={<span className="muted">{leases && plural(leases.length, "lease")}</span>}>
      {leases?.length === 0 ? (
        <p className="body muted">No worker holds a subscription now.</p>
      ) : (
        <Table columns={LEASE} rows={leases} keyOf={({ stream }) => stream} skeletons={3} limited />
      )}
    </Panel>
  );
}

type Application = Overview["connections"]["applications"][number];

const APPLICATION: readonly Column<Application>[] = [
  { head: "Application", kind: "name", className: "break", cell: ({ name }) => name },
  { head: "All", kind: "number", cell: ({ connections }) => integer(connections) },
  { head: "Active", kind: "number", cell: ({ active }) => integer(active) },
  {
    head: "Idle in transaction",
    kind: "number",
    cell: ({ idleInTransaction }) =>
      idleInTransaction > 0 ? <span className="badge warn">{idleInTransaction}</span> : 0,
  },
];

export function Connections({ data }: Data) {
  const connections = data?.connections;
  return (
    <Panel
      title="Connections"
      aside={
        connections && (
          <span className="muted">
            {integer(connections.used)} of {integer(connections.max)} used
          </span>
        )
      }
    >
      <Table
        columns={APPLICATION}
        rows={connections?.applications}
        keyOf={({ name }) => name}
        skeletons={3}
        limited
      />
    </Panel>
  );
}

type Correlator = Overview["correlators"][number];

const correlatorColumns = (lastId: number): readonly Column<Correlator>[] => [
  {
    head: "Registry",
    kind: "name",
    className: "mono",
    cell: ({ key }) => (key === "" ? "shared" : key.slice(0, 12)),
  },
  { head: "Read up to", kind: "number", cell: ({ at }) => integer(at) },
  { head: "Ids behind", kind: "number", cell: ({ at }) => integer(Math.max(0, lastId - at)) },
  {
    head: "Held by",
    className: "mono break",
    cell: ({ holder }) => holder ?? <span className="muted">nobody</span>,
  },
];

export function Correlators({ data }: Data) {
  const correlators = data?.correlators;
  const lastId = data?.overview.events.lastId ?? 0;
  return (
    <Panel title="Correlators">
      {correlators?.length === 0 ? (
        <p className="body muted">No app has correlated events yet.</p>
      ) : (
        <Table
          columns={correlatorColumns(lastId)}
          rows={correlators}
          keyOf={({ key }) => key}
          skeletons={2}
          limited
        />
      )}
    </Panel>
  );
}

const LISTENER = {
  off: "off",
  listening: "listening",
  reconnecting: "reconnecting",
} as const;

export function Server({ data }: Data) {
  if (!data)
    return (
      <Panel title="Server">
        <table className="table">
          <tbody>
            <SkeletonRows rows={5} columns={2} />
          </tbody>
        </table>
      </Panel>
    );
  const { overview, listener, appendLock, latencyMs } = data;
  const { server } = overview;
  const { holder, waiting } = appendLock;
  return (
    <Panel title="Server">
      <dl className="facts body">
        <dt>PostgreSQL</dt>
        <dd>
          {server.version}
          {server.standby && <span className="badge warn">standby</span>}, up since{" "}
          <Time at={server.startedAt} />
        </dd>
        <dt>Database</dt>
        <dd>
          {server.database} as {server.user}
        </dd>
        <dt>Response time</dt>
        <dd>{duration(latencyMs)}</dd>
        <dt>Listener</dt>
        <dd>
          <span className={`dot ${listener.state === "listening" ? "ok" : "warn"}`} />{" "}
          {LISTENER[listener.state]}
          {listener.lastNotifiedMs === undefined
            ? ", no notification yet"
            : `, last notification or reconnect ${duration(listener.lastNotifiedMs)} ago`}
        </dd>
        <dt>Append lock</dt>
        <dd>
          {holder
            ? `held by ${holder.application ?? `process ${holder.pid}`}${holder.transactionMs === undefined ? "" : ` for ${duration(holder.transactionMs)}`}, ${integer(waiting.length)} waiting`
            : "free"}
        </dd>
        <dt>Ids</dt>
        <dd>
          {overview.events.firstId === undefined
            ? "none yet"
            : `${integer(overview.events.firstId)} to ${integer(overview.events.lastId ?? 0)}`}
        </dd>
        <dt>Seen</dt>
        <dd>
          <Ago at={data.at} />
        </dd>
      </dl>
    </Panel>
  );
}
