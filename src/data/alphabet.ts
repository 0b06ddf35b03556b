import { Random } from "../random.ts";
import { drawLine, type Point, type Stroke, trace } from "./strokes.ts";

/** A character of the generated alphabet: its strokes, fitted into the square [−1, 1]². */
export type Character = readonly Stroke[];

const ALPHABET = 2019;
const CANDIDATES = 6;
const SKETCH = 12; // pixels across the small image by which characters are compared

/**
 * The first `classes` characters of an endless alphabet; each depends on the earlier ones only. A character
 * is the one of a few random candidates that looks least like any before it.
 */
export function alphabet(classes: number): Character[] {
  const characters: Character[] = [];
  const sketches: Float32Array[] = [];
  for (let index = 0; index < classes; index++) {
    const random = new Random(ALPHABET).fork(index);
    let best: { character: Character; sketch: Float32Array; gap: number } | undefined;
    for (let candidate = 0; candidate < CANDIDATES; candidate++) {
      const character = randomCharacter(random);
      const sketch = sketchOf(character);
      const gap = Math.min(...sketches.map((other) => squaredDistance(sketch, other)), Number.MAX_VALUE);
      if (!best || gap > best.gap) best = { character, sketch, gap };
    }
    characters.push(best!.character);
    sketches.push(best!.sketch);
  }
  return characters;
}

/** Two to four bent strokes between the nodes of a 3 × 4 lattice, most of them joined to an earlier one. */
function randomCharacter(random: Random): Character {
  const strokes: Stroke[] = [];
  const ends: Point[] = [];
  const count = 2 + random.integer(3);
  while (strokes.length < count) {
    const joined = ends.length > 0 && random.uniform() < 0.7;
    const start = joined ? ends[random.integer(ends.length)]! : node(random);
    const end = node(random);
    const dx = end[0] - start[0];
    const dy = end[1] - start[1];
    if (dx * dx + dy * dy < 0.8) continue;
    // Some strokes are straight; the others bow to one side.
    const bend = random.uniform() < 0.35 ? 0 : (2 * random.uniform() - 1) * 0.9;
    const control: Point = [(start[0] + end[0]) / 2 - bend * dy, (start[1] + end[1]) / 2 + bend * dx];
    strokes.push([start, control, end]);
    ends.push(start, end, trace([start, control, end], 2)[1]!);
  }
  return fitted(strokes);
}

function node(random: Random): Point {
  return [random.integer(3) - 1, (random.integer(4) - 1.5) / 1.5];
}

/** Moves and scales the strokes so that they are centred and reach ±1 in their longer direction. */
function fitted(strokes: readonly Stroke[]): Character {
  const points = strokes.flatMap((stroke) => trace(stroke, 8));
  const xs = points.map(([x]) => x);
  const ys = points.map(([, y]) => y);
  const [left, right] = [Math.min(...xs), Math.max(...xs)];
  const [top, bottom] = [Math.min(...ys), Math.max(...ys)];
  const scale = 2 / Math.max(right - left, bottom - top);
  const fit = ([x, y]: Point): Point => [(x - (left + right) / 2) * scale, (y - (top + bottom) / 2) * scale];
  return strokes.map(([start, control, end]): Stroke => [fit(start), fit(control), fit(end)]);
}

function sketchOf(character: Character): Float32Array {
  const image = new Float32Array(SKETCH * SKETCH);
  const middle = (SKETCH - 1) / 2;
  for (const stroke of character) {
    const points = trace(stroke, 6).map(([x, y]): Point => [middle + 5 * x, middle + 5 * y]);
    drawLine(image, SKETCH, points, 0.9);
  }
  return image;
}

function squaredDistance(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) {
    const difference = a[i]! - b[i]!;
    sum += difference * difference;
  }
  return sum;
}
