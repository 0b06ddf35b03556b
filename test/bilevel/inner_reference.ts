import { quadraticData } from "./problems.ts";

/** A number and its derivative along one direction, in float64. */
export type Dual = readonly [value: number, slope: number];

const add = (...terms: readonly Dual[]): Dual => [
  terms.reduce((sum, [v]) => sum + v, 0),
  terms.reduce((sum, [, d]) => sum + d, 0),
];
const mul = ([a, da]: Dual, [b, db]: Dual): Dual => [a * b, a * db + da * b];
const times = (c: number, [v, d]: Dual): Dual => [c * v, c * d];
const div = ([a, da]: Dual, [b, db]: Dual): Dual => [a / b, (da * b - a * db) / (b * b)];
const unary =
  (f: (x: number) => number, slope: (x: number) => number) =>
  ([v, d]: Dual): Dual => [f(v), slope(v) * d];
const logistic = (x: number) => 1 / (1 + Math.exp(-x));
const sigmoid = unary(logistic, (x) => logistic(x) * logistic(-x));
const exp = unary(Math.exp, Math.exp);
// Zero has no square root's slope: a second moment is zero only where nothing moves it.
const sqrt = unary(Math.sqrt, (x) => (x > 0 ? 0.5 / Math.sqrt(x) : 0));
const dot = (a: readonly Dual[], b: readonly Dual[]) => add(...a.map((value, i) => mul(value, b[i]!)));

/** An inner step rule: (w, state, g) to (w, state), elementwise; `t` counts from 1. */
export interface Rule {
  readonly state: number;
  step(w: Dual, state: readonly Dual[], g: Dual, t: number): { w: Dual; state: Dual[] };
}

export function sgdRule(lr: number, { momentum = 0, nesterov = false, weightDecay = 0 }): Rule {
  return {
    state: 1,
    step(w, [v], g) {
      const decayed = add(g, times(weightDecay, w));
      const next = add(times(momentum, v!), decayed);
      const along = nesterov ? add(decayed, times(momentum, next)) : next;
      return { w: add(w, times(-lr, along)), state: [next] };
    },
  };
}

export function adamRule(lr: number, { beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weightDecay = 0 }): Rule {
  return {
    state: 2,
    step(w, [m, s], g, t) {
      const first = add(times(beta1, m!), times(1 - beta1, g));
      const second = add(times(beta2, s!), times(1 - beta2, mul(g, g)));
      const root = sqrt(times(1 / (1 - beta2 ** t), second));
      const along = div(times(1 / (1 - beta1 ** t), first), add(root, [epsilon, 0]));
      return { w: add(times(1 - lr * weightDecay, w), times(-lr, along)), state: [first, second] };
    },
  };
}

/** A problem by its formulas: ∇_w L and E with hand-written duals. */
export interface Formulas {
  readonly w0: readonly number[];
  readonly alpha: readonly number[];
  gradient(w: readonly Dual[], alpha: readonly Dual[]): Dual[];
  outer(w: readonly Dual[], alpha: readonly Dual[]): Dual;
}

const constant = (x: readonly number[]): Dual[] => x.map((value) => [value, 0]);
const unit = (x: readonly number[], index: number): Dual[] =>
  x.map((value, i) => [value, i === index ? 1 : 0]);

/** L = ½ wᵀAw - wᵀBα and E = ½‖w - c‖² + ½ρ‖α‖². */
export const quadraticFormulas: Formulas = {
  w0: quadraticData.start,
  alpha: quadraticData.alpha,
  gradient: (w, alpha) =>
    quadraticData.a.map((row, i) =>
      add(dot(constant(row), w), times(-1, dot(constant(quadraticData.b[i]!), alpha))),
    ),
  outer(w, alpha) {
    const misfit = w.map((value, i) => add(value, [-quadraticData.target[i]!, 0]));
    return add(times(0.5, dot(misfit, misfit)), times(quadraticData.penalty / 2, dot(alpha, alpha)));
  },
};

/** Rows of examples, each with its sign, for training and for validation. */
export interface Examples {
  readonly x: readonly (readonly number[])[];
  readonly y: readonly number[];
}

/** L = mean of σ(α_i) softplus(-y_i ⟨x_i, w⟩) + e^α_n ‖w‖², E = the unweighted mean on other examples. */
export function logisticFormulas(
  train: Examples,
  val: Examples,
  w0: readonly number[],
  alpha: readonly number[],
): Formulas {
  const softplus = unary((x) => Math.log1p(Math.exp(x)), logistic);
  return {
    w0,
    alpha,
    gradient(w, alpha) {
      const n = train.x.length;
      const strength = times(2, exp(alpha[n]!));
      const pulls = train.x.map((x, i) => {
        const margin = times(train.y[i]!, dot(constant(x), w));
        return times(-train.y[i]! / n, mul(sigmoid(alpha[i]!), sigmoid(times(-1, margin))));
      });
      return w.map((value, j) =>
        add(mul(strength, value), ...pulls.map((pull, i) => times(train.x[i]![j]!, pull))),
      );
    },
    outer: (w) =>
      times(1 / val.x.length, add(...val.x.map((x, i) => softplus(times(-val.y[i]!, dot(constant(x), w)))))),
  };
}

interface Run {
  readonly w: Dual[];
  readonly state: Dual[][];
}

function step({ gradient }: Formulas, rule: Rule, { w, state }: Run, alpha: readonly Dual[], t: number): Run {
  const next = gradient(w, alpha).map((g, j) => rule.step(w[j]!, state[j]!, g, t));
  return { w: next.map((made) => made.w), state: next.map((made) => made.state) };
}

const start = (w: Dual[], rule: Rule): Run => ({
  w,
  state: w.map(() => Array.from({ length: rule.state }, () => [0, 0] as const)),
});

/** dE(w_T)/dα and dE(w_T)/dw_0, forward through all steps, one direction at a time. */
export function exact(formulas: Formulas, rule: Rule, steps: number): { alpha: number[]; start: number[] } {
  const along = (w0: Dual[], alpha: Dual[]) => {
    let run = start(w0, rule);
    for (let t = 1; t <= steps; t++) run = step(formulas, rule, run, alpha, t);
    return formulas.outer(run.w, alpha)[1];
  };
  return {
    alpha: formulas.alpha.map((_, k) => along(constant(formulas.w0), unit(formulas.alpha, k))),
    start: formulas.w0.map((_, k) => along(unit(formulas.w0, k), constant(formulas.alpha))),
  };
}

/** ∇_α E + Σ_t γ^{T-t} d E(w_t)/dα through step t alone, w_{t-1} and the state held fixed. */
export function greedySum(formulas: Formulas, rule: Rule, steps: number, gamma: number): number[] {
  const fixed = (run: Run): Run => ({
    w: run.w.map(([value]) => [value, 0]),
    state: run.state.map((parts) => parts.map(([value]) => [value, 0])),
  });
  return formulas.alpha.map((_, k) => {
    const alpha = unit(formulas.alpha, k);
    let run = start(constant(formulas.w0), rule);
    let sum = 0;
    for (let t = 1; t <= steps; t++) {
      const next = step(formulas, rule, run, alpha, t);
      sum = gamma * sum + formulas.outer(next.w, constant(formulas.alpha))[1];
      run = fixed(next);
    }
    return sum + formulas.outer(run.w, alpha)[1];
  });
}
