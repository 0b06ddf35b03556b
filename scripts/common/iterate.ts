/** Iterations on the host that stop where a tolerance is reached; gradients and products come from elsewhere. */

/** A linear map, or the gradient of a function. */
export type Field = (x: Float32Array) => Promise<Float32Array>;

export interface Stop {
  /** Of the norm of the gradient, or of the residual. */
  readonly tolerance: number;
  /** Most evaluations of the field. */
  readonly limit: number;
}

export interface Solution {
  readonly x: Float32Array;
  /** What came down to the tolerance, if `converged`. */
  readonly norm: number;
  /** Of the field. */
  readonly evaluations: number;
  readonly converged: boolean;
}

/**
 * x ← x − step ∇ + momentum (x − x₋) with ∇ at x: heavy ball, and gradient descent without momentum. On
 * ½ ⟨q, H q⟩ − ⟨g, q⟩, whose gradient is H q − g, it is inexact automatic differentiation (Ehrhardt & Roberts, arXiv
 * 2301.04764).
 * @param first ∇ at the start, where it is known
 */
export async function heavyBall(
  gradient: Field,
  start: Float32Array,
  {
    step,
    momentum,
    tolerance,
    limit,
    first,
  }: Stop & { readonly step: number; readonly momentum: number; readonly first?: Float32Array },
): Promise<Solution> {
  const x = start.slice();
  const move = new Float32Array(x.length);
  let slope = first ?? (await gradient(x));
  let evaluations = first ? 0 : 1;
  for (;;) {
    const norm = length(slope);
    const converged = norm <= tolerance;
    if (converged || evaluations >= limit) return { x, norm, evaluations, converged };
    for (let i = 0; i < x.length; i++) {
      move[i] = momentum * move[i]! - step * slope[i]!;
      x[i]! += move[i]!;
    }
    slope = await gradient(x);
    evaluations++;
  }
}

/** H x = g by conjugate gradients from 0, for a positive definite H. */
export async function conjugateGradients(
  product: Field,
  g: Float32Array,
  { tolerance, limit }: Stop,
): Promise<Solution> {
  const x = new Float32Array(g.length);
  const residual = g.slice();
  const direction = g.slice();
  let squared = dot(residual, residual);
  for (let evaluations = 0; ; evaluations++) {
    const norm = Math.sqrt(squared);
    const converged = norm <= tolerance;
    if (converged || evaluations >= limit) return { x, norm, evaluations, converged };
    const image = await product(direction);
    const along = squared / dot(direction, image);
    for (let i = 0; i < x.length; i++) {
      x[i]! += along * direction[i]!;
      residual[i]! -= along * image[i]!;
    }
    const next = dot(residual, residual);
    for (let i = 0; i < x.length; i++) direction[i] = residual[i]! + (next / squared) * direction[i]!;
    squared = next;
  }
}

export function length(x: Float32Array): number {
  return Math.sqrt(dot(x, x));
}

function dot(x: Float32Array, y: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += x[i]! * y[i]!;
  return sum;
}
