import { afterAll, describe, expect, test } from "vitest";
import type { Estimator } from "../../src/bilevel/estimator.ts";
import { OuterLoop } from "../../src/bilevel/outer_loop.ts";
import { bilevel, type Problem } from "../../src/bilevel/problem.ts";
import { sgd } from "../../src/bilevel/sgd.ts";
import { cg } from "../../src/estimators/cg.ts";
import { greedy } from "../../src/estimators/greedy.ts";
import { type EstimatorName, estimatorNamed, estimatorNames } from "../../src/estimators/named.ts";
import { scale, sub } from "../../src/graph/operations/linear_combination.ts";
import { squaredNorm } from "../../src/graph/operations/squared_norm.ts";
import { values } from "../../src/graph/values.ts";
import { network, problem } from "../bilevel/problems.ts";
import { bits } from "../bilevel/vectors.ts";
import { withGpu } from "../support/gpu.ts";

const steps = 4;
const estimators: readonly Estimator[] = [
  ...estimatorNames.map((name) => estimatorNamed(name, {}, steps).estimator),
  greedy({ gamma: "auto" }),
  cg({ warm: true }),
];

const gpu = withGpu(
  (adapter) =>
    `${estimators.length} estimators one after another, and all ordered pairs side by side, on ${adapter}`,
);

const stated = () => problem(network, { steps, momentum: 0.9, lr: 0.2, batch: 6, outerBatch: 5 });

const prepare = async (estimator: Estimator) => await OuterLoop.prepare(stated(), { gpu: gpu(), estimator });

/** The bits of h, w_T and what the log says, from w_0. */
async function outcome(loop: OuterLoop<string, string>): Promise<string> {
  const [entry] = await loop.step({ restart: true });
  return [bits(await loop.hypergradient()), bits(await loop.parameters()), JSON.stringify(entry)].join("\n");
}

async function alone(estimator: Estimator): Promise<string> {
  const loop = await prepare(estimator);
  try {
    return await outcome(loop);
  } finally {
    loop.destroy();
  }
}

test("planned, run and freed one after another, there and back, each has its own bits", async () => {
  const first = new Map<Estimator, string>();
  for (const estimator of [...estimators, ...estimators.toReversed()]) {
    const found = await alone(estimator);
    if (!first.has(estimator)) first.set(estimator, found);
    expect(found === first.get(estimator), estimator.name).toBe(true);
  }
  expect(new Set(first.values()).size).toBeGreaterThan(estimators.length / 2);
}, 600_000);

describe("ready side by side", () => {
  const loops: OuterLoop<string, string>[] = [];
  afterAll(() => {
    for (const loop of loops) loop.destroy();
  });

  test("A, B, A gives A's bits", async () => {
    // A warm solve goes on from its own last answer: it may change itself.
    const cold = estimators.slice(0, -1);
    for (const estimator of cold) loops.push(await prepare(estimator));
    const own: string[] = [];
    for (const loop of loops) own.push(await outcome(loop));
    for (const [i, a] of loops.entries()) {
      for (const b of loops) {
        await b.step({ restart: true });
        expect((await outcome(a)) === own[i], cold[i]!.name).toBe(true);
      }
    }
  }, 600_000);
});

/** L = ½ (w - α)² and E = ½ (w - 3)² from w_0 = 1, with α = 2 and one step of η = ½. */
const smallest = (): Problem =>
  bilevel({
    parameters: { w: values([1], []) },
    hyper: { alpha: values([2], []) },
    inner: {
      loss: ({ w }, { alpha }) => scale(0.5, squaredNorm(sub(w, alpha))),
      steps: 1,
      optimizer: sgd({ lr: 0.5, momentum: 0.5 }),
    },
    outer: { loss: ({ w }) => scale(0.5, squaredNorm(sub(w, 3))) },
  }) as Problem;

/** w_1 = 1.5 and g = -1.5, dw_1/dα = ½, and of the minimiser 1. */
const expected: Record<EstimatorName, number> = {
  rmd: -0.75,
  krmd: -0.75,
  checkpointed: -0.75,
  reversible: -0.75,
  fmd: -0.75,
  t1t2: -0.75,
  greedy: -0.75,
  "first-order": 0,
  neumann: -1.5 * (1 - 0.5 ** 11),
  cg: -1.5,
  nystrom: -1.5 / 1.01,
  "inexact-gd": -1.5 * (1 - 0.5 ** 10),
  "inexact-hb": -1.5 * heavyBall(10, 0.5, 0.9),
  drmad: -0.75,
  rtho: -0.75,
};

/** q of q = 1 after so many iterations. */
function heavyBall(iterations: number, step: number, momentum: number): number {
  let [before, q] = [0, 0];
  for (let k = 0; k < iterations; k++) [before, q] = [q, q + step * (1 - q) + momentum * (q - before)];
  return q;
}

test.each(estimatorNames)("P = H = T = 1: %s", async (name) => {
  const { estimator } = estimatorNamed(name, {}, 1);
  const loop = await OuterLoop.prepare(smallest(), { gpu: gpu(), estimator });
  const [entry] = await loop.step({ restart: true });
  expect(entry!.outerLoss).toBe(1.125);
  expect(Number((await loop.parameters()).w!.data[0])).toBe(1.5);
  const wanted = expected[name];
  expect(Math.abs((await loop.hypergradient()).alpha!.data[0]! - wanted)).toBeLessThanOrEqual(
    3e-6 * Math.abs(wanted),
  );
  loop.destroy();
});
