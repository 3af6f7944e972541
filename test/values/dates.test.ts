/** What is committed comes back: arbitrary JSON with Dates anywhere in it, whatever looks like one or hides one. */
import type { EventMeta, Schema, Schemas } from "@rotorsoft/act";
import fc from "fast-check";
import { expect, test } from "vitest";
import type { PostgresStoreOptions } from "../../src/index.ts";
import { useDatabase } from "../postgres/fixture.ts";
import { canon, payload } from "./json.ts";

const fixture = useDatabase();
const seed = Number(process.env.SEED ?? Date.now() % 2 ** 31);
console.log(`dates: SEED=${seed}`);

type Read = { data: unknown; meta: unknown; pii?: unknown };
const key = new Uint8Array(32).fill(3);
const flavours: [string, PostgresStoreOptions][] = [
  ["in plain text", {}],
  ["with pii encrypted", { pii_encryption: { key } }],
  ["beside rows to revive", { dates: "revive" }],
];

test.each(flavours)("data, meta and pii come back from commit and query, %s", async (_, options) => {
  const store = await fixture.seeded(options);
  let streams = 0;
  const events = fc.array(fc.record({ data: payload, pii: fc.option(payload) }), {
    minLength: 1,
    maxLength: 12,
  });
  const property = fc.asyncProperty(events, payload, async (given, meta) => {
    const stream = `s-${streams++}`;
    const messages = given.map(({ data, pii }) => ({
      name: "Any",
      data: data as Schema,
      pii: pii as Schema | null,
    }));
    const answered = await store.commit<Schemas>(stream, messages, meta as EventMeta);
    const read: Read[] = [];
    await store.query<Schemas>((event) => read.push(event), { stream, stream_exact: true });
    const wanted = given.map(({ data, pii }) => [
      canon(data),
      canon(meta),
      pii === null ? undefined : canon(pii),
    ]);
    const forms = (all: readonly Read[]) =>
      all.map((one) => [
        canon(one.data),
        canon(one.meta),
        one.pii === undefined ? undefined : canon(one.pii),
      ]);
    expect(forms(read)).toEqual(wanted);
    expect(forms(answered)).toEqual(wanted);
  });
  await fc.assert(property, { seed, numRuns: 40 });
});

test("snapshots, restored events, heads and tails come back as they were given", async () => {
  const store = await fixture.seeded();
  const property = fc.asyncProperty(payload, payload, payload, async (first, last, meta) => {
    await store.truncate([{ stream: "s", snapshot: first as Schema, meta: meta as EventMeta }]);
    await store.commit<Schemas>("s", [{ name: "Last", data: last as Schema }], meta as EventMeta);
    const stats = (await store.query_stats<Schemas>(["s"], { tail: true })).get("s");
    expect(canon(stats?.tail?.data)).toEqual(canon(first));
    expect(canon(stats?.tail?.meta)).toEqual(canon(meta));
    expect(canon(stats?.head.data)).toEqual(canon(last));
    await store.restore(async (insert) => {
      const created = new Date(1_000);
      const event = { id: 1, stream: "s", version: 0, created, name: "Restored", meta: meta as EventMeta };
      await insert({ ...event, data: first as Schema, pii: last as Schema });
    });
    const read: Read[] = [];
    await store.query<Schemas>((event) => read.push(event));
    expect(read.map(({ data, pii }) => [canon(data), canon(pii)])).toEqual([[canon(first), canon(last)]]);
  });
  await fc.assert(property, { seed, numRuns: 25 });
});

test("what is committed is not changed by it", async () => {
  const store = await fixture.seeded({ pii_encryption: { key } });
  const given = { at: new Date(5), list: [new Date(Number.NaN)], nested: { at: new Date(6) } };
  const message = { name: "A", data: structuredClone(given), pii: structuredClone(given) };
  await store.commit("s", [message], structuredClone(given) as never);
  expect(message).toEqual({ name: "A", data: given, pii: given });
});

test("two readers of one event do not share its Dates", async () => {
  const store = await fixture.seeded();
  await store.commit("s", [{ name: "A", data: { at: new Date(5) } }], { correlation: "", causation: {} });
  const seen: { at: Date }[] = [];
  for (const _ of [1, 2]) await store.query<Schemas>(({ data }) => seen.push(data as { at: Date }));
  seen[0]?.at.setTime(99);
  expect(seen[1]?.at.getTime()).toBe(5);
});

test("a Date under a key that is a path, an index or a prototype is found at that key only", async () => {
  const store = await fixture.seeded();
  const at = new Date(7);
  const iso = at.toISOString();
  const data = JSON.parse(
    `{"a.b":"x","a":{"b":"${iso}"},"0":"${iso}","list":["${iso}","${iso}"],"__proto__":{"a":"y"}}`,
  );
  data["a.b"] = at;
  data.list[1] = at;
  Object.defineProperty(data, "__proto__", { value: { at }, enumerable: true });
  await store.commit("s", [{ name: "A", data }], { correlation: "", causation: {} });
  const seen: unknown[] = [];
  await store.query<Schemas>((event) => seen.push(event.data));
  expect(canon(seen[0])).toEqual(canon(data));
  expect(Reflect.get({}, "at")).toBeUndefined();
});

test("rows of another adapter are read as strings, or revived, and rows of this one as they were", async () => {
  const exact = await fixture.seeded();
  const { schema, table } = exact.config;
  const revive = fixture.store({ table, dates: "revive" });
  const meta = { correlation: "", causation: {} };
  const strings = ["2024-01-31T10:20:30.000Z", "2024-01-31T10:20:30+02:00", "2024-01-31T10:20:30"];
  const others = [
    "2024-01-31",
    "20240131T102030Z",
    " 2024-01-31T10:20:30Z",
    "2024-13-31T10:20:30Z",
    "T",
    "10:20",
  ];
  const data = { strings, others, "__proto__ ": { at: strings[0] } };
  await exact.commit("own", [{ name: "Own", data }], meta);
  await fixture.sql`insert into ${fixture.sql(schema)}.${fixture.sql(table)} (name, data, stream, version, meta)
    values ('Foreign', ${fixture.sql.json(data)}, 'foreign', 0, ${fixture.sql.json(meta)})`;
  const read = async (store: typeof exact) => {
    const seen: Record<string, unknown> = {};
    await store.query<Schemas>((event) => {
      seen[event.stream] = canon(event.data);
    });
    return seen;
  };
  const revived = {
    strings: strings.map((text) => new Date(text)),
    others,
    "__proto__ ": { at: new Date(strings[0] ?? "") },
  };
  expect(await read(exact)).toEqual({ own: canon(data), foreign: canon(data) });
  expect(await read(revive)).toEqual({ own: canon(data), foreign: canon(revived) });
});
