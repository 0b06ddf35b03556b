import { expect, test } from "vitest";
import { Gpu } from "../src/gpu/gpu.ts";
import {
  bilevel,
  convNet,
  crossEntropy,
  greedy,
  hypergradient,
  mean,
  mul,
  Random,
  rmd,
  sgd,
  sigmoid,
  values,
  zeros,
} from "../src/index.ts";
import { normal } from "./bilevel/problems.ts";
import { forcedVariants } from "./support/forced.ts";
import { withGpu } from "./support/gpu.ts";

const BUDGET = 2e-6;
let worst = 0;
const shared = withGpu(
  (adapter) =>
    `${Object.keys(forcedVariants(shared())).length} forced variants: hypergradients of a CNN, and their bits twice, on ${adapter}; error ${worst.toExponential(1)} of ${BUDGET}`,
);

/** Data hyper-cleaning of a CNN with a stride, a pool, and a dense layer of an odd width. */
function cleaning() {
  const random = new Random(3);
  const labels = (count: number) => values(Int32Array.from({ length: count }, () => random.integer(3)));
  const layers = [
    { channels: 4, pool: 2 },
    { channels: 6, stride: 2 },
  ];
  const model = convNet({ image: [2, 10, 9], layers, classes: 3 });
  return bilevel({
    parameters: model.parameters,
    hyper: { weight: zeros([13]) },
    inner: {
      data: { x: normal(random, [13, 2, 10, 9]), y: labels(13) },
      loss: (w, { weight }, { x, y }) => mean(mul(sigmoid(weight), crossEntropy(model.apply(w, x), y))),
      steps: 3,
      optimizer: sgd({ lr: 0.1, momentum: 0.9 }),
    },
    outer: {
      data: { x: normal(random, [7, 2, 10, 9]), y: labels(7) },
      loss: (w, _, { x, y }) => mean(crossEntropy(model.apply(w, x), y)),
    },
  });
}

test("every variant, forced for all shapes, gives the same hypergradient, and its own bits twice", async () => {
  const problem = cleaning();
  const estimators = [rmd(), greedy({ gamma: 0.9 })];
  const find = (gpu: Gpu) =>
    Promise.all(
      estimators.map(
        async (estimator) => (await hypergradient(problem, { gpu, estimator })).hypergradient.weight.data,
      ),
    );
  const chosen = await find(shared());
  for (const [name, variants] of Object.entries(forcedVariants(shared()))) {
    const gpu = await Gpu.open({ variants });
    try {
      const found = await find(gpu);
      expect(await find(gpu), `${name}: the same bits twice`).toEqual(found);
      for (const [k, h] of found.entries()) {
        const exact = chosen[k]!;
        const error = Math.hypot(...h.map((value, i) => value - exact[i]!)) / Math.hypot(...exact);
        worst = Math.max(worst, error);
        expect(error, `${name}, ${estimators[k]!.name}`).toBeLessThan(BUDGET);
      }
    } finally {
      gpu.close();
    }
  }
});
