import { Check, Copy } from "lucide-react";
import { useEffect, useState } from "react";

/** Copies a text, and says so for a moment. */
export function CopyButton({ text, label }: { readonly text: () => string; readonly label: string }) {
  const [state, setState] = useState<"idle" | "copied" | "refused">("idle");
  useEffect(() => {
    if (state === "idle") return;
    const timer = setTimeout(() => setState("idle"), 1_500);
    return () => clearTimeout(timer);
  }, [state]);
  const copy = () =>
    navigator.clipboard.writeText(text()).then(
      () => setState("copied"),
      () => setState("refused"),
    );
  const words = state === "copied" ? "Copied" : state === "refused" ? "The browser refuses" : label;
  return (
    <button type="button" className="button small" onClick={copy}>
      {state === "copied" ? <Check size={14} aria-hidden="true" /> : <Copy size={14} aria-hidden="true" />}
      <span aria-live="polite">{words}</span>
    </button>
  );
}
