import type { Count } from "../../../api.ts";
import { useConsole } from "../../data/console.tsx";
import { counted } from "../../data/format.ts";
import { type Chosen, OPERATIONS, type Operation } from "./operations.ts";

/** Buttons for the operations on the chosen reactions. */
export function ActionBar({
  chosen,
  all,
  everything,
  onAll,
  onClear,
  onAsk,
}: {
  readonly chosen: Chosen;
  readonly all: boolean;
  /** How many the filter finds, if all of them can be chosen at once. */
  readonly everything: Count | undefined;
  readonly onAll: () => void;
  readonly onClear: () => void;
  readonly onAsk: (operation: Operation) => void;
}) {
  const { session } = useConsole();
  const none = chosen.count.count === 0;
  return (
    <div className="action-bar" role="toolbar" aria-label="Actions">
      <span className={none ? "muted" : "chosen-count"} role="status">
        {none
          ? "Choose reactions to act on"
          : all
            ? `All ${counted(chosen.count)}`
            : `${counted(chosen.count)} chosen`}
      </span>
      {!all && everything && (
        <button type="button" className="link-button" onClick={onAll}>
          Choose all {counted(everything)}
        </button>
      )}
      {!none && (
        <button type="button" className="link-button" onClick={onClear}>
          Clear
        </button>
      )}
      <span className="spring" />
      <OperationButtons chosen={chosen} onAsk={onAsk} />
      {!session.write && <span className="badge">Read-only: shows what it would do</span>}
    </div>
  );
}

export function OperationButtons({
  chosen,
  onAsk,
}: {
  readonly chosen: Chosen;
  readonly onAsk: (operation: Operation) => void;
}) {
  return OPERATIONS.filter(
    ({ type }) => type !== "release" || chosen.reactions.some(({ leasedBy }) => leasedBy),
  ).map((operation) => {
    const { type, label, icon: Icon, refuse } = operation;
    const why = chosen.count.count === 0 ? "Choose reactions first" : refuse(chosen);
    return (
      <button
        key={type}
        type="button"
        className="button small"
        disabled={why !== undefined}
        title={why}
        onClick={() => onAsk(operation)}
      >
        <Icon size={14} aria-hidden="true" /> {label}
      </button>
    );
  });
}
