/** The option `replicas`: whose options they have. */
import { describe, expect, test } from "vitest";
import { PostgresStore, type PostgresStoreOptions } from "../../src/index.ts";
import { resolveOptions } from "../../src/options/resolve.ts";

const given: PostgresStoreOptions = {
  host: "given",
  database: "given_db",
  user: "given_user",
  password: "given_password",
  ssl: "verify-full",
  target_session_attrs: "read-write",
};

describe("replicas", () => {
  const two = ["postgres://one.example", "postgres://ru:rp@two.example:9/other?target_session_attrs=standby"];

  test("have the store's options, and the host, port and login of their URL", () => {
    const { replicas } = resolveOptions({ ...given, replicas: two }, {});
    expect(replicas.map(({ config }) => config.hosts)).toEqual([
      [{ host: "one.example", port: 5432 }],
      [{ host: "two.example", port: 9 }],
    ]);
    const [one, other] = replicas;
    expect(one?.config).toMatchObject({ database: "given_db", user: "given_user", ssl: "verify-full" });
    expect(one?.secrets.password).toBe("given_password");
    // What the primary is chosen by is not how a replica is.
    expect(one?.config.target_session_attrs).toBe("any");
    expect(other?.config).toMatchObject({ database: "other", user: "ru", target_session_attrs: "standby" });
    expect(other?.secrets.password).toBe("rp");
  });

  test("are those of a config that was spread", () => {
    const { config } = new PostgresStore({ host: "h", replicas: two });
    expect(resolveOptions({ ...config }, {}).replicas).toHaveLength(2);
  });

  test("there are none unless they are given", () => {
    expect(resolveOptions({}, {}).replicas).toEqual([]);
  });
});
