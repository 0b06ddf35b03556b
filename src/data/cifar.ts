import { type Dataset, scaled } from "./dataset.ts";
import { DAMAGED, DataError } from "./error.ts";
import {
  assertNoFiles,
  fetching,
  foldersOf,
  ifThere,
  type ListFolder,
  openFirst,
  pathTo,
  type ReadFile,
} from "./folder.ts";
import { gunzipped } from "./gzip.ts";

/** How to get at files whose names are not known beforehand. */
export interface Files {
  readFile: ReadFile;
  listFolder: ListFolder;
}

const CHANNELS = 3;
const SIDE = 32;
const PIXELS = CHANNELS * SIDE * SIDE;

/** One of the two sets: what its files are called and what a record begins with. */
interface Format {
  name: "cifar10" | "cifar100";
  /** The folder in the published archive. */
  folder: string;
  /** A file's name; the first group says which batch it is. */
  files: Record<"train" | "test", RegExp>;
  example: string;
  /** Classes of the labels, one byte each, in front of the pixels. */
  labels: readonly number[];
}

const CIFAR10: Format = {
  name: "cifar10",
  folder: "cifar-10-batches-bin",
  files: {
    train: /^(data_batch_[1-5])(?!\d)\w*\.bin(\.gz)?$/,
    test: /^(test_batch)\w*\.bin(\.gz)?$/,
  },
  example: "data_batch_1.bin … data_batch_5.bin and test_batch.bin",
  labels: [10],
};

const CIFAR100: Format = {
  name: "cifar100",
  folder: "cifar-100-binary",
  files: { train: /^(train)(?!_batch)\w*\.bin(\.gz)?$/, test: /^(test)(?!_batch)\w*\.bin(\.gz)?$/ },
  example: "train.bin and test.bin",
  labels: [20, 100],
};

/**
 * Loads CIFAR-10 (Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009) from binary
 * records, a label byte and 32 × 32 pixels of red, of green and of blue: n × 3 × 32 × 32 values from 0 to 1.
 * The files `data_batch_1.bin` … or `test_batch.bin`, plain or .gz, whole or only a first part of one
 * (`data_batch_1_first5000.bin`), are looked for in `dir/cifar10` and in `dir`.
 * @throws DataError if files are missing, cut off or damaged
 */
export function loadCifar10(files: Files, dir: string, part: "train" | "test" = "train"): Promise<Dataset> {
  return load(files, dir, part, CIFAR10, 0);
}

/**
 * Loads CIFAR-100 likewise, from `train.bin` or `test.bin` in `dir/cifar100` or `dir`.
 * @param labels "fine" for its 100 classes, "coarse" for the 20 superclasses
 * @throws DataError if files are missing, cut off or damaged
 */
export function loadCifar100(
  files: Files,
  dir: string,
  part: "train" | "test" = "train",
  { labels = "fine" }: { labels?: "fine" | "coarse" } = {},
): Promise<Dataset> {
  return load(files, dir, part, CIFAR100, labels === "coarse" ? 0 : 1);
}

async function load(
  { readFile, listFolder }: Files,
  dir: string,
  part: "train" | "test",
  format: Format,
  which: number,
): Promise<Dataset> {
  const { name, labels: classesOf } = format;
  const record = classesOf.length + PIXELS;
  const batches: Uint8Array[] = [];
  const { folder, names } = await batchFiles({ readFile, listFolder }, dir, part, format);
  for (const file of names) {
    const { bytes, path } = await openFirst(readFile, [folder], [file], DAMAGED);
    const { contents, where } = await gunzipped(bytes, path);
    check(contents, format, path, where);
    batches.push(contents);
  }
  const count = batches.reduce((sum, { length }) => sum + length / record, 0);
  const images = new Float32Array(count * PIXELS);
  const labels = new Int32Array(count);
  let example = 0;
  for (const batch of batches) {
    for (let at = 0; at < batch.length; at += record, example++) {
      labels[example] = batch[at + which]!;
      images.set(scaled(batch.subarray(at + classesOf.length, at + record)), example * PIXELS);
    }
  }
  const shape = { channels: CHANNELS, rows: SIDE, columns: SIDE };
  return { name, images, labels, ...shape, classes: classesOf[which]! };
}

/** The files of one part, one a batch: a whole one before a first part of it, .gz before plain. */
async function batchFiles(
  { readFile, listFolder }: Files,
  dir: string,
  part: "train" | "test",
  { name, folder: unpacked, files, example }: Format,
): Promise<{ folder: string; names: string[] }> {
  const folders = foldersOf(dir, name).flatMap((folder) => [folder, pathTo(folder, unpacked)]);
  for (const folder of folders) {
    const batches = new Map<string, { file: string; rank: number }>();
    for (const file of (await ifThere(folder, listFolder)) ?? []) {
      const [, batch, gz] = files[part].exec(file) ?? [];
      if (batch === undefined) continue;
      const rank = 2 * file.replace(/\.gz$/, "").length - (gz ? 1 : 0);
      if (rank < (batches.get(batch)?.rank ?? Number.POSITIVE_INFINITY)) {
        batches.set(batch, { file, rank });
      }
    }
    const names = [...batches.keys()].sort().map((batch) => batches.get(batch)!.file);
    if (names.length > 0) return { folder, names };
  }
  await assertNoFiles(readFile, folders);
  const problem = `no ${part === "train" ? "training" : "test"} file of ${name} (looked in ${folders.join(", ")})`;
  throw new DataError(folders[0]!, undefined, problem, fetching(dir, name, example));
}

function check(bytes: Uint8Array, { name, labels }: Format, path: string, where: string): void {
  const record = labels.length + PIXELS;
  const whole = Math.floor(bytes.length / record);
  const rest = bytes.length % record;
  if (bytes.length === 0) throw new DataError(path, 0, `${where}the file is empty`, DAMAGED);
  if (rest > 0) {
    const problem = `${where}the file ends after ${rest} of the ${record} bytes of record ${whole}`;
    throw new DataError(path, bytes.length, problem, DAMAGED);
  }
  for (let at = 0; at < bytes.length; at += record) {
    labels.forEach((classes, i) => {
      const label = bytes[at + i]!;
      if (label < classes) return;
      const problem = `${where}label ${label} of record ${at / record} is not below ${classes}`;
      throw new DataError(path, at + i, problem, `give binary records of ${name}`);
    });
  }
}
