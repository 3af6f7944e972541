/** A logger that fails changes nothing but the log. */
import { log } from "@rotorsoft/act";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { until } from "../order/fence.ts";
import { event, meta, useDatabase } from "../postgres/fixture.ts";

const fixture = useDatabase();
const told = vi.fn();

beforeEach(() => {
  told.mockClear();
  vi.spyOn(process, "emitWarning").mockImplementation(() => {});
});
afterEach(() => vi.restoreAllMocks());

const broken = {
  throws: () => {
    told();
    throw new Error("the logger is closed");
  },
  rejects: () => {
    told();
    return Promise.reject(new Error("the logger is closed"));
  },
};

test.each(["throws", "rejects"] as const)("a commit that is stored does not fail when it %s", async (how) => {
  const store = await fixture.seeded({ slowStatementMillis: 20 });
  const { schema, table } = store.config;
  await fixture.sql.unsafe(`
    create function "${schema}"."${table}_slow"() returns trigger language plpgsql as $$ begin
      perform pg_sleep(0.03); return new; end $$;
    create trigger slow before insert on "${schema}"."${table}"
      for each row execute function "${schema}"."${table}_slow"()`);
  for (const level of ["info", "warn", "error"] as const)
    vi.spyOn(log(), level).mockImplementation(broken[how]);
  await expect(store.commit("s", [event()], meta)).resolves.toHaveLength(1);
  expect(told).toHaveBeenCalled();
});

test("a listener comes back after a lost connection", async () => {
  const store = await fixture.seeded({ notify: true });
  for (const level of ["info", "warn", "error"] as const)
    vi.spyOn(log(), level).mockImplementation(broken.throws);
  const heard: string[] = [];
  const stop = await store.notify?.(({ stream }) => void heard.push(stream));
  const other = fixture.store({ notify: true, table: store.config.table });
  await fixture.kill(store);
  await until("it listens again and hears of a commit", async () => {
    await other.commit("s", [event()], meta);
    return heard.length > 0;
  });
  expect(told).toHaveBeenCalled();
  await stop?.();
});
