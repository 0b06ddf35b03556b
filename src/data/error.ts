/** A data file that cannot be used: which file, where in it, what is wrong and what to do about it. */
export class DataError extends Error {
  override readonly name = "DataError";
  readonly file: string;
  /**
   * Byte position at which the fault shows; of the decompressed bytes where the message says so. Undefined for what
   * could not be read at all.
   */
  readonly offset: number | undefined;

  constructor(
    file: string,
    offset: number | undefined,
    problem: string,
    remedy: string,
    options?: ErrorOptions,
  ) {
    const where = offset === undefined ? "" : `at byte ${offset}: `;
    super(`${file}: ${where}${problem}; ${remedy}`, options);
    this.file = file;
    this.offset = offset;
  }
}

/** What to do about a file whose bytes cannot all be right. */
export const DAMAGED = "the file is damaged, cut off or has bytes added: copy or download it again";

/** The first four bytes, for people. */
export function start(bytes: Uint8Array): string {
  return [...bytes.subarray(0, 4)].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
}
