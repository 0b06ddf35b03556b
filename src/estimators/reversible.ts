import type { Estimator } from "../bilevel/estimator.ts";
import type { FixedPointOptions } from "../bilevel/fixed_point.ts";
import { ProblemError } from "../bilevel/problem.ts";
import { assertKnown } from "../gpu/known.ts";
import { reverseSweep } from "./sweep.ts";

/**
 * Exact reverse mode that stores no state: w_{t-1} and v_{t-1} are rebuilt from w_t and v_t (Maclaurin et al. 2015).
 * The inner loop runs in fixed point for |w| < `range` and |η v| < `range` / 8 with the largest η that there is, with
 * units of w of about range / 2^30 and units of v that move w by an eighth of one, so it is that of `rmd` to a rounding;
 * a velocity that is multiplied by μ = n/d comes out up to n units off, so fractions of small numbers are the most exact.
 *
 * A learned η counts as up to `largestRate`: by default the upper bound of its constraint, else the largest it starts
 * with. Beyond that the error grows in proportion to η over it (1e-4 grown to 0.2 costs three digits), so state a bound
 * where η is to grow; far below it, |v| has less room.
 *
 * T products; the memory beside w and v grows by the bits that μ shifts out, a 32nd of log2(1/μ) of a vector a step.
 * @throws ProblemError unless the inner optimizer is sgd() with a fixed momentum in (0, 1), or for a learned η that
 * starts at 0 without a bound.
 */
export function reversible(options: Partial<FixedPointOptions> = {}): Estimator {
  assertKnown("reversible", options, { range: true, largestRate: true });
  const { range = 32, largestRate } = options;
  if (!(Number.isFinite(range) && range > 0))
    throw new ProblemError(`the range is ${range}: give a number > 0, more than |w| and 8 |η v| will be`);
  if (largestRate !== undefined && !(Number.isFinite(largestRate) && largestRate > 0))
    throw new ProblemError(`largestRate is ${largestRate}: give a number > 0 that η will not exceed`);
  return {
    name: "reversible",
    settings: { range, largestRate },
    slots: () => 0,
    products: (steps) => steps,
    record(unroll) {
      const { steps, main } = unroll;
      const loop = unroll.fixedPoint({ range, largestRate });
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
