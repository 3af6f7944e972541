/**
 * What the tests print, on the console or past it, is looked through for what must never be printed: the server's
 * password, which every store of the run is configured with, and the marks below, which tests put into passwords,
 * payloads and personal data. What printed one fails at its end, and says which line, without the secret. Processes
 * that tests start are looked through by those tests.
 */
type Watch = { readonly secrets: Set<string>; readonly leaks: string[] };

const MARKS = ["s3cret-", "5ecret-", "passw0rd-", "@example.org"];

/** One per process: the runner's configuration and its global setup each have a copy of this module. */
const KEY = Symbol.for("act-drizzle.test.leaks");
type Holder = { [KEY]?: Watch };
const holder = globalThis as Holder;
holder[KEY] ??= { secrets: new Set(MARKS), leaks: [] };
const { secrets, leaks } = holder[KEY];

/** The lines of a text that hold one of these, with `***` in its place. */
export function leaksIn(text: string, of: Iterable<string>): string[] {
  const all = [...of];
  return text
    .split("\n")
    .filter((line) => all.some((secret) => line.includes(secret)))
    .map((line) => all.reduce((told, secret) => told.replaceAll(secret, "***"), line));
}

/** From now on this is a secret, too, if it is long enough to be no word. */
export function keepSecret(password: string): void {
  if (password.length >= 16) secrets.add(password);
}

export const lookThrough = (text: string): void => void leaks.push(...leaksIn(text, secrets));

/** Throws if a secret was printed. */
export function expectNoLeaks(): void {
  if (leaks.length > 0)
    throw new Error(`${leaks.length} printed lines hold secrets:\n${leaks.slice(0, 5).join("\n")}`);
}
