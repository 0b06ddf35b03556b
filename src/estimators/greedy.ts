import type { Estimator } from "../bilevel/estimator.ts";
import { ProblemError } from "../bilevel/problem.ts";

/**
 * The streaming γ-weighted greedy sum: acc = γ acc + m_t with m_t the α-half of P_t(-η g_t) and g_t = ∇_w E(w_t);
 * h = ∇_α E(w_T) + acc. T products, and memory that does not grow with T: nothing of the trajectory is stored but
 * the state before the step at hand. γ → 0 is T1–T2.
 * @throws ProblemError for γ outside [0, 1], or when w_0 is a hyperparameter (the sum has no term for it).
 */
export function greedy({ gamma }: { gamma: number }): Estimator {
  if (!(gamma >= 0 && gamma <= 1)) throw new ProblemError(`γ is ${gamma}: give a number in [0, 1]`);
  return {
    name: "greedy",
    slots: () => 1,
    products: (steps) => steps,
    record(unroll) {
      const { steps, needsStoredState, needsOptimizerState, hasMixed } = unroll;
      if (unroll.learnsStart) {
        throw new ProblemError("w_0 is a hyperparameter: the greedy sum has no term for it. Use rmd()");
      }
      unroll.clearHypergradient();
      for (let t = 1; t <= steps; t++) {
        unroll.innerStep(t, { store: needsStoredState, state: needsOptimizerState });
        if (t < steps) unroll.outerGradient();
        else unroll.outerValue({ gradient: true, direct: "hold" });
        if (hasMixed) unroll.mixedAlongOuterGradient(t);
        unroll.addMixed(t, { decay: gamma, ...unroll.greedyWeights });
        unroll.addOptimizerTermsForward(t);
      }
      unroll.addDirect();
    },
  };
}
