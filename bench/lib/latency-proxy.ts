/**
 * A TCP proxy that answers late and counts round trips: what a client writes before the first answer
 * reaches it is one trip, so statements that are pipelined count once.
 */
import { connect, createServer, type Socket } from "node:net";

export type LatencyProxy = {
  /** The server's URL, through the proxy. */
  readonly url: string;
  /** Round trips of all connections since the last call. */
  take(): number;
  close(): Promise<void>;
};

export async function latencyProxy(serverUrl: string, delayMs: number): Promise<LatencyProxy> {
  const target = new URL(serverUrl);
  let trips = 0;
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const upstream = connect(Number(target.port || 5432), target.hostname);
    let answered = true;
    for (const socket of [client, upstream]) {
      socket.setNoDelay(true);
      sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => {
        sockets.delete(socket);
        client.destroy();
        upstream.destroy();
      });
    }
    client.on("data", (chunk) => {
      if (answered) trips++;
      answered = false;
      upstream.write(chunk);
    });
    upstream.on("data", (chunk) => {
      setTimeout(() => {
        answered = true;
        client.write(chunk);
      }, delayMs);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("The proxy has no port");
  const url = new URL(serverUrl);
  url.hostname = "127.0.0.1";
  url.port = String(address.port);
  return {
    url: url.href,
    take: () => {
      const taken = trips;
      trips = 0;
      return taken;
    },
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
