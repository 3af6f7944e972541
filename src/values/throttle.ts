/** Keeps messages that could come by the thousand from filling the log. */

const MINUTE_MS = 60_000;

type Minute = { readonly since: number; told: number; leftOut: number };

export class Throttle {
  readonly #perMinute: number;
  readonly #minutes = new Map<string, Minute>();

  /** @param perMinute Messages of one key in a minute. */
  constructor(perMinute = 1) {
    this.#perMinute = perMinute;
  }

  /** Calls `tell` with the number of messages of this key that were left out since the last one; or leaves this one out. */
  tell(key: string, tell: (leftOut: number) => void): void {
    const now = performance.now();
    const last = this.#minutes.get(key);
    const minute =
      last && now - last.since < MINUTE_MS ? last : { since: now, told: 0, leftOut: last?.leftOut ?? 0 };
    this.#minutes.set(key, minute);
    if (minute.told >= this.#perMinute) {
      minute.leftOut++;
      return;
    }
    minute.told++;
    const { leftOut } = minute;
    minute.leftOut = 0;
    tell(leftOut);
  }
}

/** The end of a message that stands for several. */
export const alsoLeftOut = (leftOut: number): string =>
  leftOut === 0 ? "" : `; ${leftOut} more since the last such message`;
