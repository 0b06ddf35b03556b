import { SOLVE } from "../../shaders/conjugate_gradient.ts";

/** How a linear solve H q = g ended. */
export interface LinearSolve {
  /** Only "converged" and "zero right-hand side" mean that q solves the system to the tolerance. */
  readonly status: "converged" | "out of iterations" | "negative curvature" | "zero right-hand side";
  readonly iterations: number;
  /** ‖g - H q‖ / ‖g‖, by the recurrence; 0 where g = 0. */
  readonly residual: number;
}

/** Reads the record that the kernels of conjugate gradients leave. */
export function solveOf(words: Uint32Array, floats: Float32Array): LinearSolve {
  const [status, iterations = 0] = words;
  const [squared, norm] = [floats[2]!, floats[3]!];
  return {
    status:
      status === SOLVE.converged
        ? "converged"
        : status === SOLVE.negativeCurvature
          ? "negative curvature"
          : status === SOLVE.zeroRightHandSide
            ? "zero right-hand side"
            : "out of iterations",
    iterations,
    residual: norm > 0 ? Math.sqrt(squared / norm) : 0,
  };
}
