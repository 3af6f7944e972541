/** A certificate authority for tests, and what it signs. */
import { execFileSync } from "node:child_process";
import { chownSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findProgram } from "../failover/programs.ts";

export const openssl = findProgram("openssl");

export type Signed = { readonly certificate: string; readonly key: string };

export class Authority {
  readonly #folder = mkdtempSync(join(tmpdir(), "act-ca-"));
  readonly #owner: { readonly uid: number; readonly gid: number };
  readonly certificate: string;
  #serial = 0;

  /** `owner`: who must be able to read the keys. */
  constructor(name: string, owner: { readonly uid: number; readonly gid: number }) {
    this.#owner = owner;
    chownSync(this.#folder, owner.uid, owner.gid);
    const key = this.#file("ca.key");
    this.certificate = this.#file("ca.crt");
    this.#run(
      "req",
      "-x509",
      "-newkey",
      "rsa:2048",
      "-nodes",
      "-days",
      "2",
      "-subj",
      `/CN=${name}`,
      ...["-keyout", key, "-out", this.certificate],
    );
  }

  /** PEM text. */
  get pem(): string {
    return readFileSync(this.certificate, "utf8");
  }

  /** A certificate for `names`, such as `DNS:localhost`; `days` below 0 is over. */
  sign(names: string, days = 2): Signed {
    const id = ++this.#serial;
    const key = this.#file(`${id}.key`);
    const certificate = this.#file(`${id}.crt`);
    const request = this.#file(`${id}.csr`);
    const extensions = this.#file(`${id}.ext`);
    writeFileSync(extensions, `subjectAltName=${names}\n`);
    this.#run(
      "req",
      "-newkey",
      "rsa:2048",
      "-nodes",
      "-subj",
      `/CN=${names.split(":")[1]}`,
      "-keyout",
      key,
      "-out",
      request,
    );
    this.#run(
      "x509",
      "-req",
      "-in",
      request,
      "-CA",
      this.certificate,
      "-CAkey",
      this.#file("ca.key"),
      "-CAcreateserial",
      ...["-days", String(days), "-extfile", extensions, "-out", certificate],
    );
    for (const file of [key, certificate]) chownSync(file, this.#owner.uid, this.#owner.gid);
    return { certificate, key };
  }

  #file(name: string): string {
    return join(this.#folder, name);
  }

  #run(...args: string[]): void {
    execFileSync(openssl ?? "openssl", args, { stdio: "pipe" });
  }

  remove(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
