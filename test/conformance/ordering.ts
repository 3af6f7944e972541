/** Appends among other transactions, other processes, truncates and restores. */
import { ConcurrencyError } from "@rotorsoft/act";
import { expect } from "vitest";
import { gate, within } from "./kit/eventually.ts";
import { appendWaiters, channelOf, holdAppendLock, openTransaction, tablesOf } from "./kit/postgres.ts";
import {
  append,
  appendMany,
  appendOne,
  at,
  idsOf,
  message,
  meta,
  namesOf,
  only,
  read,
  readAll,
  readStream,
  restorable,
  restoreWith,
} from "./kit/scenario.ts";
import { section } from "./kit/section.ts";

const upTo = (count: number) => Array.from({ length: count }, (_, n) => n);

export const ordering = section("commits among others", (line) => {
  line(
    "M5",
    "a reader that follows the ids misses no event of concurrent writers",
    {
      needs: ["shared"],
      timeout: 20_000,
    },
    async ({ store, second }) => {
      const other = await second();
      const reader = await second();
      const seen: number[] = [];
      const done = gate();
      const reading = (async () => {
        let writing = true;
        void done.passed.then(() => {
          writing = false;
        });
        for (let last = false; !last; ) {
          last = !writing;
          const page = await read(reader, { after: seen.at(-1) ?? -1, limit: 7 });
          seen.push(...idsOf(page));
          if (page.length) last = false;
        }
      })();
      await Promise.all(
        upTo(120).map((n) => append(n % 2 ? store : other, `s${n % 7}`, ...Array(1 + (n % 3)).fill("A"))),
      );
      done.open();
      await reading;
      expect(seen).toEqual(idsOf(await readAll(store)));
    },
  );

  line(
    "M5",
    "an append waits while another transaction holds the log's lock",
    { needs: ["sql"] },
    async (fixture) => {
      const { store, raw } = fixture;
      const holder = await holdAppendLock(raw);
      const committing = append(store, "s", "A");
      await appendWaiters(raw);
      expect(await readAll(store)).toEqual([]);
      await holder.commit();
      expect(await within(5_000, "the append", committing)).toHaveLength(1);
    },
  );

  line(
    "M5",
    "a rollback of the holder lets the append through",
    { needs: ["sql"] },
    async ({ store, raw }) => {
      const holder = await holdAppendLock(raw);
      const committing = append(store, "s", "A");
      await appendWaiters(raw);
      await holder.rollback();
      expect(await within(5_000, "the append", committing)).toHaveLength(1);
    },
  );

  line("M5", "the lock of another table holds no append up", { needs: ["sql"] }, async ({ store, raw }) => {
    const holder = await holdAppendLock({ ...raw, table: `${raw.table}_other` });
    expect(await within(5_000, "the append", append(store, "s", "A"))).toHaveLength(1);
    await holder.rollback();
  });

  line(
    "M5",
    "an append behind act-pg's own append sees its version",
    { needs: ["sql"] },
    async ({ store, raw }) => {
      const holder = await holdAppendLock(raw);
      await holder.sql`insert into ${tablesOf(raw).events} (name, data, stream, version, meta)
      values ('Theirs', '{}', 's', 0, '{"correlation": "", "causation": {}}')`;
      const committing = append(store, "s", "Ours");
      await appendWaiters(raw);
      await holder.commit();
      expect(only(await within(5_000, "the append", committing)).version).toBe(1);
      expect(namesOf(await readStream(store, "s"))).toEqual(["Theirs", "Ours"]);
    },
  );

  line("M5", "the guard is checked under the lock", { needs: ["sql"] }, async ({ store, raw }) => {
    const holder = await holdAppendLock(raw);
    await holder.sql`insert into ${tablesOf(raw).events} (name, data, stream, version, meta)
      values ('Theirs', '{}', 's', 0, '{"correlation": "", "causation": {}}')`;
    const committing = store.commit("s", [message()], meta(), -1).catch((error: unknown) => error);
    await appendWaiters(raw);
    await holder.commit();
    expect(await within(5_000, "the append", committing)).toMatchObject({
      name: "ERR_CONCURRENCY",
      lastVersion: 0,
    });
  });

  line(
    "M7",
    "a commit beyond the size of a notification succeeds and is found",
    {
      needs: ["notify"],
      options: { notify: true },
    },
    async ({ store }) => {
      const name = "N".repeat(150);
      const committed = await appendMany(store, "s".repeat(200), 200, name);
      expect(committed).toHaveLength(200);
      expect(idsOf(await read(store, { names: [name] }))).toEqual(idsOf(committed));
    },
  );

  line("M7", "with notify off, nothing is sent", { needs: ["sql"] }, async ({ store, raw }) => {
    const received: string[] = [];
    const sentinel = gate();
    const listener = raw.connect();
    await listener.listen(channelOf(raw), (payload) => {
      received.push(payload);
      if (payload === "sentinel") sentinel.open();
    });
    await append(store, "s", "A", "B");
    await store.truncate([{ stream: "s" }]);
    await raw.sql`select pg_notify(${channelOf(raw)}, 'sentinel')`;
    await within(5_000, "the sentinel", sentinel.passed);
    expect(received).toEqual(["sentinel"]);
  });

  line(
    "M8",
    "guarded commits of two processes leave no hole and no trace of the losers",
    {
      needs: ["shared"],
      timeout: 20_000,
    },
    async ({ store, second }) => {
      const stores = [store, await second()];
      const landed: string[] = [];
      const worker = async (own: number) => {
        for (const n of upTo(25)) {
          const writer = at(stores, own % stores.length);
          const head = at(
            await read(writer, { stream: "s", stream_exact: true, backward: true, limit: 1 }),
            -1,
          );
          const name = `w${own}-${n}`;
          await writer.commit("s", [message(name), message(name)], meta(), head.version).then(
            () => landed.push(name, name),
            (error: unknown) => expect(error).toBeInstanceOf(ConcurrencyError),
          );
        }
      };
      await append(store, "s", "First");
      await Promise.all(upTo(6).map(worker));
      const events = await readStream(store, "s");
      expect(events.map(({ version }) => version)).toEqual(upTo(events.length));
      expect(namesOf(events).sort()).toEqual(["First", ...landed].sort());
      expect(landed.length).toBeGreaterThan(0);
    },
  );

  line("M8", "unguarded commits of two processes leave no hole", { needs: ["shared"] }, async (fixture) => {
    const { store } = fixture;
    const stores = [store, await fixture.second()];
    await Promise.all(upTo(60).map((n) => append(at(stores, n % 2), "s", "A", "B")));
    const events = await readStream(store, "s");
    expect(events.map(({ version }) => version)).toEqual(upTo(120));
  });

  line("M8", "one of two processes wins a guarded race", { needs: ["shared"] }, async ({ store, second }) => {
    const other = await second();
    for (const round of upTo(15)) {
      const outcomes = await Promise.allSettled([
        store.commit(`s${round}`, [message("Ours")], meta(), -1),
        other.commit(`s${round}`, [message("Theirs")], meta(), -1),
      ]);
      expect(outcomes.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
      expect(await readStream(store, `s${round}`)).toHaveLength(1);
    }
  });

  line(
    "M9",
    "an unguarded commit that races a truncate lands before or after it",
    {
      needs: ["shared"],
      timeout: 20_000,
    },
    async ({ store, second }) => {
      const other = await second();
      for (const round of upTo(40)) {
        const stream = `s${round}`;
        await append(store, stream, "A", "B", "C");
        await Promise.all([append(other, stream, "Late"), store.truncate([{ stream, snapshot: { n: 3 } }])]);
        const left = (await read(store, { stream, stream_exact: true, with_snaps: true })).map((event) => [
          event.name,
          event.version,
        ]);
        expect([
          [["__snapshot__", 0]],
          [
            ["__snapshot__", 0],
            ["Late", 1],
          ],
        ]).toContainEqual(left);
      }
    },
  );

  line(
    "M9",
    "a guarded commit that races a truncate is wiped by it or refused",
    {
      needs: ["shared"],
      timeout: 20_000,
    },
    async ({ store, second }) => {
      const other = await second();
      for (const round of upTo(30)) {
        const stream = `s${round}`;
        await append(store, stream, "A", "B", "C");
        const [committed, truncated] = await Promise.allSettled([
          other.commit(stream, [message("Late")], meta(), 2),
          store.truncate([{ stream }]),
        ]);
        expect(truncated.status).toBe("fulfilled");
        if (committed.status === "rejected") expect(committed.reason).toMatchObject({ lastVersion: 0 });
        expect((await readStream(store, stream)).map((e) => [e.name, e.version])).toEqual([
          ["__tombstone__", 0],
        ]);
      }
    },
  );

  line(
    "M9",
    "a commit that queued behind a truncate continues after its seed",
    { needs: ["sql"] },
    async (fixture) => {
      const { store, raw } = fixture;
      await append(store, "s", "A", "B", "C");
      const holder = await openTransaction(raw, async (sql) => {
        const { events } = tablesOf({ ...raw, sql });
        await sql`select pg_advisory_xact_lock(hashtext(${`"${raw.schema}"."${raw.table}"`}))`;
        await sql`delete from ${events} where stream = 's'`;
        await sql`insert into ${events} (name, data, stream, version, meta)
        values ('__snapshot__', '{}', 's', 0, '{"correlation": "", "causation": {}}')`;
      });
      const committing = append(store, "s", "Late");
      await appendWaiters(raw);
      await holder.commit();
      expect(only(await within(5_000, "the append", committing)).version).toBe(1);
    },
  );

  line(
    "M9",
    "a commit that races a restore is wiped by it or follows it",
    {
      needs: ["shared", "restore"],
    },
    async ({ store, second }) => {
      const other = await second();
      for (const round of upTo(10)) {
        await append(store, "s", "A", "B", "C");
        await Promise.all([
          restoreWith(store, async (insert) => {
            await insert(restorable("s", 0, { name: `Restored${round}` }));
          }),
          append(other, "s", "Late"),
        ]);
        const left = (await readStream(store, "s")).map((event) => [event.name, event.version]);
        expect([
          [[`Restored${round}`, 0]],
          [
            [`Restored${round}`, 0],
            ["Late", 1],
          ],
        ]).toContainEqual(left);
      }
    },
  );

  line(
    "D2",
    "created never runs backward along the ids of two processes",
    { needs: ["shared"] },
    async (fixture) => {
      const { store } = fixture;
      const stores = [store, await fixture.second()];
      await Promise.all(upTo(80).map((n) => append(at(stores, n % 2), `s${n}`, "A")));
      const times = (await readAll(store)).map(({ created }) => created.getTime());
      expect(times).toEqual([...times].sort((a, b) => a - b));
    },
  );

  line(
    "D2",
    "a clock that was set back does not show in created",
    { needs: ["sql"] },
    async ({ store, raw }) => {
      await raw.sql`insert into ${tablesOf(raw).events} (name, data, stream, version, created, meta)
      values ('Future', '{}', 's', 0, now() + interval '1 hour', '{"correlation": "", "causation": {}}')`;
      await append(store, "s", "A");
      await store.truncate([{ stream: "t" }]);
      await Promise.all([append(store, "s", "B"), append(store, "u", "C")]);
      const times = (await readAll(store)).map(({ created }) => created.getTime());
      expect(times).toHaveLength(5);
      expect(times).toEqual([...times].sort((a, b) => a - b));
    },
  );

  line("D2", "created has whole milliseconds, stored as returned", async ({ store }) => {
    const committed = await appendMany(store, "s", 3);
    for (const { created } of committed) expect(Number.isInteger(created.getTime())).toBe(true);
    expect((await readAll(store)).map(({ created }) => created)).toEqual(
      committed.map(({ created }) => created),
    );
  });

  line("D2", "created hides no microseconds in the database", { needs: ["sql"] }, async ({ store, raw }) => {
    await Promise.all(upTo(10).map((n) => append(store, `s${n}`, "A")));
    const odd = await raw.sql`select id from ${tablesOf(raw).events}
      where created <> date_trunc('milliseconds', created)`;
    expect([...odd]).toEqual([]);
  });

  line("D2", "created is taken once the log's lock is held", { needs: ["sql"] }, async ({ store, raw }) => {
    const holder = await holdAppendLock(raw);
    const committing = appendOne(store, "s", message());
    await appendWaiters(raw);
    const [released] = await holder.sql<Array<{ at: Date }>>`
      select date_trunc('milliseconds', clock_timestamp()) as at`;
    await holder.commit();
    const { created } = await within(5_000, "the append", committing);
    expect(created.getTime()).toBeGreaterThanOrEqual(released?.at.getTime() ?? Number.POSITIVE_INFINITY);
  });

  line(
    "M7",
    "the size of a notification is counted in bytes",
    { needs: ["notify"], options: { notify: true } },
    async ({ store }) => {
      // About 5,000 characters, about 9,000 bytes.
      expect(await appendMany(store, "s", 40, "é".repeat(100))).toHaveLength(40);
    },
  );
});
