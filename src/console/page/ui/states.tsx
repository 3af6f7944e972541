/** What a view shows while it waits, when there is nothing, and when something failed. */
import { CircleAlert, Info, RefreshCw, TriangleAlert } from "lucide-react";
import type { ReactNode } from "react";
import { CallError } from "../data/client.ts";
import { useConnection } from "../data/connection.ts";

export const Empty = ({
  title,
  icon,
  children,
}: {
  readonly title: string;
  readonly icon?: ReactNode;
  readonly children?: ReactNode;
}) => (
  <div className="empty">
    {icon}
    <strong>{title}</strong>
    {children && <div>{children}</div>}
  </div>
);

/** Stands where text will be, as wide as it is expected to be. */
export const Skeleton = ({ width = 80 }: { readonly width?: number | string }) => (
  <span className="skeleton" aria-hidden="true" style={{ width }} />
);

export function SkeletonRows({
  rows = 6,
  columns = 4,
}: {
  readonly rows?: number;
  readonly columns?: number;
}) {
  const widths = [120, 90, 140, 60, 100, 70];
  return Array.from({ length: rows }, (_, row) => (
    // biome-ignore lint/suspicious/noArrayIndexKey: they are all alike
    <tr key={row}>
      {Array.from({ length: columns }, (_, column) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: they are all alike
        <td key={column}>
          <Skeleton width={widths[(row + column) % widths.length]} />
        </td>
      ))}
    </tr>
  ));
}

/** Tells a screen reader that something is being loaded, and shows nothing. */
export const Loading = ({ what }: { readonly what: string }) => (
  <span className="visually-hidden" role="status">
    Loading {what}
  </span>
);

export function Notice({
  tone = "info",
  children,
}: {
  readonly tone?: "info" | "warn" | "danger" | "ok";
  readonly children: ReactNode;
}) {
  const Icon = tone === "danger" ? CircleAlert : tone === "warn" ? TriangleAlert : Info;
  return (
    <div className={`notice ${tone}`} role={tone === "danger" ? "alert" : undefined}>
      <Icon size={16} aria-hidden="true" />
      <div>{children}</div>
    </div>
  );
}

/** A failed read. If the connection is down, it says that the view is read again once the connection is back. */
export function Failed({ error, retry }: { readonly error: Error; readonly retry?: () => void }) {
  const { server, database } = useConnection();
  const down = server === "gone" || database !== undefined;
  if (down && error instanceof CallError && error.isTransient)
    return (
      <Empty title="Waiting for the connection">The view is read again once the connection is back.</Empty>
    );
  return (
    <Notice tone="danger">
      <p>{error.message}</p>
      {retry && (
        <button type="button" className="button small retry" onClick={retry}>
          <RefreshCw size={14} aria-hidden="true" /> Try again
        </button>
      )}
    </Notice>
  );
}
