import type { Problem } from "../bilevel/problem.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { assertKnown } from "../gpu/known.ts";
import { Derivatives, type Place } from "./derivatives.ts";
import { LANCZOS, type LanczosOptions, lanczos, type Spectrum } from "./lanczos.ts";

/** Bounds on the eigenvalues of H_ww at one w. */
export interface Curvature extends Spectrum {
  /** Is the smallest eigenvalue shown to be positive, so that L is strongly convex near w? */
  readonly stronglyConvex: boolean;
}

export interface CurvatureOptions<W extends string, H extends string> extends LanczosOptions {
  readonly gpu: Gpu;
  readonly at?: Place<W, H>;
}

/**
 * Largest and smallest curvature of the inner loss, H_ww at one w (default w_T), by Lanczos with a random start.
 * Both bounds come nearer by the width of the spectrum: to show that a smallest curvature of 1/κ of the largest is
 * positive takes about ½ √κ ln(1.65 √P / ε) products, or fewer where eigenvalues cluster.
 * @throws ProblemError for mini-batches or lanes, or an option that there is not.
 */
export async function curvature<W extends string, H extends string>(
  problem: Problem<W, H>,
  options: CurvatureOptions<W, H>,
): Promise<Curvature> {
  assertKnown("curvature", options, { ...LANCZOS, gpu: true, at: true });
  const { gpu, at, ...lanczosOptions } = options;
  const derivatives = await Derivatives.at(problem, gpu, at);
  try {
    return await curvatureOf(derivatives, lanczosOptions);
  } finally {
    derivatives.destroy();
  }
}

export async function curvatureOf(derivatives: Derivatives, options: LanczosOptions): Promise<Curvature> {
  const product = async (x: Float32Array) => (await derivatives.product(x)).parameters;
  const spectrum = await lanczos(product, derivatives.sizes.parameters, options);
  return { ...spectrum, stronglyConvex: spectrum.smallest > 0 };
}

/** An upper bound of the spectral norm ‖H_αw‖, from the smaller one of its two Gram matrices, likewise. */
export async function mixedNorm(derivatives: Derivatives, options: LanczosOptions): Promise<number> {
  const { parameters, hyper } = derivatives.sizes;
  const across = async (x: Float32Array) => (await derivatives.product(x)).hyper;
  const back = (y: Float32Array) => derivatives.mixedProduct(y);
  const { largest } =
    hyper < parameters
      ? await lanczos(async (y) => across(await back(y)), hyper, options)
      : await lanczos(async (x) => back(await across(x)), parameters, options);
  return Math.sqrt(Math.max(largest, 0));
}
