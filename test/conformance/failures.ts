/** What a caller sees of a database that fails. */
import { inspect } from "node:util";
import { ConcurrencyError, StoreError, ValidationError } from "@rotorsoft/act";
import { expect } from "vitest";
import { recordOutput } from "../support/output.ts";
import { eventually, within } from "./kit/eventually.ts";
import { appendWaiters, holdAppendLock, openTransaction, tablesOf } from "./kit/postgres.ts";
import {
  append,
  appendOne,
  everyVerb,
  message,
  meta,
  readAll,
  restorable,
  restore,
  restoreWith,
} from "./kit/scenario.ts";
import { type DatabaseFixture, type RawAccess, section } from "./kit/section.ts";

const SECRET = "s3cr3t-payload";

/** Everything that is logged or printed from now on. */
function captureOutput(): () => string {
  const calls = recordOutput();
  return () => inspect(calls(), { depth: null, showHidden: true });
}

/** All that an error tells to whoever prints it, hidden fields included. */
const told = (error: unknown) => inspect(error, { depth: null, showHidden: true });

async function forbid({ raw }: DatabaseFixture): Promise<void> {
  await raw.sql`alter table ${tablesOf(raw).events} add constraint forbidden check (name <> 'Forbidden')`;
}

/** Ends the store's backend that waits for a lock. */
async function killWaiting(raw: RawAccess): Promise<void> {
  await eventually(async () => {
    const killed = await raw.sql`
      select pg_terminate_backend(pid, 5000) from pg_stat_activity
      where application_name = ${raw.table} and wait_event_type = 'Lock'`;
    return killed.length > 0;
  });
}

const outcomeOf = (call: () => Promise<unknown>) =>
  within(
    15_000,
    "the failure",
    Promise.resolve()
      .then(call)
      .catch((error: unknown) => error),
  );

/** A StoreError of this verb, around the driver's error and not around another StoreError. */
function wrappedOnce(error: unknown, verb: string): void {
  expect(error, verb).toBeInstanceOf(StoreError);
  expect(error, verb).toMatchObject({ operation: verb, cause: expect.any(Error) });
  const cause = error instanceof Error ? error.cause : undefined;
  expect(cause, verb).not.toBeInstanceOf(StoreError);
  expect(cause instanceof Error ? cause.message : "", verb).not.toContain("Store operation");
}

export const failures = section("failures", (line) => {
  line(
    "C10",
    "a failure of any verb is one StoreError with the verb and the cause",
    {
      needs: ["sql"],
    },
    async ({ store, raw }) => {
      const { events, streams, correlated } = tablesOf(raw);
      await raw.sql`drop table ${events}, ${streams}, ${correlated}`;
      for (const [verb, call] of everyVerb(store)) wrappedOnce(await outcomeOf(call), verb);
    },
  );

  line(
    "C10",
    "an unreachable server is one StoreError of every verb",
    {
      needs: ["sql"],
      timeout: 30_000,
    },
    async ({ raw }) => {
      const store = raw.construct({ host: "127.0.0.1", port: 1, connectionTimeoutMillis: 1_000 });
      const calls = [
        ...everyVerb(store),
        ["seed", () => store.seed()],
        ["drop", () => store.drop()],
      ] as const;
      for (const [verb, call] of calls) wrappedOnce(await outcomeOf(call), verb);
    },
  );

  line(
    "C10",
    "a read whose connection is killed is repeated or a StoreError, and the store goes on",
    {
      needs: ["sql"],
    },
    async ({ store, raw }) => {
      await append(store, "s", "A");
      const { events } = tablesOf(raw);
      const holder = await openTransaction(raw, (sql) => sql`lock table ${events} in access exclusive mode`);
      const reading = outcomeOf(() => readAll(store));
      await killWaiting(raw);
      await holder.rollback();
      const outcome = await reading;
      if (outcome instanceof Error) expect(outcome).toBeInstanceOf(StoreError);
      else expect(outcome).toHaveLength(1);
      expect(await within(8_000, "the next query", readAll(store))).toHaveLength(1);
    },
  );

  line(
    "C10",
    "a commit whose connection is killed lands once, or is a StoreError and has not landed",
    {
      needs: ["sql"],
    },
    async ({ store, raw }) => {
      await append(store, "s", "Before");
      for (let round = 0; round < 3; round++) {
        const holder = await holdAppendLock(raw);
        const committing = outcomeOf(() => append(store, "s", `Round${round}`));
        await appendWaiters(raw);
        await killWaiting(raw);
        await holder.rollback();
        const outcome = await committing;
        const landed = (await readAll(store)).filter(({ name }) => name === `Round${round}`);
        if (outcome instanceof Error) expect(outcome).toBeInstanceOf(StoreError);
        expect(landed).toHaveLength(outcome instanceof Error ? 0 : 1);
      }
      expect(await within(8_000, "the next commit", append(store, "s", "After"))).toHaveLength(1);
    },
  );

  line("C10", "ConcurrencyError passes as it is", async ({ store }) => {
    const error = await outcomeOf(() => store.commit("s", [message()], meta(), 3));
    expect(error).toBeInstanceOf(ConcurrencyError);
    expect(error).not.toBeInstanceOf(StoreError);
  });

  line("C10", "ValidationError passes as it is", async ({ store }) => {
    const error = await outcomeOf(() => store.reset({ stream: "(" }));
    expect(error).toBeInstanceOf(ValidationError);
    expect(error).not.toBeInstanceOf(StoreError);
  });

  line(
    "C10",
    "an error of the caller's own callback passes as it is",
    { needs: ["restore"] },
    async ({ store }) => {
      await append(store, "s", "A");
      const own = new TypeError("own");
      expect(await outcomeOf(() => store.query(() => Promise.reject(own)))).toBe(own);
      expect(await outcomeOf(() => restoreWith(store, () => Promise.reject(own)))).toBe(own);
    },
  );

  line("C10", "a StoreError from within the callback is not wrapped again", async ({ store }) => {
    await append(store, "s", "A");
    const inner = new StoreError("inner", { cause: new Error("cause") });
    expect(await outcomeOf(() => store.query(() => Promise.reject(inner)))).toBe(inner);
  });

  line(
    "C10",
    "a commit that the database refuses tells no payload, nor does the log",
    {
      needs: ["sql"],
    },
    async (fixture) => {
      await forbid(fixture);
      const output = captureOutput();
      const entry = { ...message("Forbidden", { [SECRET]: SECRET }), pii: { email: SECRET } };
      const error = await outcomeOf(() => fixture.store.commit("s", [message("A"), entry], meta(SECRET)));
      expect(error).toBeInstanceOf(StoreError);
      expect(told(error)).not.toContain(SECRET);
      expect(output()).not.toContain(SECRET);
    },
  );

  line(
    "C10",
    "a restore that the database refuses tells no payload, nor does the log",
    {
      needs: ["sql", "restore"],
    },
    async (fixture) => {
      await forbid(fixture);
      const output = captureOutput();
      const event = restorable("s", 0, { name: "Forbidden", data: { text: SECRET }, pii: { email: SECRET } });
      const error = await outcomeOf(() => restore(fixture.store, [event]));
      expect(error).toBeInstanceOf(Error);
      expect(told(error)).not.toContain(SECRET);
      expect(output()).not.toContain(SECRET);
    },
  );

  line(
    "C10",
    "a truncate that the database refuses tells no payload, nor does the log",
    {
      needs: ["sql"],
    },
    async ({ store, raw }) => {
      await append(store, "s", "A");
      await raw.sql`alter table ${tablesOf(raw).events} add constraint forbidden check (name <> '__snapshot__')`;
      const output = captureOutput();
      const error = await outcomeOf(() => store.truncate([{ stream: "s", snapshot: { text: SECRET } }]));
      expect(error).toBeInstanceOf(StoreError);
      expect(told(error)).not.toContain(SECRET);
      expect(output()).not.toContain(SECRET);
    },
  );

  line("C10", "a refused commit tells no payload in what is logged of it", async ({ store }) => {
    const output = captureOutput();
    const error = await outcomeOf(() => store.commit("s", [message("A", { text: SECRET })], meta(), 9));
    expect(error instanceof Error ? error.message : SECRET).not.toContain(SECRET);
    expect(output()).not.toContain(SECRET);
  });

  line(
    "C10",
    "unstorable text is refused without a word of it in message or log",
    { needs: ["sql"] },
    async (fixture) => {
      const output = captureOutput();
      const error = await outcomeOf(() =>
        appendOne(fixture.store, "s", {
          ...message("A", { text: `${SECRET}\u0000` }),
          pii: { email: SECRET },
        }),
      );
      expect(error).toBeInstanceOf(ValidationError);
      expect(error instanceof Error ? error.message : SECRET).not.toContain(SECRET);
      expect(told(error instanceof ValidationError ? error.details : SECRET)).not.toContain(SECRET);
      expect(output()).not.toContain(SECRET);
    },
  );
});
