/** OpenTelemetry in memory: what would be sent is read at once. */
import { setImmediate } from "node:timers/promises";
import { context } from "@opentelemetry/api";
import {
  type CollectionResult,
  MeterProvider,
  MetricReader,
  type ResourceMetrics,
} from "@opentelemetry/sdk-metrics";
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  type ReadableSpan,
  SimpleSpanProcessor,
} from "@opentelemetry/sdk-trace-base";
import { afterAll, beforeAll } from "vitest";
import { AsyncContexts } from "../../dev/async-contexts.ts";

class Reader extends MetricReader {
  protected async onForceFlush(): Promise<void> {}
  protected async onShutdown(): Promise<void> {}
}

export function useContexts(): void {
  beforeAll(() => void context.setGlobalContextManager(new AsyncContexts()));
  afterAll(() => context.disable());
}

export type Point = { readonly value: unknown; readonly attributes: Readonly<Record<string, unknown>> };

export class Otel {
  readonly #reader = new Reader();
  readonly #exporter = new InMemorySpanExporter();
  readonly meterProvider = new MeterProvider({ readers: [this.#reader] });
  readonly tracerProvider = new BasicTracerProvider({
    spanProcessors: [new SimpleSpanProcessor(this.#exporter)],
  });

  /** What is recorded of a call is recorded a turn of the event loop later. */
  async spans(): Promise<ReadableSpan[]> {
    await setImmediate();
    return this.#exporter.getFinishedSpans();
  }

  /** Everything that would be sent, as text. */
  async all(): Promise<string> {
    const spans = (await this.spans()).map(({ name, attributes, events, status }) => [
      name,
      attributes,
      events,
      status,
    ]);
    return JSON.stringify([(await this.#collect()).resourceMetrics.scopeMetrics, spans]);
  }

  async metrics(): Promise<ReadonlyMap<string, readonly Point[]>> {
    const { resourceMetrics }: { resourceMetrics: ResourceMetrics } = await this.#collect();
    return new Map(
      resourceMetrics.scopeMetrics.flatMap(({ metrics }) =>
        metrics.map(({ descriptor, dataPoints }) => [
          descriptor.name,
          dataPoints.map(({ value, attributes }) => ({ value, attributes })),
        ]),
      ),
    );
  }

  #collect(): Promise<CollectionResult> {
    return this.#reader.collect();
  }
}
