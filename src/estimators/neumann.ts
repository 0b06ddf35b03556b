import type { Estimator } from "../bilevel/estimator.ts";
import { ProblemError } from "../bilevel/problem.ts";
import { assertKnown } from "../gpu/known.ts";
import { implicit, shorterStep, stepOf } from "./implicit.ts";

export interface NeumannOptions {
  /** N: the series has N + 1 terms and takes N Hessian products. */
  readonly terms: number;
  /** Its step; η_T of sgd() when absent. The series converges where step · ‖H‖ < 2. */
  readonly step?: number;
}

/**
 * Implicit differentiation by a Neumann series (Lorraine et al. 2020, eq. 8):
 * q = step Σ_{j=0}^{N} (I - step H)^j g. N + 1 products in all, memory of one vector.
 * @throws ProblemError without a step where the inner optimizer is adaptive or its η 0; what `implicit` throws.
 */
export function neumann(options: NeumannOptions): Estimator {
  assertKnown("neumann", options, { terms: true, step: true });
  const { terms, step } = options;
  if (!(Number.isInteger(terms) && terms >= 0))
    throw new ProblemError(`N is ${terms}: give a whole number ≥ 0`);
  const stepFor = stepOf("neumann", step);
  return implicit({
    name: "neumann",
    settings: { terms, step },
    products: () => terms,
    remedy: shorterStep("neumann", "terms"),
    solve(unroll) {
      const { factor, rate } = stepFor(unroll);
      const { adjoint: term, curvature } = unroll.vectors;
      const q = unroll.vector("q");
      unroll.add(q, term, { decay: 0, factor, rate });
      for (let j = 1; j <= terms; j++) {
        unroll.frozenProduct(term, { parameters: true, hyper: false });
        unroll.add(term, curvature, { factor: -factor, rate });
        unroll.add(q, term, { factor, rate });
      }
      return q;
    },
  });
}
