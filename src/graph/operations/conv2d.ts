import { convForward, forwardThreads } from "../../../shaders/conv/forward.ts";
import { convInputGradient, inputGradientThreads } from "../../../shaders/conv/input_gradient.ts";
import { plainForward, plainInputGradient, plainWeightGradient } from "../../../shaders/conv/plain.ts";
import { convWeightGradient, weightGradientGrid } from "../../../shaders/conv/weight_gradient.ts";
import { type Conv, type ConvTile, divisor } from "../../../shaders/conv/window.ts";
import { linearGrid } from "../../../shaders/operand.ts";
import { apply } from "../apply.ts";
import { formatShape, ShapeError, size } from "../shape.ts";
import type { KernelCode, Mode, Operand, Rule, Tensor } from "../tensor.ts";
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
export function conv2d(
  x: Tensor,
  weight: Tensor,
  { stride = 1, padding = 0, bias }: Conv2dOptions = {},
): Tensor {
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

/** Multiply-adds below which a tile, seconds of a software adapter's compiler, does not pay. */
const WORTH_COMPILING = 2 ** 22;

const products = ({ n, o, oh, ow, c, kh, kw }: Conv) => n * o * oh * ow * c * kh * kw;

/** Most sums, channels and neighbouring columns of a thread: more reads in a kernel are more seconds of compiling. */
const SUMS = 32;
const CHANNELS = 4;
const COLS = 4;

/** As many channels as divide their number, up to 4, and as many columns as then fit; whole strides of them. */
function tileOf(channels: number, columns: number, { primal, tangent }: Mode, stride = 1): ConvTile {
  const own = divisor(channels, CHANNELS);
  const most = Math.max(Math.min(COLS, Math.floor(SUMS / (Number(primal) + Number(tangent)) / own)), 1);
  const cols = Math.min(Math.ceil(columns / Math.ceil(columns / most)), most);
  return { channels: own, cols: Math.ceil(cols / stride) * stride };
}

const flopsOf = (conv: Conv, { primal, tangent, active }: Mode) =>
  2 * products(conv) * (Number(primal) + (tangent ? active.slice(0, 2).filter(Boolean).length : 0));

const isSmall = (conv: Conv) => products(conv) < WORTH_COMPILING;

/** A plain kernel, with a thread for each of its outputs. */
const oneEach = (conv: Conv, mode: Mode, { shape }: Operand, code: string): KernelCode => ({
  code,
  grid: linearGrid(size(shape)),
  flops: flopsOf(conv, mode),
});

function forward(conv: Conv, x: Tensor, weight: Tensor, bias?: Tensor): Tensor {
  const rule: Rule = {
    name: "conv2d",
    slots: 3,
    reads: productReads,
    kernel({ inputs: [x, weight, bias], out }, mode) {
      if (isSmall(conv)) return oneEach(conv, mode, out, plainForward(conv, x!, weight!, bias, out));
      const tile = tileOf(conv.o, conv.ow, mode);
      return {
        code: convForward(conv, tile, x!, weight!, bias, out),
        grid: linearGrid(forwardThreads(conv, tile)),
        flops: flopsOf(conv, mode),
      };
    },
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
    kernel({ inputs: [y, weight], out }, mode) {
      if (isSmall(conv)) return oneEach(conv, mode, out, plainInputGradient(conv, y!, weight!, out));
      const tile = tileOf(conv.c, conv.w, mode, conv.stride);
      return {
        code: convInputGradient(conv, tile, y!, weight!, out),
        grid: linearGrid(inputGradientThreads(conv, tile)),
        flops: flopsOf(conv, mode),
      };
    },
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
    reads: productReads,
    kernel({ inputs: [x, y], out }, mode) {
      if (isSmall(conv)) return oneEach(conv, mode, out, plainWeightGradient(conv, x!, y!, out));
      const most = (1.5 * SUMS) / (Number(mode.primal) + Number(mode.tangent)) / (conv.kh * conv.kw);
      const tile = {
        channels: divisor(conv.o, Math.min(Math.floor(most), CHANNELS)),
        cols: Math.min(conv.ow, COLS),
      };
      return {
        code: convWeightGradient(conv, tile, x!, y!, out),
        grid: weightGradientGrid(conv, tile),
        flops: flopsOf(conv, mode),
      };
    },
    vjp: ([x, y], _output, cotangent) => [inputGradient(conv, y!, cotangent), forward(conv, x!, cotangent)],
  };
  return apply(rule, [x, y], [conv.o, conv.c, conv.kh, conv.kw]);
}
