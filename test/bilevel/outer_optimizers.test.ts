import { describe, expect, test } from "vitest";
import { optimize } from "../../src/bilevel/optimize.ts";
import { adam, gradientDescent, type OuterOptimizer } from "../../src/bilevel/outer_optimizer.ts";
import { rmd } from "../../src/estimators/krmd.ts";
import type { Values } from "../../src/graph/values.ts";
import { withGpu } from "../support/gpu.ts";
import { network, problem, quadratic } from "./problems.ts";
import * as reference from "./quadratic_reference.ts";
import { bits, numbers, relativeError } from "./vectors.ts";

const STEPS = 60;
const rates = { lr: 0.2, momentum: 0.5, steps: 6 };

const gpu = withGpu(
  (adapter) =>
    `outer SGD and Adam against float64 over ${STEPS} outer steps, warm and restarted, by group, on ${adapter}`,
);

const optimizers: readonly [string, () => OuterOptimizer, () => reference.Move][] = [
  ["SGD", () => gradientDescent({ lr: 0.3 }), () => reference.descent(0.3)],
  ["SGD, η/√τ", () => gradientDescent({ lr: 0.5, decay: "sqrt" }), () => reference.descent(0.5, "sqrt")],
  ["Adam", () => adam({ lr: 0.05 }), () => reference.adam({ lr: 0.05 })],
  [
    "Adam, other constants",
    () => adam({ lr: 0.02, beta1: 0.5, beta2: 0.95, epsilon: 1e-3 }),
    () => reference.adam({ lr: 0.02, beta1: 0.5, beta2: 0.95, epsilon: 1e-3 }),
  ],
  [
    "Adam without memory of the sign",
    () => adam({ lr: 0.05, beta1: 0 }),
    () => reference.adam({ lr: 0.05, beta1: 0 }),
  ],
];

describe.each(optimizers)("%s", (_name, optimizer, move) => {
  test.each(["restart", "warm"] as const)("%s", async (mode) => {
    const wanted = reference.optimize(rates, { steps: STEPS, mode, move: move() });
    let alpha: Record<string, Values> = {};
    const losses: number[] = [];
    for await (const step of optimize(problem(quadratic, rates), {
      gpu: gpu(),
      estimator: rmd(),
      optimizer: optimizer(),
      steps: STEPS,
      mode,
      every: 10,
    })) {
      losses.push(step.outerLoss);
      if (step.index === STEPS) alpha = await step.hyper();
    }
    expect(losses).toHaveLength(STEPS);
    const exact = wanted.map(({ loss }) => loss);
    losses.forEach((loss, k) => {
      expect(Math.abs(loss - exact[k]!), `E at outer step ${k + 1}`).toBeLessThan(1e-5 * exact[0]!);
    });
    expect(relativeError(numbers(alpha), wanted.at(-1)!.alpha)).toBeLessThan(2e-5);
    expect(exact.at(-1)!).toBeLessThan(exact[0]!);
  });
});

test("warm and restarted runs differ", () => {
  const of = (mode: "warm" | "restart") =>
    reference.optimize(rates, { steps: 3, mode, move: reference.descent(0.3) });
  expect(of("warm")[2]!.loss).not.toBeCloseTo(of("restart")[2]!.loss, 3);
});

test("each group has its own optimizer, and one without stays put", async () => {
  const stated = () => problem(network, { learnRates: true, momentum: 0.5 });
  const after = async (optimizer: Parameters<typeof optimize>[1]["optimizer"]) => {
    let alpha: Record<string, Values> = {};
    for await (const step of optimize(stated(), { gpu: gpu(), estimator: rmd(), optimizer, steps: 2 })) {
      alpha = await step.hyper();
    }
    return alpha;
  };
  const before = stated().hyper;
  const some = await after({ weight: adam({ lr: 0.1 }), eta: gradientDescent({ lr: 0.01 }) });
  for (const name of ["penalty", "mu"]) {
    expect(bits({ x: some[name]! })).toBe(bits({ x: before[name]! }));
  }
  for (const name of ["weight", "eta"]) {
    expect(bits({ x: some[name]! })).not.toBe(bits({ x: before[name]! }));
  }
  const all = await after(adam({ lr: 0.1 }));
  for (const name of Object.keys(before))
    expect(bits({ x: all[name]! })).not.toBe(bits({ x: before[name]! }));
  // Two steps of Adam move by about its rate each.
  some.weight!.data.forEach((value, i) => {
    expect(Math.abs(value - before.weight!.data[i]!)).toBeLessThan(0.21);
  });
});
