/** TLS of a listen_url and of replicas: what their URLs name, and what the store's options name. */
import { describe, expect, test } from "vitest";
import { resolveOptions } from "../../src/options/resolve.ts";
import { pemFiles } from "./pem-files.ts";

const folder = pemFiles();

/** `$DIR` in a URL is the folder of the files. */
const resolve = (url: string, options: object = {}, env = {}) =>
  resolveOptions({ url: url.replaceAll("$DIR", folder.path), ...options }, env);

describe("a listen_url and a replica that name a certificate verify the server, beside", () => {
  test.each([
    ["disable", "verify-full"],
    ["allow", "verify-full"],
    ["prefer", "verify-full"],
    ["no-verify", "verify-full"],
    ["require", "verify-ca"],
    ["verify-ca", "verify-ca"],
    ["verify-full", "verify-full"],
  ])("sslmode=%s", (sslmode, expected) => {
    const own = `postgres://direct.example/d?sslrootcert=${folder.path}/ca.pem`;
    const main = `postgres://u@h/d?sslmode=${sslmode}`;
    const { listen, replicas, config } = resolve(main, { listen_url: own, replicas: [own] });
    expect([config.ssl, listen?.config.ssl, replicas[0]?.config.ssl]).toEqual([sslmode, expected, expected]);
    const off = resolve(main, { listen_url: `${own}&sslmode=disable` });
    expect(off.listen?.config.ssl).toBe("disable");
  });

  const client = () => `sslcert=${folder.path}/client.pem&sslkey=${folder.path}/client.key`;

  test.each([
    ["disable", "verify-full"],
    ["prefer", "verify-full"],
    ["no-verify", "verify-full"],
    ["require", "verify-full"],
    ["verify-ca", "verify-ca"],
    ["verify-full", "verify-full"],
  ])(
    "sslmode=%s, of the URL or of the environment, with a client's certificate alone",
    (sslmode, expected) => {
      const own = `postgres://direct.example/d?${client()}`;
      const others = { listen_url: own, replicas: [own] };
      for (const { listen, replicas, config } of [
        resolve(`postgres://u@h/d?sslmode=${sslmode}`, others),
        resolve("postgres://u@h/d", others, { PGSSLMODE: sslmode }),
      ])
        expect([config.ssl, listen?.config.ssl, replicas[0]?.config.ssl]).toEqual([
          sslmode,
          expected,
          expected,
        ]);
    },
  );

  test("sslmode=require and the store's own CA: verify-ca is enough", () => {
    const listen_url = `postgres://direct.example/d?${client()}`;
    const { config, listen } = resolve("postgres://u@h/d?sslmode=require&sslrootcert=$DIR/ca.pem", {
      listen_url,
    });
    expect([config.ssl, listen?.config.ssl]).toEqual(["verify-ca", "verify-ca"]);
  });

  test.each([true, { servername: "x" }])("ssl: %j", (ssl) => {
    const own = `postgres://direct.example/d?${client()}`;
    expect(resolve("postgres://u@h/d", { ssl, listen_url: own }).listen?.config.ssl).toBe(true);
  });
});
