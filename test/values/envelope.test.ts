/** What is an envelope and what is not, without a database. */
import { expect, test } from "vitest";
import { decrypt, encrypt, isEncrypted, PiiError } from "../../src/values/pii-encryption.ts";
import { PiiKeys } from "../../src/values/pii-keys.ts";

const key = new Uint8Array(32).fill(7);
const other = new Uint8Array(32).fill(8);
const AROUND = /^the pii of event 7 cannot be decrypted: the key is wrong or the value was changed$/;

test.each([0, 1, 2, 3, 1_000])("an envelope around %s characters is one, and opens", (size) => {
  const text = JSON.stringify("x".repeat(size));
  const made = encrypt(key, text);
  expect(isEncrypted(made)).toBe(true);
  expect(decrypt([key], made, "event 7")).toBe("x".repeat(size));
});

test("the shortest that could be one is taken for one, should its padding be gone", () => {
  expect(isEncrypted(`AQ${"A".repeat(36)}`)).toBe(true);
  expect(isEncrypted(`AQ${"A".repeat(35)}`)).toBe(false);
  expect(isEncrypted("AQAA")).toBe(false);
});

const made = encrypt(key, '{"a":1}').replace(/=+$/, "");
/** As a later version would write it. */
const later = (envelope: string) => {
  const bytes = Buffer.from(envelope, "base64");
  bytes[0] = 2;
  return bytes.toString("base64");
};
test.each([
  ["nothing", undefined],
  ["null", null],
  ["a number", 1],
  ["an object", { length: 100 }],
  ["text", "plain text that is long enough to be an envelope, which it is not"],
  ["text of base64's letters", "plaintextthatislongenoughtobeanenvelopewhichitisnot"],
  ["another version", later(made)],
  ["one with a line break before", `\n${made}`],
  ["one with something else within", `${made.slice(0, 20)}-${made.slice(20)}`],
  ["one with something else behind", `${made}-`],
  ["one with too much padding", `${made}===`],
])("%s is no envelope", (_, value) => {
  expect(isEncrypted(value)).toBe(false);
});

test("what cannot be opened is a PiiError that names the event", () => {
  const one = encrypt(key, "{}");
  for (const bad of ["", "AQ==", one.slice(0, 38), later(one)])
    expect(() => decrypt([key], bad, "event 7")).toThrow(AROUND);
  expect(() => decrypt([other], one, "event 7")).toThrow(AROUND);
  expect(() => decrypt([other], one, "event 7")).toThrow(PiiError);
  expect(new PiiError("why")).toMatchObject({ name: "PiiError", message: "why" });
});

test("a key is 32 bytes, given or asked for", async () => {
  expect(await new PiiKeys({ key }).current("s")).toBe(key);
  expect(await new PiiKeys({ key: async () => [key, other] }).current("s")).toBe(key);
  const wrong: unknown[] = [
    new Uint8Array(31),
    new Uint8Array(33),
    "k".repeat(32),
    undefined,
    [],
    [key, "k"],
  ];
  for (const bad of wrong) {
    await expect(new PiiKeys({ key: () => bad as Uint8Array }).current("s")).rejects.toThrow(
      "the key of pii_encryption must be 32 bytes",
    );
  }
});
