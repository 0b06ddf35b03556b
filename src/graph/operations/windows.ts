/** Windows of so many elements that fit along an axis with padding at both ends; less than 1 when none does. */
export function windowsAlong(
  length: number,
  size: number,
  { stride, padding }: { stride: number; padding: number },
): number {
  return Math.floor((length + 2 * padding - size) / stride) + 1;
}

export function isWhole(value: number, least: number): boolean {
  return Number.isInteger(value) && value >= least;
}
