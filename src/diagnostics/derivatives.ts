import { hypergradient } from "../bilevel/optimize.ts";
import { assertRuns, type Problem, ProblemError } from "../bilevel/problem.ts";
import { firstOrder } from "../estimators/first_order.ts";
import { Arena } from "../gpu/arena.ts";
import { Block, type Role } from "../gpu/block.ts";
import { Sequence } from "../gpu/dispatch.ts";
import { Executable } from "../gpu/executable.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { assertKnown } from "../gpu/known.ts";
import { Program, type ProgramOptions } from "../graph/program.ts";
import type { Values } from "../graph/values.ts";

/** A place in the space of (w, α). */
export interface Place<W extends string = string, H extends string = string> {
  /** w; where the inner loop ends from w_0 when absent. */
  readonly parameters?: Readonly<Record<W, Values>>;
  /** α; the problem's own when absent. */
  readonly hyper?: Readonly<Record<H, Values>>;
}

/** A vector in w and one in α, flat. */
export interface Pair {
  readonly parameters: Float32Array;
  readonly hyper: Float32Array;
}

/** First and second derivatives of both losses of a problem at one place, one by one and on the host. */
export class Derivatives {
  /** Elements of w and of α. */
  readonly sizes: { readonly parameters: number; readonly hyper: number };
  readonly #executable: Executable;
  readonly #blocks: ReturnType<typeof blocksOf>;
  readonly #sequences: Record<"inner" | "outer" | "product" | "mixed", Sequence>;

  /**
   * @throws ProblemError for a problem with mini-batches or lanes, whose inner loss is not one function of w; and as
   * the inner loop does, where it has to run for w.
   */
  static async at<W extends string, H extends string>(
    problem: Problem<W, H>,
    gpu: Gpu,
    at: Place<W, H> = {},
  ): Promise<Derivatives> {
    assertKnown("at", at, { parameters: true, hyper: true });
    const { parameters, hyper = problem.hyper } = at;
    assertRuns(problem, gpu);
    const { leaves, lanes, inner, outer } = problem;
    if (lanes > 1) throw new ProblemError("bounds are for one inner problem: take one lane");
    if (inner.batches || outer.batches)
      throw new ProblemError("bounds are for losses that stay the same: leave `batch` out");
    const w = parameters ?? (await endOf({ ...problem, hyper }, gpu));
    const sizes = { parameters: leaves.parameterLayout.size, hyper: leaves.hyperLayout.size };
    const blocks = blocksOf(sizes);
    blocks.w.initial = leaves.parameterLayout.pack(w);
    blocks.a.initial = leaves.hyperLayout.pack(hyper);

    const [toW, toA] = [
      { block: blocks.byW, lane: sizes.parameters },
      { block: blocks.byA, lane: sizes.hyper },
    ];
    const program = (name: string, options: Pick<ProgramOptions, "outputs" | "seeds" | "after">) =>
      new Program({ name, lanes: 1, adapter: gpu.traits, ...options });
    const gradient = program("∇_w L", { outputs: [{ tensor: inner.traced.parameters, primal: toW }] });
    const programs = {
      inner: gradient,
      outer: program("∇E", {
        outputs: [
          { tensor: outer.traced.parameters, primal: toW },
          { tensor: outer.traced.hyper, primal: toA },
        ],
      }),
      // Both products find the values at w in memory.
      product: program("H x", {
        outputs: [
          { tensor: inner.traced.parameters, tangent: toW },
          { tensor: inner.traced.hyper, tangent: toA },
        ],
        seeds: new Map([[leaves.parameters, sizes.parameters]]),
        after: [gradient],
      }),
      mixed: program("H_wα y", {
        outputs: [{ tensor: inner.traced.parameters, tangent: toW }],
        seeds: new Map([[leaves.hyper, sizes.hyper]]),
        after: [gradient],
      }),
    };
    const primal = new Map([
      [leaves.parameters, { block: blocks.w }],
      [leaves.hyper, { block: blocks.a }],
      ...inner.data,
      ...outer.data,
    ]);
    const tangent = new Map([
      [leaves.parameters, { block: blocks.x }],
      [leaves.hyper, { block: blocks.y }],
    ]);
    const arena = new Arena("activations");
    const record = (made: Program): Sequence => {
      made.place(arena);
      const sequence = new Sequence(made.name);
      made.record(sequence, { primal, tangent });
      return sequence;
    };
    const sequences = {
      inner: record(programs.inner),
      outer: record(programs.outer),
      product: record(programs.product),
      mixed: record(programs.mixed),
    };
    const executable = await Executable.build(gpu, Object.values(sequences));
    executable.run(sequences.inner);
    return new Derivatives(sizes, executable, blocks, sequences);
  }

  private constructor(
    sizes: Derivatives["sizes"],
    executable: Executable,
    blocks: ReturnType<typeof blocksOf>,
    sequences: Record<"inner" | "outer" | "product" | "mixed", Sequence>,
  ) {
    this.sizes = sizes;
    this.#executable = executable;
    this.#blocks = blocks;
    this.#sequences = sequences;
  }

  /** ∇_w L */
  async innerGradient(): Promise<Float32Array> {
    this.#executable.run(this.#sequences.inner);
    return await this.#byW();
  }

  /** ∇_w E and ∇_α E */
  async outerGradient(): Promise<Pair> {
    this.#executable.run(this.#sequences.outer);
    return { parameters: await this.#byW(), hyper: await this.#byA() };
  }

  /** H_ww x and H_αw x */
  async product(x: Float32Array): Promise<Pair> {
    this.#executable.writeIfUsed(this.#blocks.x, x);
    this.#executable.run(this.#sequences.product);
    return { parameters: await this.#byW(), hyper: await this.#byA() };
  }

  /** H_wα y */
  async mixedProduct(y: Float32Array): Promise<Float32Array> {
    this.#executable.writeIfUsed(this.#blocks.y, y);
    this.#executable.run(this.#sequences.mixed);
    return await this.#byW();
  }

  #byW(): Promise<Float32Array> {
    return this.#executable.readFloats(this.#blocks.byW, 0, this.sizes.parameters);
  }

  #byA(): Promise<Float32Array> {
    return this.#executable.readFloats(this.#blocks.byA, 0, this.sizes.hyper);
  }

  destroy(): void {
    this.#executable.destroy();
  }
}

function blocksOf({ parameters, hyper }: Derivatives["sizes"]) {
  const block = (label: string, role: Role, size: number) => new Block(label, role, 4 * size);
  return {
    w: block("w", "parameters", parameters),
    a: block("α", "hyperparameters", hyper),
    x: block("x", "adjoint", parameters),
    y: block("y", "adjoint", hyper),
    byW: block("by w", "gradients", parameters),
    byA: block("by α", "gradients", hyper),
  };
}

/** w_T from w_0. */
async function endOf<W extends string, H extends string>(
  problem: Problem<W, H>,
  gpu: Gpu,
): Promise<Record<W, Values>> {
  return (await hypergradient(problem, { gpu, estimator: firstOrder() })).parameters;
}
