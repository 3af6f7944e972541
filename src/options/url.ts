/** The options that a URL gives. No error shows the URL: it may hold a password. */
import { checkOptions, setOptions } from "./check.ts";
import { readSource, type Values } from "./sources.ts";

export function readUrl(url: string): Values {
  const values = parse(url);
  if (!values)
    throw new Error('act-drizzle: option "url": a URL such as postgres://user:password@host:5432/database');
  checkOptions(values, " in url");
  return setOptions(values);
}

/** Undefined where it cannot be read. What stands before the question mark counts, then what stands behind it. */
function parse(url: string): Values | undefined {
  const parts = splitHosts(url);
  const hosts = parts.hosts.split(",").map((host) => /^(\[[^\]]*\]|[^:]*)(?::(\d+))?$/.exec(host));
  try {
    const { username, password, pathname, searchParams } = new URL(parts.rest);
    const names = hosts.map((host) => {
      if (!host) throw new Error("neither host nor host:port");
      return decodeURIComponent((host[1] ?? "").replace(/^\[|\]$/g, ""));
    });
    const ports = hosts.map((host) => host?.[2]);
    const before = {
      host: names.join(",") || undefined,
      port: ports.some(Boolean) ? ports.map((port) => port ?? "5432").join(",") : undefined,
      user: decodeURIComponent(username) || undefined,
      password: decodeURIComponent(password) || undefined,
      database: decodeURIComponent(pathname.slice(1)) || undefined,
    };
    const behind = readSource("url", (name) => searchParams.get(name) ?? undefined);
    return { ...behind, ...setOptions(before) };
  } catch {
    return undefined;
  }
}

/** `new URL` knows one host only, so the list of hosts is cut out. */
function splitHosts(url: string): { readonly hosts: string; readonly rest: string } {
  const [, scheme = "", rest = ""] = /^(postgres(?:ql)?:\/\/)(.*)$/s.exec(url) ?? [];
  const end = rest.search(/[/?#]/);
  const authority = end < 0 ? rest : rest.slice(0, end);
  const at = authority.lastIndexOf("@") + 1;
  return {
    hosts: authority.slice(at),
    rest: `${scheme}${authority.slice(0, at)}placeholder${rest.slice(authority.length)}`,
  };
}
