/** Two texts side by side, line by line, by the longest common subsequence. */

export type DiffLine = {
  readonly kind: "same" | "changed" | "removed" | "added";
  readonly left: string | undefined;
  readonly right: string | undefined;
};

/**
 * If more lines than this lie between the equal lines at the beginning and at the end, none of them are matched: the
 * table of lengths would take too long.
 */
const LIMIT = 1_500;

/** Sorts the keys of objects, so that another order of keys is no difference. */
export function toLines(value: unknown): string[] {
  const sorted = (_: string, part: unknown): unknown =>
    typeof part === "object" && part !== null && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))
      : part;
  return value === undefined ? [] : (JSON.stringify(value, sorted, 2) ?? "").split("\n");
}

/** Lines that `left` and `right` have in common, as pairs of indexes. */
function matches(left: readonly string[], right: readonly string[]): [number, number][] {
  if (left.length > LIMIT || right.length > LIMIT) return [];
  const width = right.length + 1;
  const lengths = new Uint32Array((left.length + 1) * width);
  const at = (i: number, j: number): number => lengths[i * width + j] ?? 0;
  for (let i = left.length - 1; i >= 0; i--)
    for (let j = right.length - 1; j >= 0; j--)
      lengths[i * width + j] =
        left[i] === right[j] ? at(i + 1, j + 1) + 1 : Math.max(at(i + 1, j), at(i, j + 1));
  const found: [number, number][] = [];
  for (let i = 0, j = 0; i < left.length && j < right.length; ) {
    if (left[i] === right[j]) found.push([i++, j++]);
    else if (at(i + 1, j) >= at(i, j + 1)) i++;
    else j++;
  }
  return found;
}

export function diffLines(left: readonly string[], right: readonly string[]): DiffLine[] {
  let start = 0;
  while (start < left.length && start < right.length && left[start] === right[start]) start++;
  let end = 0;
  while (
    end < left.length - start &&
    end < right.length - start &&
    left[left.length - 1 - end] === right[right.length - 1 - end]
  )
    end++;

  const lines: DiffLine[] = [];
  const same = (text: string | undefined) => lines.push({ kind: "same", left: text, right: text });
  for (const text of left.slice(0, start)) same(text);
  const [middleLeft, middleRight] = [
    left.slice(start, left.length - end),
    right.slice(start, right.length - end),
  ];
  let [i, j] = [0, 0];
  for (const [nextI, nextJ] of [
    ...matches(middleLeft, middleRight),
    [middleLeft.length, middleRight.length] as const,
  ]) {
    while (i < nextI || j < nextJ) {
      const [removed, added] = [i < nextI, j < nextJ];
      lines.push({
        kind: removed && added ? "changed" : removed ? "removed" : "added",
        left: removed ? middleLeft[i++] : undefined,
        right: added ? middleRight[j++] : undefined,
      });
    }
    if (nextI < middleLeft.length) same(middleLeft[i++]);
    j = Math.max(j, nextJ + 1);
  }
  for (const text of left.slice(left.length - end)) same(text);
  return lines;
}
