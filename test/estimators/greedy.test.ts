import { describe, expect, test } from "vitest";
import { adamW } from "../../src/bilevel/adam_w.ts";
import type { Estimator } from "../../src/bilevel/estimator.ts";
import { hypergradient } from "../../src/bilevel/optimize.ts";
import { bilevel, type Problem, ProblemError } from "../../src/bilevel/problem.ts";
import { sgd } from "../../src/bilevel/sgd.ts";
import { greedy } from "../../src/estimators/greedy.ts";
import { rmd, t1t2 } from "../../src/estimators/krmd.ts";
import { scale, sub } from "../../src/graph/operations/linear_combination.ts";
import { matmul } from "../../src/graph/operations/matmul.ts";
import { mul } from "../../src/graph/operations/multiply.ts";
import { sum } from "../../src/graph/operations/reduce.ts";
import { squaredNorm } from "../../src/graph/operations/squared_norm.ts";
import { values } from "../../src/graph/values.ts";
import { Random } from "../../src/random.ts";
import { hypercleaning, type Kind, named, network, problem, type Setting } from "../bilevel/problems.ts";
import { dot, norm, numbers, relativeError } from "../bilevel/vectors.ts";
import { withGpu } from "../support/gpu.ts";
import { diagonal, type Matrix, normals, plus, product, withEigenvalues } from "./dense.ts";

let worst = 0;
const gpu = withGpu(
  (adapter) =>
    `the greedy sum and its γ; with H = κI and a linear E, "auto" is rmd to ${worst.toExponential(1)}, on ${adapter}`,
);

const h = async (stated: Problem, estimator: Estimator) =>
  numbers((await hypergradient(stated, { gpu: gpu(), estimator })).hypergradient);

const cases: readonly [Kind, string, Setting][] = [
  [hypercleaning, "no momentum", { lr: 0.4 }],
  [hypercleaning, "μ = 0.9, 3 lanes", { lr: 0.4, momentum: 0.9, lanes: 3 }],
  [network, "η and μ learned", { momentum: 0.6, learnRates: true }],
  [network, "AdamW", { optimizer: adamW({ lr: 0.05 }) }],
];

describe.each(named(cases))("weights of the terms at T = 3: %s", (_name, kind, setting) => {
  test("the term of step t is weighted by γ^(3 - t), the last one by 1", async () => {
    // E has no α in it: T1–T2 of the loop that ends at step t is the term m_t.
    const terms: number[][] = [];
    for (const steps of [1, 2, 3]) terms.push(await h(problem(kind, { ...setting, steps }), t1t2()));
    const [first, second, third] = terms as [number[], number[], number[]];
    for (const gamma of [0, 0.5, 0.9, 1]) {
      const found = await h(problem(kind, { ...setting, steps: 3 }), greedy({ gamma }));
      const wanted = plus(plus(third, gamma, second), gamma ** 2, first);
      expect(relativeError(found, wanted), `γ = ${gamma}`).toBeLessThan(2e-6);
      // A last weight of γ instead of 1 would be seen.
      expect(norm(third) / norm(wanted)).toBeGreaterThan(0.05);
    }
  });
});

interface Quadratic {
  readonly a: Matrix;
  readonly lr: number;
  readonly momentum?: number;
  readonly steps: number;
  readonly lanes?: number;
  readonly linear?: boolean;
}

const [size, hypers] = [5, 3];
const random = new Random(31);
const b = Array.from({ length: size }, () => normals(random, hypers));
const target = normals(random, size);
const alpha = normals(random, hypers);

/** L = ½ wᵀAw - wᵀBα and E = ½‖w - c‖², or ⟨w, c⟩ where it is to be linear, from w_0 = 0. */
function quadratic({ a, lr, momentum = 0, steps, lanes, linear = false }: Quadratic): Problem<"w", "alpha"> {
  return bilevel({
    parameters: { w: values(new Array<number>(size).fill(0), [size, 1]) },
    hyper: { alpha: values(alpha, [hypers, 1]) },
    lanes,
    inner: {
      data: { a: values(a.flat(), [size, size]), b: values(b.flat(), [size, hypers]) },
      loss: ({ w }, { alpha }, { a, b }) =>
        sub(scale(0.5, sum(mul(w, matmul(a, w)))), sum(mul(w, matmul(b, alpha)))),
      steps,
      optimizer: sgd({ lr, momentum }),
    },
    outer: {
      data: { target: values(target, [size, 1]) },
      loss: ({ w }, _a, { target }) =>
        linear ? sum(mul(w, target)) : scale(0.5, squaredNorm(sub(w, target))),
    },
  });
}

/** κI, as float32 has κ. */
const isotropic = (kappa: number) => diagonal(new Array<number>(size).fill(kappa));

/** The γ of step 2 that a run of two steps used: h = m_2 + γ m_1. */
async function gammaOfStepTwo(stated: Omit<Quadratic, "steps">, smoothing?: number): Promise<number> {
  const first = await h(quadratic({ ...stated, steps: 1 }), t1t2());
  const second = await h(quadratic({ ...stated, steps: 2 }), t1t2());
  const sum = await h(quadratic({ ...stated, steps: 2 }), greedy({ gamma: "auto", smoothing }));
  return dot(plus(sum, -1, second), first) / dot(first, first);
}

/** |ρ| for the larger root of ρ² - (1 + μ - ηκ) ρ + μ = 0, at most 1. */
function contraction(kappa: number, lr: number, momentum: number): number {
  const half = (1 + momentum - lr * kappa) / 2;
  const root = half ** 2 > momentum ? Math.abs(half) + Math.sqrt(half ** 2 - momentum) : Math.sqrt(momentum);
  return Math.min(root, 1);
}

describe("γ measured along the run", () => {
  test.each([
    [0.5, 0.5],
    [1, 0.1],
    [0.25, 2],
    [3, 0.25],
  ])("H = κI, κ = %d, η = %d: γ = 1 - ηκ, and the sum is exact", async (kappa, lr) => {
    const a = isotropic(kappa);
    expect(await gammaOfStepTwo({ a, lr })).toBeCloseTo(1 - lr * kappa, 5);
    for (const lanes of [1, 2]) {
      // With a linear E all g_t are g_T, and γ is all that the sum takes for an approximation.
      const linear = quadratic({ a, lr, steps: 12, lanes, linear: true });
      const [found, exact] = [await h(linear, greedy({ gamma: "auto" })), await h(linear, rmd())];
      worst = Math.max(worst, relativeError(found, exact));
      expect(relativeError(found, exact)).toBeLessThan(1e-5);
      expect(relativeError(await h(linear, greedy({ gamma: 0.99 })), exact)).toBeGreaterThan(1e-2);

      const streamed = await h(quadratic({ a, lr, steps: 12, lanes }), greedy({ gamma: "auto" }));
      const reference = greedyReference({ a, lr, steps: 12 }, 1 - lr * kappa);
      expect(relativeError(streamed, reference)).toBeLessThan(1e-5);
    }
  });

  test.each([
    [1, 0.1, 0.2],
    [1, 0.1, 0.5],
    [2, 0.01, 0.5],
    [1, 0.5, 0.9],
    [1, 1.5, 0.05],
    [1, 1.7, 0],
    // Flat, and beyond stability: no growth.
    [0, 0.5, 0.9],
    [0.001, 0.5, 0],
    [2.5, 1, 0],
  ])("κ = %d, η = %d, μ = %d: γ is the larger root's size, at most 1", async (kappa, lr, momentum) => {
    const measured = await gammaOfStepTwo({ a: isotropic(kappa), lr, momentum });
    expect(measured).toBeCloseTo(contraction(kappa, lr, momentum), 5);
  });

  test("the curvature is ⟨g, Hg⟩ / ⟨g, g⟩, smoothed over the steps", async () => {
    const a = withEigenvalues(new Random(4), [0.2, 0.5, 1, 2, 4]);
    const lr = 0.1;
    const bAlpha = product(b, alpha);
    const curvatures: number[] = [];
    let w = target.map(() => 0);
    for (let t = 1; t <= 2; t++) {
      w = plus(w, -lr, plus(product(a, w), -1, bAlpha));
      const g = plus(w, -1, target);
      curvatures.push(dot(g, product(a, g)) / dot(g, g));
    }
    const [first, second] = curvatures as [number, number];
    expect(Math.abs(first - second)).toBeGreaterThan(1e-3);
    for (const smoothing of [0, 0.5, 0.9]) {
      const kappa = smoothing * first + (1 - smoothing) * second;
      expect(await gammaOfStepTwo({ a, lr }, smoothing)).toBeCloseTo(1 - lr * kappa, 5);
    }
    expect(await gammaOfStepTwo({ a, lr })).toBeCloseTo(1 - (lr * (first + second)) / 2, 5);
  });

  test("where g = 0 nothing is measured and nothing breaks", async () => {
    const stated = bilevel({
      parameters: { w: values([1, 1]) },
      hyper: { alpha: values([1, 1]) },
      inner: {
        loss: ({ w }, { alpha }) => squaredNorm(sub(w, alpha)),
        steps: 3,
        optimizer: sgd({ lr: 0.1 }),
      },
      outer: { loss: ({ w }) => squaredNorm(sub(w, 1)) },
    });
    expect(await h(stated, greedy({ gamma: "auto" }))).toEqual([0, 0]);
  });

  test("a learned η alone, so that α is not in the inner loss, has a γ too", async () => {
    const stated = bilevel({
      parameters: { w: values([1, -2]) },
      hyper: { eta: values([0.1]) },
      inner: { loss: ({ w }) => squaredNorm(w), steps: 1, optimizer: sgd({ lr: "eta", momentum: 0.5 }) },
      outer: { loss: ({ w }) => sum(w!) },
    });
    // w_1 = (1 - 2η) w_0, so dE/dη = -2 Σ w_0.
    expect((await h(stated, greedy({ gamma: "auto" })))[0]).toBeCloseTo(2, 5);
  });

  test.each<[string, Setting]>([
    ["Nesterov's rule", { optimizer: sgd({ lr: 0.1, momentum: 0.5, nesterov: true }) }],
    ["weight decay", { optimizer: sgd({ lr: 0.1, weightDecay: 0.1 }) }],
    ["AdamW", { optimizer: adamW({ lr: 0.1 }) }],
  ])("it is refused with %s", async (_title, setting) => {
    const run = hypergradient(problem(network, setting), {
      gpu: gpu(),
      estimator: greedy({ gamma: "auto" }),
    });
    await expect(run).rejects.toThrow(ProblemError);
    await expect(run).rejects.toThrow(
      /gamma: "auto" knows the contraction of plain sgd\(\) alone: give a number/,
    );
  });

  test.each([-0.1, 1, Number.NaN])("a smoothing of %d is refused", (smoothing) => {
    expect(() => greedy({ gamma: "auto", smoothing })).toThrow(
      `the smoothing is ${smoothing}: give a number in [0, 1)`,
    );
  });
});

/** Σ γ^(T-t) η Bᵀ g_t in float64. */
function greedyReference({ a, lr, steps }: Quadratic, gamma: number): number[] {
  const bAlpha = product(b, alpha);
  let w = target.map(() => 0);
  let total = alpha.map(() => 0);
  for (let t = 1; t <= steps; t++) {
    w = plus(w, -lr, plus(product(a, w), -1, bAlpha));
    const g = plus(w, -1, target);
    total = total.map((value, c) => gamma * value + lr * g.reduce((s, x, i) => s + x * b[i]![c]!, 0));
  }
  return total;
}
