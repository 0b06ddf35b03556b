import { type Problem, ProblemError, positive } from "../bilevel/problem.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { assertKnown } from "../gpu/known.ts";
import { norm } from "./closeness.ts";
import { curvatureOf, mixedNorm } from "./curvature.ts";
import { Derivatives, type Place } from "./derivatives.ts";
import { LANCZOS, type LanczosOptions } from "./lanczos.ts";

/**
 * What the error of K-RMD depends on. The curvatures are to hold at w_1 … w_{T-1}, where the Jacobians A_2 … A_T are, and
 * ‖H_αw‖ at w_0 … w_{T-K-1}; where both are the same everywhere, one w is enough.
 */
export interface KrmdConstants {
  /** No eigenvalue of H_ww is below; ≤ 0 is allowed with `steps`. */
  readonly smallestCurvature: number;
  /** No eigenvalue is above. Absent: η is known to be ≤ 1 / largest. */
  readonly largestCurvature?: number;
  /** ‖H_αw‖, spectral. */
  readonly mixedNorm: number;
  /** η of the inner steps w ← w - η ∇L, without momentum. */
  readonly lr: number;
  /** ‖g_T‖ = ‖∇_w E(w_T)‖ */
  readonly outerGradientNorm: number;
  /** T; without it the trajectory may have any length. */
  readonly steps?: number;
}

/**
 * A bound of ‖h_{T-K} - h‖, of K-RMD's error to exact reverse mode (Shaban et al. 2019, Prop. 3.1). The terms left out
 * are B_tᵀ A_{t+1} ⋯ A_T g_T, t = 1 … T-K, with ‖B_t‖ = η ‖H_αw‖ = M_B and ‖A_t‖ = ‖I - η H_ww‖ ≤ ρ, so that
 *
 *     ‖h_{T-K} - h‖ ≤ ‖g_T‖ M_B Σ_{j=K}^{T-1} ρ^j ≤ ‖g_T‖ M_B ρ^K / (1 - ρ)
 *
 * where ρ = 1 - η α for an α-strongly convex loss and η ≤ 1 / largest curvature: that is their proposition. With
 * `steps` the middle one is taken, which is 0 at K = T and finite for any curvature. Infinity where neither is.
 * @throws ProblemError
 */
export function krmdBound({ k, ...constants }: KrmdConstants & { readonly k: number }): number {
  positive("k", k);
  const { smallestCurvature, largestCurvature, lr, steps } = constants;
  if (!(lr > 0)) throw new ProblemError(`lr is ${lr}: give a number > 0`);
  const contraction = Math.max(1 - lr * smallestCurvature, lr * (largestCurvature ?? 0) - 1);
  let sum = contraction ** k / (1 - contraction);
  if (steps !== undefined) {
    sum = 0;
    for (let j = steps - 1; j >= k; j--) sum += contraction ** j;
  } else if (contraction >= 1) sum = Number.POSITIVE_INFINITY;
  return constants.outerGradientNorm * lr * constants.mixedNorm * sum;
}

/**
 * The constants of `krmdBound` as measured at one w, default w_T: both curvatures and ‖H_αw‖ by Lanczos, all right but
 * for the failure probability. They hold for the whole trajectory where L is quadratic in w and bilinear in (w, α);
 * elsewhere they are what w_T suggests, and the bound is an estimate: measure at more places and take the worst.
 * @throws ProblemError for an inner optimizer with momentum or another rule, a learned η, mini-batches, or lanes.
 */
export async function krmdConstants<W extends string, H extends string>(
  problem: Problem<W, H>,
  options: LanczosOptions & { gpu: Gpu; at?: Place<W, H> },
): Promise<Required<KrmdConstants>> {
  assertKnown("krmdConstants", options, { ...LANCZOS, gpu: true, at: true });
  const { gpu, at, failureProbability = 1e-3, ...others } = options;
  const lr = gradientDescentRate(problem);
  const derivatives = await Derivatives.at(problem, gpu, at);
  try {
    // Three numbers are uncertain, two of them from one run.
    const half = { ...others, failureProbability: failureProbability / 2 };
    const { smallest, largest } = await curvatureOf(derivatives, half);
    return {
      smallestCurvature: smallest,
      largestCurvature: largest,
      mixedNorm: await mixedNorm(derivatives, half),
      lr,
      outerGradientNorm: norm((await derivatives.outerGradient()).parameters),
      steps: problem.steps,
    };
  } finally {
    derivatives.destroy();
  }
}

function gradientDescentRate({ optimizer, lr, momentum }: Problem): number {
  const still = momentum !== undefined && "value" in momentum && momentum.value === 0;
  if (!optimizer.heavyBall || !still || !("value" in lr)) {
    throw new ProblemError(
      "the bound of K-RMD is for gradient descent: give inner.optimizer sgd({ lr }) with a number, without momentum or weight decay",
    );
  }
  return lr.value;
}
