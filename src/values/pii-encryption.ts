/**
 * pii at rest: AES-256-GCM over the JSON text, as base64(0x01 ‖ iv(12) ‖ tag(16) ‖ ciphertext), stored as a
 * jsonb string. The envelope is the one act-crypto writes. Rows in plain text stay readable.
 */
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";

const VERSION = 1;
const IV = 12;
const TAG = 16;
const HEADER = 1 + IV + TAG;

/**
 * Personal data cannot be encrypted or decrypted. The message names the stream, and the event if there is one yet, unless
 * the key itself is the fault. It never shows the value.
 */
export class PiiError extends Error {
  override readonly name = "PiiError";
}

export function encrypt(key: Uint8Array, json: string): string {
  const iv = randomBytes(IV);
  const cipher = createCipheriv("aes-256-gcm", key, iv);
  const body = Buffer.concat([cipher.update(json, "utf8"), cipher.final()]);
  return Buffer.concat([Buffer.of(VERSION), iv, cipher.getAuthTag(), body]).toString("base64");
}

/** True for a result of {@link encrypt}. Plain pii is an object, never such a string. */
export function isEncrypted(value: unknown): value is string {
  if (typeof value !== "string" || value.length < Math.ceil(HEADER / 3) * 4 - 2) return false;
  return Buffer.from(value.slice(0, 4), "base64")[0] === VERSION && /^[A-Za-z0-9+/]+={0,2}$/.test(value);
}

function decryptWith(key: Uint8Array, bytes: Buffer): unknown {
  const decipher = createDecipheriv("aes-256-gcm", key, bytes.subarray(1, 1 + IV), { authTagLength: TAG });
  decipher.setAuthTag(bytes.subarray(1 + IV, HEADER));
  const text = Buffer.concat([decipher.update(bytes.subarray(HEADER)), decipher.final()]);
  return JSON.parse(text.toString("utf8"));
}

/**
 * Decrypts an envelope, and returns its JSON value. It tries each key, because an envelope does not name its key. Throws a
 * PiiError that names `what`.
 */
export function decrypt(keys: readonly Uint8Array[], envelope: string, what: string): unknown {
  const bytes = Buffer.from(envelope, "base64");
  if (bytes[0] === VERSION && bytes.length >= HEADER)
    for (const key of keys) {
      try {
        return decryptWith(key, bytes);
      } catch {
        // Another key may fit.
      }
    }
  throw new PiiError(`the pii of ${what} cannot be decrypted: the key is wrong or the value was changed`);
}
