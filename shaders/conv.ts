import {
  type ConvAdapter,
  forwardTile,
  inputGradientTile,
  isSmall,
  type Work,
  weightGradientTile,
} from "./conv/choose_tile.ts";
import { forwardGrid, tiledForward } from "./conv/forward.ts";
import {
  implicitForward,
  implicitForwardGrid,
  implicitInputGradient,
  implicitInputGradientGrid,
  implicitWeightGradient,
  implicitWeightGradientGrid,
  weightParts,
} from "./conv/implicit_product.ts";
import { inputGradientGrid, tiledInputGradient } from "./conv/input_gradient.ts";
import { plainForward, plainInputGradient, plainWeightGradient } from "./conv/plain.ts";
import { tiledWeightGradient, weightGradientGrid } from "./conv/weight_gradient.ts";
import type { Conv } from "./conv/window.ts";
import { linearGrid, type Operand, type Strided } from "./operand.ts";

export { type ConvAdapter, products, type Work } from "./conv/choose_tile.ts";
export type { Conv } from "./conv/window.ts";

/** WGSL with entry point `main`, and workgroups in x and y, or elements. */
export interface Kernel {
  readonly code: string;
  readonly grid: readonly [number, number] | Strided;
}

/** Where a kernel is to run, and which halves of the product it computes. */
export interface Setting {
  readonly adapter: ConvAdapter;
  readonly work: Work;
}

/** y = the convolution of x and weight, plus the bias. Bindings: x, weight, bias, y; each with its tangent. */
export function convForward(
  conv: Conv,
  { adapter, work }: Setting,
  x: Operand,
  weight: Operand,
  bias: Operand | undefined,
  y: Operand,
): Kernel {
  if (adapter.kind === "hardware")
    return { code: implicitForward(conv, x, weight, bias, y), grid: implicitForwardGrid(conv) };
  if (isSmall(conv)) {
    const { n, o, oh, ow } = conv;
    return { code: plainForward(conv, x, weight, bias, y), grid: linearGrid(n * o * oh * ow) };
  }
  const tile = forwardTile(conv, work, adapter);
  return { code: tiledForward(conv, tile, x, weight, bias, y), grid: forwardGrid(conv, tile) };
}

/** Its adjoint in x. Bindings: y, weight, x. */
export function convInputGradient(
  conv: Conv,
  { adapter, work }: Setting,
  y: Operand,
  weight: Operand,
  x: Operand,
): Kernel {
  if (adapter.kind === "hardware")
    return { code: implicitInputGradient(conv, y, weight, x), grid: implicitInputGradientGrid(conv) };
  if (isSmall(conv)) {
    const { n, c, h, w } = conv;
    return { code: plainInputGradient(conv, y, weight, x), grid: linearGrid(n * c * h * w) };
  }
  const tile = inputGradientTile(conv, work, adapter);
  return { code: tiledInputGradient(conv, tile, y, weight, x), grid: inputGradientGrid(conv, tile) };
}

/** Its adjoint in the weights, in parts. Bindings: x, y, sums [parts×o×c×kh×kw]. */
export function convWeightGradient(
  conv: Conv,
  { adapter, work }: Setting,
  x: Operand,
  y: Operand,
  sums: Operand,
): Kernel {
  if (adapter.kind === "hardware")
    return { code: implicitWeightGradient(conv, x, y, sums), grid: implicitWeightGradientGrid(conv) };
  if (isSmall(conv)) {
    const { o, c, kh, kw } = conv;
    return { code: plainWeightGradient(conv, x, y, sums), grid: linearGrid(o * c * kh * kw) };
  }
  const tile = weightGradientTile(conv, work, adapter);
  return { code: tiledWeightGradient(conv, tile, x, y, sums), grid: weightGradientGrid(conv, tile) };
}

/** The parts in which `convWeightGradient` leaves its sums. */
export function convWeightParts(conv: Conv, { adapter, work }: Setting): number {
  if (adapter.kind === "hardware") return weightParts(conv);
  return isSmall(conv) ? 1 : weightGradientTile(conv, work, adapter).parts;
}
