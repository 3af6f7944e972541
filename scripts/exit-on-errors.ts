/**
 * For scripts that import the framework, which answers an uncaught error with a log line and exit code 0: a check that
 * threw looked as if it had passed, and said nothing.
 */
export function exitOnErrors(): void {
  const exit = (error: unknown) => {
    console.error(error);
    process.exit(1);
  };
  process.prependListener("uncaughtException", exit);
  process.prependListener("unhandledRejection", exit);
}
