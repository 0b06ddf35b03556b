import { expect, test } from "vitest";
import { adamW } from "../../src/bilevel/adam_w.ts";
import { OuterLoop } from "../../src/bilevel/outer_loop.ts";
import { sgd } from "../../src/bilevel/sgd.ts";
import { rmd } from "../../src/estimators/krmd.ts";
import { values } from "../../src/graph/values.ts";
import { Random } from "../../src/random.ts";
import { withGpu } from "../support/gpu.ts";
import { hypercleaning, type Kind, named, network, problem, quadratic, type Setting } from "./problems.ts";
import { along, dot, norm, numbers } from "./vectors.ts";

const rising = [0.05, 0.1, 0.15, 0.2, 0.25];
const falling = [0.9, 0.7, 0.5, 0.3, 0.1];

const cases: readonly [Kind, string, Setting][] = [
  [quadratic, "schedules of η and μ", { lr: rising, momentum: falling }],
  [quadratic, "w_0, momentum", { learnStart: true, momentum: 0.8 }],
  [
    hypercleaning,
    "momentum, mini-batches, η and μ",
    { momentum: 0.5, lr: 0.4, batch: 5, outerBatch: 7, learnRates: true },
  ],
  [
    hypercleaning,
    "Nesterov, weight decay",
    { optimizer: sgd({ lr: 0.4, momentum: 0.7, nesterov: true, weightDecay: 0.05 }) },
  ],
  [
    network,
    "AdamW, w_0, 3 lanes",
    { optimizer: adamW({ lr: 0.05, epsilon: 0.01, weightDecay: 0.1 }), learnStart: true, lanes: 3 },
  ],
  [network, "schedules, w_0, 3 lanes", { lr: rising, momentum: falling, learnStart: true, lanes: 3 }],
];

/** Of the central differences; along a direction with one random normal number a hyperparameter. */
const STEPS = [0.05, 0.025, 0.0125, 0.00625];

const report: string[] = [];
const gpu = withGpu((adapter) =>
  [
    `RMD against central differences of the whole unroll on ${adapter}; errors over ‖h‖‖d‖ at steps ${STEPS.join(", ")}:`,
    ...report,
  ].join("\n"),
);

/** A random direction; rates move by a fraction of themselves. */
function direction(hyper: Readonly<Record<string, { shape: readonly number[]; data: ArrayLike<number> }>>) {
  const random = new Random(3);
  const entries = Object.entries(hyper).map(([name, { shape, data }]) => {
    const isRate = name === "eta" || name === "mu";
    const step = Float32Array.from(data, (value) => random.normal() * (isRate ? 0.2 * value : 1));
    return [name, values(step, shape)] as const;
  });
  return Object.fromEntries(entries);
}

test.each(named(cases))("%s", async (name, kind, setting) => {
  const stated = problem(kind, setting);
  const loop = await OuterLoop.prepare(stated, { gpu: gpu(), estimator: rmd() });
  const loss = async () => (await loop.step({ restart: true }))[0]!.outerLoss;
  const outerLoss = await loss();
  const h = numbers(await loop.hypergradient());
  const d = direction(stated.hyper);
  const exact = dot(h, numbers(d));
  const scale = norm(h) * norm(numbers(d));
  const differences: number[] = [];
  for (const step of STEPS) {
    loop.setHyper(along(stated.hyper, step, d));
    const ahead = await loss();
    loop.setHyper(along(stated.hyper, -step, d));
    differences.push((ahead - (await loss())) / (2 * step));
  }
  loop.destroy();

  const errors = differences.map((difference) => Math.abs(difference - exact) / scale);
  // A few roundings of E, over the step.
  const rounding = STEPS.map((step) => (8 * 2 ** -24 * outerLoss) / (step * scale));
  report.push(`  ${name}: ${errors.map((error) => error.toExponential(1)).join(", ")}`);
  errors.slice(1).forEach((error, k) => {
    expect(error, `step ${STEPS[k + 1]}`).toBeLessThan(errors[k]! / 3 + rounding[k + 1]!);
  });
  const [coarse, fine] = [errors[1]!, errors[3]!];
  if (fine > rounding[3]!) {
    const order = Math.log2(coarse / fine) / 2;
    expect(order).toBeGreaterThan(1.75);
    expect(order).toBeLessThan(2.25);
  }
  // Richardson: the h² term of the two finest steps cancels, and their roundings add up.
  const limit = (4 * differences[3]! - differences[2]!) / 3;
  const noise = (4 * rounding[3]! + rounding[2]!) / 3;
  expect(Math.abs(limit - exact) / scale).toBeLessThan(3e-5 + noise);
});
