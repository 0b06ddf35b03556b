/** Declares where the smallest step index of each lane is kept at which a parameter was not finite. */
export function declareStatus(binding: number): string {
  return `@group(0) @binding(${binding}) var<storage, read_write> status: array<atomic<u32>>;`;
}

/** WGSL that notes a step index for the current lane. */
export function note(step: string): string {
  return `atomicMin(&status[lane], ${step});`;
}

/**
 * WGSL that notes the step of the step table unless the f32 variable `name` is finite; exponent bits are tested, as
 * compilers may assume that floats are finite (WGSL, "Floating Point Evaluation").
 */
export function watch(name: string): string {
  return `if ((bitcast<u32>(${name}) & 0x7f800000u) == 0x7f800000u) { ${note("step.index")} }`;
}
