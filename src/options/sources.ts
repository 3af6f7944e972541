/** Reads options from a source of named texts: a URL's parameters or the environment. */
import { optionList } from "./option-list.ts";

/** Values by option, not yet checked. */
export type Values = Readonly<Record<string, unknown>>;

/** The values that a source sets, by option. */
export function readSource(
  source: "url" | "env",
  textOf: (name: string) => string | undefined,
): Record<string, unknown> {
  const values: Record<string, unknown> = {};
  for (const option of optionList) {
    for (const [parameter, read] of Object.entries(option[source] ?? {})) {
      const text = textOf(parameter);
      if (text !== undefined) values[option.name] ??= read(text);
    }
  }
  return values;
}
