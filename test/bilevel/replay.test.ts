import { expect, test } from "vitest";
import type { Estimator } from "../../src/bilevel/estimator.ts";
import { optimize } from "../../src/bilevel/optimize.ts";
import { adam } from "../../src/bilevel/outer_optimizer.ts";
import { firstOrder } from "../../src/estimators/first_order.ts";
import { greedy } from "../../src/estimators/greedy.ts";
import { krmd, rmd } from "../../src/estimators/krmd.ts";
import { withGpu } from "../support/gpu.ts";
import { watchBuffers } from "./buffers.ts";
import { hypercleaning, problem } from "./problems.ts";

const gpu = withGpu(
  (adapter) => `an outer step after the first makes no GPU object and is one submit, on ${adapter}`,
);

const estimators: Estimator[] = [rmd(), krmd({ k: 2 }), greedy({ gamma: 0.9 }), firstOrder()];
const stated = () => problem(hypercleaning, { momentum: 0.9, batch: 5, outerBatch: 7 });

test.each(
  estimators.flatMap((estimator) => [1, 5].map((every) => [estimator.name, every, estimator] as const)),
)("%s, news every %i steps", async (_name, every, estimator) => {
  const options = { gpu: gpu(), estimator, optimizer: adam({ lr: 0.1 }), steps: 12, every, reshuffle: true };
  const { counters } = gpu();
  let before: typeof counters | undefined;
  const dispatches = new Set<number>();
  const buffers = watchBuffers(gpu());
  let made = 0;
  const seen: number[] = [];
  for await (const { index } of optimize(stated(), options)) {
    seen.push(index);
    // With news of several steps at once, those of all of them follow the last one's submit.
    if (index % every !== 0 && index !== 12) continue;
    if (before !== undefined) {
      const steps = index === 12 && every === 5 ? 2 : every;
      expect(counters.submits - before.submits).toBe(steps);
      dispatches.add((counters.dispatches - before.dispatches) / steps);
      expect({ ...counters, submits: 0, dispatches: 0 }).toEqual({ ...before, submits: 0, dispatches: 0 });
      expect(buffers.made.length).toBe(made);
    }
    before = { ...counters };
    made = buffers.made.length;
  }
  buffers.stop();
  expect(seen).toEqual(Array.from({ length: 12 }, (_, index) => index + 1));
  expect(dispatches.size).toBe(1);
});

test("a second run of the same problem compiles nothing", async () => {
  const { counters } = gpu();
  const run = async () => {
    for await (const _step of optimize(stated(), {
      gpu: gpu(),
      estimator: rmd(),
      optimizer: adam({ lr: 0.1 }),
      steps: 1,
    }));
  };
  await run();
  const { pipelines } = counters;
  await run();
  expect(counters.pipelines).toBe(pipelines);
});
