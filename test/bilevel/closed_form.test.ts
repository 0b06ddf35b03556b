import { expect, test } from "vitest";
import type { Estimator } from "../../src/bilevel/estimator.ts";
import { hypergradient } from "../../src/bilevel/optimize.ts";
import { firstOrder } from "../../src/estimators/first_order.ts";
import { greedy } from "../../src/estimators/greedy.ts";
import { krmd, rmd } from "../../src/estimators/krmd.ts";
import { withGpu } from "../support/gpu.ts";
import { problem, quadratic, quadraticData } from "./problems.ts";
import * as reference from "./quadratic_reference.ts";
import { numbers, relativeError } from "./vectors.ts";

const gpu = withGpu(
  (adapter) => `every estimator against its closed formula in float64, quadratic problem, on ${adapter}`,
);

const { alpha, penalty } = quadraticData;
type Formula = (rates: reference.Rates, run: reference.Run) => number[];
const estimators: [name: string, estimator: Estimator, formula: Formula][] = [
  ["RMD", rmd(), (rates, run) => reference.truncated(alpha, rates, run, rates.steps)],
  ["K-RMD(1)", krmd({ k: 1 }), (rates, run) => reference.truncated(alpha, rates, run, 1)],
  ["K-RMD(3)", krmd({ k: 3 }), (rates, run) => reference.truncated(alpha, rates, run, 3)],
  ["first-order", firstOrder(), () => alpha.map((value) => penalty * value)],
];
for (const gamma of [0, 0.3, 0.9, 1]) {
  const formula: Formula = (rates, run) => reference.greedy(alpha, rates, run, gamma);
  estimators.push([`greedy(${gamma})`, greedy({ gamma }), formula]);
}

test.each(estimators)("%s", async (_name, estimator, formula) => {
  for (const rates of [
    { lr: 0.1, momentum: 0, steps: 8 },
    { lr: 0.2, momentum: 0.8, steps: 8 },
  ]) {
    const run = reference.run(alpha, rates);
    const found = await hypergradient(problem(quadratic, rates), { gpu: gpu(), estimator });
    expect(relativeError(numbers(found.hypergradient), formula(rates, run))).toBeLessThan(2e-6);
    expect(relativeError(numbers(found.parameters), run.w[rates.steps]!)).toBeLessThan(1e-6);
    expect(relativeError([found.outerLoss], [reference.outerLoss(run.w[rates.steps]!, alpha)])).toBeLessThan(
      1e-6,
    );
  }
});
