/** How figures and times are written, everywhere the same. */
import type { Count } from "../../api.ts";

const numbers = new Intl.NumberFormat("en-US");
const rates = new Intl.NumberFormat("en-US", { maximumFractionDigits: 1 });

export const integer = (value: number): string => numbers.format(value);
export const rate = (value: number): string =>
  value < 10 ? rates.format(value) : integer(Math.round(value));

/** `10,000+` if there are more than were counted. */
export const counted = ({ count, exact }: Count): string => `${integer(count)}${exact ? "" : "+"}`;
export const plural = (count: number, one: string, many = `${one}s`): string =>
  `${integer(count)} ${count === 1 ? one : many}`;

const STEPS: readonly (readonly [string, number])[] = [
  ["d", 86_400_000],
  ["h", 3_600_000],
  ["min", 60_000],
  ["s", 1_000],
];

/** `3 d 4 h`, `1.2 s`, `40 ms`. */
export function duration(ms: number): string {
  const size = Math.abs(ms);
  if (size < 1_000) return `${size < 10 ? rates.format(ms) : Math.round(ms)} ms`;
  if (size < 10_000) return `${rates.format(ms / 1_000)} s`;
  const index = STEPS.findIndex(([, step]) => size >= step);
  const [unit, step] = STEPS[index] ?? ["s", 1_000];
  const whole = Math.floor(size / step);
  const next = STEPS[index + 1];
  const rest = next ? Math.floor((size - whole * step) / next[1]) : 0;
  return `${ms < 0 ? "−" : ""}${whole} ${unit}${next && rest > 0 && whole < 10 ? ` ${rest} ${next[0]}` : ""}`;
}

const UNITS = ["B", "kB", "MB", "GB", "TB"];

/** `8.2 MB`, in steps of 1,000. */
export function bytes(size: number): string {
  const power = Math.min(UNITS.length - 1, Math.max(0, Math.floor(Math.log10(Math.max(size, 1)) / 3)));
  const value = size / 1_000 ** power;
  return `${value < 10 && power > 0 ? rates.format(value) : Math.round(value)} ${UNITS[power]}`;
}

const pad = (value: number, width = 2): string => String(value).padStart(width, "0");

/** ms since the epoch; NaN for a time that no Date holds, such as PostgreSQL's `infinity`: JSON has null for it. */
const millisOf = (iso: string | null): number => Date.parse(iso ?? "");

/** Local time as `2026-11-29 14:03:07.120`; without ms unless asked for. */
export function localTime(iso: string | null, { ms = false }: { readonly ms?: boolean } = {}): string {
  const date = new Date(millisOf(iso));
  if (Number.isNaN(date.getTime())) return "no date";
  const day = `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())}`;
  const time = `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}`;
  return `${day} ${time}${ms ? `.${pad(date.getMilliseconds(), 3)}` : ""}`;
}

/** `3 min ago`, `in 20 s`. */
export function ago(iso: string | null, now = Date.now()): string {
  const ms = now - millisOf(iso);
  if (Number.isNaN(ms)) return "no date";
  if (Math.abs(ms) < 1_000) return "now";
  return ms < 0 ? `in ${duration(-ms)}` : `${duration(ms)} ago`;
}

/** `15m`, `2h`, `3d` (before now, or ahead of it), or a date and time: as an ISO string; undefined if it is neither. */
export function toTime(text: string, sign: 1 | -1, now = Date.now()): string | undefined {
  const [, amount, unit] = /^\s*(\d+)\s*(s|m|h|d)\s*$/.exec(text) ?? [];
  const steps: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };
  const time =
    amount === undefined ? new Date(text) : new Date(now + sign * Number(amount) * (steps[unit ?? ""] ?? 0));
  return Number.isNaN(time.getTime()) ? undefined : time.toISOString();
}
