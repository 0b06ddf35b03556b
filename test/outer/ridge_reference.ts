import { solve } from "../estimators/dense.ts";

export interface Examples {
  readonly x: readonly (readonly number[])[];
  /** ±1 */
  readonly y: readonly number[];
}

/**
 * L = mean log(1 + exp(-y x·w)) + Σ e^λ w² and the validation loss at its minimiser, in float64 with exact inner
 * solves by Newton's method.
 */
export class RidgeReference {
  readonly #train: Examples;
  readonly #validation: Examples;
  readonly #size: number;

  constructor(train: Examples, validation: Examples) {
    this.#train = train;
    this.#validation = validation;
    this.#size = train.x[0]!.length;
  }

  /** E(w(λ)) and its gradient by the implicit function theorem; λ of each weight. */
  at(lambda: readonly number[]): { loss: number; gradient: number[]; w: number[] } {
    const w = this.#minimise(lambda);
    const { hessian } = logistic(this.#train, w);
    const { value, gradient: outer } = logistic(this.#validation, w);
    const system = withPenalty(hessian, lambda);
    const q = solve(system, outer);
    return { loss: value, gradient: lambda.map((l, j) => -2 * Math.exp(l) * w[j]! * q[j]!), w };
  }

  /** The same for one λ. */
  scalar(lambda: number): { loss: number; gradient: number } {
    const { loss, gradient } = this.at(new Array<number>(this.#size).fill(lambda));
    return { loss, gradient: gradient.reduce((sum, value) => sum + value, 0) };
  }

  /** The λ with the smallest E in an interval where E has one minimum: golden sections. */
  best(low: number, high: number): number {
    const ratio = (Math.sqrt(5) - 1) / 2;
    for (let [a, b] = [low, high]; ; ) {
      if (b - a < 1e-9) return (a + b) / 2;
      const [left, right] = [b - ratio * (b - a), a + ratio * (b - a)];
      if (this.scalar(left).loss < this.scalar(right).loss) b = right;
      else a = left;
    }
  }

  /** The smallest E that projected gradient descent with backtracking finds in a box. */
  descend(start: readonly number[], [low, high]: readonly [number, number], steps: number): number {
    let lambda = [...start];
    let { loss, gradient } = this.at(lambda);
    let length = 1;
    for (let step = 0; step < steps; step++) {
      for (;;) {
        const next = lambda.map((l, j) => Math.min(high, Math.max(low, l - length * gradient[j]!)));
        const moved = next.reduce((sum, l, j) => sum + (l - lambda[j]!) ** 2, 0);
        const there = this.at(next);
        if (there.loss <= loss - moved / (4 * length) || moved < 1e-20) {
          lambda = next;
          ({ loss, gradient } = there);
          break;
        }
        length /= 2;
      }
      length *= 1.5;
    }
    return loss;
  }

  #minimise(lambda: readonly number[]): number[] {
    let w = new Array<number>(this.#size).fill(0);
    for (let iteration = 0; iteration < 50; iteration++) {
      const { gradient, hessian } = logistic(this.#train, w);
      const slope = gradient.map((g, j) => g + 2 * Math.exp(lambda[j]!) * w[j]!);
      if (Math.hypot(...slope) < 1e-13) break;
      const step = solve(withPenalty(hessian, lambda), slope);
      w = w.map((value, j) => value - step[j]!);
    }
    return w;
  }
}

function logistic({ x, y }: Examples, w: readonly number[]) {
  const n = y.length;
  let value = 0;
  const gradient = w.map(() => 0);
  const hessian = w.map(() => w.map(() => 0));
  for (const [i, row] of x.entries()) {
    const margin = y[i]! * row.reduce((sum, v, j) => sum + v * w[j]!, 0);
    const p = 1 / (1 + Math.exp(margin));
    value += (margin > 0 ? Math.log1p(Math.exp(-margin)) : Math.log1p(Math.exp(margin)) - margin) / n;
    for (const [j, v] of row.entries()) {
      gradient[j]! -= (p * y[i]! * v) / n;
      for (const [k, u] of row.entries()) hessian[j]![k]! += (p * (1 - p) * v * u) / n;
    }
  }
  return { value, gradient, hessian };
}

function withPenalty(hessian: number[][], lambda: readonly number[]): number[][] {
  return hessian.map((row, j) => row.map((value, k) => (j === k ? value + 2 * Math.exp(lambda[j]!) : value)));
}
