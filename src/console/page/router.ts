/** The address is the state: a view and its filters are in the URL, so that a link shows what its sender saw. */
import { useSyncExternalStore } from "react";

/** A list is a parameter that is given several times. Undefined and an empty text leave the parameter out. */
export type Params = Readonly<Record<string, string | readonly string[] | undefined>>;

export type Address = {
  /** Path without slashes around it; the first part names the view. */
  readonly path: readonly string[];
  readonly params: URLSearchParams;
};

const listeners = new Set<() => void>();
const announce = (): void => {
  for (const listener of listeners) listener();
};
window.addEventListener("popstate", announce);

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

const parse = (href: string): Address => {
  const { pathname, searchParams } = new URL(href);
  return { path: pathname.split("/").filter(Boolean).map(decodeURIComponent), params: searchParams };
};

let seen = { href: location.href, address: parse(location.href) };
const current = (): Address => {
  if (seen.href !== location.href) seen = { href: location.href, address: parse(location.href) };
  return seen.address;
};

export const useAddress = (): Address => useSyncExternalStore(subscribe, current);

/** The parameters that a link from view to view keeps. */
const KEPT = ["store"];

/** A link to a view. What belongs to the whole page, the store, stays. */
export function href(path: readonly string[], params: Params = {}): string {
  const query = new URLSearchParams();
  for (const name of KEPT) {
    const value = current().params.get(name);
    if (value !== null) query.set(name, value);
  }
  for (const [name, value = ""] of Object.entries(params)) {
    query.delete(name);
    for (const each of typeof value === "string" ? [value] : value) if (each !== "") query.append(name, each);
  }
  const text = query.toString();
  return `/${path.map(encodeURIComponent).join("/")}${text === "" ? "" : `?${text}`}`;
}

export function go(to: string, { replace = false }: { readonly replace?: boolean } = {}): void {
  if (replace) history.replaceState(null, "", to);
  else history.pushState(null, "", to);
  announce();
}

const all = (params: URLSearchParams): Params =>
  Object.fromEntries([...new Set(params.keys())].map((name) => [name, params.getAll(name)]));

/** An address with other parameters. */
export const changed = ({ path, params }: Address, changes: Params): string =>
  href(path, { ...all(params), ...changes });

/** Changes parameters of the current address. */
export function setParams(changes: Params, options?: { readonly replace?: boolean }): void {
  go(changed(current(), changes), options);
}
