/**
 * WGSL that adds up the `width` (a power of two) elements of a workgroup's array, which every invocation has just
 * written one of, into its element 0. The order is fixed. `local` is the invocation's index.
 */
export function foldTree(array: string, width: number): string {
  return `workgroupBarrier();
  for (var width = ${width / 2}u; width > 0u; width /= 2u) {
    if (local < width) { ${array}[local] += ${array}[local + width]; }
    workgroupBarrier();
  }`;
}
