import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll } from "vitest";

/** A folder with ca.pem, client.pem and client.key, while the tests of the file run. `path` is empty before. */
export function pemFiles(): { readonly path: string } {
  const folder = { path: "" };
  beforeAll(() => {
    folder.path = mkdtempSync(join(tmpdir(), "act-drizzle-"));
    const pem = (label: string) => `-----BEGIN ${label}-----\nMIIB\n-----END ${label}-----\n`;
    writeFileSync(join(folder.path, "ca.pem"), pem("CERTIFICATE"));
    writeFileSync(join(folder.path, "client.pem"), pem("CERTIFICATE"));
    writeFileSync(join(folder.path, "client.key"), pem("PRIVATE KEY"));
  });
  afterAll(() => rmSync(folder.path, { recursive: true }));
  return folder;
}
