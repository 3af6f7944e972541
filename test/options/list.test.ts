/** The list of options, and what is made from it. */
import { inspect } from "node:util";
import { describe, expect, expectTypeOf, test } from "vitest";
import type { z } from "zod";
import type { Config, PostgresStoreOptions, TargetSessionAttrs } from "../../src/index.ts";
import { optionList, type optionsSchema } from "../../src/options/option-list.ts";
import { resolveOptions } from "../../src/options/resolve.ts";

test("the public type of the options is what their schema takes", () => {
  type Taken = z.input<typeof optionsSchema>;
  expectTypeOf<PostgresStoreOptions>().toExtend<Taken>();
  expectTypeOf<Taken>().toExtend<PostgresStoreOptions>();
  expectTypeOf<Required<PostgresStoreOptions>>().toExtend<Required<Taken>>();
  expectTypeOf<Required<Taken>>().toExtend<Required<PostgresStoreOptions>>();
  expectTypeOf<keyof PostgresStoreOptions>().toEqualTypeOf<keyof Taken>();
  expectTypeOf<PostgresStoreOptions["dates"]>().toEqualTypeOf<"exact" | "revive" | undefined>();
  expectTypeOf<Config["max"]>().toEqualTypeOf<number>();
  expectTypeOf<Config["target_session_attrs"]>().toEqualTypeOf<TargetSessionAttrs>();
});

test("the config has each option that the list says, the hosts, whether pii is encrypted, and no more", () => {
  const { config } = resolveOptions({ url: "postgres://u:p@h/d", listen_url: "postgres://l/d" }, {});
  const shown = optionList.filter((option) => option.config !== false).map(({ name }) => name);
  expect(Reflect.ownKeys(config).toSorted()).toEqual([...shown, "hosts", "encrypted"].toSorted());
});

test.each(["url", "env"] as const)("no two options have one name in a source (%s)", (source) => {
  const names = optionList.flatMap((option) => Object.keys(option[source] ?? {}));
  expect(names.length).toBeGreaterThan(5);
  expect(new Set(names).size).toBe(names.length);
});

test("each option has a line of documentation, a sentence that fits a cell of a table", () => {
  for (const { name, docs } of optionList) expect(docs, name).toMatch(/^[^\n]{10,200}\.$/);
});

describe("secrets are beside the config", () => {
  const key = new Uint8Array(32).fill(77);
  const tls = { key: "hunter2", passphrase: "hunter2" };
  const { config, secrets } = resolveOptions({ password: "hunter2", ssl: tls, pii_encryption: { key } }, {});

  test("password, TLS options and the key are there for the connections and the cipher", () => {
    expect(secrets).toEqual({ password: "hunter2", tls, pii: { key } });
  });

  test("and nowhere in the config, however it is looked at", () => {
    const all = { customInspect: false, showHidden: true, getters: true, depth: 10 };
    const text = `${inspect(config, all)} ${JSON.stringify(config)}`;
    expect(text).not.toMatch(/hunter2|77/);
    expect(config).toMatchObject({ ssl: true, encrypted: true });
  });
});
