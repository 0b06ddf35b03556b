import type { Estimator } from "../bilevel/estimator.ts";
import { ProblemError } from "../bilevel/problem.ts";
import { reverseSweep } from "./sweep.ts";

/**
 * Exact reverse mode that stores no state: w_{t-1} and v_{t-1} are rebuilt from w_t and v_t (Maclaurin et al. 2015).
 * The inner loop runs in fixed point for |w| < `range` and |η v| < `range` / 8, with units of about range / 2^30 and an
 * eighth of it, so it is that of `rmd` to a rounding; a velocity that is multiplied by μ = n/d comes out up to n units
 * off, so fractions of small numbers are the most exact.
 * T products; the memory beside w and v grows by the bits that μ shifts out, a 32nd of log2(1/μ) of a vector a step.
 * @throws ProblemError unless the inner optimizer is sgd() with a fixed momentum in (0, 1).
 */
export function reversible({ range = 32 }: { range?: number } = {}): Estimator {
  if (!(Number.isFinite(range) && range > 0))
    throw new ProblemError(`the range is ${range}: give a number > 0, more than |w| and 8 |η v| will be`);
  return {
    name: "reversible",
    settings: { range },
    slots: () => 0,
    products: (steps) => steps,
    record(unroll) {
      const { steps, main } = unroll;
      const loop = unroll.fixedPoint({ range });
      loop.begin(main);
      for (let t = 1; t <= steps; t++) {
        unroll.innerGradient(t);
        loop.step(main, t);
      }
      const end = unroll.save("at the end");
      const { direction } = unroll.vectors;
      reverseSweep(unroll, {
        length: steps,
        optimizerTerms(t) {
          unroll.addOptimizerTerms(t, { newest: true });
          loop.backW(main, t);
          unroll.innerGradient(t);
          loop.backV(main, t);
        },
        product: (t, halves) => unroll.frozenProduct(direction, halves, t),
      });
      unroll.restore(end);
    },
  };
}
