/** Rows of the events table on their way out: Dates, personal data, ids. */
import { describe, expect, test } from "vitest";
import { encodeEvents } from "../../src/events/encode-messages.ts";
import { eventColumns, eventReader, safeId } from "../../src/schema/event-rows.ts";
import { PiiKeys } from "../../src/values/pii-keys.ts";

describe("a row", () => {
  const row = {
    id: "7",
    stream: "s",
    version: 3,
    created: 5,
    name: "A",
    data: { at: "x" },
    meta: {},
    dates: {},
  };
  const iso = "1970-01-02T00:00:00.000Z";
  const date = new Date(iso);
  const key = new Uint8Array(32).fill(1);

  test("is an event, with a key for pii only where there is some", async () => {
    const toEvent = await eventReader("exact", undefined).forRows([row]);
    const { dates: _, ...event } = { ...row, id: 7, created: new Date(5) };
    expect(toEvent(row)).toEqual(event);
    expect(Object.keys(toEvent({ ...row, pii: null }))).not.toContain("pii");
    expect(toEvent({ ...row, pii: { a: 1 } })).toEqual({ ...event, pii: { a: 1 } });
    expect(toEvent({ ...row, pii: "plain" })).toEqual({ ...event, pii: "plain" });
  });

  test("gets its Dates from the note beside it, else from their look if so configured", async () => {
    const given = () => ({ ...row, data: { at: iso }, meta: { at: iso }, pii: { at: iso } });
    const noted = { data: [["at"]], meta: [["at"]], pii: [["at"]] };
    for (const mode of ["exact", "revive"] as const) {
      const toEvent = await eventReader(mode, undefined).forRows([row]);
      const all = { data: { at: date }, meta: { at: date }, pii: { at: date } };
      expect(toEvent({ ...given(), dates: noted })).toMatchObject(all);
      expect(toEvent({ ...given(), dates: {} })).toMatchObject({ data: { at: iso }, meta: { at: iso } });
      const revived = mode === "revive" ? all : { data: { at: iso }, meta: { at: iso }, pii: { at: iso } };
      expect(toEvent({ ...given(), dates: null })).toMatchObject(revived);
    }
    const toEvent = await eventReader("exact", undefined).forRows([row]);
    expect(toEvent({ ...row, dates: noted })).not.toHaveProperty("pii");
    // What was a Date altogether, and has been forgotten.
    expect(toEvent({ ...row, pii: null, dates: { pii: [[]] } })).not.toHaveProperty("pii");
  });

  test("with encrypted pii is opened by the key, and an error without one", async () => {
    const message = { name: "A", data: {}, pii: { at: date } };
    const { events } = encodeEvents("s", [message], { correlation: "", causation: {} }, key);
    const [event] = events;
    const sealed = { ...row, pii: JSON.parse(event?.pii ?? ""), dates: JSON.parse(event?.dates ?? "") };
    expect(typeof sealed.pii).toBe("string");
    const keyless = await eventReader("exact", undefined).forRows([sealed]);
    expect(() => keyless(sealed)).toThrow('the pii of stream "s", event 7 is encrypted: set pii_encryption');
    let asked = 0;
    const reader = eventReader(
      "exact",
      new PiiKeys({
        key: () => {
          asked++;
          return key;
        },
      }),
    );
    await reader.forRows([]);
    await reader.forRows([row, { ...row, pii: { plain: true } }]);
    expect(asked).toBe(0);
    const toEvent = await reader.forRows([row, sealed]);
    expect(asked).toBe(1);
    expect(toEvent(sealed)).toMatchObject({ pii: { at: date } });
    expect(() => toEvent({ ...sealed, pii: "plain" })).toThrow(
      'the pii of stream "s", event 7 cannot be decrypted',
    );
    // What was forgotten, or was never there, is not opened.
    expect(toEvent({ ...sealed, pii: null, dates: { pii: "tampered" } })).not.toHaveProperty("pii");
    expect(() => toEvent({ ...sealed, dates: { pii: "tampered" } })).toThrow(
      'the pii of stream "s", event 7 cannot be decrypted',
    );
    expect(toEvent({ ...sealed, pii: { open: 1 }, dates: {} })).toMatchObject({ pii: { open: 1 } });
  });

  test("has an id that JavaScript can tell from its neighbours, or is an error", () => {
    expect(safeId("9007199254740991")).toBe(Number.MAX_SAFE_INTEGER);
    for (const id of ["9007199254740992", "x", undefined, 1.5])
      expect(() => safeId(id)).toThrow("an event id exceeds 2^53 and cannot be read as a number");
  });

  test("is asked for with pii, or without", () => {
    expect(eventColumns("e", { pii: true })).toMatch(
      /^e\.id, e\.name, e\.stream, e\.version, e\.data, e\.meta, e\.dates, e\.pii, case when e\.created/,
    );
    expect(eventColumns("e", { pii: false })).not.toContain("pii");
  });
});
