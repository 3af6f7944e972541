import type { Lease, Overview } from "../../../api.ts";
import { duration, integer, plural } from "../../data/format.ts";
import { href } from "../../router.ts";
import { Link } from "../../ui/link.tsx";
import { Panel } from "../../ui/panel.tsx";
import { SkeletonRows } from "../../ui/states.tsx";
import { Ago, Time } from "../../ui/time.tsx";

type Data = { readonly data: Overview | undefined };

export function Leases({ leases }: { readonly leases: readonly Lease[] | undefined }) {
  return (
    <Panel title="Leases" aside={<span className="muted">{leases && plural(leases.length, "lease")}</span>}>
      {leases?.length === 0 ? (
        <p className="body muted">No worker holds a subscription now.</p>
      ) : (
        <div className="scroll limited">
          <table className="table">
            <thead>
              <tr>
                <th scope="col">Reaction</th>
                <th scope="col">Held by</th>
                <th scope="col" className="number">
                  Ends in
                </th>
              </tr>
            </thead>
            <tbody>
              {leases === undefined ? (
                <SkeletonRows rows={3} columns={3} />
              ) : (
                leases.map(({ stream, holder, leftMs }) => (
                  <tr key={stream}>
                    <th scope="row">
                      <Link className="break" to={href(["reactions"], { reaction: stream })}>
                        {stream}
                      </Link>
                    </th>
                    <td className="mono break">{holder}</td>
                    <td className="number">
                      {leftMs < 0 ? <span className="badge warn">expired</span> : duration(leftMs)}
                    </td>
                  </tr>
                ))
              )}
            </tbody>
          </table>
        </div>
      )}
    </Panel>
  );
}

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
      <div className="scroll limited">
        <table className="table">
          <thead>
            <tr>
              <th scope="col">Application</th>
              <th scope="col" className="number">
                All
              </th>
              <th scope="col" className="number">
                Active
              </th>
              <th scope="col" className="number">
                Idle in transaction
              </th>
            </tr>
          </thead>
          <tbody>
            {connections === undefined ? (
              <SkeletonRows rows={3} columns={4} />
            ) : (
              connections.applications.map(({ name, connections: all, active, idleInTransaction }) => (
                <tr key={name}>
                  <th scope="row" className="break">
                    {name}
                  </th>
                  <td className="number">{integer(all)}</td>
                  <td className="number">{integer(active)}</td>
                  <td className="number">
                    {idleInTransaction > 0 ? <span className="badge warn">{idleInTransaction}</span> : 0}
                  </td>
                </tr>
              ))
            )}
          </tbody>
        </table>
      </div>
    </Panel>
  );
}

export function Correlators({ data }: Data) {
  const correlators = data?.correlators;
  const lastId = data?.overview.events.lastId ?? 0;
  return (
    <Panel title="Correlators">
      {correlators?.length === 0 ? (
        <p className="body muted">No app has correlated events yet.</p>
      ) : (
        <div className="scroll limited">
          <table className="table">
            <thead>
              <tr>
                <th scope="col">Registry</th>
                <th scope="col" className="number">
                  Read up to
                </th>
                <th scope="col" className="number">
                  Ids behind
                </th>
                <th scope="col">Held by</th>
              </tr>
            </thead>
            <tbody>
              {correlators === undefined ? (
                <SkeletonRows rows={2} columns={4} />
              ) : (
                correlators.map(({ key, at, holder }) => (
                  <tr key={key}>
                    <th scope="row" className="mono">
                      {key === "" ? "shared" : key.slice(0, 12)}
                    </th>
                    <td className="number">{integer(at)}</td>
                    <td className="number">{integer(Math.max(0, lastId - at))}</td>
                    <td className="mono break">{holder ?? <span className="muted">nobody</span>}</td>
                  </tr>
                ))
              )}
            </tbody>
          </table>
        </div>
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
        <dt>A statement takes</dt>
        <dd>{duration(latencyMs)}</dd>
        <dt>Listener</dt>
        <dd>
          <span className={`dot ${listener.state === "listening" ? "ok" : "warn"}`} />{" "}
          {LISTENER[listener.state]}
          {listener.heardMs === undefined
            ? ", no commit was announced yet"
            : `, last commit announced ${duration(listener.heardMs)} ago`}
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
