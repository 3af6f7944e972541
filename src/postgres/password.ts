/** The password of a new connection: the option itself, or the result of its function, called for each connection. */
import { ConnectionError } from "../errors.ts";
import type { ConnectionTarget } from "../options/config.ts";
import { afterPoll } from "./timers.ts";

export async function askForPassword({ config, secrets }: ConnectionTarget): Promise<string> {
  const { password } = secrets;
  if (typeof password === "string") return password;
  // Shorter than the connect timeout, so that the error names the password function as the reason.
  const limit = Math.ceil(config.connectionTimeoutMillis * 0.9);
  let cancel = () => {};
  const late = new Promise<never>((_, reject) => {
    cancel = afterPoll(limit, () => reject(failed(`returned no password within ${limit} ms`)));
  });
  try {
    const given: unknown = await Promise.race([late, Promise.resolve().then(password)]);
    if (typeof given === "string") return given;
    throw failed(`returned ${given === null ? "null" : typeof given} instead of a string`);
  } catch (error) {
    // The function's own message is kept: the function is the caller's code.
    throw error instanceof ConnectionError
      ? error
      : failed(`failed: ${error instanceof Error ? error.message : "it threw a value that is not an Error"}`);
  } finally {
    cancel();
  }
}

const failed = (text: string) =>
  new ConnectionError("PASSWORD", `the function of option password ${text}`, false);
