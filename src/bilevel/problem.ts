import { assertOpen } from "../gpu/gpu.ts";
import { kindOf } from "../gpu/kind.ts";
import { assertKnown } from "../gpu/known.ts";
import { ProblemError } from "../gpu/problem_error.ts";
import { assertLoss, assertTensors } from "../graph/operands.ts";
import { gather } from "../graph/operations/gather.ts";
import type { DataValues } from "../graph/pixels.ts";
import { formatShape, type Shape, ShapeError, size } from "../graph/shape.ts";
import { leaf, parents, type Tensor, topological } from "../graph/tensor.ts";
import {
  type DataLeaf,
  dataLeaves,
  keepIndicesWithin,
  Leaves,
  type Loss,
  type Tensors,
  type TracedLoss,
} from "../graph/trace.ts";
import { assertStated, type Values } from "../graph/values.ts";
import { Batches } from "./batches.ts";
import { type Constraint, checkConstraints, type Stated } from "./constraint.ts";
import type { InnerOptimizer } from "./inner_optimizer.ts";
import type { Rate } from "./rate.ts";

export { ProblemError };

/** The examples that a loss sees. */
export interface Batch {
  /** Of a tensor with one row an example, the rows of this batch; with full batches the tensor itself. */
  rows(tensor: Tensor): Tensor;
}

/** A scalar of parameters, hyperparameters and data; data arrives as the rows of the batch. */
export type BatchLoss<W extends string, H extends string, D extends string> = (
  parameters: Tensors<W>,
  hyper: Tensors<H>,
  data: Tensors<D>,
  batch: Batch,
) => Tensor;

type Named<Names extends string> = Readonly<Record<Names, Values>>;

export interface Level<W extends string, H extends string, D extends string> {
  readonly loss: BatchLoss<W, H, D>;
  /** Arrays with one row an example. */
  readonly data?: Readonly<Record<D, DataValues>>;
  /** Examples a step, drawn without replacement; all of them when absent. */
  readonly batch?: number;
}

export interface BilevelSpec<W extends string, H extends string, D extends string, E extends string> {
  /** w_0; of each lane its own where it is `perLane`. */
  readonly parameters: Named<W>;
  /**
   * α, in named groups, and where it starts. A group may stand in a loss, or be η, μ or w_0. Where the groups are
   * `perLane`, each lane has an α of its own.
   */
  readonly hyper: Named<H>;
  readonly inner: Level<W, H, D> & {
    /** T, the horizon. */
    readonly steps: number;
    readonly optimizer: InnerOptimizer<NoInfer<H>>;
  };
  readonly outer: Level<W, H, E>;
  /** Where groups of α have to stay; each outer step ends with a projection. Several on one group stand in a list. */
  readonly constraints?: Readonly<Partial<Record<NoInfer<H>, Stated>>>;
  /** The group that holds w_0, flat, with the parameters in their order; `parameters` then gives names and shapes. */
  readonly start?: NoInfer<H>;
  /**
   * Independent inner problems side by side, with data of their own where it is `perLane`. They share α, and the
   * hypergradient is their mean; or each has an α and a hypergradient of its own. Mini-batches are the same rows in all.
   */
  readonly lanes?: number;
  /** Seed of the batches. */
  readonly seed?: number;
}

/** One level as a graph: its loss and gradients, and what its leaves are bound to. */
export interface TracedLevel {
  readonly traced: TracedLoss;
  readonly data: ReturnType<typeof dataLeaves>["resources"];
  readonly arrays: Readonly<Record<string, DataLeaf>>;
  readonly batches: { readonly leaf: Tensor; readonly table: Batches } | undefined;
}

/** A bilevel problem, checked and traced; what the estimators and the outer loop work on. */
export interface Problem<W extends string = string, H extends string = string> {
  readonly leaves: Leaves<W, H>;
  readonly parameters: Named<W>;
  readonly hyper: Named<H>;
  readonly lanes: number;
  /** So many α there are: one that all lanes share, or one for each. */
  readonly owners: number;
  /** The first axis of w and of α on the host, where the lanes are one. */
  readonly laneAxis: { readonly parameters: number | undefined; readonly hyper: number | undefined };
  readonly steps: number;
  readonly optimizer: InnerOptimizer;
  readonly lr: Rate;
  /** Where the optimizer has one. */
  readonly momentum: Rate | undefined;
  readonly start: H | undefined;
  readonly constraints: Readonly<Partial<Record<H, Constraint>>>;
  readonly inner: TracedLevel;
  readonly outer: TracedLevel;
}

const LEVEL = { loss: true, data: true, batch: true };
const SPEC = {
  ...{ parameters: true, hyper: true, inner: true, outer: true },
  ...{ constraints: true, start: true, lanes: true, seed: true },
};

/**
 * States a bilevel problem: minimise E(w_T(α), α) over α, where w_T comes from T steps of the inner optimizer on
 * L(w, α).
 * @throws ProblemError, ShapeError with what does not fit.
 */
export function bilevel<
  W extends string,
  H extends string,
  D extends string = never,
  E extends string = never,
>(spec: BilevelSpec<W, H, D, E>): Problem<W, H> {
  assertKnown("bilevel", spec, SPEC);
  assertKnown("inner", spec.inner, { ...LEVEL, steps: true, optimizer: true });
  assertKnown("outer", spec.outer, LEVEL);
  const { parameters, hyper, lanes = 1, start, seed = 0 } = spec;
  const { steps, optimizer } = spec.inner;
  positive("inner.steps", steps);
  positive("lanes", lanes);
  assertStated("parameters", parameters);
  assertStated("hyper", hyper);
  const owned = everyLaneOwns(hyper);
  const leaves = new Leaves(parameters, hyper, { lanes, laned: { parameters: true, hyper: owned } });
  if (leaves.parameterLayout.size === 0) throw new ProblemError("there are no parameters");
  if (leaves.hyperLayout.size === 0) throw new ProblemError("there are no hyperparameters");
  if (start !== undefined && !leaves.hyperLayout.names.includes(start)) {
    throw new ProblemError(`w_0 names the group "${start}", which does not exist`);
  }
  if (start !== undefined && size(leaves.hyperLayout.shape(start)) !== leaves.parameterLayout.size) {
    throw new ShapeError(
      `the group "${start}" holds ${size(leaves.hyperLayout.shape(start))} numbers, w_0 has ${leaves.parameterLayout.size}`,
    );
  }
  const rate = (name: string, given: number | H, below = Number.POSITIVE_INFINITY): Rate => {
    const wanted = `give a number ${below === 1 ? "in [0, 1)" : "≥ 0"} or the name of a group`;
    if (typeof given === "number") {
      if (!(given >= 0 && given < below)) throw new ProblemError(`${name} is ${given}: ${wanted}`);
      return { value: given };
    }
    if (typeof given !== "string") throw new ProblemError(`${name} is ${kindOf(given)}: ${wanted}`);
    const shape: Shape | undefined = leaves.hyperLayout.names.includes(given)
      ? leaves.hyperLayout.shape(given)
      : undefined;
    if (shape === undefined)
      throw new ProblemError(`${name} names the group "${given}", which does not exist`);
    if (size(shape) !== 1 && size(shape) !== steps) {
      throw new ShapeError(
        `${name} is the group "${given}" of ${size(shape)} numbers: give one, or one for each of ${steps} steps`,
      );
    }
    const perStep = size(shape) !== 1;
    return { group: given, offset: leaves.hyperLayout.offset(given), perStep, lane: leaves.lane.hyper };
  };
  const constraints = checkConstraints(hyper, spec.constraints);
  if (typeof optimizer?.prepare !== "function")
    throw new ProblemError("inner.optimizer is none for the inner loop: give sgd() or adamW()");
  const lr = rate("lr", optimizer.lr);
  const momentum = optimizer.momentum === undefined ? undefined : rate("momentum", optimizer.momentum, 1);
  const inner = traceLevel(leaves, "inner", spec.inner, { steps, seed, lanes });
  const outer = traceLevel(leaves, "outer", spec.outer, { steps: 1, seed: seed + 1, lanes });
  if (!inner.traced.dependsOn.parameters) {
    throw new ProblemError(
      "the inner loss does not depend on the parameters by anything that has a derivative: inner steps would leave them as they are",
    );
  }
  assertReached(leaves, [inner, outer], momentum ? [lr, momentum] : [lr], start);
  return {
    ...{ leaves, parameters, hyper, lanes, steps, optimizer, lr, momentum, start, constraints },
    ...{ inner, outer },
    owners: owned ? lanes : 1,
    laneAxis: {
      parameters: lanes > 1 || isLaned(parameters) ? lanes : undefined,
      hyper: owned ? lanes : undefined,
    },
  };
}

/** @throws ProblemError for what is no problem, or no device to run it on */
export function assertRuns(problem: unknown, gpu: unknown): void {
  if (typeof problem !== "object" || problem === null || !("leaves" in problem))
    throw new ProblemError(`the problem is ${kindOf(problem)}: give what bilevel({ … }) returns`);
  assertOpen(gpu);
}

function isLaned(given: Named<string>): boolean {
  return Object.values(given).some(({ perLane }) => perLane);
}

/** Has each lane an α of its own? @throws ProblemError where it has a part of one and shares another */
function everyLaneOwns(hyper: Named<string>): boolean {
  const shared = Object.keys(hyper).filter((name) => !hyper[name]!.perLane);
  if (isLaned(hyper) && shared.length > 0) {
    throw new ProblemError(
      `some groups of α are perLane and ${shared.map((name) => `"${name}"`).join(", ")} shared: make all of them perLane, with equal parts where they start alike, or none`,
    );
  }
  return isLaned(hyper);
}

/** @throws ProblemError unless `value` is a whole number > 0 */
export function positive(name: string, value: number): void {
  if (!(Number.isInteger(value) && value > 0))
    throw new ProblemError(
      `${name} is ${typeof value === "number" ? value : kindOf(value)}: give a whole number > 0`,
    );
}

function traceLevel<W extends string, H extends string, D extends string>(
  leaves: Leaves<W, H>,
  which: "inner" | "outer",
  { loss, data = {} as Record<D, DataValues>, batch }: Level<W, H, D>,
  { steps, seed, lanes }: { steps: number; seed: number; lanes: number },
): TracedLevel {
  assertLoss(`${which}.loss`, loss);
  const { tensors, resources, arrays } = dataLeaves(data, lanes, `${which}.data`);
  const traceWith = (seen: Loss<W, H, D>) => {
    const traced = leaves.trace(seen, tensors, `the ${which} loss`);
    keepIndicesWithin(arrays, traced.value);
    return { traced, data: resources, arrays };
  };
  if (batch === undefined)
    return {
      ...traceWith((w, a, d) => loss(w, a, d, { rows: (tensor) => tensor })),
      batches: undefined,
    };
  const counts = new Set(
    Object.values<DataValues>(data).map(({ shape, perLane }) => shape[perLane ? 1 : 0] ?? 0),
  );
  const [examples = 0] = counts;
  if (counts.size !== 1 || !(Number.isInteger(batch) && batch > 0 && batch <= examples)) {
    throw new ProblemError(
      `batches of ${batch} need data whose arrays all have at least so many rows; they have ${[...counts].join(", ") || "none"}`,
    );
  }
  const index = leaf("batch", [batch], { dtype: "i32" });
  const rows = (tensor: Tensor) => {
    assertTensors("batch.rows", tensor);
    if (tensor.shape[0] === examples) return gather(tensor, index);
    throw new ShapeError(
      `batch.rows takes a tensor with a row for each of the ${examples} examples, not ${formatShape(tensor.shape)}`,
    );
  };
  const sampled: Loss<W, H, D> = (w, a, d) => {
    const taken = Object.entries<Tensor>(d).map(([name, tensor]) => [name, rows(tensor)]);
    return loss(w, a, Object.fromEntries(taken) as Tensors<D>, { rows });
  };
  return {
    ...traceWith(sampled),
    batches: { leaf: index, table: new Batches({ examples, batch, steps, seed }) },
  };
}

/** Every group must reach a loss or the optimizer, else its gradient is zero for a reason nobody meant. */
function assertReached<W extends string, H extends string>(
  { hyperLayout, hyper }: Leaves<W, H>,
  levels: readonly TracedLevel[],
  rates: readonly Rate[],
  start: string | undefined,
): void {
  const used = new Set<string>(rates.flatMap((rate) => ("group" in rate ? [rate.group] : [])));
  if (start !== undefined) used.add(start);
  for (const { traced } of levels) {
    for (const { offset, size: count } of rangesOf(traced.value, hyper)) {
      for (const name of hyperLayout.names) {
        const first = hyperLayout.offset(name);
        if (offset < first + size(hyperLayout.shape(name)) && first < offset + count) used.add(name);
      }
    }
  }
  const lost = hyperLayout.names.filter((name) => !used.has(name));
  if (lost.length > 0) {
    throw new ProblemError(
      `the hyperparameter group ${lost.map((name) => `"${name}"`).join(", ")} reaches neither loss nor the inner optimizer: its hypergradient would be zero`,
    );
  }
}

/** The parts of a flat leaf that a tensor is computed from. */
function rangesOf(root: Tensor, flat: Tensor): { offset: number; size: number }[] {
  return topological([root]).flatMap((tensor) => {
    if (tensor.source.kind === "view" && tensor.source.base === flat)
      return [{ offset: tensor.source.offset, size: tensor.size }];
    return parents(tensor).includes(flat) && tensor.source.kind === "rule"
      ? [{ offset: 0, size: flat.size }]
      : [];
  });
}
