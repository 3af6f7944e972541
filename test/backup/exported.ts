/** What the tests of exports share. */

/** The ids of an export's events, in their order. */
export async function exportedIds(pages: AsyncIterable<string>): Promise<number[]> {
  let text = "";
  for await (const part of pages) text += part;
  return text
    .split("\n")
    .slice(1, -2)
    .map((line) => JSON.parse(line).id);
}
