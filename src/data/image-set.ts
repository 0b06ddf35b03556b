import { type Dataset, scaled } from "./dataset.ts";
import { DataError } from "./error.ts";
import { fetching, foldersOf, type Opened, openFirst, type ReadFile } from "./folder.ts";
import { decodeIdx, type Idx } from "./idx.ts";

/** Image sets published as four IDX files of the same names; each has ten classes. */
export type ImageSetName = "mnist" | "fashion-mnist";

const NAMES: readonly ImageSetName[] = ["mnist", "fashion-mnist"];
const CLASSES = 10;
const MISMATCH = "take both files from the same copy of the set";

/**
 * Loads the training or the test part of an image set from `dir/name` or else from `dir` itself; of each
 * file the .gz version is preferred to the plain one.
 * @throws DataError if a file is missing or damaged, or if images and labels do not belong together
 */
export async function loadImageSet(
  read: ReadFile,
  dir: string,
  name: ImageSetName,
  part: "train" | "test" = "train",
): Promise<Dataset> {
  if (!NAMES.includes(name)) {
    throw new RangeError(`there is no image set "${name}": choose ${NAMES.join(" or ")}`);
  }
  const folders = foldersOf(dir, name);
  const remedy = fetching(dir, name, "the IDX files");
  const prefix = part === "train" ? "train" : "t10k";
  const images = await open(read, folders, remedy, `${prefix}-images-idx3-ubyte`);
  const labels = await open(read, [images.folder], remedy, `${prefix}-labels-idx1-ubyte`);
  checkAxes(images, 3, "images: count, rows, columns");
  checkAxes(labels, 1, "labels: count");

  const [count, rows, columns] = images.idx.shape as [number, number, number];
  if (count * rows * columns === 0) {
    throw new DataError(
      images.path,
      4,
      `no pixels: ${count} × ${rows} × ${columns}`,
      "give a file with images",
    );
  }
  if (labels.idx.shape[0] !== count) {
    const problem = `mismatched files: ${labels.idx.shape[0]} labels for the ${count} images of ${images.path}`;
    throw new DataError(labels.path, 4, problem, MISMATCH);
  }
  const outside = labels.idx.data.findIndex((label) => label >= CLASSES);
  if (outside !== -1) {
    const problem = `label ${labels.idx.data[outside]} of example ${outside} is not below ${CLASSES}`;
    throw new DataError(labels.path, 8 + outside, problem, `give the labels of ${name}`);
  }
  return {
    name,
    images: scaled(images.idx.data),
    labels: Int32Array.from(labels.idx.data),
    channels: 1,
    rows,
    columns,
    classes: CLASSES,
  };
}

interface OpenedIdx extends Omit<Opened, "bytes"> {
  idx: Idx;
}

async function open(
  read: ReadFile,
  folders: readonly string[],
  remedy: string,
  file: string,
): Promise<OpenedIdx> {
  const { folder, path, bytes } = await openFirst(read, folders, [`${file}.gz`, file], remedy);
  return { folder, path, idx: await decodeIdx(bytes, path) };
}

function checkAxes({ path, idx }: OpenedIdx, rank: number, meaning: string): void {
  if (idx.shape.length === rank) return;
  const problem = `the array has ${idx.shape.length} axes, not the ${rank} of ${meaning}`;
  throw new DataError(path, 3, problem, "give the file that the name stands for");
}
