/** Numbers, sizes and times as people read them. */
import type { Count } from "../admin/index.ts";

export const integer = (value: number): string => value.toLocaleString("en-US", { maximumFractionDigits: 0 });
export const counted = ({ count, exact }: Count): string => (exact ? integer(count) : `${integer(count)}+`);

const UNITS = ["B", "kB", "MB", "GB", "TB"];
export function bytes(value: number): string {
  let rest = value;
  let unit = 0;
  while (rest >= 1_000 && unit < UNITS.length - 1) {
    rest /= 1_000;
    unit++;
  }
  return `${rest < 10 && unit > 0 ? rest.toFixed(1) : Math.round(rest)} ${UNITS[unit]}`;
}

/** `350 ms`, `12 s`, `5 min`, `3 h`, `2 d` */
export function duration(ms: number | undefined): string {
  if (ms === undefined) return "";
  const size = Math.abs(ms);
  const sign = ms < 0 ? "−" : "";
  if (size < 1_000) return `${sign}${Math.round(size)} ms`;
  if (size < 120_000) return `${sign}${Math.round(size / 1_000)} s`;
  if (size < 7_200_000) return `${sign}${Math.round(size / 60_000)} min`;
  if (size < 172_800_000) return `${sign}${Math.round(size / 3_600_000)} h`;
  return `${sign}${Math.round(size / 86_400_000)} d`;
}

/** In UTC, to the second. A time that no Date holds, such as PostgreSQL's `infinity`, is `(no date)`. */
export function instant(date: Date | undefined): string {
  if (date === undefined) return "";
  if (Number.isNaN(date.getTime())) return "(no date)";
  return `${date
    .toISOString()
    .replace(/\.\d+Z$/, "")
    .replace("T", " ")}Z`;
}
