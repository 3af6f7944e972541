/** Pictures of a page with 256 colours: a third of the size, and the eye sees no difference. */
import { crc32, deflateSync, inflateSync } from "node:zlib";

const SIGNATURE = Buffer.from("89504e470d0a1a0a", "hex");
const COLOURS = 256;
const RGB = 2;
const PALETTE = 3;

type Picture = { readonly width: number; readonly height: number; readonly pixels: Uint8Array };

function* chunks(png: Buffer): Generator<readonly [type: string, data: Buffer]> {
  for (let at = SIGNATURE.length; at < png.length; ) {
    const length = png.readUInt32BE(at);
    yield [png.toString("latin1", at + 4, at + 8), png.subarray(at + 8, at + 8 + length)];
    at += length + 12;
  }
}

/** The filter of PNG that guesses a byte from those to the left and above. */
function paeth(left: number, above: number, corner: number): number {
  const [a, b, c] = [above - corner, left - corner, left + above - 2 * corner].map(Math.abs);
  if (a === undefined || b === undefined || c === undefined) return left;
  return a <= b && a <= c ? left : b <= c ? above : corner;
}

/** Reads what Chromium writes: 8 bits, with or without alpha, not interlaced. */
function decode(png: Buffer): Picture {
  const parts = [...chunks(png)];
  const head = parts.find(([type]) => type === "IHDR")?.[1];
  if (head?.[8] !== 8 || head[12] !== 0) throw new Error("Only PNG of 8 bits, not interlaced, is read");
  const [width, height] = [head.readUInt32BE(0), head.readUInt32BE(4)];
  const depth = head[9] === RGB ? 3 : 4;
  const raw = inflateSync(Buffer.concat(parts.filter(([type]) => type === "IDAT").map(([, data]) => data)));
  const row = width * depth;
  const bytes = new Uint8Array(row * height);
  for (let y = 0; y < height; y++) {
    const filter = raw[y * (row + 1)] ?? 0;
    for (let x = 0; x < row; x++) {
      const left = x >= depth ? (bytes[y * row + x - depth] ?? 0) : 0;
      const above = y > 0 ? (bytes[(y - 1) * row + x] ?? 0) : 0;
      const corner = x >= depth && y > 0 ? (bytes[(y - 1) * row + x - depth] ?? 0) : 0;
      const guess = [0, left, above, (left + above) >> 1, paeth(left, above, corner)][filter] ?? 0;
      bytes[y * row + x] = (raw[y * (row + 1) + 1 + x] ?? 0) + guess;
    }
  }
  if (depth === 3) return { width, height, pixels: bytes };
  const pixels = new Uint8Array(width * height * 3);
  for (let n = 0; n < width * height; n++) pixels.set(bytes.subarray(n * 4, n * 4 + 3), n * 3);
  return { width, height, pixels };
}

const chunk = (type: string, data: Buffer): Buffer => {
  const body = Buffer.concat([Buffer.from(type, "latin1"), data]);
  const framed = Buffer.alloc(body.length + 8);
  framed.writeUInt32BE(data.length, 0);
  body.copy(framed, 4);
  framed.writeUInt32BE(crc32(body), body.length + 4);
  return framed;
};

/** Colours that differ in the last three bits only: of such a group one is enough. */
const group = (colour: number): number => colour & 0xf8f8f8;

/**
 * The same picture in 256 colours, and each other pixel gets the nearest of them. They are the most frequent of the
 * most frequent groups: otherwise the shades of grey at the edges of letters would leave no room for a rare colour.
 */
export function smallPng(png: Buffer): Buffer {
  const { width, height, pixels } = decode(png);
  const counts = new Map<number, number>();
  const colourAt = (n: number) =>
    ((pixels[n * 3] ?? 0) << 16) | ((pixels[n * 3 + 1] ?? 0) << 8) | (pixels[n * 3 + 2] ?? 0);
  for (let n = 0; n < width * height; n++) counts.set(colourAt(n), (counts.get(colourAt(n)) ?? 0) + 1);
  const groups = new Map<number, { colour: number; most: number; all: number }>();
  for (const [colour, count] of counts) {
    const found = groups.get(group(colour)) ?? { colour, most: 0, all: 0 };
    const wins = count > found.most;
    groups.set(group(colour), {
      colour: wins ? colour : found.colour,
      most: wins ? count : found.most,
      all: found.all + count,
    });
  }
  const palette = [...groups.values()]
    .sort((a, b) => b.all - a.all)
    .slice(0, COLOURS)
    .map(({ colour }) => colour);
  const places = new Map(palette.map((colour, place) => [colour, place]));
  const distance = (a: number, b: number) =>
    [16, 8, 0].reduce((sum, shift) => sum + (((a >> shift) & 255) - ((b >> shift) & 255)) ** 2, 0);
  const nearest = (colour: number): number => {
    let best = 0;
    for (const [place, known] of palette.entries())
      if (distance(known, colour) < distance(palette[best] ?? 0, colour)) best = place;
    places.set(colour, best);
    return best;
  };
  const rows = Buffer.alloc((width + 1) * height);
  for (let n = 0; n < width * height; n++) {
    const colour = colourAt(n);
    rows[Math.floor(n / width) * (width + 1) + 1 + (n % width)] = places.get(colour) ?? nearest(colour);
  }
  const head = Buffer.alloc(13);
  head.writeUInt32BE(width, 0);
  head.writeUInt32BE(height, 4);
  head.set([8, PALETTE, 0, 0, 0], 8);
  const colours = Buffer.from(palette.flatMap((colour) => [colour >> 16, (colour >> 8) & 255, colour & 255]));
  return Buffer.concat([
    SIGNATURE,
    chunk("IHDR", head),
    chunk("PLTE", colours),
    chunk("IDAT", deflateSync(rows, { level: 9 })),
    chunk("IEND", Buffer.alloc(0)),
  ]);
}
