/** What is committed comes back: JSON, and Dates beside it. */
import type { Schema } from "@rotorsoft/act";
import fc from "fast-check";
import { expect } from "vitest";
import { tablesOf } from "./kit/postgres.ts";
import {
  append,
  appendOne,
  at,
  found,
  message,
  meta,
  only,
  read,
  readAll,
  restorable,
  restore,
} from "./kit/scenario.ts";
import { section } from "./kit/section.ts";

const ISO = "2024-02-29T12:34:56.789Z";

const LOOK_ALIKES = {
  iso: ISO,
  seconds: "2024-02-29T12:34:56Z",
  offset: "2024-02-29T12:34:56+02:00",
  local: "2024-02-29T12:34:56",
  date: "2024-02-29",
  nested: { list: [ISO, { deep: ISO }] },
  prefixed: `$date:${ISO}`,
};

/** Values whose Dates are hard to address. */
const AWKWARD: Schema = {
  "a.b": new Date(1),
  a: { b: ISO, "": new Date(2) },
  "": { "": new Date(3) },
  "0": new Date(4),
  list: [new Date(5), ISO, [new Date(6), [ISO, new Date(7)]], { "0": new Date(8) }],
  "~1/~0": new Date(9),
  '"quoted"\\': { "'": new Date(10) },
  "日本 😀": new Date(11),
  $date: new Date(12),
  "{a,b}": [new Date(13)],
  constructor: new Date(14),
  length: new Date(15),
};

/** A string that PostgreSQL can hold. */
const text = fc
  .string({ unit: "grapheme", maxLength: 12 })
  .filter((value) => value.isWellFormed() && !value.includes("\u0000"));
const lookAlike = fc
  .date({ noInvalidDate: true, min: new Date(0), max: new Date(4e12) })
  .map((d) => d.toISOString());
const date = fc.date({ noInvalidDate: true, min: new Date("0001-01-01"), max: new Date("9999-12-31") });
const number = fc
  .oneof(fc.integer(), fc.double({ noNaN: true, noDefaultInfinity: true }), fc.maxSafeInteger())
  .map((value) => (value === 0 ? 0 : value));
const { value } = fc.letrec<{ value: unknown; record: Schema }>((tie) => ({
  value: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    fc.constant(null),
    fc.boolean(),
    number,
    text,
    lookAlike,
    date,
    fc.array(tie("value"), { maxLength: 4 }),
    tie("record"),
  ),
  record: fc.dictionary(text, tie("value"), { maxKeys: 5, noNullPrototype: true }),
}));
const payload = fc.dictionary(text, value, { maxKeys: 5, noNullPrototype: true });

export const dates = section("dates and values", (line) => {
  line("D1", "a Date comes back as that Date", async ({ store }) => {
    const data = { at: new Date(1_700_000_000_123), nested: { list: [new Date(0), { deep: new Date(-1) }] } };
    expect((await appendOne(store, "s", message("A", data))).data).toEqual(data);
    expect(only(await readAll(store)).data).toEqual(data);
  });

  line(
    "D1",
    "a string that looks like a date comes back as that string",
    {
      needs: ["exact_dates"],
    },
    async ({ store }) => {
      await appendOne(store, "s", message("A", LOOK_ALIKES));
      expect(only(await readAll(store)).data).toEqual(LOOK_ALIKES);
    },
  );

  line(
    "D1",
    "Dates and look-alikes side by side keep their kinds",
    { needs: ["exact_dates"] },
    async ({ store }) => {
      const data = { list: [new Date(ISO), ISO, new Date(ISO)], at: ISO, on: new Date(ISO) };
      await appendOne(store, "s", message("A", data));
      expect(only(await readAll(store)).data).toEqual(data);
    },
  );

  line("D1", "Dates under awkward keys are found again", { needs: ["exact_dates"] }, async ({ store }) => {
    const own = JSON.parse('{ "__proto__": { "at": 1 } }');
    await appendOne(store, "s", message("A", AWKWARD));
    await appendOne(store, "s", message("B", own));
    const [first, next] = await readAll(store);
    expect(first?.data).toEqual(AWKWARD);
    expect(Object.keys(next?.data ?? {})).toEqual(["__proto__"]);
  });

  line("D1", "Dates far from today come back", async ({ store }) => {
    const data = {
      list: ["0001-01-01T00:00:00.000Z", "1582-10-10T00:00:00.000Z", "9999-12-31T23:59:59.999Z"].map(
        (iso) => new Date(iso),
      ),
      first: new Date(-8.64e15),
      last: new Date(8.64e15),
    };
    await appendOne(store, "s", message("A", data));
    expect(only(await readAll(store)).data).toEqual(data);
  });

  line("D1", "Dates in meta come back", { needs: ["exact_dates"] }, async ({ store }) => {
    const action = {
      name: "do",
      stream: "s",
      actor: { id: "1", name: "Ann", since: new Date(7), text: ISO },
    };
    await store.commit("s", [message()], { correlation: ISO, causation: { action } });
    expect(only(await readAll(store)).meta).toEqual({ correlation: ISO, causation: { action } });
  });

  line("D1", "Dates come back from every verb that returns events", async ({ store }) => {
    const data = { at: new Date(5) };
    await store.commit("s", [message("A", data), message("__snapshot__", data)], meta());
    const { head, tail } = found((await store.query_stats(["s"], { tail: true })).get("s"));
    expect([head.data, tail?.data]).toEqual([data, data]);
    const scanned = found((await store.query_stats(["s"], { count: true, tail: true })).get("s"));
    expect([scanned.head.data, scanned.tail?.data]).toEqual([data, data]);
    expect(at(await read(store, { stream: "s", stream_exact: true, with_snaps: true }), 0).data).toEqual(
      data,
    );
    const windowed = await store.truncate([{ stream: "s", before: new Date(Date.now() + 60_000) }]);
    expect(windowed.get("s")?.committed.data).toEqual(data);
    const full = await store.truncate([{ stream: "s", snapshot: data }]);
    expect(full.get("s")?.committed.data).toEqual(data);
    expect(only(await readAll(store)).data).toEqual(data);
  });

  line(
    "D1",
    "restored Dates are Dates, restored text is text",
    {
      needs: ["restore", "exact_dates"],
    },
    async ({ store }) => {
      const data = { on: new Date(ISO), at: ISO };
      await restore(store, [restorable("s", 0, { data })]);
      expect(only(await readAll(store)).data).toEqual(data);
    },
  );

  line("D1", "numbers come back exactly", async ({ store }) => {
    const data = {
      numbers: [
        0,
        1,
        -1,
        0.1,
        1e21,
        1e-7,
        1.7976931348623157e308,
        5e-324,
        2 ** 53 - 1,
        -(2 ** 53 - 1),
        1 / 3,
        100,
      ],
    };
    await appendOne(store, "s", message("A", data));
    expect(only(await readAll(store)).data).toEqual(data);
  });

  line("D1", "strings that look like other JSON stay strings", async ({ store }) => {
    const data = {
      texts: ["10.5", "true", "null", "{}", "[]", '"quoted"', "", " ", "\\", "'", "\n\t\u2028", "é", "😀"],
    };
    await appendOne(store, "s", message("A", data));
    expect(only(await readAll(store)).data).toEqual(data);
  });

  line("D1", "null, booleans, empty and nested values come back", async ({ store }) => {
    const data = { none: null, yes: true, no: false, list: [], record: {}, deep: [[[{ a: [null] }]]] };
    await appendOne(store, "s", message("A", data));
    expect(only(await readAll(store)).data).toEqual(data);
  });

  line("D1", "arrays keep their order", async ({ store }) => {
    const list = Array.from({ length: 300 }, (_, n) => (n * 7919) % 301);
    await appendOne(store, "s", message("A", { list }));
    expect(only(await readAll(store)).data).toEqual({ list });
  });

  line("D1", "a payload of a megabyte comes back", async ({ store }) => {
    const data = { text: "é".repeat(500_000), at: new Date(5) };
    await appendOne(store, "s", message("A", data));
    expect(only(await readAll(store)).data).toEqual(data);
  });

  line(
    "D1",
    "any JSON with Dates comes back as it was committed",
    {
      needs: ["exact_dates"],
      timeout: 30_000,
    },
    async ({ store }) => {
      let stream = 0;
      await fc.assert(
        fc.asyncProperty(fc.array(payload, { minLength: 1, maxLength: 6 }), async (payloads) => {
          stream += 1;
          const expected = structuredClone(payloads);
          const name = `s${stream}`;
          await store.commit(
            name,
            payloads.map((data) => message("A", data)),
            meta(),
          );
          expect((await read(store, { stream: name, stream_exact: true })).map(({ data }) => data)).toEqual(
            expected,
          );
        }),
        { numRuns: 60 },
      );
    },
  );

  const foreign = '{ "at": "2024-02-29T12:34:56.789Z", "list": ["2024-02-29T12:34:56Z", "no date"] }';

  line(
    "D1",
    "another adapter's date strings are strings by default",
    { needs: ["sql"] },
    async ({ store, raw }) => {
      await raw.sql`insert into ${tablesOf(raw).events} (name, data, stream, version, meta)
      values ('A', ${foreign}::text::jsonb, 's', 0, '{"correlation": "", "causation": {}}')`;
      expect(only(await readAll(store)).data).toEqual(JSON.parse(foreign));
    },
  );

  line(
    "D1",
    "with dates: \"revive\" another adapter's date strings are Dates, one's own text stays",
    {
      needs: ["sql"],
      options: { dates: "revive" },
    },
    async ({ store, raw }) => {
      await raw.sql`insert into ${tablesOf(raw).events} (name, data, stream, version, meta)
      values ('A', ${foreign}::text::jsonb, 's', 0, '{"correlation": "", "causation": {}}')`;
      await append(store, "s", "B");
      await appendOne(store, "s", message("C", { at: ISO, on: new Date(ISO) }));
      await appendOne(store, "s", message("D", { at: ISO }));
      const [theirs, , ours, dateless] = await readAll(store);
      expect(theirs?.data).toEqual({
        at: new Date(ISO),
        list: [new Date("2024-02-29T12:34:56Z"), "no date"],
      });
      expect(ours?.data).toEqual({ at: ISO, on: new Date(ISO) });
      expect(dateless?.data).toEqual({ at: ISO });
    },
  );
});
