import { decode } from "fast-png";
import { AreaAverage } from "./area-average.ts";
import type { Dataset } from "./dataset.ts";
import { DAMAGED, DataError } from "./error.ts";
import { fetching, foldersOf, openFirst, type ReadFile } from "./folder.ts";
import { readZip, type ZipEntry } from "./zip.ts";

export interface OmniglotOptions {
  /** Height and width of the images in pixels, from 1 to 105. @default 28 */
  size?: number;
  /**
   * Makes each character four classes: itself and its images turned counter-clockwise by 90°, 180° and
   * 270° (Santoro et al., "Meta-Learning with Memory-Augmented Neural Networks", ICML 2016). With C
   * characters, class c + k · C is character c turned k times; the images stand in that order too. @default false
   */
  rotations?: boolean;
}

/** Pixels along a side of a published drawing. */
const SIDE = 105;
const TURNS = 4;
const DRAWING = /([^/]+\/character\d+)\/[^/.][^/]*\.png$/;

/**
 * Loads Omniglot (Lake, Salakhutdinov, Tenenbaum, Science 350, 2015) from `dir/omniglot` or else from `dir`:
 * `images_background.zip` with 964 characters or `images_evaluation.zip` with 659, 20 drawings of each.
 * Ink is 1 on a background of 0, shrunk by area averaging. A class is a character, named
 * "Alphabet/characterNN"; classes and their images are sorted by name.
 * @throws RangeError for a size out of range; DataError, with the offset of the entry in the archive, for
 * what is missing, damaged or of another kind
 */
export async function loadOmniglot(
  read: ReadFile,
  dir: string,
  part: "background" | "evaluation" = "background",
  { size = 28, rotations = false }: OmniglotOptions = {},
): Promise<Dataset> {
  if (!Number.isInteger(size) || size < 1 || size > SIDE) {
    throw new RangeError(`the size of Omniglot images must be a whole number from 1 to ${SIDE}, got ${size}`);
  }
  const file = `images_${part}.zip`;
  const remedy = fetching(dir, "omniglot", "its zip archives");
  const { path, bytes } = await openFirst(read, foldersOf(dir, "omniglot"), [file], remedy);
  const drawings = drawingsOf(readZip(bytes, path));
  if (drawings.length === 0) {
    const problem = "the archive holds no Alphabet/characterNN/drawing.png";
    throw new DataError(path, 0, problem, `give Omniglot's ${file}`);
  }

  const pixels = size * size;
  const turns = rotations ? TURNS : 1;
  const images = new Float32Array(turns * drawings.length * pixels);
  const labels = new Int32Array(turns * drawings.length);
  const classNames: string[] = [];
  const average = new AreaAverage(SIDE, size);
  drawings.forEach(({ entry, character }, i) => {
    if (character !== classNames.at(-1)) classNames.push(character);
    labels[i] = classNames.length - 1;
    addInk(average, entry, path);
    average.finish(images.subarray(i * pixels, (i + 1) * pixels));
  });
  const characters = classNames.length;
  for (let i = drawings.length; i < labels.length; i++) {
    labels[i] = labels[i - drawings.length]! + characters;
    const from = (i - drawings.length) * pixels;
    turn(images.subarray(from, from + pixels), images.subarray(i * pixels, (i + 1) * pixels), size);
  }
  for (let k = 1; k < turns; k++) {
    classNames.push(...classNames.slice(0, characters).map((name) => `${name} turned ${90 * k}°`));
  }
  const shape = { channels: 1, rows: size, columns: size };
  return { name: "omniglot", images, labels, ...shape, classes: classNames.length, classNames, turns };
}

interface Drawing {
  entry: ZipEntry;
  character: string;
}

/** The drawings, sorted by name, whatever order the archive has them in. */
function drawingsOf(entries: readonly ZipEntry[]): Drawing[] {
  return entries
    .flatMap((entry) => {
      const character = DRAWING.exec(entry.name)?.[1];
      return character ? [{ entry, character }] : [];
    })
    .sort((a, b) => (a.entry.name < b.entry.name ? -1 : 1));
}

/** Unpacks one drawing and counts its ink: 0 bits in rows of whole bytes. */
function addInk(average: AreaAverage, entry: ZipEntry, path: string): void {
  const bytes = entry.read();
  const fail = (problem: string, remedy: string, cause?: unknown) =>
    new DataError(path, entry.offset, `${entry.name}: ${problem}`, remedy, { cause });

  let image: ReturnType<typeof decode>;
  try {
    image = decode(bytes, { checkCrc: true });
  } catch (cause) {
    throw fail(`the PNG cannot be decoded (${(cause as Error).message})`, DAMAGED, cause);
  }
  const { width, height, depth, channels, palette, data } = image;
  if (width !== SIDE || height !== SIDE || depth !== 1 || channels !== 1 || palette) {
    const found = `${width} × ${height} pixels of ${channels} × ${depth} bits${palette ? " of a palette" : ""}`;
    throw fail(`it has ${found}, not ${SIDE} × ${SIDE} of 1 × 1`, "give Omniglot's drawings as published");
  }
  const stride = Math.ceil(SIDE / 8);
  for (let row = 0; row < SIDE; row++) {
    for (let byte = 0; byte < stride; byte++) {
      const ink = ~data[row * stride + byte]! & 0xff;
      if (ink === 0) continue;
      for (let bit = 0; bit < 8; bit++) {
        const column = 8 * byte + bit;
        if (ink & (0x80 >> bit) && column < SIDE) average.ink(row, column);
      }
    }
  }
}

/** A quarter turn counter-clockwise: the right column becomes the top row. */
function turn(image: Float32Array, target: Float32Array, size: number): void {
  for (let row = 0; row < size; row++) {
    for (let column = 0; column < size; column++) {
      target[row * size + column] = image[column * size + size - 1 - row]!;
    }
  }
}
