/** act-drizzle/telemetry: what is measured, what is traced, and what never leaves the process. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { diag, SpanStatusCode } from "@opentelemetry/api";
import { BasicTracerProvider } from "@opentelemetry/sdk-trace-base";
import { describe, expect, onTestFinished, test } from "vitest";
import { z } from "zod";
import type { PostgresStore } from "../../src/index.ts";
import { inline } from "../../src/projections/index.ts";
import { instrument, METRICS, type TelemetryOptions } from "../../src/telemetry/index.ts";
import { blockMailer, withBacklog } from "../admin/fixture.ts";
import { event, failureOf, meta, useDatabase } from "../postgres/fixture.ts";
import { TcpProxy } from "../postgres/proxy.ts";
import { Otel, useContexts } from "./otel.ts";

const fixture = useDatabase();
const Happened = z.object({});
useContexts();

function observed(store: PostgresStore, options: TelemetryOptions = {}): Otel {
  const otel = new Otel();
  onTestFinished(
    instrument(store, {
      ...otel,
      meterProvider: otel.meterProvider,
      tracerProvider: otel.tracerProvider,
      ...options,
    }),
  );
  return otel;
}

const countOf = (value: unknown) =>
  typeof value === "object" && value !== null && "count" in value ? value.count : undefined;

describe("metrics", () => {
  test("each verb's duration is recorded by its name, with the attributes of a database client", async () => {
    const store = await fixture.seeded();
    const otel = observed(store);
    await store.commit("s", [event()], meta);
    await store.query(() => {}, { stream: "s", stream_exact: true });
    const points = (await otel.metrics()).get("db.client.operation.duration") ?? [];
    expect(points.map(({ attributes, value }) => [attributes["db.operation.name"], countOf(value)])).toEqual([
      ["commit", 1],
      ["query", 1],
    ]);
    expect(points[0]?.attributes).toMatchObject({
      "db.system.name": "postgresql",
      "db.namespace": store.config.database,
      "db.collection.name": `${store.config.schema}.${store.config.table}`,
      ...(store.config.port !== 5_432 && { "server.port": store.config.port }),
    });
  });

  test("a failure is recorded by its kind", async () => {
    const store = await fixture.seeded();
    const otel = observed(store);
    await failureOf(store.commit("s", [event()], meta, 7));
    const [point] = (await otel.metrics()).get("db.client.operation.duration") ?? [];
    expect(point?.attributes["error.type"]).toBe("ConcurrencyError");
    expect((await otel.spans()).map(({ name, status }) => [name.split(" ")[0], status.code])).toEqual([
      ["append", SpanStatusCode.UNSET],
      ["commit", SpanStatusCode.ERROR],
    ]);
  });

  test("commits that are called together are one batch", async () => {
    const store = await fixture.seeded();
    const otel = observed(store);
    await Promise.all(Array.from({ length: 5 }, (_, n) => store.commit(`s-${n}`, [event()], meta)));
    const [point] = (await otel.metrics()).get("act_drizzle.batch.commits") ?? [];
    expect(point?.value).toMatchObject({ count: 1, sum: 5 });
  });

  test("lag by lane, blocked work, the pool, the queue and the append lock are read when they are collected", async () => {
    const store = await withBacklog(fixture);
    await blockMailer(store);
    const otel = observed(store);
    const lock = await fixture.hold(store);
    const waiting = store.commit("s", [event()], meta);
    await expect.poll(() => fixture.lockWaiters()).toHaveLength(1);
    const later = store.commit("s", [event()], meta);
    const found = await otel.metrics();
    const value = (name: string) => found.get(name)?.[0]?.value;
    const lanes = new Map(found.get("act_drizzle.lag")?.map((p) => [p.attributes["act.lane"], p.value]));
    expect(lanes.get("slow")).toBeGreaterThan(0);
    expect(value("act_drizzle.subscriptions.blocked")).toBe(1);
    expect(value("act_drizzle.append_lock.waiting")).toBe(1);
    expect(value("act_drizzle.append_lock.held")).toBeGreaterThan(0);
    expect(value("act_drizzle.queue.commits")).toBe(1);
    expect(value("db.client.connection.max")).toBe(19);
    await lock.release();
    await Promise.all([waiting, later]);
  });

  test("a lease that is given back too late counts as lost, one that is deferred does not", async () => {
    const store = await withBacklog(fixture);
    const otel = observed(store);
    const [lease] = await store.claim(1, 0, "w", 60_000);
    if (!lease) throw new Error("Nothing was claimed");
    await store.ack([{ ...lease, by: "somebody else" }]);
    await store.ack([{ ...lease, due: Date.now() + 60_000 }]);
    expect((await otel.metrics()).get("act_drizzle.leases.lost")?.[0]?.value).toBe(1);
  });

  test("a listener that comes back is counted", async () => {
    const store = await fixture.seeded({ notify: true });
    const otel = observed(store);
    await store.notify?.(() => {});
    expect((await otel.metrics()).get("act_drizzle.listener.listening")?.[0]?.value).toBe(1);
    await fixture.kill(store);
    await expect
      .poll(async () => (await otel.metrics()).get("act_drizzle.listener.reconnects")?.[0]?.value, {
        timeout: 20_000,
      })
      .toBe(1);
  });

  describe("a commit whose connection is lost is counted by what the log says of it", () => {
    async function behindProxy() {
      const url = new URL(fixture.url);
      const proxy = await TcpProxy.before({ host: url.hostname, port: Number(url.port) });
      const store = await fixture.seeded({ host: "127.0.0.1", port: proxy.port });
      await store.commit("before", [event()], meta);
      return { proxy, store, otel: observed(store) };
    }
    const inDoubt = async (otel: Otel) =>
      ((await otel.metrics()).get("act_drizzle.commits.in_doubt") ?? []).map(({ attributes, value }) => [
        attributes.outcome,
        value,
      ]);

    test("stored", async () => {
      const { proxy, store, otel } = await behindProxy();
      proxy.holdAnswersTo("lost-stream");
      const committing = store.commit("lost-stream", [event()], meta);
      await expect.poll(() => fixture.rows(store)).toHaveLength(2);
      proxy.cut();
      proxy.deliver();
      expect(await committing).toMatchObject([{ version: 0 }]);
      expect(await inDoubt(otel)).toEqual([["stored", 1]]);
    });

    test("absent, and it is sent again in a batch of its own", async () => {
      const { proxy, store, otel } = await behindProxy();
      const lock = await fixture.hold(store);
      const committing = store.commit("lost-stream", [event()], meta);
      await expect.poll(() => fixture.lockWaiters()).toHaveLength(1);
      const [sent] = await fixture.lockWaiters();
      proxy.cut();
      // The recovery ends the process that waits for the lock, and then waits for it itself.
      await expect.poll(() => fixture.lockWaiters()).not.toContain(sent);
      await lock.release();
      expect(await committing).toMatchObject([{ version: 0 }]);
      expect(await inDoubt(otel)).toEqual([["absent", 1]]);
      const [batches] = (await otel.metrics()).get("act_drizzle.batch.commits") ?? [];
      expect(countOf(batches?.value)).toBe(2);
    });
  });
});

describe("traces", () => {
  test("a batch is linked to each of its commits, and a verb is a child of what calls it", async () => {
    const store = await fixture.seeded();
    const otel = observed(store);
    await Promise.all([1, 2, 3].map((n) => store.commit(`s-${n}`, [event()], meta)));
    const spans = await otel.spans();
    const commits = spans.filter(({ name }) => name.startsWith("commit "));
    const [batch] = spans.filter(({ name }) => name.startsWith("append "));
    expect(commits).toHaveLength(3);
    expect(batch?.links.map(({ context }) => context.spanId).sort()).toEqual(
      commits.map((span) => span.spanContext().spanId).sort(),
    );
    expect(batch?.attributes["db.operation.batch.size"]).toBe(3);
  });
});

test("the calls of an inline projection are children of the commit", async () => {
  const on = { Happened: async () => void (await store.query(() => {})) };
  const store: PostgresStore = await fixture.seeded({ inline: inline({ events: { Happened }, on }) });
  const otel = observed(store);
  await store.commit("s", [event()], meta);
  const spans = await otel.spans();
  const [commit, query] = ["commit", "query"].map((verb) => spans.find(({ name }) => name.startsWith(verb)));
  expect(query?.parentSpanContext?.spanId).toBe(commit?.spanContext().spanId);
});

test("no payload, no name of a stream, no reason of a failure is sent", async () => {
  const store = await fixture.seeded();
  const otel = observed(store);
  await store.commit("secret-stream", [event("SecretName", { secret: "secret-value" })], meta);
  await store.subscribe([{ stream: "secret-target", source: "secret-stream", correlated_at: 1 }]);
  const leases = await store.claim(1, 0, "secret-worker", 1_000);
  await store.block(leases.map((lease) => ({ ...lease, error: "secret-error" })));
  await failureOf(store.commit("secret-stream", [event("Secret", { text: "secret\u0000" })], meta));
  await failureOf(store.commit("secret-stream", [event()], meta, 9));
  expect(await otel.all()).not.toMatch(/secret/i);
});

test("a span processor that fails neither ends the process nor keeps other calls from being recorded", async () => {
  const store = await fixture.seeded();
  const failures: unknown[] = [];
  diag.setLogger({ ...console, verbose: () => {}, error: (...said) => void failures.push(...said) });
  onTestFinished(() => diag.disable());
  const broken = new RangeError("the exporter is gone");
  const tracerProvider = new BasicTracerProvider({
    spanProcessors: [
      {
        onStart: () => {},
        onEnd: () => {
          throw broken;
        },
        forceFlush: async () => {},
        shutdown: async () => {},
      },
    ],
  });
  const otel = observed(store, { tracerProvider });
  await Promise.all([store.query(() => {}), store.query(() => {}), store.commit("s", [event()], meta)]);
  const points = (await otel.metrics()).get("db.client.operation.duration") ?? [];
  expect(points.map(({ value }) => countOf(value))).toEqual([2, 1]);
  expect(failures).toContain(broken);
});

test("after the end the store is as it was before", async () => {
  const store = await fixture.seeded();
  const { commit } = store;
  const otel = new Otel();
  const stop = instrument(store, { meterProvider: otel.meterProvider, tracerProvider: otel.tracerProvider });
  expect(store.commit).not.toBe(commit);
  expect(() => instrument(store)).toThrow("instrumented already");
  stop();
  expect(store.commit).toBe(commit);
  await store.commit("s", [event()], meta);
  expect(await otel.spans()).toEqual([]);
});

describe("the board and the alert rules", () => {
  /** As the exporter of OpenTelemetry's SDK for Node names a metric, and as its Collector and Prometheus itself do. */
  const exporters = {
    SDK: () => "",
    Collector: (unit: string) => (unit === "s" ? "_seconds" : unit === "1" ? "_ratio" : ""),
  };
  const namesBy = (suffix: (unit: string) => string) =>
    Object.values(METRICS).flatMap(({ name, unit, kind }) => {
      const base = name.replaceAll(".", "_") + suffix(unit);
      if (kind === "histogram") return [`${base}_bucket`, `${base}_count`, `${base}_sum`];
      return [kind === "counter" ? `${base}_total` : base];
    });
  const read = (file: string) => readFileSync(join(import.meta.dirname, "../../ops", file), "utf8");
  /** Names, and patterns of names: the unit is left out by some. */
  const asked = (text: string): RegExp[] =>
    [...text.matchAll(/\b(?:act_drizzle|db_client)_[a-z_]+(?:\(_seconds\)\?[a-z_]*)?(?=\\?"|\{|\[|\)|,| )/g)]
      .filter(([name]) => name !== "db_client_connection_state")
      .map(([name]) => new RegExp(`^${name}$`));

  describe.each(Object.entries(exporters))("as the %s names them", (_, suffix) => {
    const names = namesBy(suffix);

    test.each(["grafana-dashboard.json", "prometheus-alerts.yml"])(
      "%s asks for metrics that exist",
      (file) => {
        const found = asked(read(file));
        expect(found.length).toBeGreaterThan(6);
        expect(found.filter((name) => !names.some((one) => name.test(one)))).toEqual([]);
      },
    );

    test("every metric is on the board", () => {
      const found = asked(read("grafana-dashboard.json"));
      const shown = names.filter(
        (name) => !/_(bucket|count|sum)$/.test(name) || name === "db_client_connection_count",
      );
      expect(shown.filter((name) => !found.some((one) => one.test(name)))).toEqual([]);
    });
  });
});
