import type { Operand } from "../operand.ts";

/** A two-dimensional convolution: x [n×c×h×w], weight [o×c×kh×kw], y [n×o×oh×ow]; zeros around x. */
export interface Conv {
  readonly n: number;
  readonly c: number;
  readonly h: number;
  readonly w: number;
  readonly o: number;
  readonly kh: number;
  readonly kw: number;
  readonly stride: number;
  readonly padding: number;
  readonly oh: number;
  readonly ow: number;
}

/** Sums that a thread keeps: it is they that reads are shared among. */
export interface ConvTile {
  /** Neighbouring columns of the output. */
  readonly cols: number;
  /** Neighbouring channels of it. */
  readonly channels: number;
}

/** What a kernel multiplies: a product of two factors, its tangent, or both. */
export interface Halves {
  /** Factors whose primal is read, and those that carry a tangent. */
  readonly primal: readonly [boolean, boolean];
  readonly tangent: readonly [boolean, boolean];
  /** Sums kept: "s" of the primal, "t" of the tangent. */
  readonly value: boolean;
  readonly derivative: boolean;
}

export function halvesOf(left: Operand, right: Operand, out: Operand): Halves {
  return {
    primal: [left.primal !== undefined, right.primal !== undefined],
    tangent: [left.tangent !== undefined, right.tangent !== undefined],
    value: out.primal !== undefined,
    derivative: out.tangent !== undefined,
  };
}

/** WGSL that adds the product of two loaded values, called `l` and `r`, to sum `index`; tangents are `d_l`, `d_r`. */
export function addProduct(
  { tangent, value, derivative }: Halves,
  index: string,
  l: string,
  r: string,
): string {
  return [
    value ? `s${index} += ${l} * ${r};` : "",
    derivative && tangent[0] ? `t${index} += d_${l} * ${r};` : "",
    derivative && tangent[1] ? `t${index} += ${l} * d_${r};` : "",
  ].join(" ");
}

/** WGSL that loads a factor and its tangent: `let name = …; let d_name = …;`. */
export function load(
  { primal, tangent }: Halves,
  side: 0 | 1,
  name: string,
  value: (part: "" | "d_") => string,
): string {
  return [
    primal[side] ? `let ${name} = ${value("")};` : "",
    tangent[side] ? `let d_${name} = ${value("d_")};` : "",
  ].join(" ");
}

export const range = (count: number) => Array.from({ length: count }, (_, i) => i);

/** Largest divisor of `whole` that is at most `most`. */
export function divisor(whole: number, most: number): number {
  for (let d = Math.min(whole, Math.max(most, 1)); ; d--) if (whole % d === 0) return d;
}
