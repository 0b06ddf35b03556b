import type { Random } from "../random.ts";

/** Labelled images, n of them. */
export interface Dataset {
  name: string;
  /** n × channels × rows × columns, row-major, from 0 (background, black) to 1 (ink, full colour). */
  images: Float32Array;
  /** n class indices, each in [0, classes). */
  labels: Int32Array;
  /** 1, or 3 for red, green and blue. */
  channels: number;
  rows: number;
  columns: number;
  classes: number;
  /** Where the set has names for its classes. */
  classNames?: readonly string[];
  /**
   * 4 where the quarter turns of an image are classes of their own: class c + k · classes / 4 holds the
   * images of class c turned k times. @default 1
   */
  turns?: number;
}

/** Numbers in one image: channels · rows · columns. */
export function imageSize({ channels, rows, columns }: Dataset): number {
  return channels * rows * columns;
}

/** A copy of the examples at `indices`, in that order. @throws RangeError for an index out of range */
export function take(dataset: Dataset, indices: ArrayLike<number>): Dataset {
  const pixels = imageSize(dataset);
  const images = new Float32Array(indices.length * pixels);
  const labels = new Int32Array(indices.length);
  for (let i = 0; i < indices.length; i++) {
    const index = indices[i]!;
    const label = dataset.labels[index];
    if (label === undefined) {
      throw new RangeError(
        `${dataset.name} has no example ${index}: use indices from 0 to ${dataset.labels.length - 1}`,
      );
    }
    labels[i] = label;
    images.set(dataset.images.subarray(index * pixels, (index + 1) * pixels), i * pixels);
  }
  return { ...dataset, images, labels };
}

/**
 * Disjoint random parts with the given numbers of examples; what is left over is left out.
 * @throws RangeError if the sizes ask for more examples than there are
 */
export function split(dataset: Dataset, sizes: readonly number[], random: Random): Dataset[] {
  const available = dataset.labels.length;
  for (const size of sizes) {
    if (!Number.isInteger(size) || size < 0) {
      throw new RangeError(`a part of ${dataset.name} cannot have ${size} examples: give whole numbers`);
    }
  }
  const wanted = sizes.reduce((sum, size) => sum + size, 0);
  if (wanted > available) {
    throw new RangeError(
      `${sizes.join(" + ")} = ${wanted} examples were asked of ${dataset.name}, which has ${available}: ` +
        "ask for fewer or use a larger set",
    );
  }
  const order = random.permutation(available);
  let start = 0;
  return sizes.map((size) => {
    const part = take(dataset, order.subarray(start, start + size));
    start += size;
    return part;
  });
}

/** Bytes as fractions of 255. A plain loop: Float32Array.from with a function takes seconds for MNIST. */
export function scaled(bytes: Uint8Array): Float32Array {
  const result = new Float32Array(bytes.length);
  for (let i = 0; i < bytes.length; i++) result[i] = bytes[i]! / 255;
  return result;
}
