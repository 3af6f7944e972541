import { X } from "lucide-react";
import { type ReactNode, useEffect, useId, useRef } from "react";

/**
 * A modal dialog. The browser keeps the focus inside, lets nothing behind it be used, and closes it with Escape.
 * Afterwards the focus returns to where it was.
 */
export function Dialog({
  title,
  onClose,
  onSubmit,
  actions,
  children,
  wide = false,
}: {
  readonly title: string;
  readonly onClose: () => void;
  readonly onSubmit?: () => void;
  readonly actions?: ReactNode;
  readonly children: ReactNode;
  readonly wide?: boolean;
}) {
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    const element = dialog.current;
    const before = document.activeElement;
    element?.showModal();
    // Focuses the first field, or else the first button below, and not the close button in the corner.
    element?.querySelector<HTMLElement>("input, textarea, .actions button")?.focus();
    return () => {
      element?.close();
      if (before instanceof HTMLElement && before.isConnected) before.focus();
    };
  }, []);
  return (
    <dialog ref={dialog} aria-labelledby={id} onClose={onClose} className={wide ? "wide" : undefined}>
      <form
        method="dialog"
        onSubmit={(event) => {
          event.preventDefault();
          onSubmit?.();
        }}
      >
        <div className="head">
          <h2 id={id}>{title}</h2>
          <button type="button" className="icon-button" aria-label="Close" onClick={onClose}>
            <X size={16} aria-hidden="true" />
          </button>
        </div>
        <div className="content">{children}</div>
        {actions && <div className="actions">{actions}</div>}
      </form>
    </dialog>
  );
}
