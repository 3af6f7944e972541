/** What a client was told about one commit. */
export type Entry = {
  readonly stream: string;
  /** Events of the commit. */
  readonly size: number;
  /** Their ids and versions, as the caller was told; empty unless acknowledged. */
  readonly placed: readonly Placed[];
  /** When the caller was told, in ms of `performance.now()`. */
  readonly at: number;
};
export type Placed = { readonly id: number; readonly version: number };
