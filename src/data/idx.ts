import { DAMAGED, DataError, start } from "./error.ts";
import { gunzipped } from "./gzip.ts";

/** An array of unsigned bytes in row-major order. */
export interface Idx {
  /** Length of each axis, outermost first. */
  shape: number[];
  data: Uint8Array;
}

const UNSIGNED_BYTE = 0x08;
const OTHER_TYPES: Record<number, string> = {
  9: "signed bytes",
  11: "16-bit integers",
  12: "32-bit integers",
  13: "32-bit floats",
  14: "64-bit floats",
};

/**
 * Reads an IDX file (the format of MNIST: two zero bytes, type, rank, big-endian axis lengths, elements)
 * of unsigned bytes, plain or gzip-compressed; the contents decide which, not the name.
 * @param name what to call the file in errors
 * @throws DataError naming the file and the byte if it is anything but one whole IDX array of bytes
 */
export async function decodeIdx(bytes: Uint8Array, name: string): Promise<Idx> {
  const { contents, where } = await gunzipped(bytes, name);
  return parse(contents, name, where);
}

function parse(bytes: Uint8Array, name: string, where: string): Idx {
  const fail = (at: number, problem: string, remedy = DAMAGED) =>
    new DataError(name, at, where + problem, remedy);

  if (bytes.length < 4) throw fail(bytes.length, "the file ends inside the 4-byte IDX magic number");
  const type = bytes[2]!;
  const rank = bytes[3]!;
  if (bytes[0] !== 0 || bytes[1] !== 0) {
    throw fail(0, `this is no IDX file: it starts with ${start(bytes)}, not 00 00 08`, "give an IDX file");
  }
  if (type !== UNSIGNED_BYTE) {
    const held = OTHER_TYPES[type] ?? `elements of unknown type ${type}`;
    throw fail(2, `it holds ${held}`, "give an IDX file of unsigned bytes (type 8)");
  }
  if (rank === 0) throw fail(3, "the array has no axes");

  const header = 4 + 4 * rank;
  if (bytes.length < header) {
    throw fail(bytes.length, `the file ends inside its header of ${header} bytes`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const shape: number[] = [];
  let size = 1;
  for (let axis = 0; axis < rank; axis++) {
    const at = 4 + 4 * axis;
    const length = view.getUint32(at);
    shape.push(length);
    size *= length;
    if (!Number.isSafeInteger(size)) {
      throw fail(at, `the axes ${shape.join(" × ")} multiply to more than any file holds`);
    }
  }
  const found = bytes.length - header;
  if (found < size) {
    throw fail(bytes.length, `the file ends after ${found} of ${size} elements (${shape.join(" × ")})`);
  }
  if (found > size) {
    throw fail(header + size, `${found - size} bytes follow the last element (${shape.join(" × ")})`);
  }
  return { shape, data: bytes.subarray(header) };
}
