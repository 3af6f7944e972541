/** Settings of the server that the option `options` names, written as in PGOPTIONS: `-c geqo=off --search_path=app`. */

export type ServerOptions = {
  /** Settings by name. */
  readonly settings: Readonly<Record<string, string>>;
  /** Words that are not settings, such as `endpoint=…` of Neon. They are passed on to the server or the proxy. */
  readonly rest: string;
};

/** Settings that `options` must not change, because the store relies on them or they have an option of their own. */
const RESERVED = new Set([
  "application_name",
  "array_nulls",
  "client_encoding",
  "datestyle",
  "default_transaction_isolation",
  "extra_float_digits",
  "idle_in_transaction_session_timeout",
  "lock_timeout",
  "plan_cache_mode",
  "standard_conforming_strings",
  "statement_timeout",
  "timezone",
]);

/** Words are separated by spaces; a backslash escapes the next character. */
const wordsOf = (text: string): string[] =>
  (text.match(/(?:\\.|[^\s\\])+/gs) ?? []).map((word) => word.replace(/\\(.)/gs, "$1"));

const escaped = (word: string) => word.replace(/[\s\\]/g, "\\$&");

export function parseServerOptions(text: string): ServerOptions {
  const settings: Record<string, string> = {};
  const rest: string[] = [];
  const words = wordsOf(text);
  for (let at = 0; at < words.length; at++) {
    let word = words[at] ?? "";
    if (word === "-c") {
      at++;
      word = `-c${words[at] ?? ""}`;
    }
    const [, name, value] = /^(?:-c|--)([\w.-]+)=(.*)$/s.exec(word) ?? [];
    if (name === undefined || value === undefined) rest.push(escaped(word));
    else settings[name.replaceAll("-", "_")] = value;
  }
  return { settings, rest: rest.join(" ") };
}

/** One setting, as a word of `options`. */
export const settingWord = (name: string, value: string): string => `-c ${name}=${escaped(value)}`;

/** True if `text` names none of the {@link RESERVED} settings. */
export const namesNoReservedSetting = (text: string): boolean =>
  Object.keys(parseServerOptions(text).settings).every((name) => !RESERVED.has(name.toLowerCase()));
