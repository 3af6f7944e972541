/** The option `pii_encryption`. */
import type { Key } from "../values/pii-keys.ts";

/** The value of the option `pii_encryption`: the key, and what to do with an event whose pii cannot be decrypted. */
export type PiiEncryption = {
  /**
   * 32 bytes. Or a list of such: the first encrypts, all of them decrypt. Or a function that returns one of these: it is
   * asked once, and again if a value cannot be decrypted.
   */
  readonly key?: Key | undefined;
  /** The same as `key`, by act-pg's name. */
  readonly keyProvider?: Key | undefined;
  /** The only one there is: `aes-256-gcm`. */
  readonly algorithm?: string | undefined;
  /**
   * The function is asked for each stream, by its name, and the answer is kept for five minutes. If it returns nothing,
   * the stream's key is gone: its pii reads as forgotten, and new pii for it is refused. Default false.
   */
  readonly perStream?: boolean | undefined;
  /**
   * What becomes of an event whose pii cannot be decrypted: `error` (the default) ends the query at this event; `omit`
   * delivers it without its pii, and says so in the log once.
   */
  readonly unreadable?: "error" | "omit" | undefined;
};
