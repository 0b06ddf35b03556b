import type { Random } from "../random.ts";
import type { Character } from "./alphabet.ts";
import { drawLine, type Point, trace } from "./strokes.ts";

const HALF = 0.3; // half a character's height, as a part of the image's
const RADIUS = 0.035; // of the line, as a part of the image's height

// Variation at difficulty 1. Lengths are in units of half a character.
const ROTATION = 0.4; // ± radians, to within 2 %
const SHEAR = 0.25;
const STRETCH = 0.2;
const SHIFT = 0.25;
const JITTER = 0.2; // of each control point
const ELASTIC = 0.16; // of the smooth field over the whole character
const THICKNESS = 0.45; // ± part of the line's radius
const CONTRAST = 0.55; // at most this part of the ink is missing
const NOISE = 0.05; // standard deviation at every pixel

const SEGMENTS = 8; // straight pieces that stand for one stroke

/**
 * Draws one example of a character into a blank image: its strokes with shaken control points, a smooth
 * elastic warp, a random affine map, a random line width, contrast and pixel noise.
 * @param image size × size values, row-major
 * @param difficulty scales every kind of variation
 */
export function drawExample(
  image: Float32Array,
  size: number,
  character: Character,
  random: Random,
  difficulty: number,
): void {
  const spread = (width: number) => (2 * random.uniform() - 1) * width * difficulty;
  const shake = ([x, y]: Point): Point => [x + spread(JITTER), y + spread(JITTER)];
  const place = placement(size, spread);
  const radius = RADIUS * size * (1 + spread(THICKNESS));
  for (const [start, control, end] of character) {
    const points = trace([shake(start), shake(control), shake(end)], SEGMENTS).map(place);
    drawLine(image, size, points, radius);
  }
  const contrast = 1 - CONTRAST * difficulty * random.uniform();
  const noise = NOISE * difficulty;
  for (let i = 0; i < image.length; i++) {
    image[i] = Math.min(1, Math.max(0, contrast * image[i]! + noise * random.normal()));
  }
}

/** A random map from the square [−1, 1]² to pixels: a quadratic warp, then an affine map. */
function placement(size: number, spread: (width: number) => number): (point: Point) => Point {
  const [xx, xy, xz] = [spread(ELASTIC), spread(ELASTIC), spread(ELASTIC)];
  const [yx, yy, yz] = [spread(ELASTIC), spread(ELASTIC), spread(ELASTIC)];
  // The rational form of cosine and sine is exact arithmetic: the same bits in every engine.
  const t = spread(ROTATION / 2);
  const cos = (1 - t * t) / (1 + t * t);
  const sin = (2 * t) / (1 + t * t);
  const shear = spread(SHEAR);
  const unit = HALF * size;
  const width = unit * (1 + spread(STRETCH));
  const height = unit * (1 + spread(STRETCH));
  const left = (size - 1) / 2 + spread(SHIFT) * unit;
  const top = (size - 1) / 2 + spread(SHIFT) * unit;
  return ([x, y]) => {
    const u = width * (x + xx * x * x + xy * x * y + xz * y * y + shear * y);
    const v = height * (y + yx * x * x + yy * x * y + yz * y * y);
    return [left + cos * u - sin * v, top + sin * u + cos * v];
  };
}

/** @throws RangeError where so many images of size × size do not fit into memory */
export function blankImages(what: string, count: number, size: number): Float32Array {
  try {
    return new Float32Array(count * size * size);
  } catch (cause) {
    const images = `${count} ${what} of ${size} × ${size} pixels`;
    throw new RangeError(`${images} do not fit into memory: ask for fewer`, { cause });
  }
}

/** @throws RangeError unless the value is a whole number from `least` to `most` */
export function checkWhole(option: string, value: number, least: number, most: number): void {
  if (Number.isInteger(value) && value >= least && value <= most) return;
  throw new RangeError(`${option} must be a whole number from ${least} to ${most}, got ${value}`);
}

/** @throws RangeError unless it is from 0 to 1.5 */
export function checkDifficulty(what: string, difficulty: number): void {
  if (difficulty >= 0 && difficulty <= 1.5) return;
  throw new RangeError(`the difficulty of ${what} must be from 0 to 1.5, got ${difficulty}`);
}
