import type { AdapterTraits } from "../shaders/variants.ts";
import { inParts } from "../src/bilevel/lane_sums.ts";
import { bilevel } from "../src/bilevel/problem.ts";
import { sgd } from "../src/bilevel/sgd.ts";
import { Unroll } from "../src/bilevel/unroll.ts";
import { krmd } from "../src/estimators/krmd.ts";
import { Arena } from "../src/gpu/arena.ts";
import { Block, type Resource } from "../src/gpu/block.ts";
import { type Dispatch, Sequence } from "../src/gpu/dispatch.ts";
import type { Gpu } from "../src/gpu/gpu.ts";
import { square } from "../src/graph/operations/elementwise.ts";
import { mul } from "../src/graph/operations/multiply.ts";
import { sum } from "../src/graph/operations/reduce.ts";
import type { Target } from "../src/graph/placement.ts";
import { Program } from "../src/graph/program.ts";
import { type Shape, size } from "../src/graph/shape.ts";
import type { Tensor } from "../src/graph/tensor.ts";
import { dataLeaves, type Tensors } from "../src/graph/trace.ts";
import { type Values, values, zeros } from "../src/graph/values.ts";
import { Random } from "../src/random.ts";

/** Which halves a kernel computes. */
export type Mode = "primal" | "tangent" | "dual";

/** One kernel to be timed. */
export interface KernelCase {
  readonly name: string;
  readonly mode: Mode;
  /**
   * The kernel, with the one that adds up its output where it leaves that in parts; made when its turn comes, as its
   * inputs may be large.
   */
  dispatches(gpu: Gpu, traits?: AdapterTraits): readonly Dispatch[];
}

/** Integers in [0, below), so many: class labels or rows to gather. */
export interface Indices {
  readonly count: number;
  readonly below: number;
}

type Input = Shape | Indices;

/**
 * An operation as one case a mode. `active` inputs carry the tangent. `bytes` stands in where the kernel reads
 * less than the whole of its inputs.
 */
export function operation<N extends string>(
  name: string,
  inputs: Readonly<Record<N, Input>>,
  output: (tensors: Tensors<N>) => Tensor,
  { modes, active = [], bytes }: { modes: readonly Mode[]; active?: readonly NoInfer<N>[]; bytes?: number },
): KernelCase[] {
  return modes.map((mode) => ({
    name,
    mode,
    dispatches(gpu, traits = gpu.traits) {
      const made = kernel(traits, { name, mode, inputs, output, active });
      return bytes === undefined ? made : made.map((dispatch) => ({ ...dispatch, bytes }));
    },
  }));
}

function kernel<N extends string>(
  adapter: AdapterTraits,
  {
    name,
    mode,
    inputs,
    output,
    active,
  }: {
    name: string;
    mode: Mode;
    inputs: Readonly<Record<N, Input>>;
    output: (tensors: Tensors<N>) => Tensor;
    active: readonly N[];
  },
): readonly Dispatch[] {
  const random = new Random(1);
  const entries = Object.entries<Input>(inputs).map(([key, input]) => [key, fill(input, random)] as const);
  const data = Object.fromEntries(entries) as Record<N, Values>;
  const { tensors, resources } = dataLeaves(data);
  const result = output(tensors);
  const target = (part: string): Target => ({
    block: new Block(part, "activations", 4 * result.size),
    lane: 0,
  });
  const primal = mode === "tangent" ? undefined : target("primal");
  const tangent = mode === "primal" ? undefined : target("tangent");
  const directions = active.map((key): [Tensor, Resource] => [
    tensors[key],
    { block: new Block(`tangent of ${key}`, "adjoint", data[key].data.byteLength, data[key].data) },
  ]);
  const program = new Program({
    name,
    outputs: [{ tensor: result, ...(primal && { primal }), ...(tangent && { tangent }) }],
    seeds: new Map(tangent ? directions.map(([tensor]) => [tensor, 0]) : []),
    lanes: 1,
    adapter,
  });
  program.place(new Arena("activations"));
  const sequence = new Sequence(name);
  program.record(sequence, { primal: new Map(resources), tangent: new Map(directions) });
  const { dispatches } = sequence;
  if (dispatches.filter(({ label }) => label !== "sum of parts").length !== 1) {
    throw new Error(
      `the case "${name}" is ${dispatches.length} kernels; a case is one:\n${program.explain()}`,
    );
  }
  return dispatches;
}

function fill(input: Input, random: Random): Values {
  if ("below" in input) {
    return values(Int32Array.from({ length: input.count }, () => random.integer(input.below)));
  }
  // Away from zero, for the sake of divisors; and nowhere denormal.
  return values(
    Float32Array.from({ length: size(input) }, () => 0.25 + random.uniform()),
    input,
  );
}

/** What one kernel of the unrolled loop does to each of P elements. */
export interface FlatWork {
  /** Its label among the dispatches of an outer step, and which of those with this label. */
  readonly label: string;
  readonly index: number;
  /** Elements of flat vectors read or written, and operations, for each of P. */
  readonly touched: number;
  readonly flops: number;
}

/**
 * A kernel over flat vectors of P elements, with the one that leaves a sum in parts for it, taken out of an outer step
 * as the engine records it.
 */
export function flat(
  name: string,
  parameters: number,
  { label, index, touched, flops }: FlatWork,
): KernelCase {
  return {
    name,
    mode: "primal",
    dispatches(gpu) {
      const { dispatches } = outerStep(gpu, parameters);
      const found = dispatches.filter((dispatch) => dispatch.label === label)[index];
      if (found === undefined) throw new Error(`an outer step has no kernel "${label}" number ${index}`);
      const before = dispatches[dispatches.indexOf(found) - 1]!;
      const work = { bytes: 4 * touched * parameters, flops: flops * parameters };
      return before.label === inParts(label)
        ? [
            { ...before, ...work },
            { ...found, bytes: 0, flops: 0 },
          ]
        : [{ ...found, ...work }];
    },
  };
}

/** Three inner steps with P parameters and two steps of the reverse sweep, with everything learned that can be. */
function outerStep(gpu: Gpu, parameters: number): Sequence {
  const problem = bilevel({
    parameters: { w: zeros([parameters]) },
    hyper: { decay: zeros([parameters]), lr: values([0.1]), momentum: values([0.9]) },
    inner: {
      loss: ({ w }, { decay }) => sum(mul(decay!, square(w))),
      steps: 3,
      optimizer: sgd<"lr" | "momentum">({ lr: "lr", momentum: "momentum" }),
    },
    outer: { loss: ({ w }) => sum(square(w)) },
  });
  const unroll = new Unroll(problem, gpu, 2);
  krmd({ k: 2 }).record(unroll);
  unroll.finish();
  return unroll.main;
}
