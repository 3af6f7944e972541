import { X } from "lucide-react";
import { type ReactNode, useEffect, useRef } from "react";
import { createPortal } from "react-dom";
import { setParams } from "../router.ts";

/** A part beside the view that shows one thing of it. The view stays usable. Escape closes it. */
export function Drawer({
  title,
  label,
  param,
  tools,
  children,
}: {
  readonly title: ReactNode;
  readonly label: string;
  /** The parameter of the address that opened it. */
  readonly param: string;
  readonly tools?: ReactNode;
  readonly children: ReactNode;
}) {
  const panel = useRef<HTMLElement>(null);
  const close = () => setParams({ [param]: undefined });
  useEffect(() => {
    const before = document.activeElement;
    panel.current?.focus({ preventScroll: true });
    const key = (event: KeyboardEvent) => {
      if (event.key !== "Escape" || document.querySelector("dialog[open]")) return;
      setParams({ [param]: undefined });
    };
    document.addEventListener("keydown", key);
    return () => {
      document.removeEventListener("keydown", key);
      if (before instanceof HTMLElement && before.isConnected) before.focus({ preventScroll: true });
    };
  }, [param]);
  // Beside the view and not in it, for screen readers as for eyes.
  return createPortal(
    <aside className="drawer" aria-label={label} ref={panel} tabIndex={-1}>
      <header>
        <h2 className="clip">{title}</h2>
        <span className="spring" />
        {tools}
        <button type="button" className="icon-button" aria-label={`Close ${label}`} onClick={close}>
          <X size={16} aria-hidden="true" />
        </button>
      </header>
      <div className="content">{children}</div>
    </aside>,
    document.body,
  );
}
