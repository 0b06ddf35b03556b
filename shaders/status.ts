/**
 * Declares where the smallest step index is kept at which a parameter was not finite. Needs the step table.
 */
export function declareStatus(binding: number): string {
  return `@group(0) @binding(${binding}) var<storage, read_write> status: atomic<u32>;`;
}

/**
 * WGSL that notes the step unless the f32 variable `name` is finite; exponent bits are tested, as compilers may
 * assume that floats are finite (WGSL, "Floating Point Evaluation").
 */
export function watch(name: string): string {
  return `if ((bitcast<u32>(${name}) & 0x7f800000u) == 0x7f800000u) { atomicMin(&status, step.index); }`;
}
