import type { Reaction } from "../../../api.ts";
import { counted, integer } from "../../data/format.ts";
import { nameOf } from "../../ui/link.tsx";
import { StateBadges } from "./state-badges.tsx";

/** The subscriptions that an action is for, in their present state. */
export function Sample({ reactions }: { readonly reactions: readonly Reaction[] }) {
  if (reactions.length === 0) return null;
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls has to be reachable by keyboard
    <section className="sample" tabIndex={0} aria-label="Reactions that it is for">
      <ul>
        {reactions.map((reaction) => (
          <li key={reaction.stream}>
            <p>
              <strong className="break">{reaction.stream}</strong> <StateBadges reaction={reaction} />
            </p>
            <p className="muted break">
              {reaction.next
                ? `Next: #${integer(reaction.next.id)} ${nameOf(reaction.next.name)} of ${reaction.next.stream}. ${counted(reaction.waiting)} waiting.`
                : `At ${reaction.at < 0 ? "the beginning" : `#${integer(reaction.at)}`}, nothing waits.`}
            </p>
            {reaction.error !== undefined && <p className="error-text break">{reaction.error}</p>}
          </li>
        ))}
      </ul>
    </section>
  );
}
