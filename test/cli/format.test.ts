/** How the command prints figures, and how it fits tables into the terminal. */
import { PassThrough } from "node:stream";
import { describe, expect, test } from "vitest";
import { bytes, counted, duration, instant } from "../../src/cli/format.ts";
import { fitWidths, Output, printable } from "../../src/cli/output.ts";

test.each([
  [0, "0 ms"],
  [999, "999 ms"],
  [12_400, "12 s"],
  [-12_400, "−12 s"],
  [300_000, "5 min"],
  [10_800_000, "3 h"],
  [864_000_000, "10 d"],
  [undefined, ""],
])("%s ms are shown as %s", (ms, shown) => {
  expect(duration(ms)).toBe(shown);
});

test.each([
  [0, "0 B"],
  [999, "999 B"],
  [1_500, "1.5 kB"],
  [52_000_000, "52 MB"],
  [3_000_000_000_000_000, "3000 TB"],
])("%i bytes are shown as %s", (size, shown) => {
  expect(bytes(size)).toBe(shown);
});

test("a count that stopped at its limit says so", () => {
  expect([counted({ count: 10_000, exact: false }), counted({ count: 1_234, exact: true })]).toEqual([
    "10,000+",
    "1,234",
  ]);
});

test.each([
  [new Date("2026-01-31T12:00:00.500Z"), "2026-01-31 12:00:00Z"],
  [new Date("+275760-01-31T12:00:00Z"), "+275760-01-31 12:00:00Z"],
  [new Date(Number.NaN), "(no date)"],
  [undefined, ""],
])("the time %s is shown in UTC, to the second", (date, shown) => {
  expect(instant(date)).toBe(shown);
});

describe("columns", () => {
  test("that fit keep their width", () => {
    expect(fitWidths([10, 20], 80)).toEqual([10, 20]);
  });

  test("give way widest first, and fit with the gaps between them", () => {
    expect(fitWidths([10, 60, 40], 80)).toEqual([10, 33, 33]);
  });

  test("are never squeezed to nothing", () => {
    expect(fitWidths([50, 50, 50], 10)).toEqual([6, 6, 6]);
  });
});

test("control characters of stored names do not reach the terminal", () => {
  expect(printable("a\u001b[31mred\nb")).toBe("a\ufffd[31mred\ufffdb");
});

describe("on 80 columns", () => {
  const printed = (print: (output: Output) => void): string[] => {
    const stream = Object.assign(new PassThrough(), { isTTY: false });
    print(new Output({ json: false, stream: stream as unknown as NodeJS.WriteStream }));
    const text = String(stream.read());
    return text.split("\n").slice(0, -1);
  };
  const name = `order-${"x".repeat(90)}`;
  const holder = "01234567-89ab-cdef-0123-456789abcdef";

  test("a name that a table cuts is below its row, whole; what fits is not repeated", () => {
    const rows = [
      { stream: name, state: `leased 5 s by ${holder}` },
      { stream: "short", state: "waits" },
    ];
    const lines = printed((output) =>
      output.table(
        [
          { title: "STREAM", value: ({ stream }) => stream, whole: true },
          { title: "STATE", value: ({ state }) => state, whole: true },
          { title: "NOTE", value: () => "y".repeat(70) },
        ],
        rows,
      ),
    );
    expect(lines.slice(2, 4)).toEqual([`    STREAM: ${name}`, `    STATE: leased 5 s by ${holder}`]);
    expect(lines).toHaveLength(5);
    for (const at of [0, 1, 4]) expect(lines[at]?.length).toBeLessThanOrEqual(80);
  });

  test("facts go on below, and cut no word", () => {
    const lines = printed((output) =>
      output.facts([
        ["Stream", `${name}, version 3`],
        ["Read by", Array.from({ length: 12 }, (_, n) => `subscription-${n}`).join(", ")],
        ["Events", "3"],
      ]),
    );
    expect(lines[0]).toBe(`Stream   ${name},`);
    expect(lines[1]).toBe("         version 3");
    expect(lines.at(-1)).toBe("Events   3");
    expect(lines.slice(2, -1).join(" ").replaceAll(/ +/g, " ")).toContain("subscription-4, subscription-5,");
    for (const line of lines.slice(1)) expect(line.length).toBeLessThanOrEqual(80);
  });
});
