/**
 * A rolling switch: act-pg's protocol (same append lock, channel, payload and pii envelope) and this store on the
 * same tables at the same time.
 */
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import type { Committed, Lease, Schemas, Store } from "@rotorsoft/act";
import { expect, onTestFinished, test } from "vitest";
import { ActPgBaseline } from "../../bench/baseline-act-pg/index.ts";
import { until } from "../order/fence.ts";
import type { TableName } from "../order/lock.ts";
import { type ReadPage, tail } from "../order/tail.ts";
import { createLayout, EVENTS } from "./act-pg-layouts.ts";
import { MigrationFixture, meta, tablesOf } from "./fixture.ts";

const fixture = new MigrationFixture();
type Event = Committed<Schemas, string>;

const STREAMS = 8;
const stream = (k: number) => `s-${k % STREAMS}`;
const target = (source: string) => `projection-of-${source}`;

async function made(): Promise<TableName> {
  const name = fixture.name();
  await createLayout(fixture.sql, name, {
    missing: ["lane", "deferred_at"],
    text: "varchar(100)",
    retry: "smallint not null default -1",
    checkpoint: "keyed",
    fetchIndex: true,
    deferredAt: "timestamptz",
  });
  return name;
}

function actPg(name: TableName): ActPgBaseline {
  const store = new ActPgBaseline({ ...name, notify: true });
  onTestFinished(() => store.dispose());
  return store;
}

/** One adapter at work: what it committed, and what the other one notified it of. */
class Side {
  readonly store: Store;
  readonly ids: number[] = [];
  /** Committed while the other side was listening. */
  readonly announced: number[] = [];
  readonly received: number[] = [];
  otherListens = false;

  constructor(store: Store) {
    this.store = store;
  }

  async listen(): Promise<void> {
    await this.store.notify?.(({ events }) => this.received.push(...events.map(({ id }) => id)));
  }

  /** Commits of one to three events, each with the mark that makes a consumer look; `more` asks for further ones. */
  async append(commits: number, first: number, more = () => false): Promise<void> {
    for (let k = 0; k < commits || more(); k++) {
      const source = stream(first + k);
      const messages = Array.from({ length: 1 + (k % 3) }, () => ({ name: "Appended", data: { k } }));
      const announced = this.otherListens;
      const committed = await this.#commit(source, messages);
      const ids = committed.map(({ id }) => id);
      this.ids.push(...ids);
      if (announced) this.announced.push(...ids);
      await this.store.subscribe([{ stream: target(source), source, correlated_at: ids.at(-1) }]);
    }
  }

  /** act-pg probes outside the lock: a lost race is a conflict even without an expectation. */
  async #commit(source: string, messages: { name: string; data: object }[]): Promise<{ id: number }[]> {
    for (;;) {
      try {
        return await this.store.commit(source, messages, meta);
      } catch (error) {
        if (!(error instanceof Error) || error.name !== "ERR_CONCURRENCY") throw error;
      }
    }
  }
}

/** What consumers of both sides did, checked as they go. */
class Ledger {
  readonly handled = new Map<string, number[]>();
  readonly faults: string[] = [];
  readonly #held = new Set<string>();
  finished = false;

  async consume(store: Store, by: string): Promise<void> {
    while (!this.finished) {
      const leases = (await store.claim(3, 1, by, 600_000)).filter((lease) => lease.source);
      // A worker that polls: nothing tells it of work here.
      if (leases.length === 0) await delay(1);
      const done: Lease[] = [];
      for (const lease of leases) done.push(await this.#handle(store, lease));
      for (const { stream } of done) this.#held.delete(stream);
      const acked = await store.ack(done);
      if (acked.length !== done.length) this.faults.push(`${by} lost a lease`);
    }
  }

  async #handle(store: Store, lease: Lease): Promise<Lease> {
    if (this.#held.has(lease.stream)) this.faults.push(`${lease.stream} has two holders`);
    this.#held.add(lease.stream);
    const found: number[] = [];
    await store.query<Schemas>(({ id }) => found.push(id), {
      stream: lease.source,
      stream_exact: true,
      after: lease.at,
      limit: 10,
    });
    if (found.length === 0) this.faults.push(`${lease.stream} was claimed without work`);
    this.handled.set(lease.stream, [...(this.handled.get(lease.stream) ?? []), ...found]);
    return { ...lease, at: found.at(-1) ?? lease.at };
  }
}

const idsIn = async (name: TableName, where = "true"): Promise<number[]> =>
  (await fixture.sql.unsafe(`select id from ${tablesOf(name).events} where ${where} order by id`)).map(
    ({ id }) => Number(id),
  );

const reading =
  (store: Store): ReadPage =>
  async (after, limit) => {
    const ids: number[] = [];
    await store.query<Schemas>(({ id }) => ids.push(id), { after, limit, with_snaps: true });
    return ids;
  };

const sorted = (ids: readonly number[]) => [...ids].sort((a, b) => a - b);

test("seed() amid act-pg's work, then both at once: order, leases, notifications", {
  timeout: 120_000,
}, async () => {
  const name = await made();
  await fixture.sql.unsafe(`update ${tablesOf(name).streams} set blocked = true`);
  const theirs = new Side(actPg(name));
  await theirs.store.seed();
  const ledger = new Ledger();
  const consumers = [ledger.consume(theirs.store, "they-1")];
  onTestFinished(async () => {
    ledger.finished = true;
    await Promise.allSettled(consumers);
  });

  // Its writers and its worker go on while the tables are taken over.
  let seeding = true;
  const alone = Promise.all([theirs.append(50, 0, () => seeding), theirs.append(50, 3, () => seeding)]);
  await until("act-pg writes", async () => theirs.ids.length > 40);
  const ours = new Side(await fixture.seeded(name, { notify: true, pollIntervalMillis: 0 }));
  seeding = false;
  await alone;

  await Promise.all([ours.listen(), theirs.listen()]);
  ours.otherListens = theirs.otherListens = true;
  const writers = Promise.all([
    ours.append(120, 0),
    theirs.append(120, 1),
    ours.append(120, 2),
    theirs.append(120, 3),
  ]);
  consumers.push(
    ledger.consume(ours.store, "we-1"),
    ledger.consume(theirs.store, "they-2"),
    ledger.consume(ours.store, "we-2"),
  );
  const tails = await Promise.all([
    tail(reading(ours.store), writers, 500),
    tail(reading(theirs.store), writers, 37),
  ]);
  await writers;

  const stored = await idsIn(name);
  expect(stored.slice(EVENTS)).toEqual(sorted([...ours.ids, ...theirs.ids]));
  for (const { ids } of tails) expect(ids).toEqual(stored);
  expect(
    await fixture.sql.unsafe(`select from (
    select version <> coalesce(lag(version) over (partition by stream order by id), -1) + 1 as bad from ${tablesOf(name).events}
  ) r where bad`),
  ).toHaveLength(0);

  // Each event was handled once, in order, by whoever held the lease.
  const expected = new Map<string, number[]>();
  for (let k = 0; k < STREAMS; k++)
    expected.set(target(stream(k)), await idsIn(name, `stream = '${stream(k)}' and name <> '__snapshot__'`));
  const count = (lists: ReadonlyMap<string, readonly number[]>) =>
    [...lists.values()].reduce((sum, ids) => sum + ids.length, 0);
  await until(
    "all is handled",
    async () => ledger.faults.length > 0 || count(ledger.handled) >= count(expected),
    60_000,
  );
  ledger.finished = true;
  await Promise.all(consumers);
  expect(ledger.faults).toEqual([]);
  expect(new Map([...ledger.handled].sort())).toEqual(new Map([...expected].sort()));

  // Each is notified of all of the other's commits.
  await until(
    "all is received",
    async () =>
      theirs.announced.every((id) => ours.received.includes(id)) &&
      theirs.received.length >= ours.announced.length,
  );
  // Ours also calls the handler for work that waits where claims are slow, with any event of that work: more than was
  // announced, and perhaps its own (N5). That a store is not notified of its own commits is N1's test.
  const received = new Set(ours.received);
  expect(theirs.announced.filter((id) => !received.has(id))).toEqual([]);
  expect(sorted(theirs.received)).toEqual(sorted(ours.announced));
});

test("a lease of one is respected by the other, and ends with its holder's ack through either", async () => {
  const name = await made();
  const ours = await fixture.seeded(name);
  const theirs = actPg(name);
  const [lease] = await theirs.claim(1, 0, "they", 600_000);
  if (!lease) throw new Error("there is work");
  const rest = await ours.claim(20, 20, "we", 600_000);
  expect(rest.map((granted) => granted.stream)).not.toContain(lease.stream);
  expect(await theirs.claim(20, 20, "they", 600_000)).toEqual([]);

  expect(await ours.ack([{ ...lease, by: "we" }])).toEqual([]);
  expect(await ours.ack([{ ...lease, at: 54 }])).toMatchObject([{ stream: lease.stream, at: 54 }]);
  const [poisoned] = rest;
  if (!poisoned) throw new Error("there was more work");
  expect(await theirs.block([{ ...poisoned, error: "poison" }])).toHaveLength(1);
  await ours.ack(rest.slice(1));
  expect((await ours.claim(20, 20, "we", 600_000)).map((granted) => granted.stream)).not.toContain(
    poisoned.stream,
  );
});

/** act-crypto's envelope, written down once more: base64(0x01 ‖ iv ‖ tag ‖ ciphertext) of the JSON. */
const envelope = {
  seal(key: Buffer, value: unknown): string {
    const iv = randomBytes(12);
    const cipher = createCipheriv("aes-256-gcm", key, iv);
    const body = Buffer.concat([cipher.update(JSON.stringify(value)), cipher.final()]);
    return Buffer.concat([Buffer.of(1), iv, cipher.getAuthTag(), body]).toString("base64");
  },
  open(key: Buffer, text: string): unknown {
    const bytes = Buffer.from(text, "base64");
    const decipher = createDecipheriv("aes-256-gcm", key, bytes.subarray(1, 13));
    decipher.setAuthTag(bytes.subarray(13, 29));
    return JSON.parse(Buffer.concat([decipher.update(bytes.subarray(29)), decipher.final()]).toString());
  },
};

async function lastEvent(store: Store): Promise<Event> {
  const found: Event[] = [];
  await store.query<Schemas>((event) => found.push(event), { backward: true, limit: 1 });
  const [last] = found;
  if (!last) throw new Error("the log is not empty");
  return last;
}

test("encrypted pii of one is read, and forgotten, by the other", async () => {
  const name = await made();
  const key = randomBytes(32);
  const ours = await fixture.seeded(name, { pii_encryption: { key } });
  const theirs = actPg(name);
  const pii = { mail: "a@b.c", née: "Müller" };

  // act-crypto seals before act-pg stores: a string, where the type says an object.
  const sealed = { name: "Sealed", data: {}, pii: envelope.seal(key, pii) };
  await theirs.commit("secret", [sealed as never], meta);
  expect((await lastEvent(ours)).pii).toEqual(pii);
  await ours.commit("secret", [{ name: "Sealed", data: {}, pii }], meta);
  const read: { pii?: unknown } = await lastEvent(theirs);
  expect(envelope.open(key, String(read.pii))).toEqual(pii);
  expect(await ours.forget_pii("secret")).toBe(2);
  expect((await lastEvent(theirs)).pii).toBeNull();
});

test("Dates of one are Dates for the other, with the option that says so", async () => {
  const name = await made();
  const ours = await fixture.seeded(name, { dates: "revive" });
  const exact = fixture.store(name);
  const theirs = actPg(name);
  const at = new Date(1.7e12);
  await theirs.commit("dated", [{ name: "Dated", data: { at } }], meta);
  expect((await lastEvent(ours)).data).toEqual({ at });
  expect((await lastEvent(exact)).data).toEqual({ at: at.toISOString() });

  await ours.commit("dated", [{ name: "Dated", data: { at, text: at.toISOString() } }], meta);
  expect((await lastEvent(ours)).data).toEqual({ at, text: at.toISOString() });
  // act-pg reads every string of that form as a Date, as it always did.
  expect((await lastEvent(theirs)).data).toEqual({ at, text: at });
});
