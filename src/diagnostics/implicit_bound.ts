import type { Estimator } from "../bilevel/estimator.ts";
import { OuterLoop } from "../bilevel/outer_loop.ts";
import { type Problem, ProblemError } from "../bilevel/problem.ts";
import type { Block } from "../gpu/block.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { assertKnown } from "../gpu/known.ts";
import type { Values } from "../graph/values.ts";
import { norm } from "./closeness.ts";
import { curvatureOf, mixedNorm } from "./curvature.ts";
import { Derivatives } from "./derivatives.ts";
import { LANCZOS, type LanczosOptions } from "./lanczos.ts";

/** Lipschitz constants in w, spectral norms for matrices, on a ball about w_T that holds the minimiser. Default 0. */
export interface LipschitzConstants {
  /** L_g, of ∇_w E: its curvature. */
  readonly outerGradient?: number;
  /** L_a, of ∇_α E. */
  readonly outerHyper?: number;
  /** L_H, of H_ww; 0 where L is quadratic in w. */
  readonly hessian?: number;
  /** L_M, of H_αw; 0 where the mixed term of L is linear in w. */
  readonly mixed?: number;
}

/** What the error of an implicit estimator depends on, all of it at w = w_T. */
export interface ImplicitConstants {
  /** ‖∇_w L‖ */
  readonly innerGradientNorm: number;
  /** δ = ‖∇_w E - H_ww q‖ */
  readonly residualNorm: number;
  /** ‖q‖ */
  readonly solutionNorm: number;
  /** ‖H_αw‖, spectral. */
  readonly mixedNorm: number;
  /** No eigenvalue of H_ww at w is below. */
  readonly smallestCurvature?: number;
  /** L is so strongly convex everywhere. One of the two is needed; with both the better one serves. */
  readonly strongConvexity?: number;
  readonly lipschitz: LipschitzConstants;
}

export interface ImplicitBound {
  /** Of ‖h - ∇F(α)‖; Infinity where no minimiser is shown to be near. */
  readonly bound: number;
  /** Its part from the inner loop, which is not at the minimiser, … */
  readonly fromInnerLoop: number;
  /** … and from the linear solver. */
  readonly fromSolver: number;
  /** Of ‖w - w*‖. */
  readonly distance: number;
}

/**
 * A-posteriori bound of ‖h - ∇F(α)‖ where h = ∇_α E - H_αw q at w = w_T for whatever q, and ∇F is the gradient of
 * F(α) = E(w*(α), α) at the exact minimiser w* of L. It is made of triangle inequalities over computable numbers, as
 * the bounds of Ehrhardt & Roberts (arXiv 2301.04764). With M = H_αw(w), M* = H_αw(w*), likewise H and H* = H_ww,
 * g and g* = ∇_w E, and q* = H*⁻¹ g*:
 *
 *     h - ∇F = [∇_α E(w) - ∇_α E(w*)] - (M - M*) q - M* (q - q*)
 *     q - q* = H*⁻¹ [(H* - H) q + (H q - g) + (g - g*)]
 *
 * so with ε ≥ ‖w - w*‖ and H* ≥ μ*
 *
 *     ‖h - ∇F‖ ≤ (L_a + L_M ‖q‖) ε + (‖M‖ + L_M ε) / μ* · ((L_g + L_H ‖q‖) ε + δ).
 *
 * Strong convexity μ gives ε = ‖∇L‖ / μ and μ* = μ. The smallest curvature m at w alone gives, as
 * ‖∇L(w + r u)‖ ≥ m r - ½ L_H r² - ‖∇L‖ for every direction u, that a minimiser is within the smaller root
 * ε = 2 ‖∇L‖ / (m + √(m² - 2 L_H ‖∇L‖)), with μ* = m - L_H ε; it needs 2 L_H ‖∇L‖ < m² (as Newton's method does in
 * Kantorovich's theorem), but no convexity further off. What float32 rounds in h itself, some 1e-6 of it, is extra.
 */
export function implicitBound(constants: ImplicitConstants): ImplicitBound {
  const { residualNorm, solutionNorm, mixedNorm, lipschitz } = constants;
  const { outerGradient = 0, outerHyper = 0, hessian = 0, mixed = 0 } = lipschitz;
  const { distance, convexity } = minimiserNear(constants);
  if (!Number.isFinite(distance)) {
    return { bound: distance, fromInnerLoop: distance, fromSolver: distance, distance };
  }
  const amplified = (mixedNorm + mixed * distance) / convexity;
  const fromInnerLoop =
    (outerHyper + mixed * solutionNorm + amplified * (outerGradient + hessian * solutionNorm)) * distance;
  const fromSolver = amplified * residualNorm;
  return { bound: fromInnerLoop + fromSolver, fromInnerLoop, fromSolver, distance };
}

/** ε and μ*. @throws ProblemError */
function minimiserNear({
  innerGradientNorm,
  smallestCurvature: m,
  strongConvexity,
  lipschitz,
}: ImplicitConstants): { distance: number; convexity: number } {
  if (strongConvexity === undefined && m === undefined)
    throw new ProblemError("the bound needs a strongConvexity, or the smallestCurvature at w_T");
  if (strongConvexity !== undefined && !(strongConvexity > 0))
    throw new ProblemError(`strongConvexity is ${strongConvexity}: give a number > 0, or leave it out`);
  const { hessian = 0 } = lipschitz;
  const everywhere =
    strongConvexity === undefined ? Number.POSITIVE_INFINITY : innerGradientNorm / strongConvexity;
  const isNear = m !== undefined && m > 0 && 2 * hessian * innerGradientNorm < m * m;
  const here = isNear
    ? (2 * innerGradientNorm) / (m + Math.sqrt(m * m - 2 * hessian * innerGradientNorm))
    : Number.POSITIVE_INFINITY;
  const distance = Math.min(everywhere, here);
  return { distance, convexity: Math.max(strongConvexity ?? 0, (m ?? 0) - hessian * distance) };
}

export interface ImplicitOptions<H extends string> extends LanczosOptions {
  readonly gpu: Gpu;
  /** Neumann, CG, Nyström or inexact AD. */
  readonly estimator: Estimator;
  readonly lipschitz: LipschitzConstants;
  /** Where it is known; the curvature at w_T is measured in any case. */
  readonly strongConvexity?: number;
  /** α; the problem's own when absent. */
  readonly hyper?: Readonly<Record<H, Values>>;
}

const KNOWN = {
  ...LANCZOS,
  ...{ gpu: true, estimator: true, lipschitz: true, strongConvexity: true, hyper: true },
};

/**
 * Runs the inner loop and an implicit estimator, and measures what `implicitBound` needs: norms of ∇L, q and the true
 * residual at w_T, and by Lanczos the smallest curvature and ‖H_αw‖, right but for the failure probability.
 * @throws ProblemError for an estimator that is not implicit, for mini-batches, or lanes.
 */
export async function implicitConstants<W extends string, H extends string>(
  problem: Problem<W, H>,
  options: ImplicitOptions<H>,
): Promise<ImplicitConstants & { readonly hypergradient: Record<H, Values> }> {
  assertKnown("implicitConstants", options, KNOWN);
  const { gpu, estimator, lipschitz, strongConvexity, ...others } = options;
  const { hyper = problem.hyper, failureProbability = 1e-3, ...lanczosOptions } = others;
  const { hypergradient, parameters, solution } = await solve({ ...problem, hyper }, gpu, estimator);
  const derivatives = await Derivatives.at(problem, gpu, { parameters, hyper });
  try {
    const half = { ...lanczosOptions, failureProbability: failureProbability / 2 };
    const image = (await derivatives.product(solution)).parameters;
    const g = (await derivatives.outerGradient()).parameters;
    return {
      hypergradient,
      innerGradientNorm: norm(await derivatives.innerGradient()),
      residualNorm: norm(Float64Array.from(g, (element, i) => element - image[i]!)),
      solutionNorm: norm(solution),
      mixedNorm: await mixedNorm(derivatives, half),
      smallestCurvature: (await curvatureOf(derivatives, half)).smallest,
      strongConvexity,
      lipschitz,
    };
  } finally {
    derivatives.destroy();
  }
}

/** h, w_T, and the q that the estimator found. */
async function solve<W extends string, H extends string>(
  problem: Problem<W, H>,
  gpu: Gpu,
  estimator: Estimator,
): Promise<{
  hypergradient: Record<H, Values>;
  parameters: Record<W, Values>;
  solution: Float32Array;
}> {
  let q: Block | undefined;
  const watched: Estimator = {
    ...estimator,
    record(unroll) {
      estimator.record(unroll);
      q = unroll.solution;
    },
  };
  const loop = await OuterLoop.prepare(problem, { gpu, estimator: watched });
  try {
    if (q === undefined)
      throw new ProblemError(
        `${estimator.name} solves no linear system: the bound is for neumann, cg, nystrom, inexactGd and inexactHb`,
      );
    await loop.step({ restart: true, news: true });
    return {
      hypergradient: await loop.hypergradient(),
      parameters: await loop.parameters(),
      solution: await loop.executable.readFloats(q, 0, problem.leaves.parameterLayout.size),
    };
  } finally {
    loop.destroy();
  }
}
