/** The option `pii_encryption`. */
import type { Key } from "../values/pii-keys.ts";

/** The value of the option `pii_encryption`: the key, and what to do with an event whose pii cannot be decrypted. */
export type PiiEncryption = {
  /**
   * 32 bytes; or a list of such keys, of which the first encrypts and all decrypt; or a function that returns either. The
   * function is called once, and again if a value cannot be decrypted.
   */
  readonly key?: Key | undefined;
  /** Another name of `key`, which act-pg uses. */
  readonly keyProvider?: Key | undefined;
  /** `aes-256-gcm`, the only one that is supported. */
  readonly algorithm?: string | undefined;
  /**
   * The function is called with the name of each stream, and its result is cached for five minutes. If it returns null or
   * undefined, the stream's key is gone: its pii reads as forgotten, and new pii for it is refused. Default false.
   */
  readonly perStream?: boolean | undefined;
  /**
   * If the pii of an event cannot be decrypted, `error` (the default) ends the query at this event; `omit` delivers the
   * event without its pii, and logs that once.
   */
  readonly unreadable?: "error" | "omit" | undefined;
};
