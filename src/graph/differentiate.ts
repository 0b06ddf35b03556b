import { Arena } from "../gpu/arena.ts";
import { align, Block } from "../gpu/block.ts";
import { Sequence } from "../gpu/dispatch.ts";
import { Executable } from "../gpu/executable.ts";
import { assertOpen, type Gpu } from "../gpu/gpu.ts";
import { kindOf } from "../gpu/kind.ts";
import { assertKnown } from "../gpu/known.ts";
import { ProblemError } from "../gpu/problem_error.ts";
import type { Layout } from "./layout.ts";
import { assertLoss } from "./operands.ts";
import type { DataValues } from "./pixels.ts";
import { type Output, Program } from "./program.ts";
import type { Tensor } from "./tensor.ts";
import { dataLeaves, keepIndicesWithin, Leaves, type Loss } from "./trace.ts";
import { assertStated, type Values } from "./values.ts";

type Named<Names extends string> = Readonly<Record<Names, Values>>;

export interface FunctionSpec<W extends string, H extends string, D extends string> {
  /** w, and its first values. */
  readonly parameters: Named<W>;
  /** α, likewise. */
  readonly hyper?: Named<H>;
  readonly data?: Readonly<Record<D, DataValues>>;
  /** So many copies side by side, each with its own w, α and tangents, on the same data. */
  readonly lanes?: number;
  readonly loss: Loss<W, H, D>;
}

/**
 * A vector in the space of (w, α): a point, a tangent or a gradient. Where a function has lanes, values have the
 * lane as first axis; as an input, values without it serve every lane.
 */
export interface Point<W extends string, H extends string> {
  readonly parameters: Named<W>;
  readonly hyper: Named<H>;
}

/**
 * The four programs of a scalar function L(w, α). `value`, and the scalars of `gradient` and `jvp`, have one
 * element a lane.
 */
export interface Differentiable<W extends string, H extends string> {
  /** Moves to another point. */
  set(point: Partial<Point<W, H>>): void;
  /** L */
  value(): Promise<Float32Array>;
  /** ∇_w L and ∇_α L */
  gradient(): Promise<Point<W, H>>;
  /** ⟨∇L, ż⟩ */
  jvp(tangent: Point<W, H>): Promise<Float32Array>;
  /** H_ww ẇ + H_wα α̇ and H_αw ẇ + H_αα α̇ */
  hvp(tangent: Point<W, H>): Promise<Point<W, H>>;
  /** The kernels of each program, with shapes, operations and bytes. */
  explain(): string;
  /** GPU time of each program in nanoseconds, at the point and tangent last set. */
  time(program: "value" | "gradient" | "jvp" | "hvp"): Promise<number>;
  destroy(): void;
}

/** Elements that a scalar takes from one lane to the next. */
const SCALAR = 4;

/**
 * Compiles the four programs of one function. @throws ShapeError, ProblemError, MemoryError, ValidationError
 */
export async function differentiate<W extends string, H extends string = never, D extends string = never>(
  gpu: Gpu,
  spec: FunctionSpec<W, H, D>,
): Promise<Differentiable<W, H>> {
  assertOpen(gpu);
  assertKnown("differentiate", spec, { parameters: true, hyper: true, data: true, lanes: true, loss: true });
  const { lanes = 1, hyper = {} as Named<H>, data = {} as Record<D, DataValues> } = spec;
  assertStated("parameters", spec.parameters);
  assertStated("hyper", hyper);
  assertLoss("the loss", spec.loss);
  const leaves = new Leaves(spec.parameters, hyper, { laned: { parameters: true, hyper: true } });
  const inputs = dataLeaves(data, lanes);
  const traced = leaves.trace(spec.loss, inputs.tensors);
  keepIndicesWithin(inputs.arrays, traced.value);
  const w = new Space("w", leaves.parameterLayout, leaves.parameters, leaves.lane.parameters, lanes);
  const a = new Space("α", leaves.hyperLayout, leaves.hyper, leaves.lane.hyper, lanes);
  const value = new Block("value", "gradients", 4 * SCALAR * lanes);
  const arena = new Arena("activations");

  const compile = (name: string, part: "primal" | "tangent", outputs: (Output | undefined)[]) => {
    const seeds = part === "tangent" ? new Map([w.seed, a.seed]) : undefined;
    const wanted = outputs.filter((output) => output !== undefined);
    const program = new Program({ name, outputs: wanted, seeds, lanes, adapter: gpu.traits });
    program.place(arena);
    const sequence = new Sequence(name);
    program.record(sequence, {
      primal: new Map([w.primal, a.primal, ...inputs.resources]),
      tangent: new Map([w.tangent, a.tangent]),
    });
    return { program, sequence };
  };
  const scalar = (part: "primal" | "tangent") => ({
    tensor: traced.value,
    [part]: { block: value, lane: SCALAR },
  });
  const programs = {
    value: compile("value", "primal", [scalar("primal")]),
    gradient: compile("gradient", "primal", [
      w.output(traced.parameters, "primal"),
      a.output(traced.hyper, "primal"),
    ]),
    jvp: compile("jvp", "tangent", [scalar("tangent")]),
    hvp: compile("hvp", "tangent", [
      w.output(traced.parameters, "tangent"),
      a.output(traced.hyper, "tangent"),
    ]),
  };
  const sequences = Object.values(programs).map(({ sequence }) => sequence);
  const executable = await Executable.build(gpu, sequences);

  const spaces = { parameters: leaves.parameterLayout.names, hyper: leaves.hyperLayout.names };
  const set = (point: Partial<Point<W, H>>) => {
    assertPoint(point, spaces, []);
    if (point.parameters) executable.writeIfUsed(w.point, w.pack(point.parameters));
    if (point.hyper) executable.writeIfUsed(a.point, a.pack(point.hyper));
  };
  const setTangent = (tangent: Point<W, H>) => {
    assertPoint(tangent, spaces, ["parameters", "hyper"]);
    executable.writeIfUsed(w.direction, w.pack(tangent.parameters));
    executable.writeIfUsed(a.direction, a.pack(tangent.hyper));
  };
  const readScalar = async () => {
    const floats = await executable.readFloats(value, 0, SCALAR * lanes);
    return floats.filter((_, index) => index % SCALAR === 0);
  };
  const readPoint = async (): Promise<Point<W, H>> => ({
    parameters: w.unpack(await w.read(executable), spec.lanes),
    hyper: a.unpack(await a.read(executable), spec.lanes),
  });
  set({ parameters: spec.parameters, hyper });
  return {
    set,
    async value() {
      executable.run(programs.value.sequence);
      return await readScalar();
    },
    async gradient() {
      executable.run(programs.gradient.sequence);
      return await readPoint();
    },
    async jvp(tangent) {
      setTangent(tangent);
      executable.run(programs.jvp.sequence);
      return await readScalar();
    },
    async hvp(tangent) {
      setTangent(tangent);
      executable.run(programs.hvp.sequence);
      return await readPoint();
    },
    explain: () =>
      Object.values(programs)
        .map(({ program }) => program.explain())
        .join("\n"),
    time: (program) => executable.time(programs[program].sequence),
    destroy: () => executable.destroy(),
  };
}

/**
 * Checks that a caller's values stand under the spaces that they belong to; the types say it too, but not to
 * JavaScript.
 *
 * @param names those that there are in each space
 * @param wanted the spaces that may be absent only where nothing is in them
 * @throws ProblemError saying what to write
 */
function assertPoint(
  given: unknown,
  names: Readonly<Record<keyof Point<string, string>, readonly string[]>>,
  wanted: readonly (keyof Point<string, string>)[],
): void {
  const parts = typeof given === "object" && given !== null ? given : undefined;
  const stray = Object.keys(parts ?? {}).find((name) => !Object.hasOwn(names, name));
  const missing = wanted.find((space) => names[space].length > 0 && !Object.hasOwn(parts ?? {}, space));
  if (parts !== undefined && stray === undefined && missing === undefined) return;
  const filled = Object.entries(names).filter(([, list]) => list.length > 0);
  const form = filled.map(([space, list]) => `${space}: { ${list.join(", ")} }`).join(", ");
  const what =
    parts === undefined
      ? `a point or a tangent is ${kindOf(given)}`
      : stray !== undefined
        ? `"${stray}" stands beside parameters and hyper in a point or a tangent`
        : `"${missing}" is missing in a tangent`;
  throw new ProblemError(`${what}: give { ${form} }`);
}

/** The buffers of one flat space, w or α: a point, a tangent at it, and a result. */
class Space<Names extends string> {
  readonly point: Block;
  readonly direction: Block;
  readonly result: Block;
  readonly length: number;
  readonly #layout: Layout<Names>;
  readonly #leaf: Tensor;
  readonly #lane: number;
  readonly #lanes: number;

  constructor(name: string, layout: Layout<Names>, leaf: Tensor, lane: number, lanes: number) {
    this.length = align(lane, 4) * lanes;
    this.#layout = layout;
    this.#leaf = leaf;
    this.#lane = lane;
    this.#lanes = lanes;
    this.point = new Block(name, "parameters", 4 * this.length);
    this.direction = new Block(`${name}'s tangent`, "adjoint", 4 * this.length);
    this.result = new Block(`gradient by ${name}`, "gradients", 4 * this.length);
  }

  get primal() {
    return [this.#leaf, { block: this.point }] as const;
  }

  get tangent() {
    return [this.#leaf, { block: this.direction }] as const;
  }

  get seed() {
    return [this.#leaf, this.#lane] as const;
  }

  output(tensor: Tensor, part: "primal" | "tangent"): Output | undefined {
    return this.#layout.size === 0 ? undefined : { tensor, [part]: { block: this.result, lane: this.#lane } };
  }

  pack(record: Named<Names>): Float32Array {
    return this.#layout.pack(record, this.#lanes, this.#lane);
  }

  async read(executable: Executable): Promise<Float32Array> {
    return this.length === 0 ? new Float32Array() : await executable.readFloats(this.result, 0, this.length);
  }

  unpack(flat: Float32Array, lanes: number | undefined): Record<Names, Values> {
    return this.#layout.unpack(flat, lanes, this.#lane);
  }
}
