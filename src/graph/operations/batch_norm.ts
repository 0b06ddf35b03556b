import { assertKnown } from "../../gpu/known.ts";
import { assertTensors } from "../operands.ts";
import { formatShape, ShapeError } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { reshape } from "./copy.ts";
import { sqrt, square } from "./elementwise.ts";
import { add, scale as multiple, sub } from "./linear_combination.ts";
import { div, mul } from "./multiply.ts";
import { sum } from "./reduce.ts";

export interface BatchNormOptions {
  /** A factor for each channel: [c]. */
  readonly scale?: Tensor;
  /** Added to each channel: [c]. */
  readonly shift?: Tensor;
  /** Added to the variance; default 1e-5. */
  readonly epsilon?: number;
}

/**
 * Batch normalization (Ioffe & Szegedy 2015) in its transductive form: x [n×c×h×w] or [n×c], less the mean of its
 * channel, over √(variance + epsilon), with the statistics of the batch at hand in training and testing alike. The
 * variance is the mean square, n in the denominator. @throws ShapeError
 */
export function batchNorm(x: Tensor, options: BatchNormOptions = {}): Tensor {
  assertKnown("batchNorm", options, { scale: true, shift: true, epsilon: true });
  const { scale, shift, epsilon = 1e-5 } = options;
  const given = [scale, shift].filter((tensor) => tensor !== undefined);
  assertTensors("batchNorm", x, ...given);
  const [, channels] = x.shape;
  const count = x.size / channels!;
  const fits = given.every(({ shape, size }) => shape.length === 1 && size === channels);
  if ((x.shape.length !== 4 && x.shape.length !== 2) || !fits) {
    const shown = given.map(({ shape }) => ` and ${formatShape(shape)}`).join("");
    throw new ShapeError(
      `batchNorm: ${formatShape(x.shape)}${shown} do not fit: give [n×c×h×w] or [n×c], scale and shift [c]`,
    );
  }
  if (count < 2)
    throw new ShapeError(
      `batchNorm of ${formatShape(x.shape)}: a channel has one number, whose variance is 0; give more examples`,
    );
  const others = x.shape.flatMap((_, axis) => (axis === 1 ? [] : [axis]));
  const kept = x.shape.map((n, axis) => (axis === 1 ? n : 1));
  // Reshaped before it is scaled: the scaling then becomes part of the kernel that takes the average.
  const average = (tensor: Tensor) => multiple(1 / count, reshape(sum(tensor, others), kept));
  const centred = sub(x, average(x));
  const deviation = sqrt(add(average(square(centred)), epsilon));
  const normal = mul(centred, div(scale ? reshape(scale, kept) : 1, deviation));
  return shift ? add(normal, reshape(shift, kept)) : normal;
}
