/** The schema that `act-drizzle bench` writes to begins with this. */
export const BENCH_SCHEMA = "act_drizzle_bench_";
