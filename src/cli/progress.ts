/** A progress bar on stderr, where that is a terminal. */
import { SingleBar } from "cli-progress";

export type Progress = { readonly update: (value: number) => void; readonly stop: () => void };

/** Without a `total` it shows only the count. */
export function progress(title: string, total: number | undefined): Progress {
  if (!process.stderr.isTTY) return { update: () => {}, stop: () => {} };
  const format = total ? `${title} {bar} {percentage} %  {value}` : `${title} {value}`;
  const bar = new SingleBar({
    format,
    barsize: 30,
    stream: process.stderr,
    hideCursor: true,
    clearOnComplete: true,
  });
  bar.start(total ?? 0, 0);
  return { update: (value) => bar.update(value), stop: () => bar.stop() };
}
