import type { Estimator } from "../bilevel/estimator.ts";
import { ProblemError, positive } from "../bilevel/problem.ts";
import { assertKnown } from "../gpu/known.ts";
import { implicit, shorterStep, stepOf } from "./implicit.ts";

export interface InexactAdOptions {
  /** K, from q_0 = 0: K - 1 Hessian products. */
  readonly iterations: number;
  /** η_T of sgd() when absent. The iterations converge where step · ‖H‖ < 2 (1 + momentum). */
  readonly step?: number;
}

/**
 * Inexact automatic differentiation by gradient descent (Ehrhardt & Roberts 2024): K iterations of
 * q ← q + step (g - H q), which is the reverse sweep with all second derivatives frozen at w_T, and a Neumann
 * series of K terms.
 * @throws ProblemError without a step where the inner optimizer is adaptive or its η 0; what `implicit` throws.
 */
export function inexactGd(options: InexactAdOptions): Estimator {
  assertKnown("inexactGd", options, { iterations: true, step: true });
  return iteration("inexact-gd", { ...options, momentum: 0 });
}

/** The same by heavy ball: q_{k+1} = q_k + step (g - H q_k) + momentum (q_k - q_{k-1}). */
export function inexactHb(options: InexactAdOptions & { readonly momentum: number }): Estimator {
  assertKnown("inexactHb", options, { iterations: true, step: true, momentum: true });
  if (!(options.momentum >= 0 && options.momentum < 1))
    throw new ProblemError(`the solver's momentum is ${options.momentum}: give a number in [0, 1)`);
  return iteration("inexact-hb", options);
}

function iteration(
  name: string,
  { iterations, step, momentum }: InexactAdOptions & { momentum: number },
): Estimator {
  positive("iterations", iterations);
  const stepFor = stepOf(name, step);
  return implicit({
    name,
    settings: { iterations, step, momentum },
    products: () => iterations - 1,
    remedy: shorterStep(name, "iterations"),
    solve(unroll) {
      const { factor, rate } = stepFor(unroll);
      const { adjoint: g, curvature } = unroll.vectors;
      const [q, move] = [unroll.vector("q"), unroll.vector("q's move")];
      unroll.add(move, g, { decay: 0, factor, rate });
      unroll.add(q, move, { decay: 0 });
      for (let k = 1; k < iterations; k++) {
        unroll.frozenProduct(q, { parameters: true, hyper: false });
        unroll.add(move, g, { decay: momentum, factor, rate });
        unroll.add(move, curvature, { factor: -factor, rate });
        unroll.add(q, move, {});
      }
      return q;
    },
  });
}
