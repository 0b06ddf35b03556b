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
import { slice } from "../src/graph/operations/copy.ts";
import { square } from "../src/graph/operations/elementwise.ts";
import { add } from "../src/graph/operations/linear_combination.ts";
import { mul } from "../src/graph/operations/multiply.ts";
import { sum } from "../src/graph/operations/reduce.ts";
import { type DataValues, pixels } from "../src/graph/pixels.ts";
import type { Target } from "../src/graph/placement.ts";
import { Program } from "../src/graph/program.ts";
import { type Shape, size } from "../src/graph/shape.ts";
import type { Tensor } from "../src/graph/tensor.ts";
import { dataLeaves, type Tensors } from "../src/graph/trace.ts";
import { values, zeros } from "../src/graph/values.ts";
import { Random } from "../src/random.ts";

/** Which halves a kernel computes. */
export type Mode = "primal" | "tangent" | "dual";

/** Element `i` of the block with this label, as it stands before a kernel runs. */
export type Inputs<N extends string = string> = (label: N, i: number) => number;

/** What an operation should compute, in float64: the elements of its output, so many. */
export interface ExactOutput<N extends string = string> {
  readonly count: number;
  value(at: Inputs<N>, i: number): number;
}

/** What a kernel should leave in a block, from element `first` on. */
export interface Exact extends ExactOutput {
  readonly block: string;
  readonly first?: number;
}

/** One kernel to be timed. */
export interface KernelCase {
  readonly name: string;
  readonly mode: Mode;
  /** Empty where that is left to the tests of the operations. */
  readonly exact: readonly Exact[];
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

/** Images that stay bytes. */
export interface Images {
  readonly pixels: Shape;
}

type Input = Shape | Indices | Images;

/**
 * An operation as one case a mode. `active` inputs carry the tangent. `bytes` stands in where the kernel reads
 * less than the whole of its inputs.
 */
export function operation<N extends string>(
  name: string,
  inputs: Readonly<Record<N, Input>>,
  output: (tensors: Tensors<N>) => Tensor,
  {
    modes,
    active = [],
    bytes,
    exact,
  }: {
    modes: readonly Mode[];
    active?: readonly NoInfer<N>[];
    bytes?: number;
    exact?: ExactOutput<NoInfer<N>>;
  },
): KernelCase[] {
  return modes.map((mode) => ({
    name,
    mode,
    exact: exact === undefined ? [] : bothHalves(exact, active).filter(({ block }) => holds(mode, block)),
    dispatches(gpu, traits = gpu.traits) {
      const made = kernel(traits, { name, mode, inputs, output, active });
      return bytes === undefined ? made : made.map((dispatch) => ({ ...dispatch, bytes }));
    },
  }));
}

type Half = "primal" | "tangent";

const holds = (mode: Mode, half: Half): boolean => mode === "dual" || mode === half;

const tangentOf = (label: string): string => `tangent of ${label}`;

/** The tangent is a difference of values, which float64 has the digits for. */
function bothHalves<N extends string>(
  { count, value }: ExactOutput<N>,
  active: readonly N[],
): (Exact & { readonly block: Half })[] {
  const moved = (at: Inputs, i: number, step: number) =>
    value((label, j) => at(label, j) + (active.includes(label) ? step * at(tangentOf(label), j) : 0), i);
  const step = 2 ** -20;
  return [
    { block: "primal", count, value },
    {
      block: "tangent",
      count,
      value: (at, i) => (moved(at, i, step) - moved(at, i, -step)) / (2 * step),
    },
  ];
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
  const data = Object.fromEntries(entries) as Record<N, DataValues>;
  const { tensors, resources } = dataLeaves(data);
  const result = output(tensors);
  const target = (part: Half): Target => ({
    block: new Block(part, "activations", 4 * result.size),
    lane: 0,
  });
  const primal = holds(mode, "primal") ? target("primal") : undefined;
  const tangent = holds(mode, "tangent") ? target("tangent") : undefined;
  const directions = active.map((key): [Tensor, Resource] => {
    const { data } = fill(inputs[key], random);
    return [tensors[key], { block: new Block(tangentOf(key), "adjoint", data.byteLength, data) }];
  });
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

function fill(input: Input, random: Random): DataValues {
  if ("below" in input) {
    return values(Int32Array.from({ length: input.count }, () => random.integer(input.below)));
  }
  if ("pixels" in input) {
    const bytes = Uint8Array.from({ length: size(input.pixels) }, () => random.integer(256));
    return pixels(bytes, input.pixels);
  }
  return values(drawn(size(input), random), input);
}

/** So many numbers are drawn and then come again; a prime, as nothing in a kernel has this period. */
const DRAWN = 1_000_003;

/** Away from zero, for the sake of divisors; and nowhere denormal. */
function drawn(count: number, random: Random): Float32Array {
  const numbers = new Float32Array(count);
  for (let i = 0; i < Math.min(count, DRAWN); i++) numbers[i] = 0.25 + random.uniform();
  for (let i = DRAWN; i < count; i += DRAWN) numbers.copyWithin(i, 0, DRAWN);
  return numbers;
}

/** What one kernel of the unrolled loop does to each of P elements. */
export interface FlatWork {
  /** Its label among the dispatches of an outer step, and which of those with this label. */
  readonly label: string;
  readonly index: number;
  /** Elements of flat vectors read or written, and operations, for each of P. */
  readonly touched: number;
  readonly flops: number;
  readonly exact: Exact;
}

/**
 * A kernel over flat vectors of P elements, with the one that leaves a sum in parts for it, taken out of an outer step
 * as the engine records it.
 */
export function flat(
  name: string,
  parameters: number,
  { label, index, touched, flops, exact }: FlatWork,
): KernelCase {
  return {
    name,
    mode: "primal",
    exact: [exact],
    dispatches(gpu) {
      const { dispatches } = outerStep(gpu, parameters);
      const found = dispatches.filter((dispatch) => dispatch.label === label)[index];
      if (found === undefined) throw new Error(`an outer step has no kernel "${label}" number ${index}`);
      const before = dispatches[dispatches.indexOf(found) - 1]!;
      const work = { bytes: 4 * touched * parameters, flops: flops * parameters };
      const kernels =
        before.label === inParts(label)
          ? [
              { ...before, ...work },
              { ...found, bytes: 0, flops: 0 },
            ]
          : [{ ...found, ...work }];
      fillVectors(kernels);
      return kernels;
    },
  };
}

/** The vectors that an outer step would have computed by then. */
function fillVectors(kernels: readonly Dispatch[]): void {
  const random = new Random(1);
  for (const { resource } of kernels.flatMap(({ bindings }) => bindings)) {
    const { block } = resource;
    if (block.role !== "bookkeeping" && block.role !== "trajectory")
      block.initial ??= drawn(block.bytes / 4, random);
  }
}

/**
 * Three inner steps with P parameters and two steps of the reverse sweep, with everything learned that can be. The
 * gradient is put together of two parts, so that its kernels stay apart from those that take it.
 */
function outerStep(gpu: Gpu, parameters: number): Sequence {
  const last = parameters - 1;
  const problem = bilevel({
    parameters: { w: zeros([last]), b: zeros([1]) },
    hyper: { decay: zeros([parameters]), lr: values([0.1]), momentum: values([0.9]) },
    inner: {
      loss: ({ w, b }, { decay }) =>
        add(
          sum(mul(slice(decay!, 0, last), square(w))),
          sum(mul(slice(decay!, last, parameters), square(b))),
        ),
      steps: 3,
      optimizer: sgd<"lr" | "momentum">({ lr: "lr", momentum: "momentum" }),
    },
    outer: { loss: ({ w, b }) => add(sum(square(w)), sum(square(b))) },
  });
  const unroll = new Unroll(problem, gpu, 2);
  krmd({ k: 2 }).record(unroll);
  unroll.finish();
  return unroll.main;
}
