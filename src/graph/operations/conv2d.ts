import {
  type Conv,
  type ConvProduct,
  chooseConv,
  convForward,
  convInputGradient,
  convWeightGradient,
  convWeightParts,
  products,
} from "../../../shaders/conv.ts";
import { assertKnown } from "../../gpu/known.ts";
import { apply } from "../apply.ts";
import { assertTensors } from "../operands.ts";
import { formatShape, ShapeError } from "../shape.ts";
import { byElement, type KernelCall, type Mode, type Rule, type Tensor } from "../tensor.ts";
import { productReads } from "./bilinear.ts";
import { sum } from "./reduce.ts";
import { isWhole, windowsAlong } from "./windows.ts";

export interface Conv2dOptions {
  /** In both directions; default 1. */
  readonly stride?: number;
  /** Zeros on every side; default 0. */
  readonly padding?: number;
  /** Added to each output channel: [o]. */
  readonly bias?: Tensor;
}

/**
 * Cross-correlation of images x [n×c×h×w] with weights [o×c×kh×kw]; result [n×o×oh×ow] with
 * oh = ⌊(h + 2·padding - kh) / stride⌋ + 1. @throws ShapeError
 */
export function conv2d(x: Tensor, weight: Tensor, options: Conv2dOptions = {}): Tensor {
  assertKnown("conv2d", options, { stride: true, padding: true, bias: true });
  const { stride = 1, padding = 0, bias } = options;
  assertTensors("conv2d", x, weight, ...(bias === undefined ? [] : [bias]));
  const [n, c, h, w] = x.shape;
  const [o, c2, kh, kw] = weight.shape;
  const fits = x.shape.length === 4 && weight.shape.length === 4 && c === c2;
  if (!fits || (bias && (bias.shape.length !== 1 || bias.shape[0] !== o))) {
    throw new ShapeError(
      `conv2d: images ${formatShape(x.shape)}, weights ${formatShape(weight.shape)}${bias ? ` and bias ${formatShape(bias.shape)}` : ""} do not fit: give [n×c×h×w], [o×c×kh×kw]${bias ? " and [o]" : ""}`,
    );
  }
  if (!isWhole(stride, 1) || !isWhole(padding, 0))
    throw new ShapeError(`conv2d: stride ${stride} and padding ${padding} must be whole, at least 1 and 0`);
  const [oh, ow] = [windowsAlong(h!, kh!, { stride, padding }), windowsAlong(w!, kw!, { stride, padding })];
  if (oh < 1 || ow < 1)
    throw new ShapeError(
      `conv2d: a kernel ${formatShape([kh!, kw!])} does not fit into ${formatShape([h!, w!])} with padding ${padding}`,
    );
  const conv: Conv = { n: n!, c: c!, h: h!, w: w!, o: o!, kh: kh!, kw: kw!, stride, padding, oh, ow };
  return forward(conv, x, weight, bias);
}

/** The variant that computes a product. */
const variantOf = (
  product: ConvProduct,
  conv: Conv,
  { primal, tangent, active: [left = false, right = false] }: Mode,
  { adapter, lanes }: Pick<KernelCall, "adapter" | "lanes">,
) => chooseConv({ product, conv, work: { primal, tangent, active: [left, right] }, lanes }, adapter);

const flopsOf = (conv: Conv, { primal, tangent, active }: Mode) =>
  2 * products(conv) * (Number(primal) + (tangent ? active.slice(0, 2).filter(Boolean).length : 0));

function forward(conv: Conv, x: Tensor, weight: Tensor, bias?: Tensor): Tensor {
  const rule: Rule = {
    name: "conv2d",
    slots: 3,
    bytes: [0],
    reads: productReads,
    goesOn: byElement,
    kernel: ({ inputs: [x, weight, bias], out, ...where }, mode) => ({
      ...convForward(conv, variantOf("forward", conv, mode, where), x!, weight!, bias, out),
      flops: flopsOf(conv, mode),
    }),
    vjp: ([x, weight, bias], _output, cotangent) => [
      inputGradient(conv, cotangent, weight!),
      weightGradient(conv, x!, cotangent),
      ...(bias ? [sum(cotangent, [0, 2, 3])] : []),
    ],
  };
  return apply(rule, bias ? [x, weight, bias] : [x, weight], [conv.n, conv.o, conv.oh, conv.ow]);
}

/** The adjoint in x. The three products are the three slices of one trilinear form, so each is the others' vjp. */
function inputGradient(conv: Conv, y: Tensor, weight: Tensor): Tensor {
  const rule: Rule = {
    name: "conv2d to x",
    reads: productReads,
    goesOn: byElement,
    kernel: ({ inputs: [y, weight], out, ...where }, mode) => ({
      ...convInputGradient(conv, variantOf("input gradient", conv, mode, where), y!, weight!, out),
      flops: flopsOf(conv, mode),
    }),
    vjp: ([y, weight], _output, cotangent) => [
      forward(conv, cotangent, weight!),
      weightGradient(conv, cotangent, y!),
    ],
  };
  return apply(rule, [y, weight], [conv.n, conv.c, conv.h, conv.w]);
}

/** The adjoint in the weights. */
function weightGradient(conv: Conv, x: Tensor, y: Tensor): Tensor {
  const rule: Rule = {
    name: "conv2d to weights",
    bytes: [0],
    reads: productReads,
    parts: (mode, where) => convWeightParts(conv, variantOf("weight gradient", conv, mode, where)),
    kernel: ({ inputs: [x, y], out, ...where }, mode) => ({
      ...convWeightGradient(conv, variantOf("weight gradient", conv, mode, where), x!, y!, out),
      flops: flopsOf(conv, mode),
    }),
    vjp: ([x, y], _output, cotangent) => [inputGradient(conv, y!, cotangent), forward(conv, x!, cotangent)],
  };
  return apply(rule, [x, y], [conv.o, conv.c, conv.kh, conv.kw]);
}
