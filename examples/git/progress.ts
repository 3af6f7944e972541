/** The bar. Prints nothing where the output is not a terminal. */
import { Presets, SingleBar } from "cli-progress";
import type { Progress } from "./ingest.ts";
import { number } from "./report.ts";

export type Bar = {
  update(progress: Progress, readModelsAt: number): void;
  /** Gives the cursor back. May be called again. */
  stop(): void;
};

export function showProgress(commits: number): Bar {
  const format = "  {bar} {percentage} % │ {value}/{total} commits │ {rate} events/s │ read models {behind}";
  // Signals are the session's: the bar's own handlers would not wait for the server to stop.
  const bar = new SingleBar(
    { format, barsize: 28, hideCursor: true, gracefulExit: false, fps: 12 },
    Presets.rect,
  );
  const began = performance.now();
  bar.start(commits, 0, { rate: "–", behind: "–" });
  return {
    update({ commits: done, events, lastId }, readModelsAt) {
      const rate = number(events / ((performance.now() - began) / 1000));
      const behind = lastId > readModelsAt ? `${number(lastId - readModelsAt)} behind` : "up to date";
      bar.update(done, { rate, behind });
    },
    stop: () => bar.stop(),
  };
}
