/**
 * Bilevel least squares (Li et al. 2022; Ehrhardt & Roberts 2023): y minimises L = ‖Cθ + Dy - e‖², and θ is judged by
 * E = ‖Ay - b‖² at it. The spectrum of the Hessian 2DᵀD is chosen, and the hypergradient at the exact minimiser known.
 */
import { lanczos } from "../../src/diagnostics/lanczos.ts";
import {
  add,
  bilevel,
  matmul,
  type Problem,
  Random,
  sgd,
  squaredNorm,
  sub,
  type Tensor,
  type Values,
  values,
  zeros,
} from "../../src/index.ts";

export interface LeastSquaresOptions {
  /** Numbers in y and in θ. */
  readonly parameters: number;
  readonly hyper: number;
  /** Largest curvature over smallest. */
  readonly condition: number;
  readonly seed: number;
}

export interface LeastSquares {
  /** Largest and smallest eigenvalue of the Hessian. */
  readonly curvature: { readonly largest: number; readonly smallest: number };
  /** dE/dθ at the exact minimiser y*(θ), in float64. */
  readonly hypergradient: Float64Array;
  /** No eigenvalue of ∇²E = 2AᵀA is above, but for a probability of 0.001. */
  outerCurvature(): Promise<number>;
  /** The problem with T inner steps, heavy ball with momentum. */
  problem(inner: { steps: number; lr: number; momentum: number }): Problem<"y", "theta">;
}

export function leastSquares(options: LeastSquaresOptions): LeastSquares {
  const { parameters: P, hyper: H, condition, seed } = options;
  const random = new Random(seed);
  const rows = 2 * P;
  const normal = (m: number, n: number, spread = 1) =>
    values(
      Float32Array.from({ length: m * n }, () => spread * random.normal()),
      [m, n],
    );
  const D = withSpectrum(random, rows, P, (i) => condition ** (-i / (2 * Math.max(P - 1, 1))));
  const data = {
    C: normal(rows, H, 1 / Math.sqrt(H)),
    D,
    e: normal(rows, 1),
    A: normal(P, P, 1 / Math.sqrt(P)),
    b: normal(P, 1),
  };
  const theta = normal(H, 1);
  const misfit = (matrix: Tensor, x: Tensor, rhs: Tensor) => sub(matmul(matrix, x), rhs);
  return {
    curvature: { largest: 2, smallest: 2 / condition },
    hypergradient: analytic(data, theta),
    outerCurvature: async () => {
      const product = async (x: Float32Array) =>
        Float32Array.from(transposed(data.A, times(data.A, x)), (value) => 2 * value);
      return (await lanczos(product, P)).largest;
    },
    problem: ({ steps, lr, momentum }) =>
      bilevel({
        parameters: { y: zeros([P, 1]) },
        hyper: { theta },
        inner: {
          data: { C: data.C, D: data.D, e: data.e },
          loss: ({ y }, { theta }, { C, D, e }) => squaredNorm(add(matmul(C, theta), misfit(D, y, e))),
          steps,
          optimizer: sgd({ lr, momentum }),
        },
        outer: {
          data: { A: data.A, b: data.b },
          loss: ({ y }, _theta, { A, b }) => squaredNorm(misfit(A, y, b)),
        },
      }),
  };
}

/** U S Vᵀ with random orthonormal columns in U and V and the singular values `singular(0 … n-1)`. */
function withSpectrum(random: Random, m: number, n: number, singular: (i: number) => number): Values {
  const [u, v] = [orthonormal(random, m, n), orthonormal(random, n, n)];
  const product = Float32Array.from({ length: m * n }, (_, at) => {
    const [row, column] = [Math.floor(at / n), at % n];
    return v.reduce((sum, vector, i) => sum + u[i]![row]! * singular(i) * vector[column]!, 0);
  });
  return values(product, [m, n]);
}

/** `count` orthonormal vectors (Gram and Schmidt, twice over for orthogonality to rounding). */
function orthonormal(random: Random, length: number, count: number): Float64Array[] {
  const vectors: Float64Array[] = [];
  while (vectors.length < count) {
    let vector = Float64Array.from({ length }, () => random.normal());
    for (const earlier of [...vectors, ...vectors]) {
      const along = dot(vector, earlier);
      vector = vector.map((value, i) => value - along * earlier[i]!);
    }
    const length2 = Math.sqrt(dot(vector, vector));
    vectors.push(vector.map((value) => value / length2));
  }
  return vectors;
}

/** H y* = 2 Dᵀ(e - Cθ), H q = 2 Aᵀ(Ay* - b), h = -2 CᵀD q, with H = 2 DᵀD. */
function analytic(
  { A, b, C, D, e }: Record<"A" | "b" | "C" | "D" | "e", Values>,
  theta: Values,
): Float64Array {
  const minus = (x: Float64Array, y: ArrayLike<number>) => x.map((value, i) => value - y[i]!);
  const hessian = gram(D);
  const y = solve(hessian, transposed(D, minus(Float64Array.from(e.data), times(C, theta.data))));
  const q = solve(hessian, transposed(A, minus(times(A, y), b.data)));
  return transposed(C, times(D, q)).map((value) => -2 * value);
}

function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

function times({ data, shape: [m = 0, n = 0] }: Values, x: ArrayLike<number>): Float64Array {
  return Float64Array.from({ length: m }, (_, row) => dot(data.subarray(row * n, (row + 1) * n), x));
}

function transposed({ data, shape: [m = 0, n = 0] }: Values, x: ArrayLike<number>): Float64Array {
  const out = new Float64Array(n);
  for (let row = 0; row < m; row++) {
    for (let column = 0; column < n; column++) out[column]! += data[row * n + column]! * x[row]!;
  }
  return out;
}

/** The columns of XᵀX. */
function gram(x: Values): Float64Array[] {
  const [m = 0, n = 0] = x.shape;
  return Array.from({ length: n }, (_, column) =>
    transposed(
      x,
      Float64Array.from({ length: m }, (_, row) => x.data[row * n + column]!),
    ),
  );
}

/** The solution of a symmetric positive definite system, by Cholesky's factors. */
function solve(matrix: readonly Float64Array[], rhs: Float64Array): Float64Array {
  const n = rhs.length;
  const factor = matrix.map((row) => Float64Array.from(row));
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      const rest = factor[i]![j]! - dot(factor[i]!.subarray(0, j), factor[j]!.subarray(0, j));
      factor[i]![j] = i === j ? Math.sqrt(rest) : rest / factor[j]![j]!;
    }
  }
  const x = Float64Array.from(rhs);
  for (let i = 0; i < n; i++) x[i] = (x[i]! - dot(factor[i]!.subarray(0, i), x)) / factor[i]![i]!;
  for (let i = n - 1; i >= 0; i--) {
    for (let j = i + 1; j < n; j++) x[i]! -= factor[j]![i]! * x[j]!;
    x[i]! /= factor[i]![i]!;
  }
  return x;
}
