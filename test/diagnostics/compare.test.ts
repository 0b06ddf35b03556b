import { expect, test } from "vitest";
import type { Estimator } from "../../src/bilevel/estimator.ts";
import { optimize } from "../../src/bilevel/optimize.ts";
import { adam } from "../../src/bilevel/outer_optimizer.ts";
import { ProblemError } from "../../src/bilevel/problem.ts";
import { type Compared, Comparison, compare } from "../../src/diagnostics/compare.ts";
import { comparisonSummary, formatComparison } from "../../src/diagnostics/report.ts";
import { cg } from "../../src/estimators/cg.ts";
import { checkpointed } from "../../src/estimators/checkpointed.ts";
import { firstOrder } from "../../src/estimators/first_order.ts";
import { greedy } from "../../src/estimators/greedy.ts";
import { krmd, rmd, t1t2 } from "../../src/estimators/krmd.ts";
import { nystrom } from "../../src/estimators/nystrom.ts";
import { Gpu } from "../../src/gpu/gpu.ts";
import { hypercleaning, network, problem, quadratic } from "../bilevel/problems.ts";
import { bits, numbers, relativeError } from "../bilevel/vectors.ts";
import { withGpu } from "../support/gpu.ts";

const gpu = withGpu((adapter) => `compare: rows, order, refusals and points on ${adapter}`);

function row<H extends string>(
  { estimators }: { estimators: readonly ({ readonly error?: string } | Compared<H>)[] },
  index: number,
): Compared<H> {
  const found = estimators[index]!;
  if (found.error !== undefined) throw new Error(found.error);
  return found as Compared<H>;
}

test("reverse mode against itself has cosine 1 and error 0 exactly, and K-RMD approaches it", async () => {
  const stated = problem(network, { steps: 8, lr: 0.3, momentum: 0.5 });
  const estimators = {
    exact: rmd(),
    k8: krmd({ k: 8 }),
    k6: krmd({ k: 6 }),
    k1: krmd({ k: 1 }),
    none: firstOrder(),
  };
  const result = await compare(stated, { gpu: gpu(), estimators, repeats: 2 });
  const rows = result.estimators.map((_, index) => row(result, index));
  expect(rows.map(({ label }) => label)).toEqual(["exact", "k8", "k6", "k1", "none"]);
  expect(rows.map(({ name }) => name)).toEqual(["rmd", "krmd", "krmd", "krmd", "first-order"]);
  for (const same of rows.slice(0, 2)) {
    expect([same.cosine, same.relativeError]).toEqual([1, 0]);
    for (const group of ["weight", "penalty"]) {
      expect(same.groups[group]).toEqual({ cosine: 1, relativeError: 0 });
    }
  }
  expect(rows[2]!.relativeError).toBeGreaterThan(0);
  expect(rows[3]!.relativeError).toBeGreaterThan(rows[2]!.relativeError);
  expect(rows[4]).toMatchObject({ cosine: Number.NaN, relativeError: 1, hypergradientNorm: 0 });
  expect(rows.map(({ products }) => products)).toEqual([8, 8, 6, 1, 0]);
  for (const { ms, bytes, memory } of rows) {
    expect(ms).toBeGreaterThan(0);
    const { total, ...roles } = memory;
    expect(bytes).toBe(total);
    expect(Object.values(roles).reduce((sum, part) => sum + part, 0)).toBe(total);
  }
  expect(rows[0]!.memory.trajectory).toBe(8 * rows[3]!.memory.trajectory!);
  expect(result.problem).toMatchObject({ steps: 8, parameters: 39, hyperparameters: 13, lanes: 1 });
});

test("an estimator gives the same bits before and after another: A, B, A", async () => {
  const stated = problem(hypercleaning, { lr: 0.2, momentum: 0.9, batch: 5, learnRates: true });
  const greed = greedy({ gamma: 0.9 });
  const order = [greed, rmd(), greed, krmd({ k: 2 }), firstOrder(), greed, rmd()];
  const result = await compare(stated, { gpu: gpu(), estimators: order, repeats: 1 });
  const found = order.map((_, index) => bits(row(result, index).hypergradient));
  expect(found[2]).toBe(found[0]);
  expect(found[5]).toBe(found[0]);
  expect(found[6]).toBe(found[1]);
  expect(found[1]).not.toBe(found[0]);
});

test("rows of a list are labelled as on the command line, and equal ones numbered", async () => {
  const own: Estimator = { ...rmd(), name: "own", settings: { a: 1, b: undefined, c: "x" } };
  const estimators = [
    ...[krmd({ k: 1 }), krmd({ k: 3 }), greedy({ gamma: 0.5 }), cg(), rmd(), own, krmd({ k: 3 })],
    { label: "the first", estimator: krmd({ k: 1 }) },
  ];
  const { estimators: rows } = await compare(problem(quadratic), { gpu: gpu(), estimators, repeats: 1 });
  expect(rows.map(({ label }) => label)).toEqual([
    ...["krmd(1)", "krmd(3) #1", "greedy(0.5)", "cg(20, 1e-6)", "rmd", "own(1, x)", "krmd(3) #2"],
    "the first",
  ]);
});

test("an estimator that refuses the problem is a row with the reason", async () => {
  const stated = problem(quadratic, { learnStart: true });
  const broken: Estimator = {
    ...rmd(),
    name: "broken",
    record() {
      throw new TypeError("it was never finished");
    },
  };
  const estimators = [rmd(), greedy({ gamma: 0.5 }), krmd({ k: 2 }), broken, rmd()];
  const result = await compare(stated, { gpu: gpu(), estimators, repeats: 1 });
  expect(row(result, 0).relativeError).toBe(0);
  expect(row(result, 4).relativeError).toBe(0);
  expect(result.estimators[1]!.error).toContain("w_0 is a hyperparameter");
  expect(result.estimators[2]!.error).toContain("only 2 of 5 steps");
  expect(result.estimators[3]).toEqual({ label: "broken", name: "broken", error: "it was never finished" });
  const text = formatComparison(result);
  expect(text).toContain("krmd(2): no result: w_0 is a hyperparameter");
  const json = JSON.parse(JSON.stringify(comparisonSummary(result)));
  expect(json.estimators.map(({ name }: { name: string }) => name)).toEqual(estimators.map((e) => e.name));
  expect(json.estimators[0]).toMatchObject({ cosine: 1, relativeError: 0, products: 5 });
  expect(json.estimators[0]).not.toHaveProperty("hypergradient");
});

test("a diverging inner loop is a row, too, and the device goes on", async () => {
  const stated = problem(quadratic, { steps: 200, lr: 30 });
  const result = await compare(stated, { gpu: gpu(), estimators: [t1t2()], repeats: 1 });
  expect(result.estimators[0]!.error).toContain("diverged");
  expect(result.reference).toEqual({ name: "rmd", error: expect.stringContaining("diverged") });
  expect(formatComparison(result)).toContain("there is nothing to compare with: rmd");
  const sound = await compare(problem(quadratic), { gpu: gpu(), estimators: [rmd()], repeats: 1 });
  expect(row(sound, 0).cosine).toBe(1);
});

test("what does not fit is refused; the reference is then checkpointed", async () => {
  const stated = problem(quadratic, { steps: 400, momentum: 0.5 });
  const whole = await compare(stated, { gpu: gpu(), estimators: [checkpointed(), rmd()], repeats: 1 });
  const [small, large] = [row(whole, 0).bytes, row(whole, 1).bytes];
  expect(small).toBeLessThan(0.6 * large);
  const tight = await Gpu.open({ memory: (small + large) / 2 });
  try {
    const result = await compare(stated, { gpu: tight, estimators: [rmd(), checkpointed()], repeats: 1 });
    expect(result.reference).toEqual({ name: "checkpointed" });
    expect(result.estimators[0]!.error).toContain("allowed are");
    expect(row(result, 1)).toMatchObject({ cosine: 1, relativeError: 0 });
  } finally {
    tight.close();
  }
});

test("a linear solve tells the products it needed and how it ended", async () => {
  const stated = problem(quadratic, { steps: 50, lr: 0.3 });
  const result = await compare(stated, { gpu: gpu(), estimators: [cg({ iterations: 30 })], repeats: 1 });
  const { products, solves = [] } = row(result, 0);
  expect(solves).toMatchObject([{ status: "converged" }]);
  expect(products).toBe(solves[0]!.iterations + 1);
  expect(products).toBeLessThan(12);
  expect(formatComparison(result)).toContain(`cg(30, 1e-6): converged, ${products - 1} iterations`);
});

test("a warm solve does not go on from its own earlier runs, and its first product counts", async () => {
  const stated = problem(network, { steps: 30, lr: 0.3 });
  const options = { iterations: 3, tolerance: 1e-6 };
  const estimators = [cg(options), cg({ ...options, warm: true })];
  const result = await compare(stated, { gpu: gpu(), estimators, repeats: 3 });
  const [cold, warm] = [row(result, 0), row(result, 1)];
  expect(warm.solves).toEqual(cold.solves);
  expect(bits(warm.hypergradient)).toBe(bits(cold.hypergradient));
  expect([cold.products, warm.products]).toEqual([4, 5]);
  const comparison = await Comparison.prepare(stated, { gpu: gpu(), estimators });
  for (let i = 0; i < 2; i++) expect(row(await comparison.at(), 1).solves).toEqual(cold.solves);
  comparison.destroy();
});

test("products are those that are taken, of few parameters too", async () => {
  const estimators = [nystrom({ rank: 1000 }), nystrom({ rank: 2 })];
  const result = await compare(problem(quadratic), { gpu: gpu(), estimators, repeats: 1 });
  expect([row(result, 0).products, row(result, 1).products]).toEqual([5, 3]);
});

test.each(["restart", "warm"] as const)("follows an optimisation, %s", async (mode) => {
  const stated = problem(network, { steps: 4, lr: 0.2 });
  const comparison = await Comparison.prepare(stated, {
    gpu: gpu(),
    estimators: [rmd(), krmd({ k: 2 })],
  });
  let { hyper } = stated;
  let parameters: typeof stated.parameters | undefined;
  const worst = { exact: 0, truncated: 0 };
  const steps = optimize(stated, {
    gpu: gpu(),
    estimator: krmd({ k: 2 }),
    optimizer: adam({ lr: 0.05 }),
    steps: 4,
    mode,
  });
  for await (const step of steps) {
    const result = await comparison.at({ hyper, parameters });
    const h = await step.hypergradient();
    expect(row(result, 0).relativeError).toBe(0);
    // What the optimisation moved along is what the comparison finds at the point that it stood at.
    expect(row(result, 1).outerLoss).toBe(step.outerLoss);
    worst.truncated = Math.max(
      worst.truncated,
      relativeError(numbers(h), numbers(row(result, 1).hypergradient)),
    );
    worst.exact = Math.max(worst.exact, row(result, 1).relativeError);
    hyper = await step.hyper();
    if (mode === "warm") parameters = await step.parameters();
  }
  expect(worst.truncated).toBe(0);
  expect(worst.exact).toBeGreaterThan(0.01);
  comparison.destroy();
});

test("where w_0 is learned the inner loop cannot be told to start elsewhere", async () => {
  const stated = problem(quadratic, { learnStart: true });
  const at = { parameters: stated.parameters };
  const result = await compare(stated, { gpu: gpu(), estimators: [rmd()], at, repeats: 1 });
  expect(result.estimators[0]!.error).toContain("Give α alone");
});

test("repeats has to be a whole number", async () => {
  const run = compare(problem(quadratic), { gpu: gpu(), estimators: [rmd()], repeats: 0 });
  await expect(run).rejects.toThrow(ProblemError);
});
