import { relu } from "../graph/operations/elementwise.ts";
import { dense } from "../graph/operations/matmul.ts";
import type { Tensor } from "../graph/tensor.ts";
import type { Tensors } from "../graph/trace.ts";
import { type Values, zeros } from "../graph/values.ts";
import { Random } from "../random.ts";
import { heNormal, type Initial } from "./initial.ts";

/** Parameters by name with their first values, and the function of them. */
export interface Model<W extends string> {
  readonly parameters: Readonly<Record<W, Values>>;
  /** Inputs [n×in] to outputs [n×out]. */
  apply(parameters: Tensors<W>, x: Tensor): Tensor;
}

/** x · Wᵀ + b, from zero. */
export function linear(inputs: number, outputs: number): Model<"weight" | "bias"> {
  return {
    parameters: { weight: zeros([outputs, inputs]), bias: zeros([outputs]) },
    apply: ({ weight, bias }, x) => dense(x, weight, bias),
  };
}

/**
 * Dense layers of the given widths, inputs first and outputs last, with an activation between. Weights `weight1`, …
 * start as `initial` draws them, biases `bias1`, … at zero.
 */
export function mlp(
  widths: readonly number[],
  {
    activation = relu,
    initial = heNormal,
    seed = 0,
  }: { activation?: (x: Tensor) => Tensor; initial?: Initial; seed?: number } = {},
): Model<string> {
  const random = new Random(seed);
  const layers = widths
    .slice(1)
    .map((outputs, index) => ({ inputs: widths[index]!, outputs, index: index + 1 }));
  const parameters: Record<string, Values> = {};
  for (const { inputs, outputs, index } of layers) {
    parameters[`weight${index}`] = initial([outputs, inputs], random);
    parameters[`bias${index}`] = zeros([outputs]);
  }
  return {
    parameters,
    apply: (w, x) =>
      layers.reduce((hidden, { index }) => {
        const out = dense(hidden, w[`weight${index}`]!, w[`bias${index}`]!);
        return index < layers.length ? activation(out) : out;
      }, x),
  };
}
