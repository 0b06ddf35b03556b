import type { Estimator } from "../../src/bilevel/estimator.ts";
import { optimize } from "../../src/bilevel/optimize.ts";
import { adam } from "../../src/bilevel/outer_optimizer.ts";
import { firstOrder } from "../../src/estimators/first_order.ts";
import { greedy } from "../../src/estimators/greedy.ts";
import { krmd, rmd, t1t2 } from "../../src/estimators/krmd.ts";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { hypercleaning, problem } from "./problems.ts";
import { bits } from "./vectors.ts";

const estimators: readonly Estimator[] = [
  rmd(),
  krmd({ k: 2 }),
  t1t2(),
  greedy({ gamma: 0.9 }),
  firstOrder(),
];

/** The bits of h, w_T and α after five outer steps, by estimator. */
export async function fiveSteps(gpu: Gpu): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const estimator of estimators) {
    const stated = problem(hypercleaning, {
      momentum: 0.9,
      lr: 0.2,
      batch: 5,
      outerBatch: 7,
      lanes: 3,
      learnRates: true,
    });
    const options = { gpu, estimator, optimizer: adam({ lr: 0.01 }), steps: 5, reshuffle: true };
    for await (const { index, hypergradient, parameters, hyper } of optimize(stated, options)) {
      if (index < 5) continue;
      found[estimator.name] = [await hypergradient(), await parameters(), await hyper()].map(bits).join(" ");
    }
  }
  return found;
}
