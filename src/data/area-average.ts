/**
 * Shrinks square pictures of ink and paper by exact area averaging: a pixel of the result is the part of its
 * area that is ink. Works in whole numbers (lengths in units of 1 / (source · size) of the side), so the
 * result is right to the last bit.
 */
export class AreaAverage {
  private readonly source: number;
  private readonly size: number;
  /** The first of the at most two cells that a source pixel covers along an axis. */
  private readonly cell: Uint16Array;
  /** How much of the source pixel's length lies in that cell; the rest lies in the next one. */
  private readonly inside: Uint16Array;
  private readonly sums: Uint32Array;

  /** @param source, size pixels along a side before and after; 1 ≤ size ≤ source < 2¹⁶ */
  constructor(source: number, size: number) {
    this.source = source;
    this.size = size;
    this.cell = Uint16Array.from({ length: source }, (_, i) => Math.floor((i * size) / source));
    this.inside = this.cell.map((cell, i) => Math.min(size, (cell + 1) * source - i * size));
    this.sums = new Uint32Array(size * size);
  }

  /** Counts one source pixel as ink. */
  ink(row: number, column: number): void {
    const { size, sums } = this;
    const at = this.cell[row]! * size + this.cell[column]!;
    const down = this.inside[row]!;
    const across = this.inside[column]!;
    sums[at]! += down * across;
    if (across < size) sums[at + 1]! += down * (size - across);
    if (down < size) sums[at + size]! += (size - down) * across;
    if (across < size && down < size) sums[at + size + 1]! += (size - down) * (size - across);
  }

  /** Writes the averages, size × size values from 0 to 1, and starts anew. */
  finish(target: Float32Array): void {
    const area = this.source * this.source;
    for (let i = 0; i < this.sums.length; i++) target[i] = this.sums[i]! / area;
    this.sums.fill(0);
  }
}
