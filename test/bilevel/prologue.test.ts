import { describe, expect, test } from "vitest";
import { adamW } from "../../src/bilevel/adam_w.ts";
import type { Estimator } from "../../src/bilevel/estimator.ts";
import type { InnerOptimizer } from "../../src/bilevel/inner_optimizer.ts";
import { hypergradient } from "../../src/bilevel/optimize.ts";
import { OuterLoop } from "../../src/bilevel/outer_loop.ts";
import { bilevel, type Problem } from "../../src/bilevel/problem.ts";
import { sgd } from "../../src/bilevel/sgd.ts";
import { checkpointed } from "../../src/estimators/checkpointed.ts";
import { rmd } from "../../src/estimators/krmd.ts";
import { slice } from "../../src/graph/operations/copy.ts";
import { elementwise, square } from "../../src/graph/operations/elementwise.ts";
import { add, sub } from "../../src/graph/operations/linear_combination.ts";
import { mul } from "../../src/graph/operations/multiply.ts";
import { sum } from "../../src/graph/operations/reduce.ts";
import { values } from "../../src/graph/values.ts";
import { withGpu } from "../support/gpu.ts";
import { numbers, relativeError } from "./vectors.ts";

const sizes = [1, 2, 4, 7];
const gpu = withGpu(
  (adapter) =>
    `inner steps, adjoints and sums that take in what is elementwise before them, vectors of ${sizes.join(", ")}, against differences in float64, on ${adapter}`,
);

/** x⁴/4 + x², by functions that are called like what the kernels behind have. */
const quartic = elementwise("quartic", {
  f: "step(-100.0, x) * w(x)",
  df: "p(x) + r_old * x",
  ddf: "3.0 * x * x + r_old",
  functions: `const r_old = 2.0;
fn p(x: f32) -> f32 { return x * x * x; }
fn w(x: f32) -> f32 { return 0.25 * x * p(x) + 0.5 * r_old * x * x; }`,
});
const slope = (x: number) => x ** 3 + 2 * x;

const STEPS = 5;
const startOf = (size: number) => Array.from({ length: size }, (_, i) => 1 - 0.3 * i);
const alphaOf = (size: number) => Array.from({ length: size }, (_, i) => 0.5 + 0.2 * i);

/** L = Σ α_i (w_i⁴/4 + w_i²), E = Σ (w_i - 2)². */
function quarticProblem(size: number, optimizer: InnerOptimizer<never>, lanes?: number): Problem<"w", "a"> {
  return bilevel({
    parameters: { w: values(startOf(size)) },
    hyper: { a: values(alphaOf(size)) },
    inner: { loss: ({ w }, { a }) => sum(mul(a, quartic(w))), steps: STEPS, optimizer },
    outer: { loss: ({ w }) => sum(square(sub(w, 2))) },
    lanes,
  });
}

/** One element's w after a step, and its state. */
type Rule = (w: number, g: number, state: [number, number], t: number) => number;

function momentum({ mu, decay, nesterov }: { mu: number; decay: number; nesterov: boolean }): Rule {
  return (w, g, state) => {
    const force = g + decay * w;
    state[0] = mu * state[0] + force;
    return w - LR * (nesterov ? force + mu * state[0] : state[0]);
  };
}

const adam: Rule = (w, g, state, t) => {
  state[0] = 0.9 * state[0] + 0.1 * g;
  state[1] = 0.99 * state[1] + 0.01 * g * g;
  const [m, s] = [state[0] / (1 - 0.9 ** t), state[1] / (1 - 0.99 ** t)];
  return w * (1 - LR * 0.1) - (LR * m) / (Math.sqrt(s) + EPSILON);
};

const LR = 0.05;
/** So large that the step depends on the size of the gradient, and α on it. */
const EPSILON = 1;
const optimizers: [name: string, optimizer: InnerOptimizer<never>, rule: Rule][] = [
  ["sgd", sgd({ lr: LR }), momentum({ mu: 0, decay: 0, nesterov: false })],
  ["momentum", sgd({ lr: LR, momentum: 0.8 }), momentum({ mu: 0.8, decay: 0, nesterov: false })],
  [
    "weight decay",
    sgd({ lr: LR, momentum: 0.8, weightDecay: 0.1 }),
    momentum({ mu: 0.8, decay: 0.1, nesterov: false }),
  ],
  [
    "nesterov",
    sgd({ lr: LR, momentum: 0.8, weightDecay: 0.1, nesterov: true }),
    momentum({ mu: 0.8, decay: 0.1, nesterov: true }),
  ],
  ["adamW", adamW({ lr: LR, beta2: 0.99, epsilon: EPSILON, weightDecay: 0.1 }), adam],
];

/** E's part of one element. */
function outerLoss(start: number, alpha: number, rule: Rule): number {
  const state: [number, number] = [0, 0];
  let w = start;
  for (let t = 1; t <= STEPS; t++) w = rule(w, alpha * slope(w), state, t);
  return (w - 2) ** 2;
}

const exact: [name: string, estimator: Estimator][] = [
  ["rmd", rmd()],
  // Its borders fall between a product and the adjoint step that takes it.
  ["checkpointed", checkpointed({ every: 2 })],
];

describe.each(optimizers)("%s", (_name, optimizer, rule) => {
  test.each(exact)("%s", async (_estimator, estimator) => {
    for (const size of sizes) {
      const found = await hypergradient(quarticProblem(size, optimizer), { gpu: gpu(), estimator });
      const h = 1e-5;
      const expected = startOf(size).map((start, i) => {
        const at = (shift: number) => outerLoss(start, alphaOf(size)[i]! + shift, rule);
        return (at(h) - at(-h)) / (2 * h);
      });
      expect(relativeError(numbers(found.hypergradient), expected), `${size} elements`).toBeLessThan(1e-5);
    }
  });
});

test("the bits of rmd are those of checkpointed, and of every lane", async () => {
  for (const [name, optimizer] of optimizers) {
    const bits = async (estimator: Estimator, lanes?: number) =>
      numbers(
        (await hypergradient(quarticProblem(7, optimizer, lanes), { gpu: gpu(), estimator })).hypergradient,
      );
    const once = await bits(rmd());
    expect(await bits(checkpointed({ every: 2 })), name).toEqual(once);
    // The lanes share α: h is their mean.
    expect(relativeError(await bits(rmd(), 3), once), name).toBeLessThan(1e-6);
  }
});

/** One element of w beside all of it, and a penalty for each. */
test.each([
  ["sgd", sgd({ lr: 0.05, momentum: 0.5 })],
  ["adamW", adamW({ lr: 0.05, epsilon: 1 })],
] as const)(
  "a loss that reads another element of w beside the one at hand, by %s",
  async (_name, optimizer) => {
    const stated = (a: number[]): Problem<"w", "a"> =>
      bilevel({
        parameters: { w: values([1, -0.5, 0.25, 2]) },
        hyper: { a: values(a) },
        inner: {
          loss: ({ w }, { a }) => add(sum(mul(w, slice(w!, 0, 1))), sum(mul(a, square(w)))),
          steps: 3,
          optimizer,
        },
        outer: { loss: ({ w }) => sum(square(sub(w, 2))) },
      });
    const a = [2, 1.5, 1, 3];
    const outerLossAt = async (at: number[]) =>
      (await hypergradient(stated(at), { gpu: gpu(), estimator: rmd() })).outerLoss;
    for (const estimator of [rmd(), rmd({ store: "activations" }), checkpointed({ every: 2 })]) {
      const found = numbers((await hypergradient(stated(a), { gpu: gpu(), estimator })).hypergradient);
      for (const [i, derivative] of found.entries()) {
        const shifted = (by: number) => a.map((value, j) => (i === j ? value + by : value));
        const difference = ((await outerLossAt(shifted(0.01))) - (await outerLossAt(shifted(-0.01)))) / 0.02;
        expect(derivative, `${estimator.name}, element ${i}`).toBeCloseTo(difference, 2);
      }
    }
  },
);

test("a step is three launches where all of it is elementwise", async () => {
  const stated = quarticProblem(4, sgd({ lr: LR, momentum: 0.8 }));
  const loop = await OuterLoop.prepare(stated, { gpu: gpu(), estimator: rmd() });
  const { counters } = gpu();
  const before = counters.dispatches;
  await loop.step({ restart: true });
  const explained = loop.explain();
  loop.destroy();
  const long = await OuterLoop.prepare({ ...stated, steps: STEPS + 1 }, { gpu: gpu(), estimator: rmd() });
  const middle = counters.dispatches;
  await long.step({ restart: true });
  long.destroy();
  expect(counters.dispatches - middle - (middle - before)).toBe(3);
  expect(explained).toMatch(/^inner gradient: 0 kernels\n {2}for the kernel behind: quartic backward/m);
});
