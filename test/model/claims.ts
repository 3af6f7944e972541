/** Which streams a claim may return: line L2 of the contract, with ties left to the store. */

export type Candidate = { readonly stream: string; readonly priority: number; readonly at: number };
export type Granted = { readonly stream: string; readonly lagging: boolean };
export type Asked = { readonly lagging: number; readonly leading: number };

/**
 * What is wrong with a grant, or undefined. Rows that tie on the sort key of an arm are exchangeable,
 * so the rule is run with every tie resolved in favour of what was granted: if the grant is one of the
 * possible outcomes, that run reproduces it; if it is not, no run does.
 */
export function illegalClaim(
  available: readonly Candidate[],
  { lagging, leading }: Asked,
  granted: readonly Granted[],
): string | undefined {
  const lags = new Set(granted.filter((g) => g.lagging).map((g) => g.stream));
  const leads = new Set(granted.filter((g) => !g.lagging).map((g) => g.stream));
  if (new Set([...lags, ...leads]).size !== granted.length) return "L2: a stream was granted twice";
  const rank = (first: Set<string>, second: Set<string>) => (a: Candidate, b: Candidate) =>
    level(a, first, second) - level(b, first, second);

  const fair = lagging >= 2 ? Math.max(1, Math.floor(lagging / 4)) : 0;
  const lagTies = rank(lags, leads);
  const first = [...available]
    .sort((a, b) => b.priority - a.priority || a.at - b.at || lagTies(a, b))
    .slice(0, lagging - fair);
  const rest = available.filter((row) => !first.includes(row));
  const fairly = rest.sort((a, b) => a.at - b.at || lagTies(a, b)).slice(0, fair);
  const expectedLags = new Set([...first, ...fairly].map((row) => row.stream));

  const leadTies = rank(leads, lags);
  const ahead = [...available].sort((a, b) => b.at - a.at || leadTies(a, b)).slice(0, leading);
  const expectedLeads = new Set(ahead.map((row) => row.stream).filter((name) => !expectedLags.has(name)));

  return differ("lagging", expectedLags, lags) ?? differ("leading", expectedLeads, leads);
}

function level({ stream }: Candidate, first: Set<string>, second: Set<string>): number {
  if (first.has(stream)) return 0;
  return second.has(stream) ? 1 : 2;
}

function differ(arm: string, expected: Set<string>, got: Set<string>): string | undefined {
  if (expected.size === got.size && [...expected].every((name) => got.has(name))) return undefined;
  return `L2: ${arm} should be [${[...expected].join()}], was [${[...got].join()}]`;
}
