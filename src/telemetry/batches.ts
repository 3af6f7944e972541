/** The batches of a store: a span for each that holds a sampled commit, with links to those, 128 at most. */
import { context as contexts, type Link, type Span, SpanKind, SpanStatusCode } from "@opentelemetry/api";
import type { Batch } from "../signals.ts";
import { Call, type CallsOptions, epoch } from "./calls.ts";

const MAX_LINKS = 128;

const isSpan = (value: unknown): value is Span =>
  typeof value === "object" && value !== null && "spanContext" in value;

/** Links to the commits that are sampled. Without such a commit the batch needs no span. */
function linksOf(queued: readonly unknown[]): Link[] {
  const links: Link[] = [];
  for (const one of queued) {
    if (links.length >= MAX_LINKS) break;
    const span = one instanceof Call ? one.span : one;
    const context = isSpan(span) ? span.spanContext() : undefined;
    if (context && (context.traceFlags & 1) === 1) links.push({ context });
  }
  return links;
}

/** `end`: the instant of `performance.now()` at which it had its answer. */
export function traceBatch({ tracer, common, table }: CallsOptions, batch: Batch, end: number): void {
  const links = linksOf(batch.queued);
  if (links.length === 0) return;
  const span = tracer.startSpan(
    `append ${table}`,
    {
      kind: SpanKind.CLIENT,
      startTime: epoch(end - batch.millis),
      links,
      attributes: {
        ...common,
        "db.operation.name": "append",
        "db.operation.batch.size": batch.commits,
        "act_drizzle.batch.events": batch.events,
      },
      // The span has no parent, because a batch belongs to several commits: it is linked to them.
      root: true,
    },
    contexts.active(),
  );
  if (batch.failed) span.setStatus({ code: SpanStatusCode.ERROR });
  span.end(epoch(end));
}
