import { hypergradient } from "../bilevel/optimize.ts";
import { type Problem, ProblemError } from "../bilevel/problem.ts";
import { firstOrder } from "../estimators/first_order.ts";
import { Arena } from "../gpu/arena.ts";
import { Block, type Resource } from "../gpu/block.ts";
import { Sequence } from "../gpu/dispatch.ts";
import { Executable } from "../gpu/executable.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { type Output, Program } from "../graph/program.ts";
import type { Tensor } from "../graph/tensor.ts";
import type { Values } from "../graph/values.ts";

/** A place in the space of (w, α). */
export interface Place<W extends string = string, H extends string = string> {
  /** w; where the inner loop ends from w_0 when absent. */
  readonly parameters?: Readonly<Record<W, Values>>;
  /** α; the problem's own when absent. */
  readonly hyper?: Readonly<Record<H, Values>>;
}

/** A part in w and a part in α, flat. */
export interface Pair {
  readonly parameters: Float32Array;
  readonly hyper: Float32Array;
}

/** First and second derivatives of both losses of a problem at one place, one by one and on the host. */
export class Derivatives {
  readonly #executable: Executable;
  readonly #blocks: Record<"w" | "a" | "x" | "y" | "byW" | "byA", Block>;
  readonly #sequences: Record<"inner" | "outer" | "product" | "mixed", Sequence>;
  readonly #sizes: { readonly w: number; readonly a: number };

  /**
   * @throws ProblemError for a problem with mini-batches or lanes, whose inner loss is not one function of w; and as
   * the inner loop does, where it has to be run to know w.
   */
  static async at<W extends string, H extends string>(
    problem: Problem<W, H>,
    gpu: Gpu,
    { parameters, hyper = problem.hyper }: Place<W, H> = {},
  ): Promise<Derivatives> {
    if (problem.lanes > 1) throw new ProblemError("bounds are for one inner problem: take one lane");
    if (problem.inner.batches || problem.outer.batches)
      throw new ProblemError("bounds are for losses that stay the same: leave `batch` out");
    const { parameterLayout, hyperLayout } = problem.leaves;
    const end = async () =>
      (await hypergradient({ ...problem, hyper }, { gpu, estimator: firstOrder() })).parameters;
    const w = parameterLayout.pack(parameters ?? (await end()));
    const derivatives = new Derivatives(problem, gpu, w, hyperLayout.pack(hyper));
    return await derivatives.#build();
  }
}
