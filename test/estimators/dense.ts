import { bilevel, type Problem } from "../../src/bilevel/problem.ts";
import { sgd } from "../../src/bilevel/sgd.ts";
import { scale, sub } from "../../src/graph/operations/linear_combination.ts";
import { matmul } from "../../src/graph/operations/matmul.ts";
import { mul } from "../../src/graph/operations/multiply.ts";
import { sum } from "../../src/graph/operations/reduce.ts";
import { squaredNorm } from "../../src/graph/operations/squared_norm.ts";
import { values, zeros } from "../../src/graph/values.ts";
import type { Random } from "../../src/random.ts";
import { dot } from "../bilevel/vectors.ts";

/** Rows of numbers in float64. */
export type Matrix = readonly (readonly number[])[];

export function product(a: Matrix, x: readonly number[]): number[] {
  return a.map((row) => dot(row, x));
}

/** y + factor x */
export function plus(y: readonly number[], factor: number, x: readonly number[]): number[] {
  return y.map((value, i) => value + factor * x[i]!);
}

export function diagonal(entries: readonly number[]): Matrix {
  return entries.map((entry, i) => entries.map((_, j) => (i === j ? entry : 0)));
}

/** a⁻¹ b by elimination with row pivots. */
export function solve(a: Matrix, b: readonly number[]): number[] {
  const n = b.length;
  const rows = a.map((row, i) => [...row, b[i]!]);
  for (let c = 0; c < n; c++) {
    let pivot = c;
    for (let i = c + 1; i < n; i++) if (Math.abs(rows[i]![c]!) > Math.abs(rows[pivot]![c]!)) pivot = i;
    [rows[c], rows[pivot]] = [rows[pivot]!, rows[c]!];
    for (let i = c + 1; i < n; i++) {
      const factor = rows[i]![c]! / rows[c]![c]!;
      for (let j = c; j <= n; j++) rows[i]![j]! -= factor * rows[c]![j]!;
    }
  }
  const x = new Array<number>(n).fill(0);
  for (let i = n - 1; i >= 0; i--) {
    const known = rows[i]!.slice(i + 1, n).reduce((sum, entry, k) => sum + entry * x[i + 1 + k]!, 0);
    x[i] = (rows[i]![n]! - known) / rows[i]![i]!;
  }
  return x;
}

/** A symmetric matrix of float32 numbers with these eigenvalues, but for that rounding. */
export function withEigenvalues(random: Random, eigenvalues: readonly number[]): Matrix {
  let a = diagonal(eigenvalues);
  // Householder reflections along random vectors, from both sides.
  for (let k = 0; k < 3; k++) {
    const u = eigenvalues.map(() => random.normal());
    const factor = -2 / dot(u, u);
    const reflect = (m: Matrix): Matrix => {
      const projected = u.map((_, j) => u.reduce((sum, entry, i) => sum + entry * m[i]![j]!, 0));
      return m.map((row, i) => plus(row, factor * u[i]!, projected));
    };
    a = reflect(transposed(reflect(a)));
  }
  return a.map((row, i) => row.map((_, j) => Math.fround((a[i]![j]! + a[j]![i]!) / 2)));
}

export function transposed(a: Matrix): Matrix {
  return a[0]!.map((_, j) => a.map((row) => row[j]!));
}

export function normals(random: Random, count: number): number[] {
  return Array.from({ length: count }, () => Math.fround(random.normal()));
}

/** `count` numbers from `from` to `to`, each the same multiple of the one before. */
export function spread(count: number, from: number, to: number): number[] {
  return Array.from({ length: count }, (_, i) => from * (to / from) ** (count > 1 ? i / (count - 1) : 0));
}

export interface SystemOptions {
  /** Factors of the two losses. */
  readonly inner?: number;
  readonly outer?: number;
  readonly lanes?: number;
  readonly lr?: number;
  readonly steps?: number;
}

/**
 * L = s (½ wᵀAw - wᵀα) and E = r ½‖w‖² with w_0 = g and no step away from it: the system is (sA) q = r g and an
 * implicit hypergradient is s q itself, so it is the solver's answer that one sees.
 */
export function linearSystem(
  a: Matrix,
  g: readonly number[],
  { inner = 1, outer = 1, lanes, lr = 0, steps = 1 }: SystemOptions = {},
): Problem<"w", "alpha"> {
  const n = g.length;
  return bilevel({
    parameters: { w: values([...g], [n, 1]) },
    hyper: { alpha: zeros([n, 1]) },
    lanes,
    inner: {
      data: { a: values(a.flat(), [n, n]) },
      loss: ({ w }, { alpha }, { a }) =>
        scale(inner, sub(scale(0.5, sum(mul(w, matmul(a, w)))), sum(mul(w, alpha)))),
      steps,
      optimizer: sgd({ lr }),
    },
    outer: { loss: ({ w }) => scale(outer / 2, squaredNorm(w)) },
  });
}
