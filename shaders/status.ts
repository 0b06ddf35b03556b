import { vector, type Width } from "./width.ts";

/** Declares where the smallest step index of each lane is kept at which a parameter was not finite. */
export function declareStatus(binding: number): string {
  return `@group(0) @binding(${binding}) var<storage, read_write> status: array<atomic<u32>>;`;
}

/** WGSL that notes a step index for the current lane. */
export function note(step: string): string {
  return `atomicMin(&status[lane], ${step});`;
}

/**
 * WGSL that notes the step of the step table unless the variable `name`, of so many f32, is finite; exponent bits are
 * tested, as compilers may assume that floats are finite (WGSL, "Floating Point Evaluation").
 */
export function watch(name: string, width: Width = 1): string {
  const words = vector(width, "u32");
  const exponent = `${words}(0x7f800000u)`;
  return `if (any((bitcast<${words}>(${name}) & ${exponent}) == ${exponent})) { ${note("inner.index")} }`;
}
