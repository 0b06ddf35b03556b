import { describe, expect, test } from "vitest";
import { adamW } from "../../src/bilevel/adam_w.ts";
import { hypergradient } from "../../src/bilevel/optimize.ts";
import { sgd } from "../../src/bilevel/sgd.ts";
import { greedy } from "../../src/estimators/greedy.ts";
import { krmd, rmd, t1t2 } from "../../src/estimators/krmd.ts";
import { withGpu } from "../support/gpu.ts";
import { hypercleaning, type Kind, named, network, problem, quadratic, type Setting } from "./problems.ts";
import { bits, numbers, relativeError } from "./vectors.ts";

const rising = [0.05, 0.1, 0.15, 0.2, 0.25];
const falling = [0.9, 0.7, 0.5, 0.3, 0.1];

const cases: readonly [Kind, string, Setting][] = [
  [quadratic, "no momentum", {}],
  [quadratic, "momentum", { momentum: 0.8, steps: 7 }],
  [quadratic, "schedules of η and μ", { lr: rising, momentum: falling }],
  [hypercleaning, "momentum, 3 lanes", { momentum: 0.9, lanes: 3 }],
  [hypercleaning, "mini-batches", { batch: 5, outerBatch: 7, momentum: 0.5 }],
  [network, "η and μ", { momentum: 0.6, learnRates: true }],
  [
    hypercleaning,
    "Nesterov, weight decay",
    { optimizer: sgd({ lr: 0.4, momentum: 0.7, nesterov: true, weightDecay: 0.05 }) },
  ],
  [
    network,
    "AdamW, mini-batches, 3 lanes",
    { optimizer: adamW({ lr: 0.05, weightDecay: 0.1 }), batch: 5, outerBatch: 7, lanes: 3 },
  ],
  [
    network,
    "schedules, mini-batches, 3 lanes",
    { lr: rising, momentum: falling, batch: 4, outerBatch: 6, lanes: 3 },
  ],
];

const gpu = withGpu(
  (adapter) => `identities between estimators on ${cases.length} problems, and lanes, on ${adapter}`,
);

describe.each(named(cases))("%s", (_name, kind, setting) => {
  const horizon = setting.steps ?? 5;
  const h = async (estimator: ReturnType<typeof rmd>) =>
    (await hypergradient(problem(kind, setting), { gpu: gpu(), estimator })).hypergradient;

  test("K-RMD(T) is RMD", async () => {
    const exact = bits(await h(rmd()));
    expect(bits(await h(krmd({ k: horizon })))).toBe(exact);
  });

  test("T1–T2 is K-RMD(1) and the limit of greedy(γ)", async () => {
    const one = await h(t1t2());
    expect(bits(await h(krmd({ k: 1 })))).toBe(bits(one));
    // Different kernels compute the same sums: a few roundings apart.
    expect(relativeError(numbers(await h(greedy({ gamma: 0 }))), numbers(one))).toBeLessThan(2e-6);
    expect(relativeError(numbers(await h(greedy({ gamma: 1e-6 }))), numbers(one))).toBeLessThan(2e-5);
  });

  test("estimators that should differ do", async () => {
    const exact = numbers(await h(rmd()));
    expect(relativeError(numbers(await h(t1t2())), exact)).toBeGreaterThan(1e-3);
    expect(relativeError(numbers(await h(krmd({ k: horizon - 1 }))), exact)).toBeGreaterThan(1e-5);
    expect(relativeError(numbers(await h(greedy({ gamma: 0.9 }))), exact)).toBeGreaterThan(1e-3);
  });
});

test.each([
  ["quadratic", quadratic],
  ["network", network],
])("%s with w_0 in α: K-RMD(T) is RMD", async (_name, kind) => {
  const stated = () => problem(kind, { learnStart: true, momentum: 0.7 });
  const exact = await hypergradient(stated(), { gpu: gpu(), estimator: rmd() });
  const truncated = await hypergradient(stated(), { gpu: gpu(), estimator: krmd({ k: 5 }) });
  expect(bits(truncated.hypergradient)).toBe(bits(exact.hypergradient));
  expect(numbers({ start: exact.hypergradient.start! }).every((value) => value !== 0)).toBe(true);
});

test.each([
  ["RMD", rmd()],
  ["K-RMD(2)", krmd({ k: 2 })],
  ["greedy(0.9)", greedy({ gamma: 0.9 })],
])("%s: three equal lanes give what one gives", async (_name, estimator) => {
  const of = async (lanes: number) =>
    await hypergradient(problem(network, { lanes, lr: rising, momentum: falling }), {
      gpu: gpu(),
      estimator,
    });
  const [one, three] = [await of(1), await of(3)];
  expect(relativeError(numbers(three.hypergradient), numbers(one.hypergradient))).toBeLessThan(1e-6);
  expect(Math.abs(three.outerLoss / one.outerLoss - 1)).toBeLessThan(1e-6);
  for (const [name, { shape, data }] of Object.entries(three.parameters)) {
    const single = one.parameters[name]!;
    expect(shape).toEqual([3, ...single.shape]);
    const lane = [...single.data];
    expect([...data]).toEqual([...lane, ...lane, ...lane]);
  }
});
