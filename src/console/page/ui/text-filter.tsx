import { useEffect, useRef, useState } from "react";

const SETTLED = 350;

/** A field of a filter. Its text is applied a moment after typing, or at once with Enter. */
export function TextFilter({
  label,
  value,
  placeholder,
  onChange,
  valid = true,
  list,
}: {
  readonly label: string;
  readonly value: string;
  readonly placeholder?: string;
  readonly onChange: (value: string) => void;
  readonly valid?: boolean;
  readonly list?: string;
}) {
  const [draft, setDraft] = useState(value);
  const timer = useRef<number>(undefined);
  useEffect(() => setDraft(value), [value]);
  useEffect(() => () => clearTimeout(timer.current), []);
  const settle = (text: string) => {
    clearTimeout(timer.current);
    if (text !== value) onChange(text);
  };
  return (
    <label className="field">
      {label}
      <input
        type="text"
        value={draft}
        placeholder={placeholder}
        aria-invalid={!valid}
        list={list}
        autoComplete="off"
        spellCheck={false}
        onChange={({ target }) => {
          setDraft(target.value);
          clearTimeout(timer.current);
          timer.current = window.setTimeout(() => settle(target.value.trim()), SETTLED);
        }}
        onKeyDown={(event) => {
          if (event.key === "Enter") settle(draft.trim());
        }}
        onBlur={() => settle(draft.trim())}
      />
    </label>
  );
}
