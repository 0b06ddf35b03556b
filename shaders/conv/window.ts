import { type Output, storedWidth, storeOutput } from "../epilogue.ts";
import { type Operand, readElement } from "../operand.ts";
import { range } from "../range.ts";
import { vectorNumber, type Width } from "../width.ts";

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

/**
 * WGSL that loads the element of a factor at `index`, or zero where the conditions do not hold. There the index may lie
 * outside the buffer, where WGSL reads whatever it likes. They are joined by &, as && is a branch: hundreds of branches in
 * a loop take SwiftShader's compiler minutes and gigabytes.
 */
export function loadInside(
  halves: Halves,
  side: 0 | 1,
  name: string,
  {
    buffer,
    operand,
    index,
    conditions,
  }: { buffer: string; operand: Operand; index: string; conditions: readonly string[] },
): string {
  return load(halves, side, name, (part) => {
    const value = readElement(`${part}${buffer}`, part === "" ? operand.primal : operand.tangent, index);
    return conditions.length === 0
      ? value
      : `select(0.0, ${value}, ${conditions.map((one) => `(${one})`).join(" & ")})`;
  });
}

/** WGSL that declares sums with these names, each starting at zero or at what `first` says. */
export function startSums(
  { value, derivative }: Halves,
  names: readonly string[],
  first: (name: string, part: "" | "d_") => string = () => "0.0",
): string {
  const of = (sum: "s" | "t", part: "" | "d_") =>
    names.map((name) => `var ${sum}${name} = ${first(name, part)};`).join(" ");
  return [value ? of("s", "") : "", derivative ? of("t", "d_") : ""].join("\n  ");
}

/** WGSL that stores a sum and its tangent. */
export const store = (buffer: string, out: Output, index: string, name: string): string =>
  storeOutput(buffer, out, index, sumsOf([name]));

const sumsOf = (names: readonly string[]) => ({
  primal: names.map((name) => `s${name}`),
  tangent: names.map((name) => `t${name}`),
});

/** `cols` neighbouring columns of each of `channels` planes. */
export interface Block {
  readonly cols: number;
  readonly channels: number;
  /** Elements of a plane, and of a row of it. */
  readonly plane: number;
  readonly row: number;
}

/** Neighbours in a row that are stored as a vector. */
export const blockWidth = ({ cols, row }: Pick<Block, "cols" | "row">, out: Output): Width =>
  storedWidth(out, [cols, row]);

/** WGSL that stores sum `a_q` as element `out` + q of plane a, which is in column `first` + q: WGSL variables. */
export function storeBlock(buffer: string, out: Output, block: Block): string {
  const { cols, channels, plane, row } = block;
  const width = blockWidth(block, out);
  return range(channels)
    .flatMap((a) =>
      range(cols / width).map((turn) => {
        const q = turn * width;
        const names = range(width).map((e) => `${a}_${q + e}`);
        const place = vectorNumber(`out + ${a * plane + q}u`, width);
        const stored = storeOutput(buffer, out, place, sumsOf(names));
        return row % cols > 0 && q > 0 ? `if (first + ${q}u < ${row}u) { ${stored} }` : stored;
      }),
    )
    .join(" ");
}
