/**
 * The keys of pii: given, or asked for and kept. A key provider may be a round trip to a KMS, so it is asked once, not
 * for every load: again only for another stream (`perStream`), or if a value cannot be decrypted, as after a rotation.
 */
import { PiiError } from "./pii-encryption.ts";

/** 32 bytes; or several: the first encrypts, and all of them decrypt. */
export type KeyMaterial = Uint8Array | readonly Uint8Array[];
/** Keys, or what provides them. With `perStream` it gets the stream's name, and may say that a stream's key is gone. */
export type Key =
  | KeyMaterial
  | ((stream: string) => KeyMaterial | null | undefined | Promise<KeyMaterial | null | undefined>);

export type PiiOptions = {
  readonly key: Key;
  /** The provider is asked for each stream, by its name. */
  readonly perStream?: boolean | undefined;
  /** What becomes of an event whose pii cannot be decrypted: an error, or the event without its pii. */
  readonly unreadable?: "error" | "omit" | undefined;
};

/** Empty: the key is gone, and with it what it encrypted. */
export type Keys = readonly Uint8Array[];
export type KeysOf = (stream: string) => Keys;

const isKey = (value: unknown): value is Uint8Array => value instanceof Uint8Array && value.byteLength === 32;

/** True for 32 bytes, and for a list of such. */
export const isKeyMaterial = (value: unknown): value is KeyMaterial =>
  isKey(value) || (Array.isArray(value) && value.length > 0 && value.every(isKey));

/** A key that was deleted is forgotten after this, in every process. */
const KEPT_MS = 5 * 60_000;
/** Keys of so many streams are kept. */
const MOST = 10_000;
/** So that a log with many values of a lost key does not ask for each of them. */
const ASK_AGAIN_MS = 5_000;

type Asked = { readonly keys: Promise<Keys>; readonly at: number };

export class PiiCipher {
  readonly perStream: boolean;
  readonly unreadable: "error" | "omit";
  readonly #key: Key;
  /** In order of asking. */
  readonly #asked = new Map<string, Asked>();

  constructor({ key, perStream = false, unreadable = "error" }: PiiOptions) {
    this.#key = key;
    this.perStream = perStream;
    this.unreadable = unreadable;
  }

  /** The key to encrypt with. @throws PiiError if it is gone. */
  async current(stream: string): Promise<Uint8Array> {
    const [current] = await this.#keys(stream);
    if (!current)
      throw new PiiError(`there is no key for stream "${stream}" any more: its pii is not stored`);
    return current;
  }

  /** The keys of these streams. */
  async keysOf(streams: Iterable<string>): Promise<KeysOf> {
    if (!this.perStream) {
      const keys = await this.#keys("");
      return () => keys;
    }
    const names = [...new Set(streams)];
    const all = await Promise.all(names.map((stream) => this.#keys(stream)));
    const found = new Map(names.map((stream, i) => [stream, all[i] ?? []]));
    return (stream) => found.get(stream) ?? [];
  }

  /** Forgets the keys of these streams that were not asked for just now. True if there were any. */
  forget(streams: Iterable<string>): boolean {
    if (typeof this.#key !== "function") return false;
    let forgotten = false;
    for (const name of this.perStream ? new Set(streams) : [""]) {
      const asked = this.#asked.get(name);
      if (!asked || performance.now() - asked.at < ASK_AGAIN_MS) continue;
      forgotten = this.#asked.delete(name) || forgotten;
    }
    return forgotten;
  }

  #keys(stream: string): Promise<Keys> {
    const name = this.perStream ? stream : "";
    const now = performance.now();
    const asked = this.#asked.get(name);
    if (asked && !(this.perStream && now - asked.at > KEPT_MS)) return asked.keys;
    this.#asked.delete(name);
    const keys = this.#ask(name);
    this.#asked.set(name, { keys, at: now });
    // A provider that failed is asked again by the next call.
    keys.catch(() => {
      if (this.#asked.get(name)?.keys === keys) this.#asked.delete(name);
    });
    const [oldest] = this.#asked.keys();
    if (this.#asked.size > MOST && oldest !== undefined) this.#asked.delete(oldest);
    return keys;
  }

  async #ask(stream: string): Promise<Keys> {
    const given = typeof this.#key === "function" ? await this.#key(stream) : this.#key;
    if (this.perStream && (given === null || given === undefined)) return [];
    if (!isKeyMaterial(given))
      throw new PiiError("the key of pii_encryption must be 32 bytes, or a list of such");
    return given instanceof Uint8Array ? [given] : given;
  }
}
