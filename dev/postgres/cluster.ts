/** One data folder and the server on it: initdb, start, stop, delete. Runs inside the guard. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import { type Binaries, prepareBinaries } from "./binaries.ts";
import { createFolderInMemory, createHome, type Home, removeFolders } from "./home.ts";
import type { RestartMode } from "./types.ts";

export type ClusterOptions = {
  readonly password: string;
  readonly settings: Readonly<Record<string, string>>;
  readonly version?: string;
  readonly inMemory?: boolean;
};

const stopSignals = { fast: "SIGINT", immediate: "SIGQUIT", kill: "SIGKILL" } as const;
const startDeadline = 60_000;

export class Cluster {
  readonly home: Home = createHome();
  readonly dataDir: string;
  readonly #options: ClusterOptions;
  readonly #binaries: Binaries;
  readonly #memory: string | undefined;
  #child: ChildProcess | undefined;
  #port = 0;
  #disposed = false;

  constructor(options: ClusterOptions) {
    this.#options = options;
    this.#memory = options.inMemory ? createFolderInMemory(this.home.account) : undefined;
    this.dataDir = join(this.#memory ?? this.home.folder, "data");
    try {
      this.#binaries = prepareBinaries(this.home, options.version);
    } catch (error) {
      for (const folder of this.folders) rmSync(folder, { recursive: true, force: true });
      throw error;
    }
  }

  /** All that is on the machine because of this cluster. */
  get folders(): string[] {
    return this.#memory === undefined ? [this.home.folder] : [this.home.folder, this.#memory];
  }

  get pid() {
    return this.#child?.pid;
  }

  get port() {
    return this.#port;
  }

  async init(): Promise<void> {
    const passwordFile = join(this.home.folder, "password");
    writeFileSync(passwordFile, this.#options.password);
    const output: string[] = [];
    const code = await this.#run(
      this.#binaries.initdb,
      [
        `--pgdata=${this.dataDir}`,
        "--username=postgres",
        `--pwfile=${passwordFile}`,
        "--auth=scram-sha-256",
        // One order of text on every machine.
        "--locale=C",
        "--encoding=UTF8",
        "--no-sync",
      ],
      (line) => output.push(line),
    );
    rmSync(passwordFile, { force: true });
    if (code !== 0) throw new Error(`initdb failed: ${output.join("\n")}`);
  }

  /** Resolves when connections are accepted. */
  async start(): Promise<void> {
    const deadline = Date.now() + startDeadline;
    for (;;) {
      const port = this.#port || (await freePort());
      const failure = await this.#tryStart(port);
      if (failure === undefined) {
        this.#port = port;
        return;
      }
      // Someone else took the port meanwhile, or backends of a killed postmaster are still ending.
      const passing = /could not bind|could not create any TCP|shared memory block|lock file/.test(failure);
      if (this.#disposed || !passing || Date.now() > deadline) {
        throw new Error(`PostgreSQL did not start: ${failure}`);
      }
      // Neither tells when it is over.
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  /** Resolves when the server's last process is gone: each holds the pipe of the log. */
  async stop(mode: RestartMode): Promise<void> {
    const child = this.#child;
    if (!child) return;
    const closed = once(child, "close");
    // Windows has no signals: kill() would leave the backends.
    if (process.platform === "win32" && mode !== "kill") {
      const args = ["stop", "-D", this.dataDir, "-m", mode];
      await promisify(execFile)(this.#binaries.pgCtl, args).catch(() => child.kill());
    } else {
      child.kill(stopSignals[mode]);
    }
    await closed;
  }

  /** Ends whatever is running, initdb too, and deletes the folders. */
  async dispose(): Promise<void> {
    this.#disposed = true;
    await this.stop("immediate");
    await removeFolders(...this.folders);
  }

  /** Undefined once connections are accepted, else what the server said. */
  #tryStart(port: number): Promise<string | undefined> {
    const settings = {
      ...this.#options.settings,
      listen_addresses: "127.0.0.1",
      port: String(port),
      unix_socket_directories: "",
    };
    const args = Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
    const output: string[] = [];
    return new Promise((resolve) => {
      this.#run(this.#binaries.postgres, ["-D", this.dataDir, ...args], (line) => {
        if (line.includes("database system is ready to accept connections")) resolve(undefined);
        output.push(line);
        if (output.length > 50) output.shift();
      }).then(
        () => resolve(output.join("\n")),
        (error: Error) => resolve(error.message),
      );
    });
  }

  /** Runs one program at a time, as the account, and gives its exit code. */
  async #run(file: string, args: string[], onLine: (line: string) => void): Promise<number | null> {
    if (this.#disposed) throw new Error("stopped while starting");
    // PGDATA, PGPORT and the like of the caller would be obeyed.
    const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith("PG"));
    const child = spawn(file, args, {
      cwd: this.home.folder,
      ...this.home.account,
      env: { ...Object.fromEntries(inherited), LC_ALL: "C", TZ: "UTC" },
      stdio: ["ignore", "pipe", "pipe"],
      windowsHide: true,
    });
    this.#child = child;
    createInterface(child.stdout).on("line", onLine);
    createInterface(child.stderr).on("line", onLine);
    try {
      const [code] = await once(child, "close");
      return code;
    } finally {
      this.#child = undefined;
    }
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (address === null || typeof address === "string") throw new Error("No free port on 127.0.0.1");
  return address.port;
}
