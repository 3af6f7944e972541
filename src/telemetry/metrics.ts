/** The list of all metrics. The instruments are made from it, and a test checks the Grafana board against it. */

/** Every metric: its name, kind, unit and meaning. */
export const METRICS = {
  duration: {
    name: "db.client.operation.duration",
    kind: "histogram",
    unit: "s",
    description: "Duration of a store's verb.",
  },
  connections: {
    name: "db.client.connection.count",
    kind: "gauge",
    unit: "{connection}",
    description: "Connections of the pool for all but commits, by state.",
  },
  connectionsMax: {
    name: "db.client.connection.max",
    kind: "gauge",
    unit: "{connection}",
    description: "Most connections of the pool for all but commits.",
  },
  pending: {
    name: "db.client.connection.pending_requests",
    kind: "gauge",
    unit: "{request}",
    description: "Calls that wait for a connection.",
  },
  batchCommits: {
    name: "act_drizzle.batch.commits",
    kind: "histogram",
    unit: "{commit}",
    description: "Commits that shared one transaction.",
  },
  batchDuration: {
    name: "act_drizzle.batch.duration",
    kind: "histogram",
    unit: "s",
    description: "From sending a batch of commits to its answer, with the wait for the append lock.",
  },
  commitWait: {
    name: "act_drizzle.commit.wait",
    kind: "histogram",
    unit: "s",
    description: "How long the first commit of a batch waited for the batch before it.",
  },
  queue: {
    name: "act_drizzle.queue.commits",
    kind: "gauge",
    unit: "{commit}",
    description: "Commits of this process that wait for a batch.",
  },
  inDoubt: {
    name: "act_drizzle.commits.in_doubt",
    kind: "counter",
    unit: "{commit}",
    description: "Commits whose connection was lost after they were sent, by their outcome.",
  },
  listening: {
    name: "act_drizzle.listener.listening",
    kind: "gauge",
    // The OpenTelemetry Collector would add `_ratio` to the name if it were "1".
    unit: "{listener}",
    description: "1 if notifications are listened to, 0 while the connection is lost. Absent without notify.",
  },
  replicaUp: {
    name: "act_drizzle.replica.up",
    kind: "gauge",
    unit: "{replica}",
    description: "1 if the replica is read, 0 if the primary answers for it. Absent without replicas.",
  },
  replicaLag: {
    name: "act_drizzle.replica.lag",
    kind: "gauge",
    unit: "s",
    description:
      "How far the replica was behind the primary when it was last read, as far as it can tell itself.",
  },
  reconnects: {
    name: "act_drizzle.listener.reconnects",
    kind: "counter",
    unit: "{reconnect}",
    description: "How often the listener has reconnected.",
  },
  leasesLost: {
    name: "act_drizzle.leases.lost",
    kind: "counter",
    unit: "{lease}",
    description: "Leases that were given back too late: somebody else handles those events, too.",
  },
  lag: {
    name: "act_drizzle.lag",
    kind: "gauge",
    unit: "s",
    description: "Age of the oldest event that waits to be handled, by lane.",
  },
  blocked: {
    name: "act_drizzle.subscriptions.blocked",
    kind: "gauge",
    unit: "{subscription}",
    description: "Blocked subscriptions. Counted up to 10,000.",
  },
  lockWaiting: {
    name: "act_drizzle.append_lock.waiting",
    kind: "gauge",
    unit: "{transaction}",
    description: "Transactions of all processes that wait for the append lock.",
  },
  lockHeld: {
    name: "act_drizzle.append_lock.held",
    kind: "gauge",
    unit: "s",
    description: "For how long the holder of the append lock has been in its transaction.",
  },
} as const satisfies Readonly<
  Record<
    string,
    {
      readonly name: string;
      readonly kind: "histogram" | "gauge" | "counter";
      readonly unit: string;
      readonly description: string;
    }
  >
>;

/** Boundaries of the semantic conventions for database clients. */
export const SECONDS = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10];
export const COMMITS = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512];
