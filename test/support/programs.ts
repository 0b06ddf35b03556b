import type { AdapterTraits } from "../../shaders/variants.ts";
import { Arena } from "../../src/gpu/arena.ts";
import { Block } from "../../src/gpu/block.ts";
import { Sequence } from "../../src/gpu/dispatch.ts";
import { Executable } from "../../src/gpu/executable.ts";
import type { Gpu } from "../../src/gpu/gpu.ts";
import type { Layout } from "../../src/graph/layout.ts";
import { type Output, Program } from "../../src/graph/program.ts";
import type { Shape } from "../../src/graph/shape.ts";
import type { Tensor } from "../../src/graph/tensor.ts";
import { dataLeaves, Leaves, type Loss } from "../../src/graph/trace.ts";
import { type ValuesOf, values, zeros } from "../../src/graph/values.ts";
import type { Case } from "./cases/case.ts";
import { graphOperations } from "./graph_operations.ts";
import type { Along, Vector } from "./reference.ts";
import type { Sample } from "./sample.ts";

/** The case's loss on the graph. */
export function graphLoss({ loss }: Case): Loss {
  return (w, alpha, data) => loss(graphOperations, { ...w, ...alpha, ...data } as never);
}

/** The numbers of `vector` that belong to `shapes`, with the lane as first axis. */
export function pick(vector: Vector, shapes: Readonly<Record<string, Shape>> = {}, lanes = 1): ValuesOf {
  const entries = Object.entries(shapes).map(
    ([name, shape]) => [name, values(Float32Array.from(vector[name]!), [lanes, ...shape])] as const,
  );
  return Object.fromEntries(entries);
}

/** What one program is asked for: primals, tangents or both, with tangents seeded in w, in α or in both. */
export interface Request {
  readonly seeds: "parameters" | "hyper" | "both";
  readonly primal: boolean;
}

export interface Answer extends Along {
  readonly value?: Float64Array;
  readonly gradient?: Vector;
}

/** Elements that a scalar takes from one lane to the next. */
const SCALAR = 4;

/**
 * Runs programs that `differentiate` does not make: with tangents in w alone or in α alone, and with primals and
 * tangents of value and gradient from one program, so that every kernel meets every mode it has. `adapter` chooses
 * the variant of kernels that have one for each kind.
 */
export async function answer(
  gpu: Gpu,
  kase: Case,
  sample: Sample,
  requests: readonly Request[],
  adapter: AdapterTraits = gpu.traits,
): Promise<Answer[]> {
  const { lanes, point, tangent, data } = sample;
  const shapes = { parameters: blank(kase.parameters), hyper: blank(kase.hyper) };
  const leaves = new Leaves(shapes.parameters, shapes.hyper, { laned: { parameters: true, hyper: true } });
  const inputs = dataLeaves(data);
  const traced = leaves.trace(graphLoss(kase), inputs.tensors);
  const spaces = [
    new Space(leaves.parameterLayout, leaves.parameters, traced.parameters, leaves.lane.parameters, lanes),
    new Space(leaves.hyperLayout, leaves.hyper, traced.hyper, leaves.lane.hyper, lanes),
  ].filter(({ layout }) => layout.size > 0);
  for (const space of spaces) {
    space.point.initial = space.pack(point);
    space.direction.initial = space.pack(tangent);
  }
  const arena = new Arena("activations");
  const programs = requests.map(({ seeds, primal }) => {
    const seeded = spaces.filter(({ leaf }) => seeds === "both" || leaf === leaves[seeds]);
    const results = [
      { tensor: traced.value, lane: SCALAR },
      ...spaces.map(({ gradient, lane }) => ({ tensor: gradient, lane })),
    ];
    const blocks = results.map(({ lane }) => {
      const make = () => new Block("result", "gradients", 4 * lane * lanes);
      return { primal: primal ? make() : undefined, tangent: make() };
    });
    const target = (block: Block | undefined, lane: number) => block && { block, lane };
    const outputs = results.map(({ tensor, lane }, k): Output => {
      return { tensor, primal: target(blocks[k]!.primal, lane), tangent: target(blocks[k]!.tangent, lane) };
    });
    const program = new Program({
      name: seeds,
      outputs,
      seeds: new Map(seeded.map(({ leaf, lane }) => [leaf, lane])),
      lanes,
      adapter,
    });
    program.place(arena);
    const sequence = new Sequence(seeds);
    program.record(sequence, {
      primal: new Map([
        ...spaces.map((space) => [space.leaf, { block: space.point }] as const),
        ...inputs.resources,
      ]),
      tangent: new Map(seeded.map((space) => [space.leaf, { block: space.direction }] as const)),
    });
    return { sequence, blocks, primal };
  });
  const executable = await Executable.build(
    gpu,
    programs.map(({ sequence }) => sequence),
  );
  try {
    const answers: Answer[] = [];
    for (const { sequence, blocks, primal } of programs) {
      executable.run(sequence);
      const read = async (part: "primal" | "tangent") => {
        const [value, ...gradients] = await Promise.all(
          blocks.map(async (block) => new Float32Array(await executable.read(block[part]!))),
        );
        return {
          value: Float64Array.from({ length: lanes }, (_, lane) => value![lane * SCALAR]!),
          gradient: Object.assign({}, ...spaces.map((space, k) => space.unpack(gradients[k]!))) as Vector,
        };
      };
      const { value: jvp, gradient: hvp } = await read("tangent");
      answers.push({ jvp, hvp, ...(primal ? await read("primal") : {}) });
    }
    return answers;
  } finally {
    executable.destroy();
  }
}

export function blank(shapes: Readonly<Record<string, Shape>> = {}): ValuesOf {
  return Object.fromEntries(Object.entries(shapes).map(([name, shape]) => [name, zeros(shape)]));
}

/** w or α: its leaf, the gradient by it, and its buffers. */
class Space {
  readonly layout: Layout;
  readonly leaf: Tensor;
  readonly gradient: Tensor;
  readonly lane: number;
  readonly point: Block;
  readonly direction: Block;
  readonly #lanes: number;

  constructor(layout: Layout, leaf: Tensor, gradient: Tensor, lane: number, lanes: number) {
    this.layout = layout;
    this.leaf = leaf;
    this.gradient = gradient;
    this.lane = lane;
    this.point = new Block("point", "parameters", 4 * lane * lanes);
    this.direction = new Block("direction", "adjoint", 4 * lane * lanes);
    this.#lanes = lanes;
  }

  pack(vector: Vector): Float32Array {
    const record = this.layout.names.map((name) => [name, values(Float32Array.from(vector[name]!))] as const);
    return this.layout.pack(Object.fromEntries(record), this.#lanes, this.lane);
  }

  unpack(flat: Float32Array): Vector {
    const record = Object.entries(this.layout.unpack(flat, this.#lanes, this.lane));
    return Object.fromEntries(record.map(([name, { data }]) => [name, Float64Array.from(data)]));
  }
}
