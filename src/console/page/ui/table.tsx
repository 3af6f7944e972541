import type { ReactNode } from "react";
import { SkeletonRows } from "./states.tsx";

export type Column<Row> = {
  /** Heading of the column, and label of each value if rows are cards. */
  readonly head: string;
  readonly cell: (row: Row) => ReactNode;
  /** `name`: what the row is about. `number`: to the right. `graphic`: its heading is for screen readers only. */
  readonly kind?: "name" | "number" | "graphic";
  /** Classes of the values. */
  readonly className?: string;
  /** A class of heading and values. */
  readonly column?: string;
};

type Props<Row> = {
  readonly columns: readonly Column<Row>[];
  /** Undefined while they are read. */
  readonly rows: readonly Row[] | undefined;
  readonly keyOf: (row: Row) => string | number;
  readonly isSelected?: (row: Row) => boolean;
  /** Number of placeholder rows while the rows are read. */
  readonly skeletons?: number;
  /** On a narrow screen each row is a card. */
  readonly cards?: boolean;
  /** Limits the height to that of a panel of the overview; longer tables scroll. */
  readonly limited?: boolean;
  readonly className?: string;
};

const classes = (...names: readonly (string | false | undefined)[]): string | undefined =>
  names.filter((name) => name !== undefined && name !== false && name !== "").join(" ") || undefined;

/** A plain table: the user cannot sort it or choose rows. */
export function Table<Row>({
  columns,
  rows,
  keyOf,
  isSelected,
  skeletons = 4,
  cards = false,
  limited = false,
  className,
}: Props<Row>) {
  return (
    <div className={classes("scroll", limited && "limited")}>
      <table className={classes("table", cards && "cards", className)}>
        <thead>
          <tr>
            {columns.map(({ head, kind, column }) => (
              <th scope="col" key={head} className={classes(kind === "number" && kind, column)}>
                {kind === "graphic" ? <span className="visually-hidden">{head}</span> : head}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows === undefined ? (
            <SkeletonRows rows={skeletons} columns={columns.length} />
          ) : (
            rows.map((row) => (
              <tr key={keyOf(row)} aria-selected={isSelected?.(row)}>
                {columns.map((column) => (
                  <Cell key={column.head} column={column} row={row} />
                ))}
              </tr>
            ))
          )}
        </tbody>
      </table>
    </div>
  );
}

function Cell<Row>({ column, row }: { readonly column: Column<Row>; readonly row: Row }) {
  const { head, cell, kind, className } = column;
  if (kind === "name")
    return (
      <th scope="row" className={classes(className, column.column)}>
        {cell(row)}
      </th>
    );
  const graphic = kind === "graphic";
  return (
    <td
      data-label={graphic ? undefined : head}
      className={classes(kind === "number" && kind, graphic && "blank", className, column.column)}
    >
      {cell(row)}
    </td>
  );
}
