import { HypergradError } from "../gpu/errors.ts";
import { Random } from "../random.ts";
import { dot, norm } from "./closeness.ts";

/** x → A x for a symmetric A; in float32. */
export type Product = (x: Float32Array) => Promise<Float32Array>;

export interface LanczosOptions {
  /** k, steps of Lanczos (default 24; at most the size of A). */
  readonly steps?: number;
  /** ε: the probability, over start vectors, that one of the two bounds is wrong (default 0.001). */
  readonly failureProbability?: number;
  readonly seed?: number;
}

export const LANCZOS = { steps: true, failureProbability: true, seed: true };

/** Where the eigenvalues of a symmetric matrix are. */
export interface Spectrum {
  /** No eigenvalue is above, up to the failure probability. */
  readonly largest: number;
  /** No eigenvalue is below, likewise. */
  readonly smallest: number;
  /** Rayleigh quotients that were met: the eigenvalues reach at least from the first to the second. */
  readonly met: readonly [smallest: number, largest: number];
  readonly failureProbability: number;
  /** Products taken: k, and one that measures rounding. */
  readonly products: number;
  /** What both bounds were moved outwards by because products are float32: four times what was measured of it. */
  readonly rounding: number;
}

/** Below this part of the largest coefficient a new direction is rounding: the Krylov space is invariant. */
const NOTHING = 2 ** -20;
/** Of the largest coefficient: what rounding is taken for at least. */
const ROUNDING = 2 ** -21;

/**
 * Bounds on all eigenvalues of a symmetric A of n rows by k steps of Lanczos from a random start (van Dorsselaer,
 * Hochstenbach, van der Vorst, SIAM J. Matrix Anal. Appl. 22, 2000). With v_1 uniform on the sphere, Lanczos makes
 * v_{k+1} = p_k(A) v_1 of length 1, p_k a polynomial whose recurrence it knows. Let x be a unit eigenvector of the
 * largest eigenvalue λ and γ = ⟨x, v_1⟩:
 *
 *     |p_k(λ)| |γ| = |⟨x, v_{k+1}⟩| ≤ 1   and   P(|γ| ≤ δ) ≤ δ √(2n/π),
 *
 * because the density of γ is Γ(n/2) / (√π Γ((n-1)/2)) (1 - γ²)^{(n-3)/2}. With δ = (ε/2) √(π/(2n)), but for a
 * probability of ε/2, |p_k(λ)| ≤ 1/δ: λ is no more than the point beyond all zeros of p_k where p_k reaches 1/δ. The
 * smallest eigenvalue is the same of -A. Nothing is asked of A, and the bounds close in as the Ritz values converge;
 * how fast they do at worst is the theorem of Kuczyński & Woźniakowski (SIAM J. Matrix Anal. Appl. 13, 1992): the
 * largest Ritz value of a positive A is below (1 - ε) λ with a probability of at most 1.648 √n e^{-√ε (2k - 1)}.
 *
 * Vectors are kept on the host, P·k numbers, and made orthogonal to all before in float64.
 * @throws RangeError; HypergradError where a product is not finite.
 */
export async function lanczos(
  product: Product,
  size: number,
  { steps = 24, failureProbability = 1e-3, seed = 0 }: LanczosOptions = {},
): Promise<Spectrum> {
  if (!(Number.isInteger(steps) && steps > 0))
    throw new RangeError(`${steps} steps of Lanczos: give a whole number > 0`);
  if (!(failureProbability > 0 && failureProbability < 1))
    throw new RangeError(`the failure probability is ${failureProbability}: give a number in (0, 1)`);
  const k = Math.min(steps, size);
  const random = new Random(seed).fork("Lanczos");
  const basis: Float32Array[] = [];
  const [alpha, beta]: [number[], number[]] = [[], []];
  // For the check of rounding: A applied to the sum of all vectors, and the sum of what A made of each.
  const [sum, images] = [new Float64Array(size), new Float64Array(size)];
  let next = Float64Array.from({ length: size }, () => random.normal());
  let length = norm(next);
  for (let j = 0; j < k; j++) {
    const v = Float32Array.from(next, (element) => element / length);
    basis.push(v);
    const image = await product(v);
    if (!image.every(Number.isFinite)) throw new HypergradError("a Hessian product is not finite here");
    for (let i = 0; i < size; i++) {
      sum[i]! += v[i]!;
      images[i]! += image[i]!;
    }
    alpha.push(dot(v, image));
    next = Float64Array.from(image);
    // Twice is enough (Parlett).
    for (let pass = 0; pass < 2; pass++) for (const u of basis) subtract(next, u);
    length = norm(next);
    const scale = Math.max(...alpha.map(Math.abs), ...beta);
    // When the vectors span the whole space, the Ritz values are all eigenvalues.
    beta.push(basis.length === size ? 0 : Math.max(length, NOTHING * scale));
    if (length <= NOTHING * scale) break;
  }
  const along = Float32Array.from(sum, (element) => element / Math.sqrt(basis.length));
  const once = await product(along);
  const nonlinear = norm(images.map((element, i) => element / Math.sqrt(basis.length) - once[i]!));
  const scale = Math.max(...alpha.map(Math.abs), ...beta);
  const rounding = Math.max(4 * nonlinear, ROUNDING * scale);

  const level = Math.log((2 / failureProbability) * Math.sqrt((2 * size) / Math.PI));
  const negative = alpha.map((element) => -element);
  return {
    largest: reaches(alpha, beta, level) + rounding,
    smallest: -reaches(negative, beta, level) - rounding,
    met: [-reaches(negative, beta), reaches(alpha, beta)],
    failureProbability,
    products: basis.length + 1,
    rounding,
  };
}

/** y ← y - ⟨y, u⟩ u / ⟨u, u⟩ */
function subtract(y: Float64Array, u: Float32Array): void {
  const part = dot(y, u) / dot(u, u);
  for (let i = 0; i < y.length; i++) y[i]! -= part * u[i]!;
}

/**
 * Where, beyond all its zeros, p_k has the logarithm `level`; without, the last zero, which is the largest Ritz value.
 * β_j p_j(t) = (t - α_j) p_{j-1}(t) - β_{j-1} p_{j-2}(t), so that the ratios d_j = β_j p_j / p_{j-1} are all positive
 * beyond the zeros, and only there (they are the pivots of t I - T).
 */
function reaches(
  alpha: readonly number[],
  beta: readonly number[],
  level = Number.NEGATIVE_INFINITY,
): number {
  const isBeyond = (t: number): boolean => {
    let logarithm = 0;
    let previous = 1;
    for (const [j, diagonal] of alpha.entries()) {
      const pivot = t - diagonal - (j > 0 ? beta[j - 1]! ** 2 / previous : 0);
      if (!(pivot > 0)) return false;
      logarithm += Math.log(pivot / beta[j]!);
      previous = pivot;
    }
    return logarithm >= level;
  };
  const scale = Math.max(...alpha.map(Math.abs), ...beta);
  if (scale === 0) return 0;
  // No Ritz value is less than the largest diagonal element.
  let below = Math.max(...alpha) - Number.EPSILON * scale;
  let width = scale;
  while (!isBeyond(below + width)) width *= 2;
  for (let halvings = 0; halvings < 60; halvings++) {
    width /= 2;
    if (!isBeyond(below + width)) below += width;
  }
  return below + width;
}
