import { inflateSync } from "fflate";
import { crc32 } from "./crc32.ts";
import { DAMAGED, DataError, start } from "./error.ts";
import { MAX_EXPANSION } from "./gzip.ts";

export interface ZipEntry {
  name: string;
  /** Byte position of the entry in the archive. */
  offset: number;
  /** Unpacks it. @throws DataError if its bytes are damaged */
  read(): Uint8Array;
}

// Signatures and lengths of the records (PKWARE's APPNOTE.TXT, 4.3).
const LOCAL = { signature: 0x04034b50, bytes: 30 };
const CENTRAL = { signature: 0x02014b50, bytes: 46 };
const END = { signature: 0x06054b50, bytes: 22, comment: 0xffff };

const STORED = 0;
const DEFLATED = 8;
const ENCRYPTED = 1;

/**
 * The files of a zip archive, in the order of its central directory. Sizes are taken from there: archives
 * written as a stream have none in front of the data.
 * @param file what to call the archive in errors
 * @throws DataError with the byte at which the archive is damaged, cut off or of a kind that is not read
 */
export function readZip(bytes: Uint8Array, file: string): ZipEntry[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 4 || (view.getUint32(0, true) !== LOCAL.signature && !isEnd(view, 0))) {
    const problem = `this is no zip archive: it starts with ${start(bytes) || "nothing"}, not 50 4b 03 04`;
    throw new DataError(file, 0, problem, "give the zip archive as it was published");
  }
  const end = endOf(view);
  if (end === undefined) {
    throw new DataError(
      file,
      bytes.length,
      "the zip archive ends before its central directory does",
      DAMAGED,
    );
  }
  const count = view.getUint16(end + 10, true);
  const from = view.getUint32(end + 16, true);
  if (count === 0xffff || from === 0xffffffff) {
    throw new DataError(file, end, "this is a ZIP64 archive", "pack it as a plain zip archive");
  }
  const entries: ZipEntry[] = [];
  let at = from;
  for (let i = 0; i < count; i++) {
    if (at + CENTRAL.bytes > end || view.getUint32(at, true) !== CENTRAL.signature) {
      throw new DataError(file, at, `record ${i} of ${count} of the central directory is not here`, DAMAGED);
    }
    const nameEnds = at + CENTRAL.bytes + view.getUint16(at + 28, true);
    const next = nameEnds + view.getUint16(at + 30, true) + view.getUint16(at + 32, true);
    if (next > end) throw new DataError(file, at, "a record of the central directory is cut off", DAMAGED);
    const name = new TextDecoder().decode(bytes.subarray(at + CENTRAL.bytes, nameEnds));
    const record: CentralRecord = {
      name,
      flags: view.getUint16(at + 8, true),
      method: view.getUint16(at + 10, true),
      crc: view.getUint32(at + 16, true),
      packed: view.getUint32(at + 20, true),
      size: view.getUint32(at + 24, true),
      offset: view.getUint32(at + 42, true),
    };
    if (!name.endsWith("/")) {
      entries.push({ name, offset: record.offset, read: () => unpack(view, record, file) });
    }
    at = next;
  }
  if (at - from !== view.getUint32(end + 12, true)) {
    throw new DataError(
      file,
      end,
      `its central directory has other records than the ${count} it states`,
      DAMAGED,
    );
  }
  return entries;
}

interface CentralRecord {
  name: string;
  flags: number;
  method: number;
  crc: number;
  packed: number;
  size: number;
  offset: number;
}

/** The end record stands last, but for a comment of unknown length. */
function endOf(view: DataView): number | undefined {
  const last = view.byteLength - END.bytes;
  for (let at = last; at >= Math.max(0, last - END.comment); at--) if (isEnd(view, at)) return at;
  return undefined;
}

function isEnd(view: DataView, at: number): boolean {
  return (
    at + END.bytes <= view.byteLength &&
    view.getUint32(at, true) === END.signature &&
    at + END.bytes + view.getUint16(at + 20, true) === view.byteLength
  );
}

function unpack(view: DataView, record: CentralRecord, file: string): Uint8Array {
  const { name, flags, method, crc, packed, size, offset } = record;
  const fail = (problem: string, remedy = DAMAGED, options?: ErrorOptions) =>
    new DataError(file, offset, `${name}: ${problem}`, remedy, options);

  if (flags & ENCRYPTED) throw fail("it is encrypted", "give an archive without a password");
  if (offset + LOCAL.bytes > view.byteLength || view.getUint32(offset, true) !== LOCAL.signature) {
    throw fail("the entry does not begin here, as the central directory says");
  }
  const from = offset + LOCAL.bytes + view.getUint16(offset + 26, true) + view.getUint16(offset + 28, true);
  if (from + packed > view.byteLength) throw fail(`its ${packed} bytes reach over the end of the archive`);
  const data = new Uint8Array(view.buffer, view.byteOffset + from, packed);

  let contents = data;
  if (method === DEFLATED) {
    if (size > packed * MAX_EXPANSION) {
      throw fail(`it promises ${size} bytes, more than ${packed} bytes can hold`);
    }
    try {
      contents = inflateSync(data, { out: new Uint8Array(size) });
    } catch (cause) {
      throw fail("it cannot be decompressed", DAMAGED, { cause });
    }
  } else if (method !== STORED) {
    throw fail(`it is compressed by method ${method}`, "pack the archive with deflate (method 8)");
  }
  if (contents.length !== size) throw fail(`it holds ${contents.length} bytes, not ${size}`);
  if (crc32(contents) !== crc) throw fail("its bytes do not have the checksum that the archive states");
  return contents;
}
