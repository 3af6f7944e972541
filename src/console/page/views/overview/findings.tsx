import { useQuery } from "@tanstack/react-query";
import { CircleAlert, CircleCheck, Lightbulb, TriangleAlert } from "lucide-react";
import type { Doctor, Finding } from "../../../api.ts";
import { type CallError, get } from "../../data/client.ts";
import { useConsole } from "../../data/console.tsx";
import { plural } from "../../data/format.ts";
import { Panel } from "../../ui/panel.tsx";
import { Failed, Skeleton } from "../../ui/states.tsx";
import { Ago } from "../../ui/time.tsx";

const EVERY_MS = 60_000;
const ICONS = { error: CircleAlert, warning: TriangleAlert, hint: Lightbulb } as const;
const TONES = { error: "danger", warning: "warn", hint: "info" } as const;

/** The findings of `act-drizzle doctor`, each with its remedy. */
export function Findings() {
  const { store } = useConsole();
  const { data, error, refetch, isFetching } = useQuery<Doctor, CallError>({
    queryKey: ["doctor", store.id],
    queryFn: ({ signal }) => get("GET /api/doctor", { store: store.id }, signal),
    refetchInterval: EVERY_MS,
    staleTime: EVERY_MS,
  });
  const findings = data?.findings ?? [];
  return (
    <Panel
      title="Doctor"
      aside={
        <>
          <span className="muted">
            {data && (
              <>
                {findings.length > 0 && `${plural(findings.length, "finding")} · `}
                checked <Ago at={data.at} />
              </>
            )}
          </span>
          <button
            type="button"
            className="button small"
            onClick={() => void refetch()}
            disabled={isFetching}
            aria-label="Check again"
          >
            Check
          </button>
        </>
      }
    >
      {data ? (
        findings.length === 0 ? (
          <p className="body all-well">
            <CircleCheck size={16} aria-hidden="true" /> Nothing is wrong with the tables, the server or the
            connection.
          </p>
        ) : (
          <ul className="findings">
            {findings.map((finding) => (
              <Found key={`${finding.code} ${finding.found}`} finding={finding} />
            ))}
          </ul>
        )
      ) : (
        <div className="body">
          {error ? <Failed error={error} retry={() => void refetch()} /> : <Skeleton width="60%" />}
        </div>
      )}
    </Panel>
  );
}

function Found({ finding: { severity, code, found, remedy } }: { readonly finding: Finding }) {
  const Icon = ICONS[severity];
  return (
    <li>
      <span className={`badge ${TONES[severity]}`}>
        <Icon size={12} aria-hidden="true" /> {severity}
      </span>
      <div>
        <p className="break">{found}</p>
        <p className="muted break">{remedy}</p>
      </div>
      <code className="muted">{code}</code>
    </li>
  );
}
