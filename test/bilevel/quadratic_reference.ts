import { quadraticData } from "./problems.ts";

type Matrix = number[][];

const { target, penalty, start } = quadraticData;
const A: Matrix = quadraticData.a.map((row) => [...row]);
const B: Matrix = quadraticData.b.map((row) => [...row]);
const P = A.length;
const H = B[0]!.length;

const zeros = (rows: number, columns: number): Matrix =>
  Array.from({ length: rows }, () => new Array<number>(columns).fill(0));

export interface Run {
  /** w_0 … w_T and v_0 … v_T */
  readonly w: number[][];
  readonly v: number[][];
}

export interface Rates {
  readonly lr: number;
  readonly momentum: number;
  readonly steps: number;
}

/** The inner loop on L = ½ wᵀAw - wᵀBα, in float64. */
export function run(
  alpha: readonly number[],
  { lr, momentum, steps }: Rates,
  from?: { w: number[]; v: number[] },
): Run {
  const w = [from?.w ?? [...start]];
  const v = [from?.v ?? new Array<number>(P).fill(0)];
  for (let t = 0; t < steps; t++) {
    const gradient = A.map(
      (row, i) =>
        row.reduce((sum, value, j) => sum + value * w[t]![j]!, 0) -
        B[i]!.reduce((sum, value, k) => sum + value * alpha[k]!, 0),
    );
    v.push(v[t]!.map((value, i) => momentum * value + gradient[i]!));
    w.push(w[t]!.map((value, i) => value - lr * v[t + 1]![i]!));
  }
  return { w, v };
}

/** E = ½‖w - c‖² + ½ρ‖α‖² */
export function outerLoss(w: readonly number[], alpha: readonly number[]): number {
  const misfit = w.reduce((sum, value, i) => sum + (value - target[i]!) ** 2, 0);
  return misfit / 2 + (penalty / 2) * alpha.reduce((sum, value) => sum + value ** 2, 0);
}

function outerGradient(w: readonly number[]): number[] {
  return w.map((value, i) => value - target[i]!);
}

/** Through the last `k` steps: ∂w/∂α carried forward from zero at step T - k, then times g_T. */
export function truncated(alpha: readonly number[], rates: Rates, { w }: Run, k: number): number[] {
  let dw = zeros(P, H);
  let dv = zeros(P, H);
  for (let t = rates.steps - k; t < rates.steps; t++) {
    const old = dw;
    dv = dv.map((row, i) =>
      row.map(
        (value, c) =>
          rates.momentum * value + A[i]!.reduce((sum, a, j) => sum + a * old[j]![c]!, 0) - B[i]![c]!,
      ),
    );
    dw = old.map((row, i) => row.map((value, c) => value - rates.lr * dv[i]![c]!));
  }
  const g = outerGradient(w[rates.steps]!);
  return alpha.map((value, c) => penalty * value + g.reduce((sum, gi, i) => sum + gi * dw[i]![c]!, 0));
}

/** h = ∇_α E + Σ_t γ^{T-t} (-η) H_αw g_t with g_t = ∇_w E(w_t); here H_αw = -Bᵀ. */
export function greedy(alpha: readonly number[], { lr, steps }: Rates, { w }: Run, gamma: number): number[] {
  return alpha.map((value, c) => {
    let sum = 0;
    for (let t = 1; t <= steps; t++) {
      const mixed = outerGradient(w[t]!).reduce((total, g, i) => total - B[i]![c]! * g, 0);
      sum += gamma ** (steps - t) * -lr * mixed;
    }
    return penalty * value + sum;
  });
}

/** A rule that moves α along h. */
export type Move = (alpha: readonly number[], h: readonly number[]) => number[];

export function descent(lr: number, decay?: "sqrt"): Move {
  let step = 0;
  return (alpha, h) => {
    step++;
    const rate = decay ? lr / Math.sqrt(step) : lr;
    return alpha.map((value, i) => value - rate * h[i]!);
  };
}

/** Adam with bias correction (Kingma & Ba 2015, algorithm 1). */
export function adam({
  lr,
  beta1 = 0.9,
  beta2 = 0.999,
  epsilon = 1e-8,
}: {
  lr: number;
  beta1?: number;
  beta2?: number;
  epsilon?: number;
}): Move {
  let step = 0;
  let first: number[] = [];
  let second: number[] = [];
  return (alpha, h) => {
    step++;
    first = h.map((g, i) => beta1 * (first[i] ?? 0) + (1 - beta1) * g);
    second = h.map((g, i) => beta2 * (second[i] ?? 0) + (1 - beta2) * g * g);
    return alpha.map((value, i) => {
      const mean = first[i]! / (1 - beta1 ** step);
      return value - (lr * mean) / (Math.sqrt(second[i]! / (1 - beta2 ** step)) + epsilon);
    });
  };
}

/** α and E after each outer step on the exact hypergradient. */
export function optimize(
  rates: Rates,
  { steps, mode, move }: { steps: number; mode: "restart" | "warm"; move: Move },
): { alpha: number[]; loss: number }[] {
  let alpha: number[] = [...quadraticData.alpha];
  let state: { w: number[]; v: number[] } | undefined;
  return Array.from({ length: steps }, () => {
    const inner = run(alpha, rates, mode === "warm" ? state : undefined);
    const loss = outerLoss(inner.w[rates.steps]!, alpha);
    state = { w: inner.w[rates.steps]!, v: inner.v[rates.steps]! };
    alpha = move(alpha, truncated(alpha, rates, inner, rates.steps));
    return { alpha, loss };
  });
}
