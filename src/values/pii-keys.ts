/**
 * The keys of pii: given as an option, or provided by a function and cached. A key provider may be a round trip to a KMS,
 * so it is not asked for every load. It is asked again for another stream (`perStream`), and if a value cannot be
 * decrypted, as after a rotation.
 */
import { PiiError } from "./pii-encryption.ts";

/** A key of 32 bytes, or a list of keys: the first encrypts, and all of them decrypt. */
export type KeyMaterial = Uint8Array | readonly Uint8Array[];
/** Keys, or a function that returns them. With `perStream` it gets a stream's name; null or undefined: that key is gone. */
export type Key =
  | KeyMaterial
  | ((stream: string) => KeyMaterial | null | undefined | Promise<KeyMaterial | null | undefined>);

export type PiiOptions = {
  readonly key: Key;
  /** The function is called for each stream, with its name. */
  readonly perStream?: boolean | undefined;
  /** If an event's pii cannot be decrypted: throw an error, or deliver the event without its pii. */
  readonly unreadable?: "error" | "omit" | undefined;
};

/** The first encrypts, all decrypt. Empty if the key is gone, and with it the pii that it encrypted. */
export type Keys = readonly Uint8Array[];
export type KeysOf = (stream: string) => Keys;

const isKey = (value: unknown): value is Uint8Array => value instanceof Uint8Array && value.byteLength === 32;

/** True for 32 bytes, and for a list of such. */
export const isKeyMaterial = (value: unknown): value is KeyMaterial =>
  isKey(value) || (Array.isArray(value) && value.length > 0 && value.every(isKey));

/** How long a stream's key is cached, in ms. After a key was deleted, every process forgets it within this time. */
const KEPT_MS = 5 * 60_000;
/** How many streams' keys are cached. */
const MAX_STREAMS = 10_000;
/** How long a provider may take, in ms. One that waits for a verb of the store that needs the key would wait for ever. */
const PROVIDER_MS = 30_000;
/** ms between two questions for the same key, so that many values of a lost key do not each ask. */
const ASK_AGAIN_MS = 5_000;

type Asked = { readonly keys: Promise<Keys>; readonly at: number };

export class PiiKeys {
  readonly perStream: boolean;
  readonly unreadable: "error" | "omit";
  readonly #key: Key;
  /** The cached keys, oldest first. */
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

  /** Forgets the cached keys of these streams that are older than ASK_AGAIN_MS. True if there were some. */
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
    if (this.#asked.size > MAX_STREAMS && oldest !== undefined) this.#asked.delete(oldest);
    return keys;
  }

  async #ask(stream: string): Promise<Keys> {
    const given = typeof this.#key === "function" ? await inTime(this.#key(stream)) : this.#key;
    if (this.perStream && (given === null || given === undefined)) return [];
    if (!isKeyMaterial(given))
      throw new PiiError("the key of pii_encryption must be 32 bytes, or a list of such");
    return given instanceof Uint8Array ? [given] : given;
  }
}

async function inTime<T>(given: T | Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    const text = `the key provider of pii_encryption gave no key within ${PROVIDER_MS} ms: it must answer, and must not call the store`;
    timer = setTimeout(() => reject(new PiiError(text)), PROVIDER_MS);
  });
  try {
    return await Promise.race([given, late]);
  } finally {
    clearTimeout(timer);
  }
}
