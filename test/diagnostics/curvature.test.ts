import { expect, test } from "vitest";
import { curvature, mixedNorm } from "../../src/diagnostics/curvature.ts";
import { Derivatives } from "../../src/diagnostics/derivatives.ts";
import { hypercleaning, network, problem, quadratic, quadraticData } from "../bilevel/problems.ts";
import { withGpu } from "../support/gpu.ts";
import { extremes, type Matrix, spectralNorm } from "./float64.ts";

const report: string[] = [];
const gpu = withGpu((adapter) => [`curvature and ‖H_αw‖ by Lanczos on ${adapter}`, ...report].join("\n"));

const { a, b } = quadraticData;

test("of a quadratic, against its matrix", async () => {
  const found = await curvature(problem(quadratic), { gpu: gpu() });
  const [low, high] = extremes(a);
  expect(found.products).toBe(5);
  expect(found.stronglyConvex).toBe(true);
  for (const [bound, truth, sign] of [
    [found.largest, high, 1],
    [found.smallest, low, -1],
  ] as const) {
    // All four directions are seen: nothing is left to chance, and only rounding is between the two.
    expect(sign * (bound - truth)).toBeGreaterThanOrEqual(0);
    expect(sign * (bound - truth)).toBeLessThan(1e-5 * high);
  }
});

test.each([
  ["linear", hypercleaning, true],
  ["network", network, false],
] as const)("at w_T of a %s model, against the whole Hessian", async (name, kind, isConvex) => {
  const stated = problem(kind, { steps: 20, lr: 0.5 });
  const derivatives = await Derivatives.at(stated, gpu());
  const { parameters: size, hyper: other } = derivatives.sizes;
  const [hessian, mixed]: [number[][], number[][]] = [[], []];
  for (let i = 0; i < size; i++) {
    const column = await derivatives.product(Float32Array.from({ length: size }, (_, j) => Number(i === j)));
    hessian.push([...column.parameters]);
    mixed.push([...column.hyper]);
  }
  // The other half, H_wα, is the transpose of the first.
  for (const i of [0, other - 1]) {
    const row = await derivatives.mixedProduct(
      Float32Array.from({ length: other }, (_, j) => Number(i === j)),
    );
    row.forEach((value, j) => {
      expect(Math.abs(value - mixed[j]![i]!)).toBeLessThan(1e-6);
    });
  }
  const truth = spectralNorm(mixed);
  const bound = await mixedNorm(derivatives, {});
  expect(bound).toBeGreaterThanOrEqual(truth);
  expect(bound).toBeLessThan(1.05 * truth);
  derivatives.destroy();

  const [low, high] = extremes(symmetrised(hessian));
  for (const steps of [6, 12, 24]) {
    const found = await curvature(stated, { gpu: gpu(), steps, seed: steps });
    expect(found.largest).toBeGreaterThanOrEqual(high);
    expect(found.smallest).toBeLessThanOrEqual(low);
    report.push(
      `  ${name}, k = ${steps} of ${size}: [${found.smallest.toFixed(4)}, ${found.largest.toFixed(4)}] for [${low.toFixed(4)}, ${high.toFixed(4)}]`,
    );
    if (steps === 24) expect(found.stronglyConvex).toBe(isConvex);
  }
});

test("of an indefinite loss: strong convexity is not shown", async () => {
  const stated = problem(quadratic);
  const at = { parameters: stated.parameters, hyper: stated.hyper };
  const found = await curvature(problem(network), { gpu: gpu(), steps: 3 });
  expect(found.smallest).toBeLessThan(0);
  expect(found.stronglyConvex).toBe(false);
  expect((await curvature(stated, { gpu: gpu(), at })).stronglyConvex).toBe(true);
});

test("mini-batches and lanes are refused", async () => {
  const options = { gpu: gpu() };
  await expect(curvature(problem(hypercleaning, { batch: 4 }), options)).rejects.toThrow("leave `batch` out");
  await expect(curvature(problem(hypercleaning, { lanes: 2 }), options)).rejects.toThrow("take one lane");
});

test("‖H_αw‖ of a quadratic is the norm of its matrix", async () => {
  const derivatives = await Derivatives.at(problem(quadratic), gpu());
  const found = await mixedNorm(derivatives, {});
  derivatives.destroy();
  const truth = spectralNorm(b);
  expect(found).toBeGreaterThanOrEqual(truth);
  expect(found).toBeLessThan((1 + 1e-5) * truth);
});

function symmetrised(a: Matrix): number[][] {
  return a.map((row, i) => row.map((value, j) => (value + a[j]![i]!) / 2));
}
