/** A TCP proxy before a server: counts connections, cuts them, turns them away, or lets nothing through. */
import { once } from "node:events";
import net from "node:net";
import { onTestFinished } from "vitest";

export type Mode = "forward" | "refuse" | "silent";

export class TcpProxy {
  readonly #server: net.Server;
  readonly #sockets = new Set<net.Socket>();
  /** When each connection came, in ms of `performance.now()`. */
  readonly arrivals: number[] = [];
  /** `refuse`: new connections are closed at once. `silent`: they are accepted, and nothing is answered. */
  mode: Mode = "forward";
  /** Bytes that came since {@link freeze}. */
  swallowed = 0;
  #hold: string | undefined;
  #held: { readonly client: net.Socket; readonly answers: Buffer[] } | undefined;

  private constructor(target: net.TcpSocketConnectOpts) {
    this.#server = net.createServer((client) => {
      this.arrivals.push(performance.now());
      this.#track(client);
      if (this.mode === "refuse") client.destroy();
      if (this.mode !== "forward") return;
      const upstream = net.connect(target);
      this.#track(upstream);
      client.pipe(upstream);
      client.on("data", (sent) => {
        if (this.#hold && sent.includes(this.#hold)) this.#held = { client, answers: [] };
      });
      upstream.on("data", (answer) => {
        if (this.#held?.client === client) this.#held.answers.push(answer);
        else client.write(answer);
      });
      client.once("close", () => upstream.destroy());
      upstream.once("close", () => client.destroy());
    });
  }

  /** Listens at `at`, a free port of 127.0.0.1 unless told otherwise, until the test ends. */
  static async before(
    target: net.TcpSocketConnectOpts,
    at: net.ListenOptions = { host: "127.0.0.1", port: 0 },
  ): Promise<TcpProxy> {
    const proxy = new TcpProxy(target);
    proxy.#server.listen(at);
    await once(proxy.#server, "listening");
    onTestFinished(() => proxy.close());
    return proxy;
  }

  get port(): number {
    const address = this.#server.address();
    if (address === null || typeof address === "string") throw new Error("Not listening on a port");
    return address.port;
  }

  #track(socket: net.Socket): void {
    this.#sockets.add(socket);
    socket.on("error", () => {});
    socket.once("close", () => this.#sockets.delete(socket));
  }

  /** From the next statement with this text on its connection hears nothing, until {@link deliver}. */
  holdAnswersTo(text: string): void {
    this.#hold = text;
  }

  /** Whether an answer with this text is among those held back. */
  holds(text: string): boolean {
    return Buffer.concat(this.#held?.answers ?? []).includes(text);
  }

  /** Delivers what was held back, in one piece. */
  deliver(): void {
    const held = this.#held;
    this.#hold = undefined;
    this.#held = undefined;
    held?.client.write(Buffer.concat(held.answers));
  }

  /** Closes every connection, as a crashing server or a load balancer does. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  /** The same with RST instead of FIN: the other side sees ECONNRESET. */
  reset(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  /** Each connection there is closes as soon as something is sent on it: it was dead, and nobody knew. */
  trap(): void {
    for (const socket of this.#sockets)
      socket
        .removeAllListeners("data")
        .unpipe()
        .on("data", () => socket.destroy())
        .resume();
  }

  /** From now on nothing goes through, in either direction, and nobody is told: a half-open connection. */
  freeze(): void {
    this.mode = "silent";
    for (const socket of this.#sockets)
      socket
        .removeAllListeners("data")
        .unpipe()
        .on("data", (bytes) => {
          this.swallowed += bytes.length;
        })
        .resume();
  }

  async close(): Promise<void> {
    this.cut();
    if (!this.#server.listening) return;
    this.#server.close();
    await once(this.#server, "close");
  }
}

/** A port of 127.0.0.1 where nobody listens. */
export async function deadPort(): Promise<number> {
  const server = net.createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (address === null || typeof address === "string") throw new Error("No free port");
  return address.port;
}
