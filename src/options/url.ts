/**
 * Reads options from a URL. No error shows the URL, or a part of it that may belong to a password. It does not use
 * `new URL`, which accepts only one host, and accepts characters that should have been percent-encoded.
 */
import { checkOptions, givenOptions } from "./check.ts";
import { optionList } from "./option-list.ts";
import { settingWord } from "./server-options.ts";
import { readSource, type Values } from "./sources.ts";
import { bindChannel, isOff } from "./tls-mode.ts";
import { refusalOf, URL_PARAMETERS } from "./url-parameters.ts";

/** `option`: the name of the option that holds the URL. */
export function readUrl(url: string, option = "url"): Values {
  const fail = (text: string) => new Error(`act-drizzle: option "${option}": ${text}`);
  const { userinfo, hosts, database, query } = split(url.trim(), fail);
  const decode = (text: string): string => {
    try {
      return decodeURIComponent(text);
    } catch {
      throw fail(`a % is not followed by two hexadecimal digits: ${ENCODE}`);
    }
  };
  const parameters = readParameters(query, decode, fail);
  const colon = userinfo.indexOf(":");
  const beforeQuery = {
    ...readHosts(hosts, decode, fail),
    user: decode(colon < 0 ? userinfo : userinfo.slice(0, colon)) || undefined,
    password: (colon < 0 ? "" : decode(userinfo.slice(colon + 1))) || undefined,
    database: decode(database) || undefined,
  };
  const inQuery = readSource("url", (name) => parameters.get(name));
  const values = {
    ...givenOptions(beforeQuery),
    ...givenOptions(inQuery),
    ...combine(parameters, inQuery, fail),
  };
  checkOptions(values, ` in ${option}`);
  return values;
}

/** The names of the parameters of a URL that {@link readUrl} accepts. */
export const parametersOf = (url: string): string[] =>
  (/\?(.*)$/s.exec(url)?.[1] ?? "").split("&").map((part) => decodeURIComponent(part.replace(/=.*/s, "")));

type Fail = (text: string) => Error;

const ENCODE =
  "percent-encode user, password, database and parameters (encodeURIComponent): %23 for #, %2F for /, %3F for ?, %40 for @, %25 for %";

type Parts = {
  readonly userinfo: string;
  readonly hosts: string;
  readonly database: string;
  readonly query: string;
};

const OPTION_PARAMETERS = new Set(optionList.flatMap(({ url }) => Object.keys(url ?? {})));
const isKnown = (name: string) => OPTION_PARAMETERS.has(name) || Object.hasOwn(URL_PARAMETERS, name);

/** Refuses raw special characters: they would end a part early, and the rest of a password would be read as another part. */
function split(url: string, fail: Fail): Parts {
  const [, authority = "", path = "", query = ""] =
    /^postgres(?:ql)?:\/\/([^/?]*)(?:\/([^?]*))?(?:\?(.*))?$/s.exec(url) ?? [];
  const names = query.split("&").map((part) => part.replace(/=.*/s, ""));
  const torn = query.includes("@") && names.some((name) => name !== "" && !isKnown(name));
  if (url.includes("#") || /[/@]/.test(path) || torn)
    throw fail(`it has a character that ends the password, or another part, too early: ${ENCODE}`);
  const at = authority.lastIndexOf("@");
  return {
    userinfo: authority.slice(0, Math.max(at, 0)),
    hosts: authority.slice(at + 1),
    database: path,
    query,
  };
}

function readHosts(text: string, decode: (text: string) => string, fail: Fail): Values {
  const hosts = text.split(",").map((host) => /^(\[[^\]]*\]|[^:[\]]*)(?::(\d*))?$/.exec(host));
  const names = hosts.map((host) => {
    if (!host) throw fail(`a host and its port are written as host:5432; ${ENCODE}`);
    return decode((host[1] ?? "").replace(/^\[|\]$/g, ""));
  });
  const ports = hosts.map((host) => host?.[2]);
  return {
    host: names.join(",") || undefined,
    port: ports.some(Boolean) ? ports.map((port) => port || "5432").join(",") : undefined,
  };
}

function readParameters(
  query: string,
  decode: (text: string) => string,
  fail: Fail,
): ReadonlyMap<string, string> {
  const parameters = new Map<string, string>();
  for (const part of query.split("&").filter(Boolean)) {
    const equals = part.indexOf("=");
    const name = decode(equals < 0 ? part : part.slice(0, equals));
    const value = equals < 0 ? "" : decode(part.slice(equals + 1));
    if (!isKnown(name))
      throw fail(
        `${/^\w{1,40}$/.test(name) ? `the parameter "${name}"` : "a parameter"} is unknown: docs/reference/connection-strings.md lists those that are read, and a setting of the server goes into options`,
      );
    if (parameters.has(name)) throw fail(`the parameter "${name}" occurs twice: leave one out`);
    if (value === "") throw fail(`the parameter "${name}" is empty: give it a value, or leave it out`);
    const refused = refusalOf(name, value);
    if (refused !== undefined) throw fail(`the parameter "${name}" or its value is refused: ${refused}`);
    parameters.set(name, value);
  }
  if (parameters.has("host") && parameters.has("hostaddr"))
    throw fail('the parameters "host" and "hostaddr" exclude each other here: give one of them');
  refuseContradictions(parameters, fail);
  return parameters;
}

/**
 * Options with two parameters, which must agree if both are given. TLS and hosts have checks of their own. For any
 * other option, the first given parameter counts, in the order of option-list.ts.
 */
const MUST_AGREE = new Set(["max", "prepare"]);

function refuseContradictions(parameters: ReadonlyMap<string, string>, fail: Fail): void {
  for (const { name, url = {} } of optionList) {
    if (!MUST_AGREE.has(name)) continue;
    const given = Object.entries(url).flatMap(([parameter, read]) => {
      const text = parameters.get(parameter);
      return text === undefined ? [] : [{ parameter, value: read(text) }];
    });
    const values = new Set(given.map(({ value }) => value).filter((value) => value !== undefined));
    if (values.size > 1) throw fail(`${given.map(({ parameter }) => parameter).join(" and ")} ${CONTRADICT}`);
  }
}

const CONTRADICT = "contradict each other: leave one out";

/** Modes that may go on without TLS. */
const isOptional = (ssl: unknown) => ssl === "allow" || ssl === "prefer";

/** The options that depend on several parameters. */
function combine(parameters: ReadonlyMap<string, string>, { ssl, options }: Values, fail: Fail): Values {
  const path = parameters.get("search_path");
  const words = [options, path !== undefined && settingWord("search_path", path)].filter(Boolean);
  return givenOptions({
    ssl: combineTls(parameters, ssl, fail),
    options: words.length > 0 ? words.join(" ") : undefined,
  });
}

function combineTls(parameters: ReadonlyMap<string, string>, mode: unknown, fail: Fail): unknown {
  const flag = parameters.get("ssl");
  const off = flag !== undefined && /^(0|false|off|no|disable)$/i.test(flag);
  const on = flag !== undefined && /^(1|true|on|yes)$/i.test(flag);
  // Both may be given if they agree: both off, or both on. `allow` and `prefer` do not agree with `ssl=true`. If
  // `ssl` names a mode, `sslmode` must name the same one.
  const namesMode = flag !== undefined && !on && !off;
  const contradicted = off !== isOff(mode) || (namesMode && flag !== mode) || (on && isOptional(mode));
  if (flag !== undefined && parameters.has("sslmode") && contradicted)
    throw fail(`ssl and sslmode ${CONTRADICT}`);
  const accept = parameters.get("sslaccept");
  const asked =
    accept === undefined || isOff(mode) ? mode : accept === "strict" ? "verify-full" : (mode ?? "require");
  if (parameters.get("channel_binding") !== "require") return asked;
  const bound = bindChannel(asked, parameters.has("sslrootcert"));
  if (bound === undefined)
    throw fail("channel_binding=require needs a server that is verified: ask for sslmode=verify-full");
  return bound;
}
