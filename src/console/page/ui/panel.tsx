import { type ReactNode, useId } from "react";

/** A part of a view with its heading. */
export function Panel({
  title,
  aside,
  className = "",
  children,
}: {
  readonly title: string;
  /** Beside the heading. */
  readonly aside?: ReactNode;
  readonly className?: string;
  readonly children: ReactNode;
}) {
  const id = useId();
  return (
    <section className={`panel ${className}`} aria-labelledby={id}>
      <header>
        <h2 id={id}>{title}</h2>
        <span className="spring" />
        {aside}
      </header>
      {children}
    </section>
  );
}
