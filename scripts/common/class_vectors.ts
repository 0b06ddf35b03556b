/** Labelled vectors for linear classifiers: images of real or generated sets as plain features, or classes in families. */
import {
  type Dataset,
  glyphs,
  imageSize,
  listFolder,
  loadCifar10,
  loadCifar100,
  loadImageSet,
  Random,
  readFile,
  take,
  UsageError,
} from "../../src/index.ts";

export const imageSets = ["cifar10", "cifar100", "mnist", "fashion-mnist"] as const;

export interface ClassVectorOptions {
  /** Classes in families of two instead of images. */
  readonly generated: boolean;
  /** A folder with an image set; glyphs when absent. */
  readonly data?: string | undefined;
  readonly set?: (typeof imageSets)[number] | undefined;
  /** Features are means of so many by so many pixels. */
  readonly pool: number;
  /** Of the generated sets, examples to draw training and validation sets from, and test examples. */
  readonly sizes: { readonly pool: number; readonly test: number };
  readonly seed: number;
}

/** A vector is a row of one image. */
export interface ClassVectors {
  readonly pool: Dataset;
  readonly test: Dataset;
}

/** Mean squared length of the vectors about their mean: no step η ≤ 4 / (this + 1) on a mean cross-entropy diverges. */
export const SQUARED_LENGTH = 19;

/** @throws DataError for files that are missing or damaged; UsageError for pools that do not divide an image */
export async function loadClassVectors(options: ClassVectorOptions): Promise<ClassVectors> {
  const { sizes, seed } = options;
  const count = sizes.pool + sizes.test;
  if (options.generated) return normalized(halves(families({ count, seed }), sizes.pool));
  const { data, set = "cifar10", pool } = options;
  const sources =
    data === undefined
      ? halves(glyphs({ count, seed }), sizes.pool)
      : { pool: await load(data, set, "train"), test: await load(data, set, "test") };
  return normalized({ pool: averaged(sources.pool, pool), test: averaged(sources.test, pool) });
}

function load(data: string, set: (typeof imageSets)[number], part: "train" | "test"): Promise<Dataset> {
  const files = { readFile, listFolder };
  if (set === "cifar10") return loadCifar10(files, data, part);
  if (set === "cifar100") return loadCifar100(files, data, part);
  return loadImageSet(readFile, data, set, part);
}

function halves(all: Dataset, first: number): ClassVectors {
  const numbers = [...all.labels.keys()];
  return { pool: take(all, numbers.slice(0, first)), test: take(all, numbers.slice(first)) };
}

const FAMILIES = 5;
const FEATURES = 60;
/** Standard deviations: of families about 0, of the two classes of a family about it, of examples about their class. */
const SPREAD = { family: 0.6, member: 0.15, example: 1 };

/**
 * Normal vectors of classes that come in families of two, 2 k and 2 k + 1: what tells one of them from other families
 * tells the other one too.
 */
function families({ count, seed }: { count: number; seed: number }): Dataset {
  const random = new Random(seed).fork("families");
  const drawn = (rows: number, deviation: number) =>
    Float32Array.from({ length: rows * FEATURES }, () => deviation * random.normal());
  const classes = 2 * FAMILIES;
  const [centres, offsets] = [drawn(FAMILIES, SPREAD.family), drawn(classes, SPREAD.member)];
  const images = drawn(count, SPREAD.example);
  const labels = Int32Array.from(random.permutation(count), (position) => position % classes);
  labels.forEach((label, i) => {
    for (let k = 0; k < FEATURES; k++) {
      images[i * FEATURES + k]! += centres[(label >> 1) * FEATURES + k]! + offsets[label * FEATURES + k]!;
    }
  });
  return { name: "families", images, labels, channels: 1, rows: 1, columns: FEATURES, classes };
}

/** Images of means of `side` × `side` pixels. @throws UsageError */
function averaged(dataset: Dataset, side: number): Dataset {
  const { channels, rows, columns, labels, images } = dataset;
  if (rows % side > 0 || columns % side > 0)
    throw new UsageError(`--pool ${side} does not divide the ${rows} × ${columns} pixels of ${dataset.name}`);
  const small = { ...dataset, rows: rows / side, columns: columns / side };
  const means = new Float32Array(labels.length * imageSize(small));
  images.forEach((value, at) => {
    const column = at % columns;
    const row = Math.floor(at / columns) % rows;
    const plane = Math.floor(at / (rows * columns));
    const cell = (plane * small.rows + Math.floor(row / side)) * small.columns + Math.floor(column / side);
    means[cell]! += value / side ** 2;
  });
  return { ...small, images: means, channels };
}

/** Both parts less the pool's mean, and scaled to `SQUARED_LENGTH`; no label is looked at. */
function normalized({ pool, test }: ClassVectors): ClassVectors {
  const width = imageSize(pool);
  const count = pool.labels.length;
  const centre = new Float64Array(width);
  pool.images.forEach((value, at) => {
    centre[at % width]! += value / count;
  });
  const spread = pool.images.reduce((sum, value, at) => sum + (value - centre[at % width]!) ** 2, 0) / count;
  const factor = Math.sqrt(SQUARED_LENGTH / spread);
  const moved = (part: Dataset): Dataset => {
    return { ...part, images: part.images.map((value, at) => factor * (value - centre[at % width]!)) };
  };
  return { pool: moved(pool), test: moved(test) };
}

/** The numbers of the examples in a random order whose beginnings hold equally many of each class, to within one. */
export function balancedOrder(labels: Int32Array, random: Random): Uint32Array {
  const seen = new Map<number, number>();
  const rank = new Uint32Array(labels.length);
  const order = random.permutation(labels.length);
  for (const example of order) {
    const label = labels[example]!;
    rank[example] = seen.get(label) ?? 0;
    seen.set(label, rank[example]! + 1);
  }
  return order.sort((i, j) => rank[i]! - rank[j]!);
}
