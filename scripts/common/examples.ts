/** The labelled images that a script works on. */
import { type Dataset, glyphs, loadImageSet, Random, readFile, take, UsageError } from "../../src/index.ts";
import { refusing } from "./refusing.ts";

export interface ExampleOptions {
  /** A folder of IDX files; glyphs when absent. */
  readonly data?: string | undefined;
  readonly set?: "mnist" | "fashion-mnist" | undefined;
  readonly train: number;
  /** So many, or the test examples. */
  readonly val: number | "test";
  /** Absent: `glyphTest` glyphs, or all of the test file. */
  readonly test?: number | undefined;
  readonly glyphTest: number;
  readonly seed: number;
}

export interface Examples {
  readonly train: Dataset;
  readonly val: Dataset;
  readonly test: Dataset;
  /** The number of each training example in the file that it comes from. */
  readonly trainIndex: Uint32Array;
}

/**
 * Disjoint random training and validation examples from the training file, test examples from the test file.
 * Glyphs are drawn for the purpose. With `val: "test"` the validation examples are the test examples.
 * @throws UsageError when there are too few, or too many for the memory; DataError for files that are missing or damaged
 */
export async function loadExamples(options: ExampleOptions): Promise<Examples> {
  const { data, set = "mnist", train, glyphTest, seed } = options;
  const val = options.val === "test" ? 0 : options.val;
  const random = new Random(seed);
  if (data === undefined) {
    const { test = glyphTest } = options;
    const count = train + val + test;
    const all = refusing("--train, --val and --test", () => glyphs({ count, seed }));
    const order = random.fork("split").permutation(count);
    return parts(all, order, options, take(all, order.subarray(train + val)));
  }
  const source = await loadImageSet(readFile, data, set, "train");
  const testing = await loadImageSet(readFile, data, set, "test");
  const { test = testing.labels.length } = options;
  enough("--train and --val", train + val, source);
  enough("--test", test, testing);
  const order = random.fork("split").permutation(source.labels.length);
  const chosen = random.fork("test").permutation(testing.labels.length).subarray(0, test);
  return parts(source, order, options, take(testing, chosen));
}

function parts(source: Dataset, order: Uint32Array, { train, val }: ExampleOptions, test: Dataset): Examples {
  const trainIndex = order.slice(0, train);
  const clean = val === "test" ? test : take(source, order.subarray(train, train + val));
  return { train: take(source, trainIndex), val: clean, test, trainIndex };
}

function enough(flags: string, wanted: number, { name, labels }: Dataset): void {
  if (wanted <= labels.length) return;
  throw new UsageError(`${flags} ask for ${wanted} examples of ${name}, which has ${labels.length}`);
}
