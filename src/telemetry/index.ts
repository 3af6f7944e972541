/** `act-drizzle/telemetry`: metrics and traces of a store by OpenTelemetry. It needs `@opentelemetry/api`. */
export { instrument, type TelemetryOptions } from "./instrument.ts";
export { METRICS } from "./metrics.ts";
