import { ChevronDown } from "lucide-react";
import { type ReactNode, useEffect, useRef } from "react";

/** A button that opens a small part below it. Escape and a click elsewhere close it. */
export function Popover({ label, children }: { readonly label: ReactNode; readonly children: ReactNode }) {
  const details = useRef<HTMLDetailsElement>(null);
  useEffect(() => {
    const close = (event: Event) => {
      const element = details.current;
      if (!element?.open) return;
      if (event instanceof KeyboardEvent) {
        if (event.key !== "Escape") return;
        event.stopPropagation();
        element.querySelector("summary")?.focus();
      } else if (event.target instanceof Node && element.contains(event.target)) return;
      element.open = false;
    };
    document.addEventListener("pointerdown", close);
    document.addEventListener("keydown", close, true);
    return () => {
      document.removeEventListener("pointerdown", close);
      document.removeEventListener("keydown", close, true);
    };
  }, []);
  return (
    <details className="popover" ref={details}>
      <summary className="button">
        {label} <ChevronDown size={14} aria-hidden="true" />
      </summary>
      <div className="popover-body">{children}</div>
    </details>
  );
}
