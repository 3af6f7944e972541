import type { StreamDetail, StreamReader } from "../../../api.ts";
import { counted, integer } from "../../data/format.ts";
import { href } from "../../router.ts";
import { Link } from "../../ui/link.tsx";
import { Panel } from "../../ui/panel.tsx";
import { SkeletonRows } from "../../ui/states.tsx";

const KINDS = { all: "the whole log", stream: "this stream", pattern: "by a pattern" } as const;

/** The reactions that read the stream, and how far each is. */
export function Readers({ detail }: { readonly detail: StreamDetail | undefined }) {
  const readers = detail?.readers;
  return (
    <Panel title="Read by">
      {readers?.length === 0 ? (
        <p className="body muted">No reaction reads it.</p>
      ) : (
        <ul className="readers">
          {readers === undefined ? (
            <li>
              <table className="table">
                <tbody>
                  <SkeletonRows rows={2} columns={2} />
                </tbody>
              </table>
            </li>
          ) : (
            readers.map((reader) => <Reader key={reader.stream} reader={reader} />)
          )}
        </ul>
      )}
      {detail?.readersCut && <p className="body muted">There may be more.</p>}
    </Panel>
  );
}

function Reader({ reader }: { readonly reader: StreamReader }) {
  const { stream, kind, source, lane, at, blocked, waiting } = reader;
  const done = waiting.count === 0;
  return (
    <li>
      <div>
        <Link className="break" to={href(["reactions"], { reaction: stream })}>
          {stream}
        </Link>
        <p className="muted break">
          {kind === "pattern" ? <span className="mono">{source}</span> : KINDS[kind]} · lane {lane}
        </p>
      </div>
      <div className="reader-place">
        {blocked ? (
          <span className="badge danger">blocked</span>
        ) : done ? (
          <span className="badge ok">up to date</span>
        ) : (
          <span className="badge warn">{counted(waiting)} waiting</span>
        )}
        <span className="muted">at {at < 0 ? "the beginning" : `#${integer(at)}`}</span>
      </div>
    </li>
  );
}
