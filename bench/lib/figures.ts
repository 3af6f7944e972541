/** Which plots a run gives, and what is in them. */
import { median } from "./measure.ts";
import { FLOOR, type Line, lines, OURS, ratioBars, THEIRS } from "./plots.ts";
import type { Judged, Run } from "./results.ts";

export type Figure = { readonly file: string; readonly caption: string; readonly svg: string };

const IN_FLIGHT = ["1", "8", "32", "128"];

/** Median of a metric of a scenario, NaN where it was not measured. */
function value(run: Run, scenario: string, subject: string, metric: string): number {
  const rounds = run.scenarios.find(({ name }) => name === scenario)?.rounds[subject] ?? [];
  return median(rounds.map(({ metrics }) => metrics[metric] ?? Number.NaN));
}

const drawn = (line: Line) => line.points.some(([, y]) => !Number.isNaN(y));

export function figures(run: Run, judged: readonly Judged[]): Figure[] {
  const perInFlight = (subject: string, metric: string) =>
    IN_FLIGHT.map((n) => [n, value(run, `commit-${n}`, subject, metric)] as const);
  const x = { name: "commits in flight", categories: IN_FLIGHT };
  const rate = lines("Commits per second, one process", x, { name: "commits/s", log: true }, [
    { name: "act-drizzle", points: perInFlight("act-drizzle", "perSecond"), colour: OURS },
    { name: "act-pg's protocol", points: perInFlight("baseline", "perSecond"), colour: THEIRS },
    { name: "floor", points: perInFlight("floor", "perSecond"), colour: FLOOR, dashed: true },
  ]);
  const tail = lines("p99 of a commit, one process", x, { name: "ms", log: true }, [
    { name: "act-drizzle", points: perInFlight("act-drizzle", "p99"), colour: OURS },
    { name: "act-pg's protocol", points: perInFlight("baseline", "p99"), colour: THEIRS },
  ]);

  const sizes = run.scenarios
    .find(({ name }) => name === "claim-idle")
    ?.rows.map(({ metric }) => Number(metric.slice("at".length)));
  const bySize = (scenario: string, subject: string) =>
    (sizes ?? []).map((size) => [size, value(run, scenario, subject, `at${size}`)] as const);
  const claims: Line[] = [
    { name: "act-drizzle, idle", points: bySize("claim-idle", "act-drizzle"), colour: OURS, dashed: true },
    { name: "act-drizzle, 10 pending", points: bySize("claim-pending", "act-drizzle"), colour: OURS },
    {
      name: "act-pg's protocol, idle",
      points: bySize("claim-idle", "baseline"),
      colour: THEIRS,
      dashed: true,
    },
    { name: "act-pg's protocol, 10 pending", points: bySize("claim-pending", "baseline"), colour: THEIRS },
  ];
  return [
    { file: "ratios.svg", caption: "Every ratio, and where it has to reach", svg: ratioBars(judged) },
    { file: "commits.svg", caption: "Commits per second by commits in flight", svg: rate },
    { file: "commit-p99.svg", caption: "p99 of a commit by commits in flight", svg: tail },
    ...(claims.some(drawn)
      ? [
          {
            file: "claims.svg",
            caption: "Time of a claim by number of subscriptions",
            svg: lines(
              "Time of a claim, no lane",
              { name: "subscriptions", log: true },
              { name: "ms", log: true },
              claims,
            ),
          },
        ]
      : []),
  ];
}
