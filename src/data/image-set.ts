import type { Dataset } from "./dataset.ts";
import { DataError } from "./error.ts";
import { decodeIdx, type Idx } from "./idx.ts";

/**
 * Gives the bytes of a file. For a file that does not exist it must reject as Node, Deno or the browser's
 * file system would: with `code` "ENOENT" or `name` "NotFound" or "NotFoundError".
 */
export type ReadFile = (path: string) => Promise<Uint8Array>;

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
  const prefix = part === "train" ? "train" : "t10k";
  const images = await open(read, folders, `${prefix}-images-idx3-ubyte`);
  const labels = await open(read, [images.folder], `${prefix}-labels-idx1-ubyte`);
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
    rows,
    columns,
    classes: CLASSES,
  };
}

/** Bytes as fractions of 255. A plain loop: Float32Array.from with a function takes seconds for MNIST. */
function scaled(bytes: Uint8Array): Float32Array {
  const result = new Float32Array(bytes.length);
  for (let i = 0; i < bytes.length; i++) result[i] = bytes[i]! / 255;
  return result;
}

interface Opened {
  folder: string;
  path: string;
  idx: Idx;
}

/** `dir/name`, then `dir`, unless `dir` is plainly the folder of another set: their files look alike. */
function foldersOf(dir: string, name: ImageSetName): string[] {
  const trimmed = dir.replace(/[/\\]+$/, "") || dir;
  const last = trimmed.split(/[/\\]/).at(-1);
  const nested = trimmed.endsWith("/") ? trimmed + name : `${trimmed}/${name}`;
  return NAMES.some((other) => other !== name && other === last) ? [nested] : [nested, trimmed];
}

async function open(read: ReadFile, folders: readonly string[], file: string): Promise<Opened> {
  const tried: string[] = [];
  for (const folder of folders) {
    for (const ending of [".gz", ""]) {
      const path = `${folder.replace(/\/$/, "")}/${file}${ending}`;
      const bytes = await readIfThere(read, path);
      if (bytes) return { folder, path, idx: await decodeIdx(bytes, path) };
      tried.push(path);
    }
  }
  const problem = `no such file (tried ${tried.join(", ")})`;
  throw new DataError(tried[0]!, 0, problem, "give the folder that holds the IDX files");
}

async function readIfThere(read: ReadFile, path: string): Promise<Uint8Array | undefined> {
  try {
    return await read(path);
  } catch (cause) {
    const { code, name, message } = (cause ?? {}) as { code?: unknown; name?: unknown; message?: unknown };
    if (code === "ENOENT" || code === "ENOTDIR" || name === "NotFound" || name === "NotFoundError") return;
    const problem = `the file cannot be read (${message ?? cause})`;
    throw new DataError(path, 0, problem, "make it readable", { cause });
  }
}

function checkAxes({ path, idx }: Opened, rank: number, meaning: string): void {
  if (idx.shape.length === rank) return;
  const problem = `the array has ${idx.shape.length} axes, not the ${rank} of ${meaning}`;
  throw new DataError(path, 3, problem, "give the file that the name stands for");
}
