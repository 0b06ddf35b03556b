import { type Zippable, zipSync } from "fflate";
import { dump, type NpyArray, parse, type TypedArray } from "npyjs";
import { DAMAGED, DataError } from "./error.ts";
import { readZip, type ZipEntry } from "./zip.ts";

/** An array of an NPZ file, row-major. */
export interface NpzArray {
  readonly shape: readonly number[];
  readonly data: TypedArray;
}

/** What an NPZ file holds: arrays by name, which `numpy.load` gives by the same names, and other files. */
export interface Npz {
  readonly arrays: Readonly<Record<string, NpzArray>>;
  readonly files?: Readonly<Record<string, Uint8Array>>;
}

const NPY = ".npy";
/** Of a ZIP archive without the extension for larger ones. */
const MOST_BYTES = 2 ** 32 - 1;

/**
 * An NPZ file: a ZIP archive, not compressed, of an NPY file for each array. The same arrays give the same bytes.
 * @throws RangeError when it would exceed 4 GiB
 */
export function encodeNpz({ arrays, files = {} }: Npz): Uint8Array {
  const entries: Zippable = {};
  let total = 0;
  const add = (name: string, bytes: Uint8Array) => {
    total += bytes.length;
    if (total > MOST_BYTES) throw new RangeError(`an NPZ file holds less than 4 GiB: ${name} is too much`);
    entries[name] = bytes;
  };
  for (const [name, { data, shape }] of Object.entries(arrays))
    add(name + NPY, new Uint8Array(dump(data, [...shape])));
  for (const [name, bytes] of Object.entries(files)) add(name, bytes);
  return zipSync(entries, { level: 0, mtime: new Date(1980, 0, 1) });
}

/**
 * Reads an NPZ file, as written here or by `numpy.savez` and `numpy.savez_compressed`. Half-precision floats arrive as
 * 32-bit ones.
 * @param file what to call it in errors
 * @throws DataError for a file that is damaged, or arrays that are no numbers in row-major order
 */
export function decodeNpz(bytes: Uint8Array, file: string): Required<Npz> {
  const arrays: Record<string, NpzArray> = {};
  const files: Record<string, Uint8Array> = {};
  for (const entry of readZip(bytes, file)) {
    if (entry.name.endsWith(NPY)) arrays[entry.name.slice(0, -NPY.length)] = readNpy(entry, file);
    else files[entry.name] = entry.read();
  }
  return { arrays, files };
}

function readNpy(entry: ZipEntry, file: string): NpzArray {
  const fail = (problem: string, remedy = DAMAGED, cause?: unknown) =>
    new DataError(file, entry.offset, `${entry.name}: ${problem}`, remedy, { cause });
  const bytes = entry.read();
  let array: NpyArray;
  try {
    array = parse(bytes.slice().buffer);
  } catch (cause) {
    throw fail(`it is no NPY array (${cause instanceof Error ? cause.message : cause})`, DAMAGED, cause);
  }
  const { data, shape, fortranOrder } = array;
  if (!ArrayBuffer.isView(data)) throw fail("it holds no numbers", "save the array as numbers");
  if (fortranOrder && shape.length > 1)
    throw fail("it is in column-major order", "save numpy.ascontiguousarray of it");
  const { length } = data as TypedArray;
  const wanted = shape.reduce((product, side) => product * side, 1);
  if (length !== wanted) throw fail(`it holds ${length} numbers, its shape [${shape}] asks for ${wanted}`);
  return { shape, data: data as TypedArray };
}
