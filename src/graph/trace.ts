import { align, Block, type Resource } from "../gpu/block.ts";
import { ProblemError } from "../gpu/problem_error.ts";
import { assertWithin, type IndexBound, indexBounds } from "./index_bounds.ts";
import { type Layout, layoutOf } from "./layout.ts";
import { assertResult, UndefinedOperand } from "./operands.ts";
import { widen } from "./operations/widen.ts";
import { assertData, assertStatedData, type DataValues } from "./pixels.ts";
import { gradients } from "./reverse.ts";
import { assertFilled, formatShape, ShapeError, size } from "./shape.ts";
import { constant, type DType, leaf, type Tensor } from "./tensor.ts";
import { assertFinite, called, laneShape, type Values } from "./values.ts";

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
    { laned, lanes = 1 }: { laned: { parameters: boolean; hyper: boolean }; lanes?: number },
  ) {
    this.parameterLayout = layoutOf(parameters, lanes);
    this.hyperLayout = layoutOf(hyper, lanes);
    this.lane = {
      parameters: laned.parameters ? align(this.parameterLayout.size, 4) : 0,
      hyper: laned.hyper ? align(this.hyperLayout.size, 4) : 0,
    };
    this.parameters = leaf("parameters", [this.parameterLayout.size], { lane: this.lane.parameters });
    this.hyper = leaf("hyperparameters", [this.hyperLayout.size], { lane: this.lane.hyper });
  }

  /** `called` is how errors call the loss. @throws ProblemError, ShapeError for what it cannot mean */
  trace<D extends string>(loss: Loss<W, H, D>, data: Tensors<D>, called = "the loss"): TracedLoss {
    const given = this.#evaluate(loss, data, called);
    assertResult(called, given);
    const value = given.dtype === "unorm8" ? widen(given) : given;
    const [parameters, hyper] = gradients(value, [this.parameters, this.hyper]);
    return {
      value,
      parameters: parameters ?? constant(0, this.parameters.shape),
      hyper: hyper ?? constant(0, this.hyper.shape),
      dependsOn: { parameters: parameters !== undefined, hyper: hyper !== undefined },
    };
  }

  #evaluate<D extends string>(loss: Loss<W, H, D>, data: Tensors<D>, called: string): Tensor {
    try {
      return loss(this.parameterLayout.views(this.parameters), this.hyperLayout.views(this.hyper), data);
    } catch (error) {
      if (error instanceof ShapeError) throw new ShapeError(`${called}: ${error.message}`, { cause: error });
      if (!(error instanceof ProblemError)) throw error;
      const hint = error instanceof UndefinedOperand ? ` There are ${this.#names(data)}` : "";
      throw new ProblemError(`${called}: ${error.message}${hint}`, { cause: error });
    }
  }

  /** What a loss receives. */
  #names(data: Tensors): string {
    const known = [
      ["parameters", this.parameterLayout.names],
      ["hyper", this.hyperLayout.names],
      ["data", Object.keys(data)],
    ] as const;
    return known.map(([of, names]) => `${of}: ${names.join(", ") || "none"}`).join("; ");
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

/** An array of data: its leaf in the graph, the buffer that holds it, and what may take its place. */
export interface DataLeaf {
  readonly tensor: Tensor;
  readonly block: Block;
  /** Holds the numbers, and what takes their place, to what a loss indexes with them. @throws ProblemError */
  keepWithin(bounds: readonly IndexBound[]): void;
  /**
   * Other numbers, as the buffer holds them. @throws ShapeError unless they have the same shape and type; ProblemError
   * where they are not finite, or out of bounds
   */
  pack(given: DataValues): ArrayBufferView;
}

type DataLeaves<D extends string> = Readonly<Record<D, DataLeaf>>;

/**
 * Leaves for named data, and the buffers that hold it: shared by all lanes, or a part for each. `of` says in errors
 * whose data it is.
 * @throws ShapeError where the parts are not as many as the lanes; ProblemError for what are neither
 * Pixels nor finite Values
 */
export function dataLeaves<D extends string>(
  data: Readonly<Record<D, DataValues>>,
  lanes = 1,
  of = "data",
): { tensors: Tensors<D>; resources: [Tensor, Resource][]; arrays: DataLeaves<D> } {
  assertStatedData(of, data);
  const entries = Object.entries<DataValues>(data).map(
    ([name, given]) => [name, dataLeaf(name, given, lanes, called(name, of))] as const,
  );
  return {
    tensors: Object.fromEntries(entries.map(([name, { tensor }]) => [name, tensor])) as Record<D, Tensor>,
    resources: entries.map(([, { tensor, block }]) => [tensor, { block }]),
    arrays: Object.fromEntries(entries) as Record<D, DataLeaf>,
  };
}

/** Holds data to what `loss` indexes with it, now and when other data takes its place. @throws ProblemError */
export function keepIndicesWithin(arrays: DataLeaves<string>, loss: Tensor): void {
  const bounds = indexBounds(loss);
  for (const array of Object.values(arrays)) array.keepWithin(bounds.get(array.tensor) ?? []);
}

function dataLeaf(name: string, given: DataValues, lanes: number, label: string): DataLeaf {
  assertFilled(label, given.shape, "data has at least one row");
  const shape = laneShape(name, given, lanes);
  const dtype = dtypeOf(given);
  // Bytes fill whole words, and lanes begin where vectors may.
  const length = given.perLane || dtype === "unorm8" ? align(size(shape), 4) : size(shape);
  const lane = given.perLane ? length : 0;
  const spread = ({ data }: DataValues) => spreadOut(data, given.perLane ? lanes : 1, length);
  const form = `${formatShape(given.shape)} of ${ARRAYS[dtype]}`;
  const initial = spread(given);
  let bounds: readonly IndexBound[] = [];
  return {
    tensor: leaf(name, shape, { dtype, lane }),
    block: new Block(name, "data", initial.byteLength, initial),
    keepWithin(stated) {
      bounds = stated;
      assertWithin(label, given, bounds, size(shape));
    },
    pack(other) {
      assertData(label, other);
      const found = `${formatShape(other.shape)} of ${ARRAYS[dtypeOf(other)]}`;
      if (found !== form) throw new ShapeError(`${label} is ${found}, the problem was stated with ${form}`);
      assertFinite(label, other);
      assertWithin(label, other, bounds, size(shape));
      return spread(other);
    },
  };
}

const ARRAYS: Readonly<Record<DType, string>> = {
  f32: "Float32Array",
  i32: "Int32Array",
  unorm8: "Uint8Array",
};

function dtypeOf({ data }: DataValues): DType {
  if (data instanceof Uint8Array) return "unorm8";
  return data instanceof Int32Array ? "i32" : "f32";
}

/** The parts of an array, `lane` elements from one to the next. */
function spreadOut(parts: DataValues["data"], lanes: number, lane: number): ArrayBufferView {
  if (parts.length === lane * lanes) return parts;
  const each = parts.BYTES_PER_ELEMENT;
  const bytes = new Uint8Array(parts.buffer, parts.byteOffset, parts.byteLength);
  const [from, to] = [bytes.length / lanes, lane * each];
  const padded = new Uint8Array(to * lanes);
  for (let l = 0; l < lanes; l++) padded.set(bytes.subarray(l * from, (l + 1) * from), l * to);
  return padded;
}
