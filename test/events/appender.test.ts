/** How a batch is sent, and in which other form if the server refuses it, without a server. */
import { log } from "@rotorsoft/act";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { InDoubtError } from "../../src/events/appender.ts";
import type { Row } from "../../src/postgres/index.ts";
import {
  backend,
  commit,
  FIRST_EVENT,
  fixture,
  isInsert,
  lose,
  paramsOf,
  refuse,
  refuseAsLate,
  refuseDuplicate,
  type Sent,
  stored,
} from "./fixture.ts";

const noTransfer = () => {};
/** No deadline. */
const NEVER = Number.POSITIVE_INFINITY;
const indexed: Row = {
  ids_indexed: true,
  id_sequence: 7,
  last_id: 0,
  unique_keys: { events_stream_ix: "stream" },
};

/** How the INSERT of a transaction finds heads, from which sequence's last id, and whether it announces. */
const modeOf = ({ queries }: Sent) => {
  const insert = queries.find(({ text }) => isInsert(text)) ?? { text: "" };
  return {
    by: insert.text.includes("using ~>~") ? "id" : "version",
    sequence: paramsOf(insert)[5],
    announced: insert.text.includes("pg_notify"),
  };
};

/** An appender whose transactions are refused as the function says, by their number. */
function refusing(refusal: (n: number) => void, more: Parameters<typeof fixture>[0] = {}) {
  let sends = 0;
  const appending = fixture({
    ...more,
    send: (sent) => {
      refusal(++sends);
      return stored(sent);
    },
  });
  const append = () => appending.appender.append([commit("a")], NEVER, noTransfer);
  return { ...appending, append, modes: () => appending.sent.map(modeOf) };
}

const fine = () => {};

describe("a head is found", () => {
  test.each([
    ["by id where there is an index for it", indexed, { by: "id", sequence: 7 }],
    ["by version where there is none", { ...indexed, ids_indexed: false }, { by: "version", sequence: 7 }],
    [
      "without a bound where the sequence may not be looked at",
      { ...indexed, id_sequence: null },
      { by: "id", sequence: null },
    ],
  ])("%s", async (_, facts, mode) => {
    const { append, modes } = refusing(fine, { facts });
    await append();
    expect(modes()).toEqual([{ ...mode, announced: false }]);
  });

  test("by version if one was given out of order (23505), in the same call; the next looks by id again", async () => {
    const { append, modes, state } = refusing((n) => n === 1 && refuseDuplicate());
    expect((await append()).outcomes).toEqual([{ accepted: true, head: -1, ids: [1] }]);
    await append();
    expect(modes().map(({ by }) => by)).toEqual(["id", "version", "id"]);
    expect(state).toMatchObject({ opened: 1, destroyed: 0 });
  });

  test("by version once: what is refused then (23505) is told", async () => {
    const { append, sent } = refusing(() => refuseDuplicate());
    await expect(append()).rejects.toMatchObject({ cause: { code: "23505" }, step: "execute" });
    expect(sent.length).toBe(2);
  });

  test.each(["events_pkey", "own_email_ix"])(
    "in no other way where it is %s that has the value (23505)",
    async (index) => {
      const { append, sent } = refusing(() => refuseDuplicate(index));
      await expect(append()).rejects.toMatchObject({ cause: { code: "23505", constraint_name: index } });
      expect(sent.length).toBe(1);
    },
  );

  test("without the bound if its sequence was dropped (XX000); the next connection looks where ids come from", async () => {
    const { append, modes, state } = refusing((n) => n === 1 && refuse("XX000"));
    await append();
    await append();
    expect(modes().map(({ by, sequence }) => [by, sequence])).toEqual([
      ["id", 7],
      ["version", null],
      ["id", 7],
    ]);
    expect(state).toMatchObject({ opened: 2, destroyed: 1 });
  });

  test("in no other way after an internal error where no sequence is known", async () => {
    const { append, sent } = refusing(() => refuse("XX000"), { facts: { ...indexed, id_sequence: null } });
    await expect(append()).rejects.toMatchObject({ cause: { code: "XX000" } });
    expect(sent.length).toBe(1);
  });
});

test("the warm-up prepares what commits send: the INSERT of one commit and both of a batch, the recursive one last", async () => {
  const { appender, prepared, sent } = refusing(fine);
  appender.warmUp();
  await vi.waitFor(() => expect(prepared).toHaveLength(7));
  for (const batch of [[commit("a")], [commit("a"), commit("b")], [commit("a"), commit("a")]])
    await appender.append(batch, performance.now() + 60_000, noTransfer);
  const texts = sent.flatMap(({ queries }) => queries.map(({ text }) => text));
  expect(new Set(texts)).toEqual(new Set(prepared));
  // A server that can't run it, as Citus, refuses nothing that stands before it.
  expect(prepared.map((text) => text.startsWith("with recursive"))).toEqual([
    ...[false, false, false, false, false, false, true],
  ]);
});

describe("a full queue of notifications (54000 at COMMIT)", () => {
  const full = () => refuse("54000", "commit", 2);
  const appending = (refusal: (n: number) => void, announce = true) => {
    vi.useFakeTimers({ toFake: ["performance"] });
    const warned = vi.spyOn(log(), "warn").mockImplementation(() => {});
    onTestFinished(() => {
      vi.useRealTimers();
      warned.mockRestore();
    });
    const made = refusing(refusal, { announce });
    return { ...made, warned, announced: () => made.modes().map(({ announced }) => announced) };
  };

  test("makes commits go unannounced for a second, and is told once", async () => {
    const { append, announced, warned } = appending((n) => n === 1 && full());
    expect((await append()).outcomes).toMatchObject([{ accepted: true }]);
    vi.advanceTimersByTime(999);
    await append();
    vi.advanceTimersByTime(1);
    await append();
    expect(announced()).toEqual([true, false, false, true]);
    expect(warned.mock.calls).toEqual([
      [expect.stringMatching(/queue of notifications is full: commits are stored and not announced/)],
    ]);
  });

  test("that stays full is tried again after two seconds, and then every five", async () => {
    const { append, sent, warned, announced } = appending(
      () => modeOf(sent.at(-1) ?? failing()).announced && full(),
    );
    const failing = (): never => {
      throw new Error("nothing was sent");
    };
    for (const silence of [1_000, 2_000, 4_000, 5_000, 5_000]) {
      await append();
      vi.advanceTimersByTime(silence - 1);
      await append();
      expect(announced().splice(-3)).toEqual([true, false, false]);
      vi.advanceTimersByTime(1);
    }
    expect(warned).toHaveBeenCalledTimes(1);
  });

  test("that was full, and has had room since, is told again", async () => {
    const { append, warned } = appending((n) => (n === 1 || n === 4) && full());
    await append();
    vi.advanceTimersByTime(1_000);
    await append();
    await append();
    expect(warned).toHaveBeenCalledTimes(2);
  });

  test("is not what is meant by 54000 elsewhere: a name that no index takes", async () => {
    const { append, announced, warned } = appending(() => refuse("54000", "execute", 1));
    await expect(append()).rejects.toMatchObject({ cause: { code: "54000" } });
    expect(announced()).toEqual([true]);
    expect(warned).not.toHaveBeenCalled();
  });

  test("is not to blame where nothing is announced", async () => {
    const { append, sent } = appending(full, false);
    await expect(append()).rejects.toMatchObject({ cause: { code: "54000" } });
    expect(sent.length).toBe(1);
  });
});

describe("what is sent", () => {
  test("is the lock and the INSERT; on a new connection the ids are compared before, and the first event is asked for behind", async () => {
    let lost = false;
    const { appender, sent } = fixture({
      send: (one) => {
        if (lost) {
          lost = false;
          lose();
        }
        return stored(one);
      },
    });
    const append = () => appender.append([commit("a")], NEVER, noTransfer);
    await append();
    await append();
    lost = true;
    await expect(append()).rejects.toThrow(InDoubtError);
    await append();
    expect(sent.map(({ queries }) => queries.length)).toEqual([5, 2, 2, 5]);
    for (const { queries } of sent) {
      expect(queries[0]?.text).toContain("pg_advisory_xact_lock");
      // Only the INSERT has parameters that must be there before the lock is asked for.
      expect(queries.map(({ bindFirst }) => bindFirst === true)).toEqual(
        queries.map(({ text }) => isInsert(text)),
      );
    }
    expect(sent[0]?.queries[1]?.text).toContain("setval(");
    expect(sent[0]?.queries[4]?.text).toContain("as first_event");
  });

  test("compares the ids again on a connection that is still open after 30 s, and tells that they were behind", async () => {
    vi.useFakeTimers({ toFake: ["performance"] });
    const warned = vi.spyOn(log(), "warn").mockImplementation(() => {});
    onTestFinished(() => {
      vi.useRealTimers();
      warned.mockRestore();
    });
    const { appender, sent } = fixture({
      send: (one) =>
        stored(one).map((answer, i) =>
          one.queries[i]?.text.includes("setval") && sent.length > 1
            ? { ...answer, rows: [{ id: 90 }] }
            : answer,
        ),
    });
    for (const passed of [0, 29_999, 1, 29_999]) {
      vi.advanceTimersByTime(passed);
      await appender.append([commit("a")], NEVER, noTransfer);
    }
    const compared = sent.map(({ queries }) => queries[1]?.text.includes("setval"));
    expect(compared).toEqual([true, false, true, false]);
    expect(warned.mock.calls).toEqual([
      [expect.stringMatching(/explicit ids, or was restarted: new ids follow 90$/)],
    ]);
  });

  test("looks for a trigger that was created meanwhile, and then for the facts again", async () => {
    const { appender, sent, state } = fixture({
      send: (one) =>
        stored(one).map((answer, i) =>
          one.queries[i]?.text.includes("select 1 as found") ? { ...answer, rows: [{ found: 1 }] } : answer,
        ),
    });
    await appender.append([commit("a")], NEVER, noTransfer);
    expect([sent.length, state.destroyed]).toEqual([1, 1]);
  });

  test("compares the ids that it stores if there are triggers, and only then", async () => {
    for (const insert_triggers of [true, false]) {
      const { append, sent } = refusing(fine, { facts: { ...indexed, insert_triggers } });
      await append();
      const insert = sent[0]?.queries.find(({ text }) => isInsert(text));
      expect(insert?.text.includes("ids_set_by_trigger")).toBe(insert_triggers);
    }
  });

  test("does not touch a sequence that is not known", async () => {
    const { append, sent } = refusing(fine, { facts: { ...indexed, id_sequence: null } });
    await append();
    expect(sent[0]?.queries.filter(({ text }) => text.includes("setval"))).toEqual([]);
  });

  test("runs deferred triggers too, within the time that the batch has, where there are some", async () => {
    const { append, sent } = refusing(fine, { facts: { ...indexed, deferred: true } });
    await append();
    await append();
    const texts = sent
      .map(({ queries }) => queries.map(({ text }) => text))
      .map((all) => all.slice(all.findIndex(isInsert) + 1));
    expect(texts).toEqual([
      ["set constraints all immediate", expect.stringContaining("as first_event")],
      ["set constraints all immediate"],
    ]);
  });

  test("is asked for its first event again if it was refused", async () => {
    const { append, sent } = refusing((n) => n === 1 && refuse("22P02"));
    await expect(append()).rejects.toThrow();
    await append();
    await append();
    expect(sent.map(({ queries }) => queries.length)).toEqual([5, 5, 2]);
  });

  test("goes with its deadline, and tells of its transfer", async () => {
    const { appender, sent } = fixture();
    const transferred = vi.fn();
    await appender.append([commit("a")], performance.now() + 5_000, transferred);
    expect(sent[0]).toMatchObject({ transferred });
    expect(sent[0]?.deadline).toBeGreaterThan(4_000);
    expect(sent[0]?.deadline).toBeLessThanOrEqual(5_000);
  });

  test("keeps to one deadline, however many steps it takes", async () => {
    vi.useFakeTimers({ toFake: ["performance"] });
    onTestFinished(() => void vi.useRealTimers());
    const { appender, sent, state } = fixture({
      send: (one) => {
        vi.advanceTimersByTime(10);
        // Ids that are taken; then the sequence is moved, and the batch goes again; then by version.
        if (sent.length === 1) return refuseDuplicate("events_pkey");
        if (sent.length === 3) return refuseDuplicate();
        return stored(one);
      },
      facts: { ...indexed, unique_keys: { events_pkey: "id", events_stream_ix: "stream" } },
    });
    const failure = appender.append([commit("a")], performance.now() + 100, noTransfer);
    await failure.catch(() => {});
    expect(state.established).toEqual([100]);
    expect(sent.map(({ deadline }) => deadline)).toEqual([100, 90, 80]);
  });

  test("does not go again once its time is up: the server has refused it, and it was not applied", async () => {
    vi.useFakeTimers({ toFake: ["performance"] });
    onTestFinished(() => void vi.useRealTimers());
    const { append, sent } = (() => {
      const appending = fixture({
        send: () => {
          vi.advanceTimersByTime(101);
          return refuseDuplicate();
        },
      });
      const end = performance.now() + 100;
      return { ...appending, append: () => appending.appender.append([commit("a")], end, noTransfer) };
    })();
    await expect(append()).rejects.toMatchObject({
      inDoubt: false,
      cause: { code: "DEADLINE", sent: false, message: expect.stringMatching(/was not applied/) },
    });
    expect(sent.length).toBe(1);
  });

  test("is a message that may come late where the server process is not known, whatever the options say", async () => {
    const { append, sent } = refusing(fine, { unknown: true });
    await append();
    expect(sent[0]?.queries[0]).toMatchObject({ raises: ["too_late"] });
    const direct = refusing(fine);
    await direct.append();
    expect(direct.sent[0]?.queries[0]).not.toHaveProperty("raises");
  });

  test("on a connection that told the time wrong (TOO_LATE) is the last: the next one asks anew", async () => {
    const { append, state } = refusing((n) => n === 1 && refuseAsLate(), { prepare: false });
    await expect(append()).rejects.toMatchObject({ cause: { code: "TOO_LATE" } });
    expect(state).toMatchObject({ opened: 1, destroyed: 1 });
    await append();
    expect(state).toMatchObject({ opened: 2, destroyed: 1 });
  });
});

describe("a batch in doubt", () => {
  const inDoubt = async (append: () => Promise<unknown>) => {
    const error = await append().catch((reason: unknown) => reason);
    return error instanceof InDoubtError ? error.transaction : error;
  };

  test("is kept with its server process, the last id before it, and the log's first event", async () => {
    const { append } = refusing((n) => n === 3 && lose(), { facts: { ...indexed, last_id: 40 } });
    await append();
    await append();
    // The id of the commit before it; what was told at connect may be higher where a restore has set ids back.
    expect(await inDoubt(append)).toEqual({
      backend,
      after: 1,
      firstEvent: FIRST_EVENT,
      known: { id: 1, token: expect.stringMatching(/^0{8}-/) },
      until: undefined,
    });
  });

  test("before any other is looked for in the whole log: a restore may have numbered it anew since the connect", async () => {
    const { append } = refusing(lose, { facts: { ...indexed, last_id: 40 } });
    expect(await inDoubt(append)).toMatchObject({ firstEvent: undefined, after: 0 });
  });

  test("is so too in its second form", async () => {
    const { append } = refusing((n) => (n === 1 ? refuseDuplicate() : lose()));
    expect(await inDoubt(append)).toMatchObject({ backend });
  });

  test("behind a pooler is kept with the time until which it may be carried out", async () => {
    const { append, state } = refusing(lose, { prepare: false });
    state.clock = 20_000;
    expect(await inDoubt(append)).toMatchObject({ backend: undefined, until: 23_000 });
  });
});
