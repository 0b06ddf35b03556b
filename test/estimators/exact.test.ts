import { describe, expect, test } from "vitest";
import { adamW } from "../../src/bilevel/adam_w.ts";
import type { Estimator } from "../../src/bilevel/estimator.ts";
import { hypergradient } from "../../src/bilevel/optimize.ts";
import { OuterLoop } from "../../src/bilevel/outer_loop.ts";
import { bilevel, ProblemError } from "../../src/bilevel/problem.ts";
import { sgd } from "../../src/bilevel/sgd.ts";
import { checkpointed } from "../../src/estimators/checkpointed.ts";
import { drmad } from "../../src/estimators/drmad.ts";
import { fmd, rtho } from "../../src/estimators/fmd.ts";
import { krmd, rmd, t1t2 } from "../../src/estimators/krmd.ts";
import { add, sub } from "../../src/graph/operations/linear_combination.ts";
import { matmul } from "../../src/graph/operations/matmul.ts";
import { squaredNorm } from "../../src/graph/operations/squared_norm.ts";
import { values } from "../../src/graph/values.ts";
import { Random } from "../../src/random.ts";
import {
  hypercleaning,
  type Kind,
  named,
  network,
  normal,
  problem,
  quadratic,
  type Setting,
} from "../bilevel/problems.ts";
import { bits, numbers, relativeError } from "../bilevel/vectors.ts";
import { withGpu } from "../support/gpu.ts";

const rising = [0.05, 0.1, 0.15, 0.2, 0.25];
const falling = [0.9, 0.7, 0.5, 0.3, 0.1];

const cases: readonly [Kind, string, Setting][] = [
  [quadratic, "no momentum", {}],
  [quadratic, "momentum, T = 7", { momentum: 0.8, steps: 7 }],
  [quadratic, "schedules of η and μ", { lr: rising, momentum: falling }],
  [quadratic, "T = 1", { momentum: 0.8, steps: 1 }],
  [network, "η and μ, T = 9", { momentum: 0.6, learnRates: true, steps: 9 }],
  [network, "η, μ and w_0", { momentum: 0.6, learnRates: true, learnStart: true }],
  [hypercleaning, "mini-batches", { batch: 5, outerBatch: 7, momentum: 0.5 }],
  [
    hypercleaning,
    "Nesterov, weight decay",
    { optimizer: sgd({ lr: 0.4, momentum: 0.7, nesterov: true, weightDecay: 0.05 }) },
  ],
  [network, "AdamW, mini-batches", { optimizer: adamW({ lr: 0.05, weightDecay: 0.1 }), batch: 5 }],
  [network, "AdamW and w_0", { optimizer: adamW({ lr: 0.05 }), learnStart: true }],
  [network, "3 lanes, schedules, mini-batches", { lr: rising, momentum: falling, batch: 4, lanes: 3 }],
  [
    hypercleaning,
    "3 lanes, AdamW, T = 6",
    { optimizer: adamW({ lr: 0.05, weightDecay: 0.1 }), lanes: 3, steps: 6 },
  ],
];

const worst = { forward: 0, line: 0 };
const gpu = withGpu((adapter) =>
  [
    `exact estimators against rmd on ${cases.length} problems, on ${adapter}`,
    `  fmd and rtho: relative error ≤ ${worst.forward.toExponential(1)}; checkpointed, krmd(T), stored activations: the same bits`,
    `  drmad where second derivatives are constant: ≤ ${worst.line.toExponential(1)}`,
  ].join("\n"),
);

/** The bits of h and w_T after a step from w_0, and after one that goes on from there. */
async function twoSteps(kind: Kind, setting: Setting, estimator: Estimator): Promise<string[]> {
  const loop = await OuterLoop.prepare(problem(kind, setting), { gpu: gpu(), estimator });
  const found: string[] = [];
  for (const restart of [true, false]) {
    await loop.step({ restart });
    found.push(bits(await loop.hypergradient()), bits(await loop.parameters()));
  }
  loop.destroy();
  return found;
}

const h = async (kind: Kind, setting: Setting, estimator: Estimator) =>
  numbers((await hypergradient(problem(kind, setting), { gpu: gpu(), estimator })).hypergradient);

test.each(named(cases))("FMD, and RTHO from w_0 on, are RMD: %s", async (_name, kind, setting) => {
  const exact = await h(kind, setting, rmd());
  const forward = await h(kind, setting, fmd());
  const error = relativeError(forward, exact);
  worst.forward = Math.max(worst.forward, error);
  expect(error).toBeLessThan(2e-5);
  expect(await h(kind, setting, rtho())).toEqual(forward);
});

test.each(named(cases))("checkpointed is RMD, bit for bit: %s", async (_name, kind, setting) => {
  const steps = setting.steps ?? 5;
  const exact = await twoSteps(kind, setting, rmd());
  // A warm step really is another one.
  expect(exact[2]).not.toBe(exact[0]);
  for (const every of new Set([undefined, 1, 2, 3, 7, steps, steps + 4]))
    expect(await twoSteps(kind, setting, checkpointed({ every })), `every ${every}`).toEqual(exact);
  expect(await twoSteps(kind, setting, krmd({ k: steps }))).toEqual(exact);
});

test.each(named(cases))("stored activations change no bit: %s", async (_name, kind, setting) => {
  const store = "activations";
  expect(await twoSteps(kind, setting, rmd({ store }))).toEqual(await twoSteps(kind, setting, rmd()));
  if (setting.learnStart) return;
  const { steps = 5 } = setting;
  for (const k of [1, 2].filter((k) => k <= steps))
    expect(await twoSteps(kind, setting, krmd({ k, store })), `K = ${k}`).toEqual(
      await twoSteps(kind, setting, krmd({ k })),
    );
  expect(await twoSteps(kind, setting, t1t2())).toEqual(await twoSteps(kind, setting, krmd({ k: 1 })));
});

test("products of steps whose activations are stored compute tangents alone", async () => {
  for (const [estimator, dual] of [
    [rmd(), true],
    [rmd({ store: "activations" }), false],
    [t1t2(), false],
  ] as const) {
    const loop = await OuterLoop.prepare(problem(network), { gpu: gpu(), estimator });
    loop.destroy();
    const explained = loop.explain();
    expect(/matmul dual/.test(explained), explained).toBe(dual);
    // The steps before those that are stored have programs of their own, and only where there are any.
    expect(/^inner gradient:/m.test(explained), explained).toBe(estimator.slots(5) < 5 || dual);
  }
});

/** L = ‖Cθ + Dw - e‖², whose second derivatives are the same everywhere, and E = ‖w - c‖². */
function leastSquares(steps: number, momentum: number) {
  const random = new Random(3);
  return bilevel({
    parameters: { w: normal(random, [6, 1]) },
    hyper: { theta: normal(random, [4, 1]) },
    inner: {
      data: { c: normal(random, [9, 4]), d: normal(random, [9, 6]), e: normal(random, [9, 1]) },
      loss: ({ w }, { theta }, { c, d, e }) => squaredNorm(add(matmul(c, theta), sub(matmul(d, w), e))),
      steps,
      optimizer: sgd({ lr: 0.01, momentum }),
    },
    outer: {
      data: { target: values([1, -1, 0.5, 2, 0, -0.5], [6, 1]) },
      loss: ({ w }, _a, { target }) => squaredNorm(sub(w, target)),
    },
  });
}

describe("DrMAD is RMD", () => {
  const error = async (stated: ReturnType<typeof leastSquares>) => {
    const [line, exact] = [
      await hypergradient(stated, { gpu: gpu(), estimator: drmad() }),
      await hypergradient(stated, { gpu: gpu(), estimator: rmd() }),
    ];
    return relativeError(numbers(line.hypergradient), numbers(exact.hypergradient));
  };

  test.each([
    [12, 0],
    [12, 0.9],
    [40, 0.5],
  ])("on least squares, T = %d, μ = %d", async (steps, momentum) => {
    const found = await error(leastSquares(steps, momentum));
    worst.line = Math.max(worst.line, found);
    expect(found).toBeLessThan(1e-5);
  });

  test("with one step, where the line is the trajectory, also for η and w_0", async () => {
    const setting = { steps: 1, learnRates: true, learnStart: true };
    const found = relativeError(await h(network, setting, drmad()), await h(network, setting, rmd()));
    expect(found).toBeLessThan(1e-5);
  });

  test("with one step that goes on with the velocity of an earlier one, also for η and μ", async () => {
    const setting = { steps: 1, learnRates: true, momentum: 0.6, lr: 0.2 };
    const second = async (estimator: Estimator) => {
      const loop = await OuterLoop.prepare(problem(network, setting), { gpu: gpu(), estimator });
      for (const restart of [true, false]) await loop.step({ restart });
      const found = await loop.hypergradient();
      loop.destroy();
      return found;
    };
    const [line, exact] = [await second(drmad()), await second(rmd())];
    for (const group of ["mu", "eta", "weight"]) {
      const [found, wanted] = [[...line[group]!.data], [...exact[group]!.data]];
      expect(relativeError(found, wanted), group).toBeLessThan(1e-5);
    }
    expect(Math.abs(exact.mu!.data[0]!)).toBeGreaterThan(1e-3);
  });

  test("and not elsewhere", async () => {
    const setting = { steps: 8, lr: 0.5 };
    const found = relativeError(await h(network, setting, drmad()), await h(network, setting, rmd()));
    expect(found).toBeGreaterThan(1e-4);
  });
});

test("three equal lanes give what one gives", async () => {
  for (const estimator of [checkpointed({ every: 2 }), drmad()]) {
    const setting = { momentum: 0.8, lr: 0.3 };
    const [one, three] = [
      await h(network, setting, estimator),
      await h(network, { ...setting, lanes: 3 }, estimator),
    ];
    expect(relativeError(three, one), estimator.name).toBeLessThan(1e-6);
  }
});

describe("DrMAD, whose velocity is a move over η,", () => {
  test.each([
    [{ lr: 0, momentum: 0.5, learnRates: true }, /^η starts at 0: drmad takes v for what w moves.*box/],
    [{ lr: [0.1, 0.2, 0, 0.1, 0.1] }, /^η of step 3 starts at 0: .*use rmd\(\)/],
  ] satisfies [Setting, RegExp][])("refuses an η that starts at 0", async (setting, message) => {
    const run = hypergradient(problem(network, setting), { gpu: gpu(), estimator: drmad() });
    await expect(run).rejects.toThrow(ProblemError);
    await expect(run).rejects.toThrow(message);
  });

  test.each([
    [{ lr: 0.1, learnRates: true }, [0]],
    [{ lr: [0.1, 0.1], steps: 2 }, [0.1, 0]],
  ] satisfies [Setting, number[]][])("says what to do when η comes to 0 later", async (setting, eta) => {
    const stated = problem(network, setting);
    const loop = await OuterLoop.prepare(stated, { gpu: gpu(), estimator: drmad() });
    await loop.step({ restart: true });
    loop.setHyper({ ...stated.hyper, eta: values(eta) });
    await expect(loop.step({ restart: true })).rejects.toThrow(
      /outer step 2.* drmad takes v for .* undefined where η is 0: keep η above 0 with box\(\{ lower \}\), or use rmd\(\)/,
    );
    loop.destroy();
  });
});

test("DrMAD refuses AdamW", async () => {
  const stated = problem(network, { optimizer: adamW({ lr: 0.1 }) });
  const run = hypergradient(stated, { gpu: gpu(), estimator: drmad() });
  await expect(run).rejects.toThrow(/drmad knows no states of an adaptive inner optimizer\. Use rmd\(\)/);
});
