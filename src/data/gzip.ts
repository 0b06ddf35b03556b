import { DAMAGED, DataError } from "./error.ts";

// Small enough to say where the damage is, large enough to cost nothing.
const CHUNK = 4096;
const HEADER = 10;
const TRAILER = 8;
/** A deflate stream cannot expand by more than this (zlib's technical notes give 1032:1). */
export const MAX_EXPANSION = 1032;

/**
 * The contents of a file that may be gzip-compressed; its first bytes decide (RFC 1952), not its name.
 * @returns `where` tells in errors that an offset is one of the decompressed bytes
 * @throws DataError as `gunzip` does
 */
export async function gunzipped(
  bytes: Uint8Array,
  name: string,
): Promise<{ contents: Uint8Array; where: string }> {
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return { contents: bytes, where: "" };
  return { contents: await gunzip(bytes, name), where: "(of the decompressed data) " };
}

/**
 * Decompresses a gzip file of one member, up to 4 GiB. The length in its trailer bounds what is
 * allocated, so a small hostile file cannot fill the memory.
 * @throws DataError if anything is wrong with the file; a fault inside the compressed data is located
 * to the 4 KiB in which the decoder met it
 */
export async function gunzip(bytes: Uint8Array, name: string): Promise<Uint8Array> {
  if (bytes.length < HEADER + TRAILER) {
    throw new DataError(name, bytes.length, "the gzip data ends inside its header", DAMAGED);
  }
  const lengthAt = bytes.length - 4;
  const length = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(lengthAt, true);
  if (length > bytes.length * MAX_EXPANSION) {
    const problem = `the gzip trailer promises ${length} bytes, more than ${bytes.length} bytes can hold`;
    throw new DataError(name, lengthAt, problem, DAMAGED);
  }

  let result: Uint8Array;
  try {
    result = new Uint8Array(length);
  } catch (cause) {
    const problem = `its ${length} decompressed bytes do not fit into memory`;
    throw new DataError(name, lengthAt, problem, "use a smaller file or free memory", { cause });
  }

  const stream = new DecompressionStream("gzip");
  let fed = 0;
  const feed = async () => {
    const writer = stream.writable.getWriter();
    for (; fed < bytes.length; fed += CHUNK) await writer.write(bytes.slice(fed, fed + CHUNK));
    await writer.close();
  };
  const feeding = feed();
  // Whichever side fails first is reported below; the other one's rejection must not go unhandled.
  feeding.catch(() => {});

  const reader = stream.readable.getReader();
  let filled = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      if (filled + value.length <= length) result.set(value, filled);
      filled += value.length;
      if (filled > length) break;
    }
    if (filled <= length) await feeding;
  } catch (cause) {
    const at = Math.min(fed, bytes.length);
    throw new DataError(name, at, "the gzip data cannot be decompressed from about here", DAMAGED, { cause });
  } finally {
    reader.cancel().catch(() => {});
  }
  if (filled !== length) {
    const found = filled > length ? "more" : `${filled}`;
    const problem = `the gzip trailer promises ${length} bytes but the data holds ${found}`;
    throw new DataError(name, lengthAt, problem, DAMAGED);
  }
  return result;
}
