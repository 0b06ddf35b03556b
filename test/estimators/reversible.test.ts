import { describe, expect, test } from "vitest";
import { adamW } from "../../src/bilevel/adam_w.ts";
import { box, type Constraint, nonNegative, together } from "../../src/bilevel/constraint.ts";
import type { Estimator } from "../../src/bilevel/estimator.ts";
import { hypergradient } from "../../src/bilevel/optimize.ts";
import { OuterLoop } from "../../src/bilevel/outer_loop.ts";
import { gradientDescent } from "../../src/bilevel/outer_optimizer.ts";
import { bilevel, type Problem, ProblemError } from "../../src/bilevel/problem.ts";
import { sgd } from "../../src/bilevel/sgd.ts";
import { Unroll } from "../../src/bilevel/unroll.ts";
import { rmd } from "../../src/estimators/krmd.ts";
import { reversible } from "../../src/estimators/reversible.ts";
import { DivergenceError } from "../../src/gpu/errors.ts";
import { Executable } from "../../src/gpu/executable.ts";
import { sqrt } from "../../src/graph/operations/elementwise.ts";
import { scale, sub } from "../../src/graph/operations/linear_combination.ts";
import { mul } from "../../src/graph/operations/multiply.ts";
import { sum } from "../../src/graph/operations/reduce.ts";
import { squaredNorm } from "../../src/graph/operations/squared_norm.ts";
import { values } from "../../src/graph/values.ts";
import { hypercleaning, type Kind, network, problem, quadratic, type Setting } from "../bilevel/problems.ts";
import { bits, numbers, relativeError } from "../bilevel/vectors.ts";
import { withGpu } from "../support/gpu.ts";

const table: string[] = [];
const gpu = withGpu((adapter) => [`the reversible inner loop, on ${adapter}`, ...table].join("\n"));

describe("whole numbers there and back", () => {
  /** Steps that mini-batches keep in motion: 18 parameters. */
  const stated = (momentum: number, steps: number, setting: Setting = {}) =>
    problem(hypercleaning, { batch: 5, momentum, steps, lr: 0.05, ...setting });

  async function thereAndBack(momentum: number, steps: number, setting: Setting = {}) {
    const unroll = new Unroll(stated(momentum, steps, setting), gpu(), 0);
    const loop = unroll.fixedPoint({ range: 32 });
    loop.begin(unroll.main);
    const forward = unroll.part("forward", () => {
      for (let t = 1; t <= steps; t++) {
        unroll.innerGradient(t);
        loop.step(unroll.main, t);
      }
    });
    const back = unroll.part("back", () => {
      for (let t = steps; t >= 1; t--) {
        loop.backW(unroll.main, t);
        unroll.innerGradient(t);
        loop.backV(unroll.main, t);
      }
    });
    unroll.finish();
    const executable = await Executable.build(gpu(), [unroll.begin, unroll.main, forward, back]);
    const state = async () => {
      const read = async (block: typeof loop.wholes.w) => [...new Int32Array(await executable.read(block))];
      return { w: await read(loop.wholes.w), v: await read(loop.wholes.v) };
    };
    executable.run(unroll.begin, unroll.main);
    const start = await state();
    executable.run(forward);
    const end = await state();
    executable.run(back);
    const restored = await state();
    const status = new Uint32Array(await executable.read(unroll.vectors.status))[0];
    const lane = 4 * unroll.vectors.lane.w * (setting.lanes ?? 1);
    const slot = Math.ceil(lane / 256) * 256;
    const spills = ((executable.memory.trajectory ?? 0) - 3 * lane) / slot;
    executable.destroy();
    return { start, end, restored, status, spills };
  }

  test.each([
    [0.9, 10_000],
    [0.99, 2000],
    [0.5, 2000],
    [1 / 3, 2000],
    [0.123, 2000],
    [0.999, 1000],
    [1 / 32_768, 200],
    [32_767 / 32_768, 200],
  ])(
    "μ = %d, T = %d: the state is restored bit for bit",
    async (momentum, steps) => {
      const { start, end, restored, status, spills } = await thereAndBack(momentum, steps);
      expect(end.w).not.toEqual(start.w);
      expect(end.v).not.toEqual(start.v);
      expect(restored.w).toEqual(start.w);
      expect(restored.v).toEqual(start.v);
      expect(start.v.every((value) => value === 0)).toBe(true);
      expect(status).toBe(0xffff_ffff);
      // What μ shifts out, in words of 32 bits, of which those of the largest digit stay free.
      const shifted = (steps * Math.log2(1 / momentum)) / 32;
      expect(spills).toBeGreaterThanOrEqual(Math.floor(shifted));
      const line = `  μ = ${momentum.toFixed(5)}, T = ${steps}: ${spills} words a parameter, ${shifted.toFixed(1)} shifted out`;
      table.push(`${line}, ${steps} of rmd`);
    },
    300_000,
  );

  test.each([
    ["η learned, one a step", { lr: Array.from({ length: 60 }, (_, t) => 0.02 + 0.001 * t) }],
    ["three lanes", { lanes: 3 }],
  ])("%s", async (_title, setting) => {
    const { start, end, restored } = await thereAndBack(0.7, 60, setting);
    expect(end.w).not.toEqual(start.w);
    expect(restored).toEqual(start);
  });
});

/** With its momentum's numerator. */
const cases: readonly [Kind, string, Setting, number][] = [
  [quadratic, "μ = 4/5", { momentum: 0.8, steps: 30 }, 4],
  [hypercleaning, "μ = 9/10, mini-batches", { momentum: 0.9, batch: 5, steps: 40 }, 9],
  [network, "μ = 99/100", { momentum: 0.99, steps: 40, lr: 0.02 }, 99],
  [network, "μ = 123/1000, 3 lanes", { momentum: 0.123, steps: 40, lr: 0.3, lanes: 3 }, 123],
  [network, "μ = 1/2, w_0 learned", { momentum: 0.5, learnStart: true, steps: 20 }, 1],
  [
    hypercleaning,
    "μ = 9/10, a schedule of η",
    { optimizer: sgd<string>({ lr: "eta", momentum: 0.9 }), steps: 20 },
    9,
  ],
];

/** μ V = V n / d comes out up to n units of V off, as digits that were kept take the place of the last ones. */
const budget = (numerator: number) => 2e-6 * (2 + numerator);

/** A group "eta" of rates beside those of the problem. */
function withRates(kind: Kind, rates: readonly number[]): Kind {
  return {
    name: kind.name,
    losses() {
      const losses = kind.losses();
      return { ...losses, hyper: { ...losses.hyper, eta: values([...rates]) } };
    },
  };
}

const rising = (count: number) => Array.from({ length: count }, (_, t) => 0.02 + 0.005 * t);

const stated = (kind: Kind, setting: Setting) =>
  problem(setting.optimizer?.lr === "eta" ? withRates(kind, rising(setting.steps ?? 5)) : kind, setting);

describe("h is that of RMD to the rounding of the state", () => {
  test.each(cases.map(([kind, title, ...rest]) => [`${kind.name}, ${title}`, kind, ...rest] as const))(
    "%s",
    async (name, kind, setting, numerator) => {
      const run = async (estimator: ReturnType<typeof rmd>) =>
        await hypergradient(stated(kind, setting), { gpu: gpu(), estimator });
      const [found, exact] = [await run(reversible()), await run(rmd())];
      const error = relativeError(numbers(found.hypergradient), numbers(exact.hypergradient));
      table.push(`  ${name}: relative error of h ${error.toExponential(1)}`);
      expect(error).toBeLessThan(budget(numerator));
      expect(relativeError(numbers(found.parameters), numbers(exact.parameters))).toBeLessThan(
        budget(numerator),
      );
    },
  );

  test("also in the second outer step of a warm run, and with the same w left behind", async () => {
    const options = { gpu: gpu(), optimizer: gradientDescent({ lr: 0.1 }) };
    const results = [];
    for (const estimator of [reversible(), rmd()]) {
      const loop = await OuterLoop.prepare(problem(network, { momentum: 0.9 }), { ...options, estimator });
      for (const restart of [true, false, false]) await loop.step({ restart });
      results.push([numbers(await loop.hypergradient()), numbers(await loop.parameters())] as const);
      loop.destroy();
    }
    const [[h, w], [exactH, exactW]] = results as [(typeof results)[0], (typeof results)[0]];
    expect(relativeError(h, exactH)).toBeLessThan(budget(9));
    expect(relativeError(w, exactW)).toBeLessThan(budget(9));
  });

  test("a smaller range is finer", async () => {
    const of = async (estimator: ReturnType<typeof rmd>) =>
      numbers(
        (await hypergradient(problem(network, { momentum: 0.9 }), { gpu: gpu(), estimator })).hypergradient,
      );
    const exact = await of(rmd());
    const errors: number[] = [];
    for (const range of [4, 1024, 32_768]) errors.push(relativeError(await of(reversible({ range })), exact));
    expect(errors[0]).toBeLessThan(errors[1]!);
    expect(errors[1]).toBeLessThan(errors[2]!);
    table.push(`  error by range 4, 1024, 32768: ${errors.map((error) => error.toExponential(1)).join(" ")}`);
  });

  test("the same bits twice", async () => {
    const of = async () =>
      bits(
        (await hypergradient(problem(network, { momentum: 0.9 }), { gpu: gpu(), estimator: reversible() }))
          .hypergradient,
      );
    expect(await of()).toBe(await of());
  });
});

describe("η that is learned and grows", () => {
  const optimizer = sgd<string>({ lr: "eta", momentum: 0.5 });
  const from = (start: number, constraint?: Constraint): Problem<string, string> => ({
    ...problem(withRates(network, [start]), { optimizer, steps: 20 }),
    constraints: constraint ? { eta: constraint } : {},
  });
  /** h at η = 0.2. */
  const at = async (stated: Problem<string, string>, estimator: Estimator) => {
    const loop = await OuterLoop.prepare(stated, { gpu: gpu(), estimator });
    loop.setHyper({ ...stated.hyper, eta: values([0.2]) });
    await loop.step({ restart: true });
    const h = numbers(await loop.hypergradient());
    loop.destroy();
    return h;
  };

  test.each([1e-4, 0])("from %d: a bound keeps h as exact as from 0.2", async (start) => {
    const exact = await at(from(0.2), rmd());
    const bounded: [string, Problem<string, string>, Estimator][] = [
      ["from 0.2", from(0.2), reversible()],
      ["a box", from(start, box({ lower: 0, upper: 0.25 })), reversible()],
      ["several boxes", from(start, together([box({ upper: 0.25 }), box({ upper: 0.3 })])), reversible()],
      ["largestRate", from(start, nonNegative()), reversible({ largestRate: 0.25 })],
    ];
    for (const [name, stated, estimator] of bounded) {
      const error = relativeError(await at(stated, estimator), exact);
      expect(error, name).toBeLessThan(budget(1));
    }
  });

  test("without one the error grows with η over where it started", async () => {
    const exact = await at(from(0.2), rmd());
    const errors: number[] = [];
    for (const start of [0.2, 1e-2, 1e-4])
      errors.push(relativeError(await at(from(start), reversible()), exact));
    expect(errors[1]).toBeGreaterThan(2 * errors[0]!);
    expect(errors[2]).toBeGreaterThan(10 * errors[1]!);
    table.push(`  error at η = 0.2 from 0.2, 0.01, 1e-4: ${errors.map((e) => e.toExponential(1)).join(" ")}`);
  });

  test("an η that starts at 0 without a bound is refused", async () => {
    const run = at(from(0, nonNegative()), reversible());
    await expect(run).rejects.toThrow(ProblemError);
    await expect(run).rejects.toThrow(
      /"eta" starts at 0: give it the constraint box\(\{ upper \}\), or reversible/,
    );
  });
});

describe("what is refused", () => {
  const message =
    /reversible needs sgd\(\) with a fixed momentum in \(0, 1\), without nesterov and weight decay: use rmd\(\) or checkpointed\(\)/;
  test.each<[string, Setting, RegExp]>([
    ["no momentum", {}, message],
    ["a learned momentum", { momentum: 0.5, learnRates: true }, message],
    ["Nesterov's rule", { optimizer: sgd({ lr: 0.1, momentum: 0.5, nesterov: true }) }, message],
    ["weight decay", { optimizer: sgd({ lr: 0.1, momentum: 0.5, weightDecay: 0.1 }) }, message],
    ["AdamW", { optimizer: adamW({ lr: 0.1 }) }, message],
    [
      "a momentum next to 1",
      { momentum: 0.999_999 },
      /cannot run backwards with the momentum 0\.999999: give a fraction in \(0, 1\) whose denominator is at most 32768/,
    ],
    ["a tiny momentum", { momentum: 1e-6 }, /whose denominator is at most 32768/],
  ])("%s", async (_title, setting, expected) => {
    const { buffers } = gpu().counters;
    const run = hypergradient(problem(network, setting), { gpu: gpu(), estimator: reversible() });
    await expect(run).rejects.toThrow(ProblemError);
    await expect(run).rejects.toThrow(expected);
    expect(gpu().counters.buffers).toBe(buffers);
  });

  test.each([0, -1, Number.NaN, Number.POSITIVE_INFINITY])("a range, or a largest η, of %d", (given) => {
    expect(() => reversible({ range: given })).toThrow(`the range is ${given}: give a number > 0`);
    expect(() => reversible({ largestRate: given })).toThrow(`largestRate is ${given}: give a number > 0`);
  });
});

describe("leaving the range is an error with its step", () => {
  /** L = ½ κ (w - α)²: w - α is multiplied by 1 - ηκ in each step, but for the momentum. */
  const away = ({ w, lr, curvature = 1 }: { w: number; lr: number; curvature?: number }) =>
    bilevel({
      parameters: { w: values([w]) },
      hyper: { alpha: values([0]) },
      inner: {
        loss: ({ w }, { alpha }) => scale(curvature / 2, squaredNorm(sub(w, alpha))),
        steps: 8,
        optimizer: sgd({ lr, momentum: 1 / 1024 }),
      },
      outer: { loss: ({ w }) => squaredNorm(w) },
    });
  const failure = async (stated: ReturnType<typeof away>, range: number) => {
    const run = hypergradient(stated, { gpu: gpu(), estimator: reversible({ range }) });
    const reason = await run.catch((error: unknown) => error);
    expect(reason).toBeInstanceOf(DivergenceError);
    return reason as DivergenceError;
  };

  test("by growing", async () => {
    // |w| = 1, 3, 9, 27, 81 stays within 256; |v| = 4, 12, 36 with η = 1 passes an eighth of it at step 3.
    const error = await failure(away({ w: 1, lr: 1, curvature: 4 }), 256);
    expect([error.outerStep, error.innerStep]).toEqual([1, 3]);
    expect(error.message).toMatch(
      /a parameter left the range of reversible\(\{ range: 256 \}\) after inner step 3 of outer step 1\. Lower the inner learning rate, or give a larger range/,
    );
    // A larger range holds all eight steps: 3^8 = 6561, and 4 · 3^7 = 8748 is an eighth of 69984.
    await hypergradient(away({ w: 1, lr: 1, curvature: 4 }), {
      gpu: gpu(),
      estimator: reversible({ range: 2 ** 17 }),
    });
  });

  test("from the start, although the first step comes back", async () => {
    for (const start of [
      { w: 33, lr: 1 },
      { w: -1e6, lr: 1 },
      // As a whole number w_0 would be cut to 64, and the step from there ends at 9.
      { w: 100, lr: 1.9, curvature: 0.45 },
    ]) {
      const error = await failure(away(start), 32);
      expect(error.innerStep, `w_0 = ${start.w}`).toBe(1);
    }
    await hypergradient(away({ w: 31, lr: 0.1 }), { gpu: gpu(), estimator: reversible({ range: 32 }) });
  });

  test("in one leap that wraps around", async () => {
    for (const curvature of [50, 64, 65, 100, 127, 128, 129, 1e4, 1e9]) {
      const error = await failure(away({ w: 1, lr: 1, curvature }), 32);
      expect(error.innerStep, `κ = ${curvature}`).toBe(1);
    }
  });

  test("by a gradient that is no number", async () => {
    const stated = bilevel({
      parameters: { w: values([2, 1]) },
      hyper: { alpha: values([2, 0]) },
      inner: {
        // The slope of √x at 0 is infinite, and times 0 it is no number.
        loss: ({ w }, { alpha }) => sum(sqrt(mul(sub(w, alpha), sub(w, alpha)))),
        steps: 3,
        optimizer: sgd({ lr: 0.1, momentum: 0.5 }),
      },
      outer: { loss: ({ w }) => squaredNorm(w) },
    });
    for (const estimator of [rmd(), reversible()]) {
      const run = hypergradient(stated, { gpu: gpu(), estimator });
      await expect(run, estimator.name).rejects.toMatchObject({ outerStep: 1, innerStep: 1 });
    }
  });
});
