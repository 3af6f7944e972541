import { ConcurrencyError, dispose, InMemoryStore, InvariantError, SNAP_EVENT, store } from "@rotorsoft/act";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { provokeConflict } from "../../examples/git/conflict.ts";
import { buildWriter, File, streamOf, type Writer } from "../../examples/git/domain.ts";
import type { Change, Commit } from "../../examples/git/git.ts";
import { ingest, OrderedQueue, stepsOf } from "../../examples/git/ingest.ts";

let app: Writer;
beforeEach(() => {
  store(new InMemoryStore());
  app = buildWriter();
});
afterEach(() => dispose()());

const stream = streamOf("a");
const actor = { id: "ada@example.org", name: "Ada" };
const target = { stream, actor };
const about = { commit: "c1", authored: new Date(0), nth: 1, added: 3, removed: 1, binary: false };
const state = async () => (await app.load(File, stream)).state;

const change = (kind: Change["kind"], path: string, from?: string): Change => {
  return { kind, path, from, added: 2, removed: 1, binary: false };
};

let sha = 0;
const commit = (...changes: Change[]): Commit => {
  return { sha: `sha${++sha}`, email: actor.id, name: actor.name, authored: new Date(0), changes };
};

async function* each(commits: Commit[]): AsyncGenerator<Commit> {
  yield* commits;
}

describe("a file", () => {
  it("is added, changed and deleted by the author of the commit", async () => {
    await app.do("addFile", target, { ...about, path: "a" });
    await app.do("changeFile", target, about);
    await app.do("deleteFile", target, about);
    expect(await state()).toEqual({ path: "a", exists: false, commits: 3, added: 9, removed: 3 });
    const events = await app.query_array({ stream });
    expect(events.map(({ name }) => name)).toEqual(["FileAdded", "FileChanged", "FileDeleted"]);
    expect(events[0]?.meta.causation.action?.actor).toEqual(actor);
  });

  it("cannot be changed, renamed or deleted before it is added", async () => {
    await expect(app.do("changeFile", target, about)).rejects.toThrow(InvariantError);
    await expect(app.do("renameFile", target, { ...about, to: "b" })).rejects.toThrow(InvariantError);
    await expect(app.do("deleteFile", target, about)).rejects.toThrow("The file must exist");
  });

  it("cannot be changed once it is deleted or renamed", async () => {
    await app.do("addFile", target, { ...about, path: "a" });
    await app.do("deleteFile", target, about);
    await expect(app.do("changeFile", target, about)).rejects.toThrow(InvariantError);
    await app.do("addFile", target, { ...about, path: "a" });
    await app.do("renameFile", target, { ...about, to: "b" });
    await expect(app.do("changeFile", target, about)).rejects.toThrow(InvariantError);
  });

  it("cannot be added twice", async () => {
    await app.do("addFile", target, { ...about, path: "a" });
    await expect(app.do("addFile", target, { ...about, path: "a" })).rejects.toThrow(
      "No file may have this path yet",
    );
  });

  it("goes on with its stream when its path is added again", async () => {
    await ingest(app, each([commit(change("added", "a")), commit(change("deleted", "a"))]), () => {});
    await ingest(app, each([commit(change("added", "a"))]), () => {});
    expect(await state()).toMatchObject({ exists: true, commits: 3 });
  });

  it("gets a snapshot every ten events", async () => {
    const history = [commit(change("added", "a"))];
    for (let i = 0; i < 24; i++) history.push(commit(change("changed", "a")));
    await ingest(app, each(history), () => {});
    const names: string[] = [];
    await app.query({ stream, with_snaps: true, after: -1 }, ({ name }) => names.push(name));
    expect(names.filter((name) => name === SNAP_EVENT)).toHaveLength(2);
    expect(await state()).toMatchObject({ commits: 25, added: 50 });
  });
});

describe("a commit", () => {
  it("that renames a file ends one stream and begins another, with the lines on the new path", () => {
    expect(stepsOf(commit(change("renamed", "b", "a")))).toMatchObject([
      { action: "renameFile", path: "a", data: { to: "b", added: 0, removed: 0, nth: 1 } },
      { action: "addFile", path: "b", data: { from: "a", added: 2, removed: 1, nth: 2 } },
    ]);
  });

  it("has its sha as the correlation of all its events", async () => {
    const both = commit(change("added", "a"), change("added", "b"));
    await ingest(app, each([both, commit(change("added", "c"))]), () => {});
    expect(await app.query_array({ correlation: both.sha })).toHaveLength(2);
  });

  it("counts when all its events are written, or when it has none", async () => {
    const seen: number[] = [];
    const history = [commit(), commit(change("added", "a"), change("added", "b"))];
    const done = await ingest(app, each(history), ({ commits }) => seen.push(commits));
    expect(seen).toEqual([1, 2]);
    expect(done).toMatchObject({ commits: 2, events: 2 });
  });

  it("that breaks a rule ends the import", async () => {
    const history = [commit(change("changed", "a")), commit(change("added", "b"))];
    await expect(ingest(app, each(history), () => {})).rejects.toThrow(InvariantError);
  });
});

describe("the import", () => {
  it("stops where it is told to", async () => {
    const controller = new AbortController();
    const endless = async function* () {
      for (;;) yield commit();
    };
    const stop = () => controller.abort(new Error("enough"));
    await expect(ingest(app, endless(), stop, controller.signal)).rejects.toThrow("enough");
  });

  it("keeps the order of each stream, and runs at most as many tasks as allowed", async () => {
    const queue = new OrderedQueue(3);
    const done: string[] = [];
    let running = 0;
    let most = 0;
    for (let i = 0; i < 30; i++) {
      const key = `k${i % 4}`;
      await queue.add(key, async () => {
        most = Math.max(most, ++running);
        // Tasks that take unlike times.
        await new Promise((resolve) => setTimeout(resolve, (i * 7) % 5));
        running--;
        done.push(`${key}:${i}`);
      });
    }
    await queue.idle();
    for (const key of ["k0", "k1", "k2", "k3"]) {
      const order = done.filter((entry) => entry.startsWith(key)).map((entry) => Number(entry.split(":")[1]));
      expect(order).toEqual([...order].sort((a, b) => a - b));
    }
    expect(done).toHaveLength(30);
    expect(most).toBeLessThanOrEqual(3);
  });
});

describe("a stream", () => {
  it("is named after the path, and fits an index whatever the path's length", () => {
    expect(streamOf("src/ä b")).toBe("file:src/ä b");
    const long = `x${"🦊".repeat(1_000)}`;
    expect(Buffer.byteLength(streamOf(long))).toBeLessThan(2_700);
    expect(streamOf(long).isWellFormed()).toBe(true);
    expect(streamOf(long)).not.toBe(streamOf(`${long}x`));
  });

  it("lets one of two writers through", async () => {
    const conflict = await provokeConflict(app, "a");
    expect(conflict).toMatchObject({ expected: 0, actual: 1, retried: 2 });
    const stale = { stream: conflict.stream, actor, expectedVersion: 0 };
    await expect(app.do("claimReview", stale, { reviewer: "Ada" })).rejects.toThrow(ConcurrencyError);
  });
});
