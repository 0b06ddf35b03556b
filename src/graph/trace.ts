import { align, Block, type Resource } from "../gpu/block.ts";
import { type Layout, layoutOf } from "./layout.ts";
import { gradients } from "./reverse.ts";
import { assertFilled, formatShape, ShapeError, size } from "./shape.ts";
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

/**
 * Leaves for named data, and the buffers that hold it: shared by all lanes, or a part for each.
 * @throws ShapeError where the parts are not as many as the lanes.
 */
export function dataLeaves<D extends string>(
  data: Readonly<Record<D, Values>>,
  lanes = 1,
): { tensors: Tensors<D>; resources: [Tensor, Resource][] } {
  const entries = Object.entries<Values>(data).map(([name, given]) => {
    assertFilled(name, given.shape);
    const [parts, ...rest] = given.shape;
    if (given.perLane && parts !== lanes) {
      throw new ShapeError(
        `"${name}" is ${formatShape(given.shape)} with a part for each lane: its first axis has to be ${lanes}`,
      );
    }
    const shape = given.perLane ? rest : given.shape;
    const lane = given.perLane ? align(size(shape), 4) : 0;
    const tensor = leaf(name, shape, { dtype: dtypeOf(given), lane });
    const packed = given.perLane ? spread(given.data, lanes, lane) : given.data;
    return { name, tensor, block: new Block(name, "data", packed.byteLength, packed) };
  });
  return {
    tensors: Object.fromEntries(entries.map(({ name, tensor }) => [name, tensor])) as Record<D, Tensor>,
    resources: entries.map(({ tensor, block }) => [tensor, { block }]),
  };
}

/** The parts of an array, `lane` elements from one to the next. */
function spread<T extends Float32Array | Int32Array>(parts: T, lanes: number, lane: number): T {
  const length = parts.length / lanes;
  if (length === lane) return parts;
  const padded = (
    parts instanceof Int32Array ? new Int32Array(lane * lanes) : new Float32Array(lane * lanes)
  ) as T;
  for (let l = 0; l < lanes; l++) padded.set(parts.subarray(l * length, (l + 1) * length), l * lane);
  return padded;
}
