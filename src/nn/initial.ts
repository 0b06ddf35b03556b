import { type Shape, size } from "../graph/shape.ts";
import { type Values, values } from "../graph/values.ts";
import type { Random } from "../random.ts";

/** Draws the first weights of a layer, [outputs × …]. */
export type Initial = (shape: Shape, random: Random) => Values;

/** Under a rectifier: normal, with variance 2 / inputs (He et al. 2015). */
export const heNormal: Initial = (shape, random) => normal(shape, 2 / inputsOf(shape), random);

/** Normal, with variance 1 / inputs (LeCun et al. 1998): what Haiku's layers begin with, but that it cuts the tails off. */
export const lecunNormal: Initial = (shape, random) => normal(shape, 1 / inputsOf(shape), random);

/** Uniform within ±1 / √inputs, variance 1 / (3 inputs): what PyTorch's layers begin with. */
export const fanInUniform: Initial = (shape, random) => {
  const bound = 1 / Math.sqrt(inputsOf(shape));
  return drawn(shape, () => bound * (2 * random.uniform() - 1));
};

const inputsOf = (shape: Shape) => size(shape) / shape[0]!;

const normal = (shape: Shape, variance: number, random: Random) =>
  drawn(shape, () => Math.sqrt(variance) * random.normal());

const drawn = (shape: Shape, draw: () => number) =>
  values(Float32Array.from({ length: size(shape) }, draw), shape);
