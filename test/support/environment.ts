/**
 * What a program under test is started with, as a user starts it: where programs are found, and nothing that the
 * test runner sets, such as NODE_ENV. Node's cache of compiled modules only saves time.
 */
export function userEnvironment(): Record<string, string | undefined> {
  const { PATH, NODE_COMPILE_CACHE } = process.env;
  return { PATH, NODE_COMPILE_CACHE };
}
