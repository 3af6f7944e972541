/** What a batch in doubt is asked about, on a server: which commits are found, and which are not. */
import { describe, expect, test } from "vitest";
import type { Append } from "../../src/events/append.ts";
import {
  CLOCK_MARGIN_MS,
  firstEventOf,
  firstEventQuery,
  type InDoubtTransaction,
  inferOutcomes,
  recoveryQueries,
} from "../../src/events/recover.ts";
import type { Row } from "../../src/postgres/index.ts";
import { lockAppends, lockAppendsUntil } from "../../src/schema/append-lock.ts";
import { eventually, gate } from "../conformance/kit/eventually.ts";
import { append, type Log, useLog } from "./append-fixture.ts";

const openLog = useLog();
const meta = { correlation: "", causation: {} };

/** An event to restore. */
const event = (stream: string) => ({
  id: 0,
  stream,
  version: 0,
  created: new Date(0),
  name: "R",
  data: {},
  meta,
});

/** What is known before a batch is sent. */
async function known({ sql, names, transaction }: Log): Promise<InDoubtTransaction> {
  const [last] = await sql(`select coalesce(max(id), 0)::int as id from ${names.events}`);
  const [first] = await transaction([firstEventQuery(names)]);
  return {
    backend: undefined,
    after: Number(last?.id),
    firstEvent: firstEventOf(first?.[0]),
    known: undefined,
    until: undefined,
  };
}

/** A batch that is sent, and whose answer is lost; afterwards it is asked about. */
async function inDoubt(log: Log, batch: readonly Append[]) {
  const transaction = await known(log);
  await log.send(batch);
  return askAbout(log, batch, transaction);
}

async function ask(log: Log, batch: readonly Append[], transaction: InDoubtTransaction) {
  return log.connections.recover(
    undefined,
    recoveryQueries(log.names, lockAppends(log.names, 0), batch, transaction),
  );
}

/** How to ask; what a commit's events were created at is left out. */
function askAbout(log: Log, batch: readonly Append[], transaction: InDoubtTransaction) {
  return async (over: Partial<InDoubtTransaction> = {}) => {
    const outcomes = inferOutcomes(batch, transaction, await ask(log, batch, { ...transaction, ...over }));
    return outcomes.map((outcome) => (typeof outcome === "object" ? outcome.outcome : outcome));
  };
}

const stored = (head: number, ...ids: number[]) => ({ accepted: true, head, ids });

describe("a commit that was stored", () => {
  test("is found among those of others, guarded or not, with its ids and the head that it met", async () => {
    const log = await openLog();
    await log.send([append("a", null, "a0", "a1"), append("b", null, "b0")]);
    const ask = await inDoubt(log, [
      append("a", 1, "a2"),
      append("b", 5, "never"),
      append("a", 2, "a3", "a4"),
      append("c", null, "c0"),
    ]);
    await log.send([append("a", null, "a5", "a6"), append("c", null, "c1")]);
    const told = [stored(1, 4), "absent", stored(2, 5, 6), stored(-1, 7)];
    expect(await ask()).toEqual(told);
  });

  test("is not taken for its twin: only one of two equal commits is found", async () => {
    const log = await openLog();
    const twin = append("a", null, "same");
    await log.send([append("first", null, "A")]);
    const ask = await inDoubt(log, [twin]);
    expect(await ask()).toEqual([stored(-1, 2)]);
    const other = askAbout(log, [append("a", null, "same")], { ...(await known(log)), after: 1 });
    expect(await other()).toEqual(["absent"]);
  });

  test("is found though its personal data were forgotten and a trigger has rewritten it", async () => {
    const log = await openLog();
    await log.send([append("first", null, "A")]);
    const ask = await inDoubt(log, [append("a", -1, "a0"), append("b", null, "b0")]);
    await log.sql(
      `update ${log.names.events} set pii = null, name = 'else', data = '{}', meta = '{}' where stream <> 'first'`,
    );
    expect(await ask()).toEqual([stored(-1, 2), stored(-1, 3)]);
  });

  test("is not found below what was there before it", async () => {
    const log = await openLog();
    const ask = await inDoubt(log, [append("a", null, "a0")]);
    expect(await ask({ after: 0 })).toEqual([stored(-1, 1)]);
    expect(await ask({ after: 1 })).toEqual(["absent"]);
  });

  test("is found with the time that it was created at", async () => {
    const log = await openLog();
    const before = await known(log);
    const batch = [append("a", null, "a0", "a1")];
    await log.send(batch);
    await log.sql(`update ${log.names.events} set created = '2020-01-03T00:00:00.007Z'`);
    expect(inferOutcomes(batch, before, await ask(log, batch, before))).toMatchObject([
      { created: new Date("2020-01-03T00:00:00.007Z") },
    ]);
    await log.sql(
      `update ${log.names.events} set created = created + interval '1900 microseconds' where version = 1`,
    );
    const first = Date.parse("2020-01-03T00:00:00.007Z");
    expect(inferOutcomes(batch, before, await ask(log, batch, before))).toMatchObject([
      { outcome: { dates: [first, first + 1] } },
    ]);
  });

  test("is unknown if some of its events are gone", async () => {
    const log = await openLog();
    await log.send([append("first", null, "A")]);
    const ask = await inDoubt(log, [append("a", null, "a0", "a1")]);
    await log.sql(`delete from ${log.names.events} where name = 'a1'`);
    expect(await ask()).toEqual(["unknown"]);
  });
});

describe("a commit that was not stored", () => {
  test("is absent: rolled back, refused, or never begun", async () => {
    const log = await openLog();
    await log.send([append("a", null, "a0")]);
    const before = await known(log);
    const batch = [append("a", null, "a1"), append("b", -1, "b0")];
    expect(await askAbout(log, batch, before)()).toEqual(["absent", "absent"]);
    await log.send([append("a", 5, "never")]);
    expect(await askAbout(log, [append("a", 5, "never")], before)()).toEqual(["absent"]);
  });

  test("is absent in a log that was empty, also once others have written to it", async () => {
    const log = await openLog();
    const ask = askAbout(log, [append("a", null, "a0")], await known(log));
    expect(await ask()).toEqual(["absent"]);
    await log.send([append("a", null, "other")]);
    expect(await ask()).toEqual(["absent"]);
  });

  test("behind a pooler is pending until its message may no longer begin", async () => {
    const log = await openLog();
    const batch = [append("a", null, "a0")];
    const before = await known(log);
    const minute = 60_000;
    expect(await askAbout(log, batch, { ...before, until: Date.now() + minute })()).toEqual(["pending"]);
    expect(await askAbout(log, batch, { ...before, until: Date.now() - minute })()).toEqual(["absent"]);
  });
});

describe("a commit to a stream that was truncated", () => {
  test("since then is unknown: it may have been stored, and be gone", async () => {
    const log = await openLog();
    await log.send([append("first", null, "A"), append("a", null, "a0")]);
    const batch = [append("a", null, "a1"), append("b", null, "b0"), append("c", null, "c0")];
    const ask = await inDoubt(log, batch);
    await log.store.truncate([{ stream: "a" }, { stream: "b", snapshot: {} }]);
    expect(await ask()).toEqual(["unknown", "unknown", stored(-1, 5)]);
    // The stream has grown since.
    await log.send([append("a", null, "a1", "a2")]);
    expect(await ask()).toEqual(["unknown", "unknown", stored(-1, 5)]);
  });

  test("before it is absent if it is not found", async () => {
    const log = await openLog();
    await log.send([append("first", null, "A"), append("a", null, "a0")]);
    await log.store.truncate([{ stream: "a" }]);
    await log.send([append("a", null, "a1")]);
    expect(await askAbout(log, [append("a", null, "a2")], await known(log))()).toEqual(["absent"]);
  });

  test("that others began with is known to be absent: a commit from before still has its token", async () => {
    const log = await openLog();
    const second = append("b", null, "b0");
    await log.send([append("first", null, "A")]);
    await log.send([second]);
    const before = await known(log);
    await log.store.truncate([{ stream: "first" }]);
    const ask = (over: Partial<InDoubtTransaction>) =>
      askAbout(log, [append("c", null, "c0")], { ...before, ...over })();
    expect(await ask({ known: { id: 2, token: second.token } })).toEqual(["absent"]);
    // Nothing is known that could tell it from a restore.
    expect(await ask({})).toEqual(["unknown"]);
    expect(await ask({ known: { id: 2, token: append("b", null, "b0").token } })).toEqual(["unknown"]);
    // A restore gives the same ids, and no tokens.
    await log.store.restore(async (insert) => {
      await insert(event("first"));
      await insert(event("b"));
    });
    expect(await ask({ known: { id: 2, token: second.token } })).toEqual(["unknown"]);
  });

  test("as far as a snapshot since then is unknown, as far as an older one absent", async () => {
    const log = await openLog();
    await log.send([append("first", null, "A"), append("a", null, "__snapshot__"), append("b", null, "b0")]);
    const batch = [append("a", null, "a1"), append("b", null, "b1")];
    const ask = askAbout(log, batch, await known(log));
    await log.send([append("b", null, "__snapshot__")]);
    const before = new Date(Date.now() + 60_000);
    await log.store.truncate([
      { stream: "a", before },
      { stream: "b", before },
    ]);
    expect(await ask()).toEqual(["absent", "unknown"]);
  });
});

describe("a commit to a log that was restored since", () => {
  test("is unknown: it may have been stored, and be gone", async () => {
    const log = await openLog();
    await log.send([append("first", null, "A")]);
    const ask = await inDoubt(log, [append("a", null, "a0")]);
    await log.store.restore(async (insert) => void (await insert(event("first"))));
    expect(await ask()).toEqual(["unknown"]);
    await log.send([append("a", null, "later")]);
    expect(await ask()).toEqual(["unknown"]);
  });

  test("is found in an emptied log, though its id is below the last one before, if the whole log is looked through", async () => {
    const log = await openLog();
    // What a connection is told of a log whose first commits were rolled back: ids were given out, and nothing is there.
    const before = { ...(await known(log)), after: 40 };
    await log.store.restore(async () => {});
    const batch = [append("a", null, "a0")];
    await log.send(batch);
    expect(await askAbout(log, batch, before)()).toEqual(["absent"]);
    expect(await askAbout(log, batch, { ...before, after: 0 })()).toEqual([stored(-1, 1)]);
  });

  test("is unknown also where nothing was restored, or where the log was empty before", async () => {
    const log = await openLog();
    const empty = askAbout(log, [append("a", null, "a0")], await known(log));
    await log.send([append("first", null, "A")]);
    const ask = await inDoubt(log, [append("a", null, "a0")]);
    await log.store.restore(async () => {});
    expect(await ask()).toEqual(["unknown"]);
    await log.store.restore(async (insert) => void (await insert(event("first"))));
    expect(await empty()).toEqual(["unknown"]);
  });
});

describe("behind a pooler a message and a recovery that meet", () => {
  /** Both wait for the append lock, which is held by another transaction: until `release` is called. */
  async function meeting() {
    const log = await openLog();
    await log.send([append("first", null, "A")]);
    const held = gate();
    const free = gate();
    const holder = log.connections.session("test", async (run) => {
      await run(lockAppends(log.names, 0));
      held.open();
      await free.passed;
    });
    await held.passed;
    const waiters = (count: number) =>
      eventually(async () => {
        const waiting = await log.sql("select from pg_locks where locktype = 'advisory' and not granted");
        return waiting.length === count;
      });
    const clock = async () => {
      const [row] = await log.sql("select extract(epoch from clock_timestamp())::float8 * 1000 as now");
      return Number(row?.now);
    };
    const batch = [append("a", null, "a0")];
    // In time now, and too late in a moment.
    const end = (await clock()) + 400;
    const before = { ...(await known(log)), until: end };
    const [, insert] = log.queriesOf(batch);
    const send = () =>
      log.transaction([lockAppendsUntil(log.names, 0, batch[0]?.token ?? "", () => end), insert]).then(
        () => "stored",
        (error: { cause?: { code?: string } }) => error.cause?.code,
      );
    return {
      waiters,
      send,
      recover: askAbout(log, batch, before),
      release: async () => {
        await eventually(async () => (await clock()) > end + CLOCK_MARGIN_MS);
        free.open();
        await holder;
      },
    };
  }

  test("never store what was told to be absent: the message that comes second does not begin in time", async () => {
    const { waiters, send, recover, release } = await meeting();
    const recovering = recover();
    await waiters(1);
    const sending = send();
    await waiters(2);
    await release();
    // It was in time when it came. The recovery has read the clock before that, so it says nothing yet.
    expect(await recovering).toEqual(["pending"]);
    expect(await sending).toBe("TOO_LATE");
    expect(await recover()).toEqual(["absent"]);
  });

  test("find what was stored: the message that came first is waited for", async () => {
    const { waiters, send, recover, release } = await meeting();
    const sending = send();
    await waiters(1);
    const recovering = recover();
    await waiters(2);
    await release();
    expect(await sending).toBe("stored");
    expect(await recovering).toEqual([stored(-1, 2)]);
  });
});

describe("the questions", () => {
  test("are asked under the append lock, in a transaction that writes, so that its COMMIT waits for the standby", async () => {
    const log = await openLog();
    const batch = [append("a", null, "a0")];
    const before = await known(log);
    const own = {
      text: `select pg_current_xact_id_if_assigned()::text as xid,
        exists (select from pg_locks where locktype = 'advisory' and granted and pid = pg_backend_pid()) as locked`,
    };
    const answers = await log.transaction([
      ...recoveryQueries(log.names, lockAppends(log.names, 0), batch, before),
      own,
    ]);
    const row: Row | undefined = answers.at(-1)?.[0];
    expect(row).toEqual({ xid: expect.stringMatching(/^\d+$/), locked: true });
  });
});
