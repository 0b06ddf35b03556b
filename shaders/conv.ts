import type { ConvVariant } from "./conv/choose_tile.ts";
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
import type { Output } from "./epilogue.ts";
import { linearGrid, type Operand, type Strided } from "./operand.ts";

export {
  type ConvAsked,
  type ConvProduct,
  type ConvVariant,
  chooseConv,
  convCandidates,
  convClass,
  products,
  type Work,
} from "./conv/choose_tile.ts";
export type { Conv } from "./conv/window.ts";

/** WGSL with entry point `main`, and workgroups in x and y, or elements. */
export interface Kernel {
  readonly code: string;
  readonly grid: readonly [number, number] | Strided;
}

/** y = the convolution of x and weight, plus the bias. Bindings: x, weight, bias, y; each with its tangent. */
export function convForward(
  conv: Conv,
  variant: ConvVariant,
  x: Operand,
  weight: Operand,
  bias: Operand | undefined,
  y: Output,
): Kernel {
  const { n, o, oh, ow } = conv;
  switch (variant) {
    case "implicit":
      return { code: implicitForward(conv, x, weight, bias, y), grid: implicitForwardGrid(conv) };
    case "plain":
      return { code: plainForward(conv, x, weight, bias, y), grid: linearGrid(n * o * oh * ow) };
    default:
      return { code: tiledForward(conv, variant, x, weight, bias, y), grid: forwardGrid(conv, variant) };
  }
}

/** Its adjoint in x. Bindings: y, weight, x. */
export function convInputGradient(
  conv: Conv,
  variant: ConvVariant,
  y: Operand,
  weight: Operand,
  x: Output,
): Kernel {
  const { n, c, h, w } = conv;
  switch (variant) {
    case "implicit":
      return { code: implicitInputGradient(conv, y, weight, x), grid: implicitInputGradientGrid(conv) };
    case "plain":
      return { code: plainInputGradient(conv, y, weight, x), grid: linearGrid(n * c * h * w) };
    default:
      return {
        code: tiledInputGradient(conv, variant, y, weight, x),
        grid: inputGradientGrid(conv, variant),
      };
  }
}

/** Its adjoint in the weights, in parts. Bindings: x, y, sums [parts×o×c×kh×kw]. */
export function convWeightGradient(
  conv: Conv,
  variant: ConvVariant,
  x: Operand,
  y: Operand,
  sums: Operand,
): Kernel {
  const { o, c, kh, kw } = conv;
  switch (variant) {
    case "implicit":
      return { code: implicitWeightGradient(conv, x, y, sums), grid: implicitWeightGradientGrid(conv) };
    case "plain":
      return { code: plainWeightGradient(conv, x, y, sums), grid: linearGrid(o * c * kh * kw) };
    default: {
      const tile = { ...variant, parts: convWeightParts(conv, variant) };
      return { code: tiledWeightGradient(conv, tile, x, y, sums), grid: weightGradientGrid(conv, tile) };
    }
  }
}

/** The parts in which `convWeightGradient` leaves its sums. */
export function convWeightParts(conv: Conv, variant: ConvVariant): number {
  if (variant === "implicit") return weightParts(conv);
  return variant !== "plain" && "parts" in variant ? variant.parts : 1;
}
