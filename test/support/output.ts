/** Records what a test logs with Act's logger or prints on the console, and shows none of it. */
import { log } from "@rotorsoft/act";
import { onTestFinished, vi } from "vitest";

/** The arguments of each call from now on, until the test ends. */
export function recordOutput(): () => unknown[][] {
  const logger = log();
  const spies = [
    ...(["fatal", "error", "warn", "info", "debug", "trace"] as const).map((level) =>
      vi.spyOn(logger, level).mockImplementation(() => {}),
    ),
    ...(["log", "error", "warn", "info", "debug"] as const).map((method) =>
      vi.spyOn(console, method).mockImplementation(() => {}),
    ),
  ];
  onTestFinished(() => {
    for (const spy of spies) spy.mockRestore();
  });
  return () => spies.flatMap(({ mock }) => mock.calls);
}
