import { describe, expect, test } from "vitest";
import { adamW } from "../../src/bilevel/adam_w.ts";
import type { Estimator } from "../../src/bilevel/estimator.ts";
import type { InnerOptimizer } from "../../src/bilevel/inner_optimizer.ts";
import { hypergradient } from "../../src/bilevel/optimize.ts";
import { OuterLoop } from "../../src/bilevel/outer_loop.ts";
import { adam } from "../../src/bilevel/outer_optimizer.ts";
import { bilevel, type Problem, ProblemError } from "../../src/bilevel/problem.ts";
import { sgd } from "../../src/bilevel/sgd.ts";
import { Vectors } from "../../src/bilevel/vectors.ts";
import { firstOrder } from "../../src/estimators/first_order.ts";
import { fmd } from "../../src/estimators/fmd.ts";
import { greedy } from "../../src/estimators/greedy.ts";
import { krmd, rmd, t1t2 } from "../../src/estimators/krmd.ts";
import { Block } from "../../src/gpu/block.ts";
import { Sequence } from "../../src/gpu/dispatch.ts";
import { Executable } from "../../src/gpu/executable.ts";
import { slice } from "../../src/graph/operations/copy.ts";
import { exp, sigmoid, softplus, square } from "../../src/graph/operations/elementwise.ts";
import { add, neg, sub } from "../../src/graph/operations/linear_combination.ts";
import { matmul } from "../../src/graph/operations/matmul.ts";
import { mean } from "../../src/graph/operations/mean.ts";
import { mul } from "../../src/graph/operations/multiply.ts";
import { sum } from "../../src/graph/operations/reduce.ts";
import { squaredNorm } from "../../src/graph/operations/squared_norm.ts";
import { type Values, values } from "../../src/graph/values.ts";
import { Random } from "../../src/random.ts";
import { withGpu } from "../support/gpu.ts";
import {
  adamRule,
  exact,
  type Formulas,
  greedySum,
  logisticFormulas,
  quadraticFormulas,
  type Rule,
  sgdRule,
} from "./inner_reference.ts";
import { hypercleaning, type Kind, network, problem, quadratic } from "./problems.ts";
import { bits, dot, norm, numbers, relativeError } from "./vectors.ts";

const report: string[] = [];
const gpu = withGpu((adapter) =>
  [`inner optimizers against float64, errors at T = 1, 5, 20, on ${adapter}`, ...report].join("\n"),
);

interface Case {
  readonly name: string;
  readonly optimizer: InnerOptimizer<never>;
  readonly rule: Rule;
}

function sgdCase(name: string, lr: number, options: Parameters<typeof sgdRule>[1]): Case {
  return { name, optimizer: sgd({ lr, ...options }), rule: sgdRule(lr, options) };
}

function adamCase(name: string, lr: number, options: Parameters<typeof adamRule>[1]): Case {
  return { name, optimizer: adamW({ lr, ...options }), rule: adamRule(lr, options) };
}

const cases: readonly Case[] = [
  sgdCase("momentum", 0.2, { momentum: 0.8 }),
  sgdCase("weight decay alone", 0.2, { weightDecay: 0.3 }),
  sgdCase("momentum, weight decay", 0.2, { momentum: 0.8, weightDecay: 0.3 }),
  sgdCase("Nesterov", 0.2, { momentum: 0.8, nesterov: true }),
  sgdCase("Nesterov, weight decay", 0.2, { momentum: 0.8, nesterov: true, weightDecay: 0.3 }),
  adamCase("Adam", 0.05, {}),
  adamCase("AdamW", 0.05, { weightDecay: 0.5 }),
  adamCase("AdamW, other constants", 0.1, { beta1: 0.7, beta2: 0.95, epsilon: 0.01, weightDecay: 0.2 }),
  adamCase("Adam without memory", 0.1, { beta1: 0, beta2: 0, epsilon: 0.1 }),
];

const random = new Random(11);
const some = (count: number) => Array.from({ length: count }, () => Math.fround(random.normal()));
const examples = (count: number) => ({
  x: Array.from({ length: count }, () => some(4)),
  y: some(count).map((value) => (value > 0 ? 1 : -1)),
});
const [train, val, w0, weights] = [examples(8), examples(6), some(4), [...some(8), -2]];

/** The problem of `logisticFormulas`, in graph operations. */
const logistic: Kind = {
  name: "logistic",
  losses() {
    const data = ({ x, y }: typeof train) => ({
      x: values(x.flat(), [x.length, 4]),
      y: values(y, [y.length, 1]),
    });
    return {
      parameters: { w: values(w0, [4, 1]) },
      hyper: { weight: values(weights.slice(0, 8), [8, 1]), penalty: values([weights[8]!], []) },
      inner: {
        data: data(train),
        loss: ({ w }, { weight, penalty }, { x, y }) =>
          add(
            mean(mul(sigmoid(weight!), softplus(neg(mul(y!, matmul(x!, w!)))))),
            mul(exp(penalty!), squaredNorm(w!)),
          ),
      },
      outer: {
        data: data(val),
        loss: ({ w }, _alpha, { x, y }) => mean(softplus(neg(mul(y!, matmul(x!, w!))))),
      },
    };
  },
};

const problems: readonly [Kind, Formulas][] = [
  [quadratic, quadraticFormulas],
  [logistic, logisticFormulas(train, val, w0, weights)],
];

describe.each(cases)("$name", ({ name, optimizer, rule }) => {
  test.each(problems)("on $name: RMD, greedy and FMD are the float64 derivatives", async (kind, formulas) => {
    const errors: number[] = [];
    for (const steps of [1, 5, 20]) {
      const stated = (learnStart = false) => problem(kind, { steps, optimizer, learnStart });
      const run = async (given: Problem, estimator = rmd()) =>
        (await hypergradient(given, { gpu: gpu(), estimator })).hypergradient;
      const truth = exact(formulas, rule, steps);
      const h = await run(stated());
      const { start, ...rest } = await run(stated(true));
      expect(bits(rest)).toBe(bits(h));
      expect(bits(await run(stated(), krmd({ k: steps })))).toBe(bits(h));
      expect(relativeError(numbers(await run(stated(), fmd())), numbers(h))).toBeLessThan(2e-5);
      const found = [
        relativeError(numbers(h), truth.alpha),
        relativeError(numbers({ start: start! }), truth.start),
        relativeError(numbers(await run(stated(), t1t2())), greedySum(formulas, rule, steps, 0)),
        relativeError(
          numbers(await run(stated(), greedy({ gamma: 0.9 }))),
          greedySum(formulas, rule, steps, 0.9),
        ),
      ];
      errors.push(Math.max(...found));
      for (const error of found) expect(error, `T = ${steps}: ${found}`).toBeLessThan(1e-4);
    }
    report.push(`  ${name}, ${kind.name}: ${errors.map((error) => error.toExponential(1)).join(", ")}`);
  });
});

const rising = [0.1, 0.2, 0.3];
const falling = [0.9, 0.6, 0.3];

describe("⟨J ẋ, p⟩ = ⟨ẋ, Jᵀ p⟩ of three steps, x = (w_0, g_1, g_2, g_3)", () => {
  test.each([
    ...cases.map(({ name, optimizer }) => [name, { optimizer }] as const),
    ["schedules of η and μ", { lr: rising, momentum: falling }] as const,
  ])("%s", async (_name, setting) => {
    const steps = 3;
    const lanes = 2;
    const stated = problem(network, { steps, lanes, ...setting });
    const learned = "lr" in setting;
    const vectors = new Vectors(stated, steps, gpu());
    const { optimizer, lane } = vectors;
    const { hyperLayout, parameterLayout } = stated.leaves;
    // With learned rates a column for each element of α, that of the rates last; else four.
    const columns = learned ? hyperLayout.size : 4;
    const noise = new Random(5);
    /** Random where there are elements, zero in between. */
    const vector = (label: string, copies = 1) => {
      const data = Float32Array.from({ length: lane.w * lanes * copies }, (_, i) =>
        i % lane.w < parameterLayout.size ? noise.normal() : 0,
      );
      return new Block(label, "adjoint", data.byteLength, data);
    };
    const g = Array.from({ length: steps }, (_, t) => vector(`g ${t + 1}`));
    const dg = g.map((_, t) => vector(`tangents of g ${t + 1}`, columns));
    const r = g.map((_, t) => new Block(`r ${t + 1}`, "adjoint", g[0]!.bytes));
    const dw = vector("tangents of w", columns);
    const start = dw.initial as Float32Array;
    const p = vector("p");

    const sequence = new Sequence("steps and back");
    vectors.begin(sequence);
    vectors.beginLoop(sequence);
    vectors.clearHypergradient(sequence);
    const state = vectors.stateTangent(sequence, columns);
    const copy = (y: Block, x: Block) => vectors.add(sequence, 1, y, x, { decay: 0 });
    for (let t = 1; t <= steps; t++) {
      copy(vectors.gradient, g[t - 1]!);
      optimizer.step(sequence, t, vectors.standing(vectors.gradient, "w"), { parameters: true, state: true });
      const tangents = { count: columns, parameters: dw, gradient: dg[t - 1]!, state };
      optimizer.pushForward(sequence, t, tangents);
    }
    // H is zero: so is the result of the products between the steps.
    copy(vectors.adjoint, p);
    const product = vectors.standing(vectors.curvature, "w");
    for (let t = steps; t >= 1; t--) {
      const carry = t < steps;
      const after = carry ? product : undefined;
      if (t === 1) {
        // In two halves: it comes to the same.
        optimizer.pullBack(sequence, t, { after, before: false, carry });
        optimizer.pullBack(sequence, t, { after: undefined, before: true, carry });
      } else optimizer.pullBack(sequence, t, { after, before: true, carry });
      optimizer.addTerms(sequence, t, t === steps);
      copy(r[t - 1]!, vectors.direction);
    }
    optimizer.pullBack(sequence, 0, { after: product, before: false, carry: false });

    const executable = await Executable.build(gpu(), [sequence]);
    executable.run(sequence);
    const read = async (block: Block) => [...(await executable.readFloats(block, 0, block.bytes / 4))];
    const end = await read(dw);
    const back = await read(vectors.adjoint);
    const along = await Promise.all(r.map(read));
    const h = await read(vectors.hypergradient);
    executable.destroy();

    const size = lane.w * lanes;
    const column = (all: ArrayLike<number>, c: number) => Array.from(all).slice(c * size, (c + 1) * size);
    for (let c = 0; c < columns; c++) {
      const forward = dot(column(end, c), column(p.initial as Float32Array, 0));
      const terms = dg.map(({ initial }, t) => dot(along[t]!, column(initial as Float32Array, c)));
      let reverse = terms.reduce((all, term) => all + term, dot(back, column(start, c)));
      // The lanes share α: each has its own sum of the terms of η and μ.
      for (let l = 0; learned && l < lanes; l++) reverse += h[l * lane.a + c]!;
      const scale = norm(column(end, c)) * norm(column(p.initial as Float32Array, 0));
      expect(Math.abs(forward - reverse) / scale, `column ${c}`).toBeLessThan(2e-6);
    }
    if (learned) {
      const { eta, mu } = hyperLayout.unpack(Float32Array.from(h.slice(0, hyperLayout.size)));
      for (const value of [...eta!.data, ...[...mu!.data].slice(1)]) expect(value).not.toBe(0);
    }
  });
});

describe("no NaN where the gradient is zero", () => {
  const optimizer = adamW({ lr: 0.1, weightDecay: 0.5 });

  test("everywhere: w stays at a minimum, and α does not matter there", async () => {
    const at = (learnStart: boolean, estimator: Estimator) => {
      const zero = values([0, 0, 0]);
      const hyper: Record<string, Values> = { alpha: values([1, -2, 3]) };
      if (learnStart) hyper.start = zero;
      // The slope of a step at g = 0 is η / ε: with a tiny ε the powers of it overflow, and rightly.
      const optimizer = adamW({ lr: 0.1, epsilon: learnStart ? 0.01 : undefined });
      const stated = bilevel({
        parameters: { w: zero },
        hyper,
        inner: { loss: ({ w }, { alpha }) => sum(mul(square(w), alpha!)), steps: 5, optimizer },
        outer: { loss: ({ w }) => sum(square(sub(w, 1))) },
        start: learnStart ? "start" : undefined,
      });
      return hypergradient(stated, { gpu: gpu(), estimator });
    };
    for (const estimator of [rmd(), t1t2(), greedy({ gamma: 0.9 }), fmd()]) {
      const { hypergradient: h, parameters } = await at(false, estimator);
      expect([...parameters.w.data]).toEqual([0, 0, 0]);
      expect([...h.alpha!.data].map(Math.abs), estimator.name).toEqual([0, 0, 0]);
    }
    const { start } = (await at(true, rmd())).hypergradient;
    const formulas: Formulas = {
      w0: [0, 0, 0],
      alpha: [1, -2, 3],
      gradient: (w, alpha) => w.map(([v, d], i) => [2 * alpha[i]![0] * v, 2 * alpha[i]![0] * d]),
      outer: (w) => [0, w.reduce((all, [v, d]) => all + 2 * (v - 1) * d, 0)],
    };
    const truth = exact(formulas, adamRule(0.1, { epsilon: 0.01 }), 5);
    expect(relativeError(numbers({ start: start! }), truth.start)).toBeLessThan(1e-5);
  });

  test("of one parameter: it decays alone, and dE/dw_0 passes through (1 - ηλ)^T", async () => {
    const stated = bilevel({
      parameters: { w: values([1, 2]) },
      hyper: { start: values([1, 2]) },
      // The second parameter is in no loss but the outer one.
      inner: { loss: ({ w }) => sum(square(slice(w, 0, 1))), steps: 5, optimizer },
      outer: { loss: ({ w }) => sum(square(w)) },
      start: "start",
    });
    const { hypergradient: h, parameters } = await hypergradient(stated, { gpu: gpu(), estimator: rmd() });
    const kept = (1 - 0.1 * 0.5) ** 5;
    expect(parameters.w.data[1]).toBeCloseTo(2 * kept, 5);
    expect(h.start.data[1]).toBeCloseTo(4 * kept ** 2, 5);
    expect(Number.isFinite(h.start.data[0])).toBe(true);
  });
});

test("warm-started, Adam begins anew where w stands", async () => {
  const given = { lr: 0.1, epsilon: 0.01 };
  const stated = problem(quadratic, { steps: 5, optimizer: adamW(given) });
  const loop = await OuterLoop.prepare(stated, { gpu: gpu(), estimator: rmd() });
  await loop.step({ restart: true });
  const w0 = numbers(await loop.parameters());
  await loop.step({ restart: false });
  const truth = exact({ ...quadraticFormulas, w0 }, adamRule(given.lr, given), 5);
  expect(relativeError(numbers(await loop.hypergradient()), truth.alpha)).toBeLessThan(1e-5);
  loop.destroy();
});

test("a stored step of Adam takes four vectors, and greedy keeps one step", async () => {
  const trajectory = async (estimator: Estimator, steps: number, optimizer?: InnerOptimizer<never>) => {
    const options = { gpu: gpu(), estimator };
    const loop = await OuterLoop.prepare(
      problem(hypercleaning, { steps, optimizer, momentum: 0.9 }),
      options,
    );
    loop.destroy();
    return loop.memory;
  };
  const adaptive = adamW({ lr: 0.1 });
  // 18 parameters: a state of 20 floats in a slot of 256 bytes, (m, s, g) in another.
  expect((await trajectory(rmd(), 6)).trajectory).toBe(6 * 256);
  expect((await trajectory(rmd(), 6, adaptive)).trajectory).toBe(6 * 2 * 256);
  expect((await trajectory(krmd({ k: 2 }), 6, adaptive)).trajectory).toBe(2 * 2 * 256);
  const [short, long] = [
    await trajectory(greedy({ gamma: 0.9 }), 3, adaptive),
    await trajectory(greedy({ gamma: 0.9 }), 12, adaptive),
  ];
  expect(long.trajectory).toBe(short.trajectory);
  expect((await trajectory(firstOrder(), 6, adaptive)).trajectory).toBeUndefined();
  // m and s beside v.
  expect((await trajectory(rmd(), 6, adaptive)).momentum).toBe(2 * (await trajectory(rmd(), 6)).momentum!);
});

describe("refusals", () => {
  test.each([
    ["beta1 = 1", () => adamW({ lr: 0.1, beta1: 1 }), /adamW's beta1 is 1: give a number in \[0, 1\)/],
    ["beta2 < 0", () => adamW({ lr: 0.1, beta2: -0.1 }), /adamW's beta2 is -0\.1/],
    ["ε = 0", () => adamW({ lr: 0.1, epsilon: 0 }), /adamW's epsilon is 0: give a number > 0/],
    ["ε = 0 in float32", () => adamW({ lr: 0.1, epsilon: 1e-46 }), /adamW's epsilon is 1e-46/],
    ["λ = NaN", () => adamW({ lr: 0.1, weightDecay: Number.NaN }), /adamW's weightDecay is NaN/],
    ["λ < 0", () => sgd({ lr: 0.1, weightDecay: -1 }), /weightDecay is -1: give a number ≥ 0/],
    ["Nesterov without momentum", () => sgd({ lr: 0.1, nesterov: true }), /Nesterov's rule needs a momentum/],
    [
      "Nesterov with a learned momentum",
      () => sgd({ lr: 0.1, momentum: "mu", nesterov: true }),
      /lr and momentum cannot be learned with nesterov: give numbers/,
    ],
    [
      "Adam with a learned rate",
      () => adamW(JSON.parse(`{ "lr": "eta" }`)),
      /adamW's lr is "eta": a learned rate needs sgd\(\); give a number/,
    ],
    ["Adam with η < 0", () => problem(quadratic, { optimizer: adamW({ lr: -1 }) }), /lr is -1/],
    [
      "an outer optimizer",
      () => problem(quadratic, { optimizer: adam({ lr: 0.1 }) as unknown as InnerOptimizer }),
      /inner\.optimizer is none for the inner loop: give sgd\(\) or adamW\(\)/,
    ],
  ])("%s", (_name, make, message) => {
    expect(make).toThrow(ProblemError);
    expect(make).toThrow(message);
  });
});
