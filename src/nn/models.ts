import { assertKnown } from "../gpu/known.ts";
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

interface DenseOptions {
  readonly activation?: (x: Tensor) => Tensor;
  readonly initial?: Initial;
}

/**
 * Dense layers of the given widths, inputs first and outputs last, with an activation between. Weights `weight1`, …
 * start as `initial` draws them, biases `bias1`, … at zero. @throws ProblemError for an option that there is not
 */
export function mlp(
  widths: readonly number[],
  options: DenseOptions & { seed?: number } = {},
): Model<string> {
  assertKnown("mlp", options, { activation: true, initial: true, seed: true });
  const { activation = relu, initial = heNormal, seed = 0 } = options;
  return denseLayers(widths, { activation, initial, random: new Random(seed), first: 1 });
}

/** The same behind other layers: the `first` of its own is counted so. */
export function denseLayers(
  widths: readonly number[],
  { activation, initial, random, first }: Required<DenseOptions> & { random: Random; first: number },
): Model<string> {
  const last = first + widths.length - 2;
  const parameters: Record<string, Values> = {};
  const layers = widths.slice(1).map((outputs, index) => {
    const layer = first + index;
    parameters[`weight${layer}`] = initial([outputs, widths[index]!], random);
    parameters[`bias${layer}`] = zeros([outputs]);
    return layer;
  });
  return {
    parameters,
    apply: (w, x) =>
      layers.reduce((hidden, layer) => {
        const out = dense(hidden, w[`weight${layer}`]!, w[`bias${layer}`]!);
        return layer < last ? activation(out) : out;
      }, x),
  };
}
