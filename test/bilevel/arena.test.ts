import { expect, test, vi } from "vitest";
import { adamW } from "../../src/bilevel/adam_w.ts";
import type { Estimator } from "../../src/bilevel/estimator.ts";
import { OuterLoop } from "../../src/bilevel/outer_loop.ts";
import { adam } from "../../src/bilevel/outer_optimizer.ts";
import type { Problem } from "../../src/bilevel/problem.ts";
import { sgd } from "../../src/bilevel/sgd.ts";
import { firstOrder } from "../../src/estimators/first_order.ts";
import { greedy } from "../../src/estimators/greedy.ts";
import { krmd, rmd } from "../../src/estimators/krmd.ts";
import { Arena } from "../../src/gpu/arena.ts";
import { withGpu } from "../support/gpu.ts";
import { watchBuffers } from "./buffers.ts";
import { hypercleaning, network, problem, quadratic } from "./problems.ts";
import { bits } from "./vectors.ts";

const gpu = withGpu(
  (adapter) => `scratch memory full of NaN changes nothing; lifetimes save memory, on ${adapter}`,
);

/** Buffers whose contents live from one outer step to the next, or are given once and for all. */
const lasting =
  /^(α|w_0|step table|status|batches|progress|log|first moment|second moment|staging|.* staging \d)$/;
const given = /^(x|y|id|a|b|target)$/;

/** α and w_T after two restarted outer steps, each with all other buffers set to `fill` before. */
async function run(stated: Problem, estimator: Estimator, fill?: number): Promise<string> {
  const buffers = watchBuffers(gpu());
  const loop = await OuterLoop.prepare(stated, { gpu: gpu(), estimator, optimizer: adam({ lr: 0.1 }) });
  buffers.stop();
  const scratch = buffers.made.filter(({ label }) => !lasting.test(label) && !given.test(label));
  const poison = (buffer: GPUBuffer, value: number) =>
    gpu().device.queue.writeBuffer(buffer, 0, new Float32Array(buffer.size / 4).fill(value));
  for (let step = 0; step < 2; step++) {
    if (fill !== undefined) for (const buffer of scratch) poison(buffer, fill);
    await loop.step({ restart: true });
  }
  const found = [await loop.hyper(), await loop.hypergradient(), await loop.parameters()].map(bits);
  loop.destroy();
  expect(scratch.some(({ label }) => label.startsWith("arena"))).toBe(true);
  return found.join("\n");
}

const problems: readonly [string, () => Problem][] = [
  ["quadratic", () => problem(quadratic, { momentum: 0.5 })],
  [
    "hyper-cleaning, mini-batches, η and μ",
    () => problem(hypercleaning, { batch: 5, outerBatch: 7, momentum: 0.5, learnRates: true }),
  ],
  [
    "hyper-cleaning, Nesterov, weight decay",
    () =>
      problem(hypercleaning, {
        optimizer: sgd({ lr: 0.4, momentum: 0.7, nesterov: true, weightDecay: 0.05 }),
      }),
  ],
  [
    "network, AdamW, 2 lanes",
    () => problem(network, { optimizer: adamW({ lr: 0.05, weightDecay: 0.1 }), lanes: 2 }),
  ],
  ["network, 3 lanes", () => problem(network, { momentum: 0.9, lanes: 3 })],
];
const estimators: readonly [string, Estimator][] = [
  ["RMD", rmd()],
  ["K-RMD(2)", krmd({ k: 2 })],
  ["greedy", greedy({ gamma: 0.9 })],
  ["first-order", firstOrder()],
];

test.each(
  problems.flatMap(([title, stated]) =>
    estimators.map(([name, estimator]) => [title, name, stated, estimator] as const),
  ),
)("%s, %s: no kernel reads what it did not write", async (_title, _name, stated, estimator) => {
  const clean = await run(stated(), estimator);
  expect(await run(stated(), estimator, Number.NaN)).toBe(clean);
  expect(await run(stated(), estimator, 1e30)).toBe(clean);
});

test("values share memory where their lifetimes allow", async () => {
  const activations = async (estimator: Estimator) => {
    const loop = await OuterLoop.prepare(problem(network, { momentum: 0.9 }), { gpu: gpu(), estimator });
    loop.destroy();
    return loop.memory.activations!;
  };
  for (const [, estimator] of estimators) {
    const shared = await activations(estimator);
    const release = vi.spyOn(Arena.prototype, "release").mockImplementation(() => {});
    const apart = await activations(estimator);
    release.mockRestore();
    expect(shared).toBeLessThan(0.8 * apart);
  }
});
