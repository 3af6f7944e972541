/** The bar. Prints nothing where the output is not a terminal. */
import { Presets, SingleBar } from "cli-progress";
import type { Progress } from "./ingest.ts";
import { number, widthOf } from "./report.ts";

export type Bar = {
  update(progress: Progress, readModelsAt: number): void;
  /** Gives the cursor back. May be called again. */
  stop(): void;
};

const [LEAST, MOST] = [10, 40];

export function showProgress(commits: number): Bar {
  const format = "  {bar} {done} commits │ {rate} events/s │ worker {behind}";
  // At its longest the line fits the terminal: a line that wraps would be drawn anew below itself.
  const longest = `   ${number(commits)}/${number(commits)} commits │ 99,999 events/s │ worker 99,999 behind`;
  const barsize = Math.max(LEAST, Math.min(MOST, (process.stderr.columns ?? 80) - 1 - widthOf(longest)));
  // Signals are the session's: the bar's own handlers would not wait for the server to stop.
  const bar = new SingleBar(
    { format, barsize, hideCursor: true, gracefulExit: false, fps: 12 },
    Presets.rect,
  );
  const began = performance.now();
  const of = (done: number) => `${number(done)}/${number(commits)}`;
  bar.start(commits, 0, { done: of(0), rate: "–", behind: "waits" });
  return {
    update({ commits: done, events, lastId }, readModelsAt) {
      const rate = number(events / ((performance.now() - began) / 1000));
      const behind = lastId > readModelsAt ? `${number(lastId - readModelsAt)} behind` : "up to date";
      bar.update(done, { done: of(done), rate, behind });
    },
    stop: () => bar.stop(),
  };
}
