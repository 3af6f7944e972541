/** Writes a repository's history, with the worker keeping the read models meanwhile, and measures both. */
import { cache, SNAP_EVENT } from "@rotorsoft/act";
import { count, eq } from "drizzle-orm";
import { buildWriter, newCache, type Writer } from "./domain.ts";
import { readCommits } from "./git.ts";
import { ingest } from "./ingest.ts";
import { showProgress } from "./progress.ts";
import { Projector } from "./projector.ts";
import { counted, number } from "./report.ts";
import type { Session } from "./session.ts";
import { type Database, events, imports } from "./tables.ts";

export type History = { readonly path: string; readonly tip: string; readonly commits: number };

export async function writeHistory(
  session: Session,
  url: string,
  db: Database,
  { path, tip, commits }: History,
): Promise<Writer> {
  const app = buildWriter();
  session.onEnd(() => app.shutdown());
  cache(newCache());
  const projector = new Projector(url);
  session.onEnd(() => projector.stop());
  await projector.listening();
  console.log(`Processes   ${process.pid} writes, ${projector.pid} (the worker) keeps the read models\n`);

  const bar = showProgress(commits);
  session.signal.addEventListener("abort", () => bar.stop());
  session.onEnd(() => bar.stop());
  const signal = AbortSignal.any([session.signal, projector.failed]);
  const clock = stopwatch();
  const done = await ingest(app, readCommits(path, tip), (now) => bar.update(now, projector.at), signal);
  const wrote = clock();
  const waiting = setInterval(() => bar.update(done, projector.at), 100);
  await projector.caughtUp(done.lastId).finally(() => clearInterval(waiting));
  const caughtUp = clock();
  bar.update(done, projector.at);
  bar.stop();
  await db.insert(imports).values({ path, tip });

  const [snapshots] = await db.select({ n: count() }).from(events).where(eq(events.name, SNAP_EVENT));
  const changing = done.commits - done.empty;
  const empty = done.empty > 0 ? ` and ${number(done.empty)} that changed no file` : "";
  console.log(
    `${counted(changing, "commit")} with changes${empty}: an event for each file, two for a rename.\n` +
      `${counted(done.events, "event")} and ${counted(snapshots?.n ?? 0, "snapshot")} ` +
      `in ${wrote.toFixed(2)} s: ${number(done.events / wrote)} events/s.\n` +
      `The worker had them all in its read models ${(caughtUp - wrote).toFixed(2)} s later,\n` +
      `woken by ${counted(projector.woken, "notification")}.`,
  );
  return app;
}

function stopwatch(): () => number {
  const began = performance.now();
  return () => (performance.now() - began) / 1000;
}
