import { CircleAlert } from "lucide-react";
import type { Reaction } from "../../../api.ts";
import { integer } from "../../data/format.ts";
import { Ago } from "../../ui/time.tsx";

/** The state of a reaction in a word or two. */
export function StateBadges({ reaction }: { readonly reaction: Reaction }) {
  const { blocked, leasedBy, deferredUntil, waiting, skipped, attempts } = reaction;
  const deferred = deferredUntil !== undefined && Date.parse(deferredUntil) > Date.now();
  const quiet = !blocked && leasedBy === undefined && !deferred;
  return (
    <span className="state-badges">
      {blocked && (
        <span className="badge danger">
          <CircleAlert size={11} aria-hidden="true" /> blocked
        </span>
      )}
      {leasedBy !== undefined && <span className="badge info">leased</span>}
      {deferred && (
        <span className="badge">
          deferred, <Ago at={deferredUntil} />
        </span>
      )}
      {quiet &&
        (waiting.count > 0 ? (
          <span className="badge warn">behind</span>
        ) : (
          <span className="badge ok">up to date</span>
        ))}
      {!blocked && attempts > 0 && <span className="badge warn">tried {integer(attempts)}×</span>}
      {skipped > 0 && <span className="badge">{integer(skipped)} skipped</span>}
    </span>
  );
}
