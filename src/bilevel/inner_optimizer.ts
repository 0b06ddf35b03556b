import type { Block } from "../gpu/block.ts";
import type { Sequence } from "../gpu/dispatch.ts";
import type { Problem } from "./problem.ts";
import type { Settings } from "./settings.ts";
import type { Supply } from "./supply.ts";
import type { Trajectory } from "./trajectory.ts";
import type { Vectors, Weights } from "./vectors.ts";

/** The rule of the inner steps, as a problem states it. Coefficients are numbers, or name a group of α. */
export interface InnerOptimizer<H extends string = string> {
  readonly name: string;
  readonly lr: number | H;
  readonly momentum?: number | H;
  /** λ. Where it is not 0 the steps do not end at a minimum of L. */
  readonly weightDecay: number;
  /** What else it was made with. */
  readonly settings?: Settings;
  /** Is the rule just v = μ v + ∇L, w = w - η v? */
  readonly heavyBall?: boolean;
  /** Two numbers for the step table's row of step t = 1 … T, `inner.constants` in kernels. */
  constants?(t: number): readonly [number, number];
  /** Its kernels for the vectors of one unroll. `ring` makes a ring of as many states as the unroll stores. */
  prepare(problem: Problem, vectors: Vectors, ring: RingMaker): InnerKernels;
}

/** Makes a ring whose states are `vectors` vectors like w each. */
export type RingMaker = (label: string, vectors?: number) => Trajectory;

/** Vectors that stand in one block, each laid out like w, all lanes of the first before the second. */
export interface State {
  readonly block: Block;
  readonly vectors: number;
}

/** A move between the product at step t+1 and that at step t, or half of it. */
export interface PullBack {
  /** H_ww r of step t+1: p becomes dE/dw_t. */
  readonly after: Supply | undefined;
  /** r becomes dE/dg_t and the adjoint of the state that of step t-1. */
  readonly before: boolean;
  /** There is a product on either side: the adjoint of the state goes over from one to the other. */
  readonly carry: boolean;
}

/** Tangents of w, of the inner gradient and of the optimizer's state, for several directions in α at once. */
export interface Tangents {
  /** How many, column c along element c of α; the layout is [column][lane][lane stride of w], and of the state [vector][column][lane][…]. */
  readonly count: number;
  /** ẇ */
  readonly parameters: Block;
  /** ġ = H_ww ẇ_{t-1} + H_wα α̇ */
  readonly gradient: Block;
  /** Of the optimizer's state, if it has one. */
  readonly state: Block | undefined;
}

/**
 * What an inner optimizer does to the vectors of one unroll. With g_t = ∇_w L(w_{t-1}), a step makes w_t out of
 * (w_{t-1}, g_t) and a state; its tangent and its adjoint are written by hand. In the reverse sweep p = dE/dw_t and
 * r = dE/dg_t, along which the Hessian product runs.
 */
export interface InnerKernels {
  /** What it carries from step to step beside w; zero at the start. */
  readonly state: State | undefined;
  /** Does the state go on where a warm start goes on with w? Else it is zero at the start of every inner loop. */
  readonly continues: boolean;
  /** Do the moves below `step` read more of it than w_{t-1}, so that it has to store its state? */
  readonly readsTrajectory: boolean;
  /**
   * Of one step on its own, no later step counting through the state: r = weight · vector, where p is the vector or
   * `pullOnce` writes it.
   */
  readonly once: { readonly vector: Block; readonly weights: Weights };
  /** The most storage buffers that `step` and `pullBack` bind, beside those of what they take. */
  readonly buffers: { readonly step: number; readonly pullBack: number };
  /** (w, state) of step t ← of step t-1, from ∇L. What is to be stored goes to the rings first. */
  step(sequence: Sequence, t: number, gradient: Supply, store: { parameters: boolean; state: boolean }): void;
  pullBack(sequence: Sequence, t: number, move: PullBack): void;
  /** The vector of `once`, right after step t. */
  pullOnce(sequence: Sequence, t: number): void;
  /** What dE/dη_t and dE/dμ_t get in the reverse sweep, after `pullBack`; `newest`: the state is that of step t. */
  addTerms(sequence: Sequence, t: number, newest: boolean): void;
  /** The same of step t on its own, right after it, with p = ∇E. */
  addTermsOnce(sequence: Sequence, t: number): void;
  /** (ẇ, the state's tangent) of step t ← of step t-1, right after the step itself. */
  pushForward(sequence: Sequence, t: number, tangents: Tangents): void;
}
