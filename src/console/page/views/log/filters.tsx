import { useQuery } from "@tanstack/react-query";
import { ListFilter, X } from "lucide-react";
import { useId } from "react";
import type { NamesInUse } from "../../../api.ts";
import { type CallError, get } from "../../data/client.ts";
import { useConsole } from "../../data/console.tsx";
import { toTime } from "../../data/format.ts";
import { setParams } from "../../router.ts";
import { nameOf } from "../../ui/link.tsx";
import { Popover } from "../../ui/popover.tsx";
import { TextFilter } from "../../ui/text-filter.tsx";
import { useNarrow } from "../../ui/use-narrow.ts";
import { isFiltered, type LogFilter, NO_FILTER } from "./filter.ts";

type Changes = Parameters<typeof setParams>[0];
/** A changed filter begins at the newest event that it finds. */
const change = (changes: Changes) => setParams({ at: undefined, ...changes }, { replace: true });

export function Filters({ filter }: { readonly filter: LogFilter }) {
  const fields = <Fields filter={filter} />;
  return (
    <div className="log-filters">
      {useNarrow(820) ? (
        <details open={isFiltered(filter) || undefined}>
          <summary className="button">
            <ListFilter size={14} aria-hidden="true" /> Filters
          </summary>
          {fields}
        </details>
      ) : (
        fields
      )}
      <Chips filter={filter} />
    </div>
  );
}

function Fields({ filter }: { readonly filter: LogFilter }) {
  const exact = useId();
  const timeValid = (text: string, empty = text === "") => empty || toTime(text, -1) !== undefined;
  return (
    <div className="toolbar">
      <div className="field-with-check">
        <TextFilter
          label="Stream"
          value={filter.stream}
          placeholder="order- or ^order-"
          onChange={(stream) => change({ stream, exact: filter.exact && stream !== "" ? "1" : undefined })}
        />
        <label className="check" htmlFor={exact}>
          <input
            id={exact}
            type="checkbox"
            checked={filter.exact}
            disabled={filter.stream === ""}
            onChange={({ target }) => change({ exact: target.checked ? "1" : undefined })}
          />
          exact
        </label>
      </div>
      <Names chosen={filter.names} />
      <TextFilter label="Actor" value={filter.actor} onChange={(actor) => change({ actor })} />
      <TextFilter
        label="Correlation"
        value={filter.correlation}
        onChange={(correlation) => change({ correlation })}
      />
      <TextFilter
        label="Since"
        value={filter.since}
        placeholder="2h or a time"
        valid={timeValid(filter.since)}
        onChange={(since) => change({ since })}
      />
      <TextFilter
        label="Until"
        value={filter.until}
        placeholder="15m or a time"
        valid={timeValid(filter.until)}
        onChange={(until) => change({ until })}
      />
    </div>
  );
}

/** Names of events that are in the log, to choose from. */
function Names({ chosen }: { readonly chosen: readonly string[] }) {
  const { store } = useConsole();
  const { data } = useQuery<NamesInUse, CallError>({
    queryKey: ["names", store.id],
    queryFn: ({ signal }) => get("GET /api/names", { store: store.id }, signal),
    staleTime: 60_000,
  });
  const names = [...new Set([...chosen, ...(data?.names ?? [])])].sort();
  const toggle = (name: string, on: boolean) =>
    change({ name: on ? [...chosen, name] : chosen.filter((each) => each !== name) });
  return (
    <Popover label={chosen.length === 0 ? "All events" : `Events (${chosen.length})`}>
      <fieldset className="choices">
        <legend className="visually-hidden">Names of events</legend>
        {names.map((name) => (
          <label key={name} className="check">
            <input
              type="checkbox"
              checked={chosen.includes(name)}
              onChange={({ target }) => toggle(name, target.checked)}
            />
            <span className="break">{nameOf(name)}</span>
          </label>
        ))}
        {names.length === 0 && <p className="muted">The log holds no events yet.</p>}
      </fieldset>
    </Popover>
  );
}

/** The active filters, each with a button that removes it. */
function Chips({ filter }: { readonly filter: LogFilter }) {
  if (!isFiltered(filter)) return null;
  const { stream, exact, names, actor, correlation, since, until } = filter;
  const one = (words: string, text: string, changes: Changes) =>
    text === "" ? [] : [{ words: `${words} ${text}`, changes }];
  const chips = [
    ...one(exact ? "Stream is" : "Stream has", stream, { stream: undefined, exact: undefined }),
    ...names.map((name) => ({
      words: `Event ${nameOf(name)}`,
      changes: { name: names.filter((each) => each !== name) },
    })),
    ...one("By", actor, { actor: undefined }),
    ...one("Correlation", correlation, { correlation: undefined }),
    ...one("Since", since, { since: undefined }),
    ...one("Until", until, { until: undefined }),
  ];
  return (
    <ul className="chips" aria-label="Filters in use">
      {chips.map(({ words, changes }) => (
        <li key={words} className="chip">
          <span className="clip">{words}</span>
          <button type="button" aria-label={`Remove: ${words}`} onClick={() => change(changes)}>
            <X size={13} aria-hidden="true" />
          </button>
        </li>
      ))}
      <li>
        <button type="button" className="link-button" onClick={() => change(NO_FILTER)}>
          Clear
        </button>
      </li>
    </ul>
  );
}
