/** What else reads from replicas, and what tells of them: rebuilds, doctor, telemetry. */
import { afterEach, describe, expect, test } from "vitest";
import { Admin } from "../../src/admin/index.ts";
import type { PostgresStore } from "../../src/index.ts";
import { LogReader } from "../../src/projections/read-log.ts";
import { instrument } from "../../src/telemetry/index.ts";
import { eventually } from "../conformance/kit/eventually.ts";
import { titled } from "../faults/failover/programs.ts";
import { Otel } from "../telemetry/otel.ts";
import { admitted, meta, namesIn, readsOf, reason, tools, useCluster } from "./cluster.ts";

const event = (name: string) => ({ name, data: {} });

async function pages(store: PostgresStore) {
  const reader = new LogReader(store, ["A", "B"], { meta: false, batchSize: 100 });
  const head = await reader.head();
  const events = [];
  for await (const page of reader.read(-1, head)) events.push(...page.events);
  return events;
}

describe.skipIf(!tools)(titled("replicas", reason), () => {
  const cluster = useCluster();
  afterEach(() => cluster.release());

  test("give a rebuild every event up to the head, and nothing that another process has erased before", async () => {
    const { store, other } = await cluster.pair();
    await other.commit("s", [{ ...event("A"), pii: { name: "Ann" } }], meta);
    await cluster.replayed();
    await admitted(store);
    await cluster.hold();
    await other.forget_pii("s");
    await other.commit("s", [event("B")], meta);
    expect(await pages(store)).toMatchObject([{ name: "A" }, { name: "B" }]);
    expect((await pages(store)).filter(({ pii }) => pii)).toEqual([]);
    await cluster.release();
    await cluster.replayed();
    const before = await readsOf(store);
    await eventually(async () => {
      expect((await pages(store)).filter(({ pii }) => pii)).toEqual([]);
      return (await readsOf(store)) > before;
    });
  });

  test("are read without prepared statements, too, as behind a pooler", async () => {
    const { store, other } = await cluster.pair({ prepare: false });
    await other.commit("s", [event("A")], meta);
    await cluster.replayed();
    await admitted(store);
    const before = await readsOf(store);
    expect(await namesIn(store)).toEqual(["A"]);
    expect(await readsOf(store)).toBe(before + 1);
  });

  test("stay in use while an operator looks: what an admin reads is no change", async () => {
    const { store, other } = await cluster.pair();
    await other.commit("s", [event("A")], meta);
    await cluster.replayed();
    await admitted(store);
    const admin = new Admin(store);
    // The primary moves on, and the standbys do not follow.
    await cluster.hold();
    await other.subscribe([{ stream: "t", source: "s" }]);
    await admin.overview();
    await admin.leases();
    await admin.subscriptions();
    const before = await readsOf(store);
    expect(await namesIn(store)).toEqual(["A"]);
    expect(await readsOf(store)).toBe(before + 1);
  });

  test("that are not read are found by doctor", async () => {
    const { store } = await cluster.pair({ replicas: [cluster.urls[0] ?? "", cluster.primary.url] });
    const found = (await new Admin(store).doctor()).filter(({ code }) => code === "replica-not-read");
    expect(found).toMatchObject([
      {
        severity: "warning",
        found: `The replica 127.0.0.1:${cluster.primary.port} is not read: it is no standby.`,
      },
    ]);
  });

  test("are in telemetry, each with its lag", async () => {
    const otel = new Otel();
    const { store } = await cluster.pair();
    const { meterProvider, tracerProvider } = otel;
    const stop = instrument(store, { meterProvider, tracerProvider });
    await admitted(store);
    const metrics = await otel.metrics();
    const of = cluster.standbys.map(({ port }) => `127.0.0.1:${port}`);
    for (const name of ["act_drizzle.replica.up", "act_drizzle.replica.lag"])
      expect(metrics.get(name)?.map(({ attributes }) => attributes["act.replica"])).toEqual(of);
    expect(metrics.get("act_drizzle.replica.up")?.map(({ value }) => value)).toEqual([1, 1]);
    stop();
  });
});
