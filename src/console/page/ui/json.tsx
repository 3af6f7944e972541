/** JSON to read: folded, searched, copied; Dates are marked, because JSON itself does not tell them from texts. */
import { ChevronDown, ChevronRight } from "lucide-react";
import { useId, useMemo, useState } from "react";
import { localTime, plural } from "../data/format.ts";
import { type JsonLine, jsonLines, type Path, parts } from "../data/json-lines.ts";
import { CopyButton } from "./copy.tsx";

/** Lines that are shown at first. */
const SHOWN = 400;

const hits = (line: JsonLine, search: string): number =>
  search === ""
    ? 0
    : [line.key ?? "", line.text].reduce((sum, text) => sum + (parts(text, search).length >> 1), 0);

export function Json({
  value,
  dates,
  label,
}: {
  readonly value: unknown;
  readonly dates?: readonly Path[];
  readonly label: string;
}) {
  const [folded, setFolded] = useState<ReadonlySet<string>>(new Set());
  const [search, setSearch] = useState("");
  const [all, setAll] = useState(false);
  const id = useId();
  // A search unfolds everything, because a match in a folded part would not be seen.
  const lines = useMemo(
    () => jsonLines(value, { dates, folded: search === "" ? folded : new Set() }),
    [value, dates, folded, search],
  );
  const found = lines.reduce((sum, line) => sum + hits(line, search), 0);
  const shown = all || search !== "" ? lines : lines.slice(0, SHOWN);
  const fold = (path: string) =>
    setFolded((before) => {
      const next = new Set(before);
      if (!next.delete(path)) next.add(path);
      return next;
    });
  return (
    <div className="json">
      <div className="json-tools">
        <label className="visually-hidden" htmlFor={id}>
          Search in {label}
        </label>
        <input
          id={id}
          type="search"
          placeholder="Search keys and values"
          value={search}
          onChange={(event) => setSearch(event.target.value)}
        />
        <span className="muted nowrap" role="status">
          {search !== "" && plural(found, "match", "matches")}
        </span>
        <span className="spring" />
        <CopyButton label="Copy" text={() => JSON.stringify(value, undefined, 2)} />
      </div>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls has to be reachable by keyboard */}
      <section className="json-lines" tabIndex={0} aria-label={label}>
        {shown.map((line) => (
          <Line key={line.path} line={line} search={search} folded={folded.has(line.path)} onFold={fold} />
        ))}
      </section>
      {shown.length < lines.length && (
        <button type="button" className="link-button" onClick={() => setAll(true)}>
          Show all {plural(lines.length, "line")}
        </button>
      )}
    </div>
  );
}

function Line({
  line,
  search,
  folded,
  onFold,
}: {
  readonly line: JsonLine;
  readonly search: string;
  readonly folded: boolean;
  readonly onFold: (path: string) => void;
}) {
  const { kind, entries = 0, path, key, text, comma } = line;
  const name = key ?? "entry";
  return (
    <div className="json-line" style={{ paddingLeft: `${18 + line.depth * 16}px` }}>
      {kind === "open" && entries > 0 && line.depth > 0 && (
        <button
          type="button"
          className="json-fold"
          style={{ left: `${line.depth * 16}px` }}
          aria-expanded={!folded}
          aria-label={`${name}, ${plural(entries, "entry", "entries")}`}
          onClick={() => onFold(path)}
        >
          {folded ? (
            <ChevronRight size={13} aria-hidden="true" />
          ) : (
            <ChevronDown size={13} aria-hidden="true" />
          )}
        </button>
      )}
      {key !== undefined && (
        <>
          <span className="json-key">
            <Marked text={key} search={search} />
          </span>
          <span className="json-mark">: </span>
        </>
      )}
      <span className={`json-${kind}`}>
        <Marked text={text} search={search} />
      </span>
      {comma && <span className="json-mark">,</span>}
      {folded && <span className="muted"> {plural(entries, "entry", "entries")}</span>}
      {kind === "date" && <DateMark text={text} />}
    </div>
  );
}

function DateMark({ text }: { readonly text: string }) {
  const iso: unknown = JSON.parse(text);
  const known = typeof iso === "string" && !Number.isNaN(Date.parse(iso));
  return (
    <span
      className="badge info json-date-mark"
      title={known ? `${localTime(iso, { ms: true })} here` : undefined}
    >
      Date
    </span>
  );
}

const Marked = ({ text, search }: { readonly text: string; readonly search: string }) =>
  parts(text, search).map((part, index) =>
    // biome-ignore lint/suspicious/noArrayIndexKey: parts have no other name
    index % 2 === 1 ? <mark key={index}>{part}</mark> : part,
  );
