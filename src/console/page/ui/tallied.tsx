import { integer } from "../data/format.ts";
import type { Tally } from "../data/summary.ts";
import { Link } from "./link.tsx";

/** Names that are shown at most. */
const SHOWN = 8;

/** Names by how often each was found, with bars to compare by. */
export function Tallied({
  title,
  tally,
  of,
  link,
  shown = (name) => name,
}: {
  readonly title: string;
  readonly tally: Tally;
  readonly of: number;
  /** Where a name leads to. */
  readonly link: (name: string) => string;
  readonly shown?: (name: string) => string;
}) {
  const most = tally[0]?.[1] ?? 1;
  return (
    <section className="tally">
      <h3>
        {title}{" "}
        {tally.length > SHOWN && (
          <span className="muted">
            {SHOWN} of {integer(tally.length)}
          </span>
        )}
      </h3>
      {tally.length === 0 && <p className="muted">None recorded.</p>}
      <ol>
        {tally.slice(0, SHOWN).map(([name, count]) => (
          <li key={name}>
            <span className="bar" style={{ width: `${(100 * count) / most}%` }} />
            <Link to={link(name)} className="clip" title={name}>
              {shown(name)}
            </Link>
            <span className="number" title={`${Math.round((100 * count) / Math.max(1, of))} %`}>
              {integer(count)}
            </span>
          </li>
        ))}
      </ol>
    </section>
  );
}
