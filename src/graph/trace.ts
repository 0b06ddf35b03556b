import { align, Block, type Resource } from "../gpu/block.ts";
import { type Layout, layoutOf } from "./layout.ts";
import { gradients } from "./reverse.ts";
import { assertFilled } from "./shape.ts";
import { constant, leaf, type Tensor } from "./tensor.ts";
import { dtypeOf, type Values } from "./values.ts";

/** Named graph tensors, as a loss receives them. */
export type Tensors<Names extends string = string> = Readonly<Record<Names, Tensor>>;

/** A scalar of parameters w, hyperparameters α and data, written with the graph's operations. */
export type Loss<W extends string = string, H extends string = string, D extends string = string> = (
  parameters: Tensors<W>,
  hyper: Tensors<H>,
  data: Tensors<D>,
) => Tensor;

/** The flat leaves w and α and the data's leaves, from which losses are traced. */
export class Leaves<W extends string, H extends string> {
  readonly parameterLayout: Layout<W>;
  readonly hyperLayout: Layout<H>;
  readonly parameters: Tensor;
  readonly hyper: Tensor;

  /** Elements from one lane to the next, 0 where all lanes share. */
  readonly lane: { readonly parameters: number; readonly hyper: number };

  constructor(
    parameters: Readonly<Record<W, Values>>,
    hyper: Readonly<Record<H, Values>>,
    { laned }: { laned: { parameters: boolean; hyper: boolean } },
  ) {
    this.parameterLayout = layoutOf(parameters);
    this.hyperLayout = layoutOf(hyper);
    this.lane = {
      parameters: laned.parameters ? align(this.parameterLayout.size, 4) : 0,
      hyper: laned.hyper ? align(this.hyperLayout.size, 4) : 0,
    };
    this.parameters = leaf("parameters", [this.parameterLayout.size], { lane: this.lane.parameters });
    this.hyper = leaf("hyperparameters", [this.hyperLayout.size], { lane: this.lane.hyper });
  }

  trace<D extends string>(loss: Loss<W, H, D>, data: Tensors<D>): TracedLoss {
    const value = loss(this.parameterLayout.views(this.parameters), this.hyperLayout.views(this.hyper), data);
    const [parameters, hyper] = gradients(value, [this.parameters, this.hyper]);
    return {
      value,
      parameters: parameters ?? constant(0, this.parameters.shape),
      hyper: hyper ?? constant(0, this.hyper.shape),
      dependsOn: { parameters: parameters !== undefined, hyper: hyper !== undefined },
    };
  }
}

/** A loss and its gradients, all as graph tensors: everything the four programs are made of. */
export interface TracedLoss {
  readonly value: Tensor;
  /** ∇_w, flat. */
  readonly parameters: Tensor;
  /** ∇_α, flat. */
  readonly hyper: Tensor;
  readonly dependsOn: { readonly parameters: boolean; readonly hyper: boolean };
}

/** Leaves for named data, shared by all lanes, and the buffers that hold it. */
export function dataLeaves<D extends string>(
  data: Readonly<Record<D, Values>>,
): { tensors: Tensors<D>; resources: [Tensor, Resource][] } {
  const entries = Object.entries<Values>(data).map(([name, given]) => {
    assertFilled(name, given.shape);
    const tensor = leaf(name, given.shape, { dtype: dtypeOf(given) });
    return { name, tensor, block: new Block(name, "data", given.data.byteLength, given.data) };
  });
  return {
    tensors: Object.fromEntries(entries.map(({ name, tensor }) => [name, tensor])) as Record<D, Tensor>,
    resources: entries.map(({ tensor, block }) => [tensor, { block }]),
  };
}
