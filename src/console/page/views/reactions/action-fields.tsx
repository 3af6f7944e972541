import type { ActionType } from "../../../api.ts";
import { localTime, toTime } from "../../data/format.ts";

export type Draft = { readonly until: string; readonly priority: string; readonly reason: string };

/** The fields of an action, besides its subscriptions. */
export function ActionFields({
  type,
  draft,
  onChange,
}: {
  readonly type: ActionType;
  readonly draft: Draft;
  readonly onChange: (draft: Draft) => void;
}) {
  if (type === "defer") {
    const until = toTime(draft.until, 1);
    return (
      <label className="field">
        Until
        <input
          type="text"
          value={draft.until}
          aria-invalid={until === undefined}
          onChange={({ target }) => onChange({ ...draft, until: target.value })}
        />
        <span>
          {until === undefined
            ? "A time is needed: 30m, 2h or 1d from now, or 2026-01-31 12:00"
            : `30m, 2h or 1d from now, or a time. That is ${localTime(until)}.`}
        </span>
      </label>
    );
  }
  if (type === "prioritize")
    return (
      <label className="field">
        Priority
        <input
          type="number"
          step={1}
          value={draft.priority}
          onChange={({ target }) => onChange({ ...draft, priority: target.value })}
        />
        <span>Higher is claimed first. Most have 0.</span>
      </label>
    );
  if (type === "skip")
    return (
      <label className="field">
        Reason
        <textarea
          rows={2}
          value={draft.reason}
          required
          placeholder="Why this event can never be handled"
          onChange={({ target }) => onChange({ ...draft, reason: target.value })}
        />
        <span>It is recorded with the subscription, so it must not hold personal data.</span>
      </label>
    );
  return null;
}
