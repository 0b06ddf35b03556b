import type { Estimator } from "../bilevel/estimator.ts";
import { ProblemError, positive } from "../bilevel/problem.ts";
import { assertKnown } from "../gpu/known.ts";
import { ConjugateGradients } from "./conjugate_gradients.ts";
import { implicit } from "./implicit.ts";

export interface CgOptions {
  /** Most iterations; those after convergence change nothing. */
  readonly iterations?: number;
  /** Stops at ‖r‖ ≤ tolerance ‖g‖. */
  readonly tolerance?: number;
  /** Each solve starts from the answer of the last one, for one more product. */
  readonly warm?: boolean;
}

/**
 * Implicit differentiation by conjugate gradients (Pedregosa 2016, "HOAG"): H q = g to a tolerance. A product each
 * iteration and one mixed product; three vectors. The log says how the solve ended: converged, out of iterations,
 * met a direction of no positive curvature (q is then the iterate before it), or g = 0.
 * @throws ProblemError for options out of range; what `implicit` throws.
 */
export function cg(options: CgOptions = {}): Estimator {
  assertKnown("cg", options, { iterations: true, tolerance: true, warm: true });
  const { iterations = 20, tolerance = 1e-6, warm = false } = options;
  positive("iterations", iterations);
  if (!(tolerance >= 1e-18 && tolerance < 1))
    throw new ProblemError(`the tolerance is ${tolerance}: give a number in [1e-18, 1)`);
  return implicit({
    name: "cg",
    settings: { iterations, tolerance, warm },
    products: ({ iterations: taken = iterations }) => taken + Number(warm),
    solve(unroll) {
      const conjugate = new ConjugateGradients(unroll, { tolerance, warm });
      conjugate.begin();
      conjugate.iterate(iterations);
      unroll.reportSolve(conjugate.solves);
      return conjugate.q;
    },
  });
}
