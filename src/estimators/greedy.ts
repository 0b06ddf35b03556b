import { CONTRACTION_LANE, contraction, curvatureAlong } from "../../shaders/contraction.ts";
import type { Estimator } from "../bilevel/estimator.ts";
import { ProblemError } from "../bilevel/problem.ts";
import { coefficientOf } from "../bilevel/rate.ts";
import type { Unroll } from "../bilevel/unroll.ts";
import { Block } from "../gpu/block.ts";
import { assertKnown } from "../gpu/known.ts";

export interface GreedyOptions {
  /** γ in [0, 1], one for each lane where it is a list, or "auto": measured at every step. */
  readonly gamma: number | readonly number[] | "auto";
  /** With "auto": the share that the measured curvature of earlier steps keeps. */
  readonly smoothing?: number;
}

/**
 * The streaming γ-weighted greedy sum: acc = γ acc + m_t with m_t the α-half of P_t(-η g_t) and g_t = ∇_w E(w_t);
 * h = ∇_α E(w_T) + acc. T products, and memory that does not grow with T: nothing of the trajectory is stored but
 * the state before the step at hand. γ → 0 is T1–T2.
 *
 * The exact weight of m_t is the product of the Jacobians A_T ⋯ A_{t+1}. "auto" puts the contraction of each A_t along
 * g_t in place of γ, which also takes the w-half of every product, its backward pass, and one more vector.
 * @throws ProblemError for γ outside [0, 1] or not one for each lane, when w_0 is a hyperparameter (the sum has no term
 * for it), or for "auto" with an inner optimizer other than plain SGD with momentum.
 */
export function greedy(options: GreedyOptions): Estimator {
  assertKnown("greedy", options, { gamma: true, smoothing: true });
  const { gamma, smoothing = 0.5 } = options;
  const auto = gamma === "auto";
  const given = auto ? [] : [gamma].flat();
  for (const one of given) {
    if (!(one >= 0 && one <= 1)) throw new ProblemError(`γ is ${one}: give a number in [0, 1], or "auto"`);
  }
  if (!(smoothing >= 0 && smoothing < 1))
    throw new ProblemError(`the smoothing is ${smoothing}: give a number in [0, 1)`);
  return {
    name: "greedy",
    settings: { gamma: auto ? gamma : given.join(" "), smoothing: auto ? smoothing : undefined },
    slots: () => 1,
    products: (steps) => steps,
    record(unroll) {
      const { steps, lanes, needsOptimizerState, hasMixed } = unroll;
      const halves = { parameters: auto, hyper: "open" } as const;
      if (unroll.learnsStart) {
        throw new ProblemError("w_0 is a hyperparameter: the greedy sum has no term for it. Use rmd()");
      }
      if (auto && !unroll.heavyBall)
        throw new ProblemError('gamma: "auto" knows the contraction of plain sgd() alone: give a number');
      if (typeof gamma === "object" && given.length !== lanes)
        throw new ProblemError(
          `there are ${given.length} γ for ${lanes} lanes: give one for each, or one number`,
        );
      const perLane = new Block("γ", "bookkeeping", 4 * CONTRACTION_LANE * lanes);
      perLane.initial = Float32Array.from(
        { length: CONTRACTION_LANE * lanes },
        (_, i) => given[i / CONTRACTION_LANE] ?? 0,
      );
      const multiplies = hasMixed || auto;
      const store = multiplies && unroll.readsState(halves);
      unroll.clearHypergradient();
      for (let t = 1; t <= steps; t++) {
        unroll.innerStep(t, { store, state: needsOptimizerState });
        if (t < steps) unroll.outerGradient();
        else unroll.outerValue({ gradient: true, direct: "hold" });
        const product = multiplies ? unroll.productAlongOuterGradient(t, halves) : undefined;
        if (auto) recordContraction(unroll, t, perLane, smoothing);
        const decay = typeof gamma === "number" ? gamma : perLane;
        unroll.addMixed(t, { decay, ...unroll.greedyWeights }, product);
        unroll.addOptimizerTermsForward(t);
      }
      unroll.addDirect();
    },
  };
}

/** γ of step t, by which the step shrinks a perturbation along g, from the product just taken. */
function recordContraction(unroll: Unroll, t: number, gamma: Block, smoothing: number): void {
  const { vectors, flat } = unroll;
  const { lr, momentum = { value: 0 } } = unroll.rates;
  const [rate, mu] = [coefficientOf(lr), coefficientOf(momentum)];
  unroll.sum({
    label: "contraction",
    sum: curvatureAlong(flat.count, flat.view),
    operands: [
      ["read", { block: vectors.adjoint }],
      ["read", { block: vectors.curvature }],
    ],
    finish: contraction({ rate, momentum: mu, smoothing, first: t === 1 }),
    results: [
      [t === 1 ? "overwrite" : "write", { block: gamma }],
      vectors.coefficient(rate),
      vectors.coefficient(mu),
      ["uniform", vectors.row(t)],
    ],
    flops: 4,
  });
}
