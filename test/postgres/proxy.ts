/** A TCP proxy before a server: counts connections, cuts them, turns them away, or lets nothing through. */
import { once } from "node:events";
import net from "node:net";
import { onTestFinished } from "vitest";

export type Mode = "forward" | "refuse" | "silent";

/** What becomes of bytes that came: the pieces go on one by one, and then perhaps the connection ends. */
export type Delivery = {
  readonly pieces: readonly Buffer[];
  /** `cut`: closed. `reset`: with RST. `silence`: left open, and nothing goes through any more. */
  readonly end?: "cut" | "reset" | "silence";
};
/**
 * Decides about bytes of a client (`up`) or of the server (`down`) on one connection. Later bytes never overtake
 * earlier ones.
 */
export type Shape = (bytes: Buffer, way: "up" | "down", connection: object) => Delivery | Promise<Delivery>;

export class TcpProxy {
  readonly #server: net.Server;
  readonly #sockets = new Set<net.Socket>();
  /** When each connection came, in ms of `performance.now()`. */
  readonly arrivals: number[] = [];
  /** `refuse`: new connections are closed at once. `silent`: they are accepted, and nothing is answered. */
  mode: Mode = "forward";
  /** How bytes go through, from now on; undefined: as they come. */
  shape: Shape | undefined;
  /** A client that closes its side is not told of to the server, as when its network is gone. */
  hidesCloses = false;
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
      const send = this.#pass(client, upstream, "up");
      const answer = this.#pass(upstream, client, "down");
      client.on("data", (sent) => {
        if (this.#hold && sent.includes(this.#hold)) this.#held = { client, answers: [] };
        send(sent);
      });
      upstream.on("data", (answered) => {
        if (this.#held?.client === client) this.#held.answers.push(answered);
        else answer(answered);
      });
      client.once("close", () => {
        if (!this.hidesCloses) upstream.destroy();
      });
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

  /** Hands bytes on from one side to the other, in order, as the shape of the moment says. */
  #pass(from: net.Socket, to: net.Socket, way: "up" | "down"): (bytes: Buffer) => void {
    let turn: Promise<void> | undefined;
    let silent = false;
    const carry = async (before: Promise<void> | undefined, shaped: Delivery | Promise<Delivery>) => {
      const { pieces, end } = await shaped;
      await before;
      for (const [k, piece] of pieces.entries()) {
        if (silent) return;
        // Each piece gets a segment of its own.
        if (k > 0) await new Promise(setImmediate);
        to.write(piece);
      }
      if (end === "silence") silent = true;
      if (end === "cut") from.destroy();
      if (end === "reset") for (const socket of [from, to]) socket.resetAndDestroy();
    };
    return (bytes) => {
      if (this.shape) turn = carry(turn, this.shape(bytes, way, way === "up" ? from : to));
      else if (turn) turn = carry(turn, { pieces: [bytes] });
      else to.write(bytes);
    };
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
