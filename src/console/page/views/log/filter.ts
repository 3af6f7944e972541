/** The log's filter, as it stands in the address. */
import type { Query } from "../../data/client.ts";
import { toTime } from "../../data/format.ts";
import type { Params } from "../../router.ts";

export type LogFilter = {
  readonly stream: string;
  readonly exact: boolean;
  readonly names: readonly string[];
  readonly actor: string;
  readonly correlation: string;
  /** As typed: `2h`, or a time. */
  readonly since: string;
  readonly until: string;
};

export const NO_FILTER: Params = {
  stream: undefined,
  exact: undefined,
  name: undefined,
  actor: undefined,
  correlation: undefined,
  since: undefined,
  until: undefined,
};

export const filterOf = (params: URLSearchParams): LogFilter => ({
  stream: params.get("stream") ?? "",
  exact: params.get("exact") === "1",
  names: params.getAll("name"),
  actor: params.get("actor") ?? "",
  correlation: params.get("correlation") ?? "",
  since: params.get("since") ?? "",
  until: params.get("until") ?? "",
});

export const isFiltered = ({ exact: _, names, ...texts }: LogFilter): boolean =>
  names.length > 0 || Object.values(texts).some((text) => text !== "");

/** What the server is asked. A relative time counts from now, so it is made once for all pages. */
export const queryOf = (store: string, filter: LogFilter): Query => ({
  store,
  stream: filter.stream,
  exact: filter.exact && filter.stream !== "",
  name: filter.names,
  actor: filter.actor,
  correlation: filter.correlation,
  since: filter.since === "" ? undefined : (toTime(filter.since, -1) ?? filter.since),
  until: filter.until === "" ? undefined : (toTime(filter.until, -1) ?? filter.until),
});
