import { describe, expect, test } from "vitest";
import type { Estimator } from "../../src/bilevel/estimator.ts";
import { hypergradient, optimize } from "../../src/bilevel/optimize.ts";
import { adam, gradientDescent } from "../../src/bilevel/outer_optimizer.ts";
import { type BilevelSpec, bilevel, ProblemError } from "../../src/bilevel/problem.ts";
import { sgd } from "../../src/bilevel/sgd.ts";
import { greedy } from "../../src/estimators/greedy.ts";
import { krmd, rmd, t1t2 } from "../../src/estimators/krmd.ts";
import { reshape } from "../../src/graph/operations/copy.ts";
import { sub } from "../../src/graph/operations/linear_combination.ts";
import { matmul } from "../../src/graph/operations/matmul.ts";
import { squaredNorm } from "../../src/graph/operations/squared_norm.ts";
import { ShapeError } from "../../src/graph/shape.ts";
import type { Tensors } from "../../src/graph/trace.ts";
import { perLane, values, zeros } from "../../src/graph/values.ts";
import { withGpu } from "../support/gpu.ts";
import { hypercleaning, problem, quadratic } from "./problems.ts";

const gpu = withGpu(
  (adapter) => `problems, estimators and options that are refused, with what the error says, on ${adapter}`,
);

type Spec = BilevelSpec<string, string, string, string>;

/** A sound problem, L = ‖w - α‖² and E = ‖w‖², with something else put in. */
function spec(
  change: Partial<Spec> = {},
  inner: Partial<Spec["inner"]> = {},
  outer: Partial<Spec["outer"]> = {},
): Spec {
  return {
    parameters: { w: zeros([3]) },
    hyper: { alpha: values([1, 2, 3]) },
    ...change,
    inner: {
      loss: ({ w }, { alpha }) => squaredNorm(sub(w!, alpha!)),
      steps: 4,
      optimizer: sgd<string>({ lr: 0.1 }),
      ...inner,
    },
    outer: { loss: ({ w }) => squaredNorm(w!), ...outer },
  };
}

const rows = { x: zeros([8, 2]), y: zeros([8]) };

const problems: readonly [string, Spec, typeof ProblemError | typeof ShapeError, RegExp][] = [
  ["T = 0", spec({}, { steps: 0 }), ProblemError, /inner\.steps is 0: give a whole number > 0/],
  ["T < 0", spec({}, { steps: -3 }), ProblemError, /inner\.steps is -3/],
  ["T no whole number", spec({}, { steps: 2.5 }), ProblemError, /inner\.steps is 2\.5/],
  ["T no number", spec({}, { steps: Number.NaN }), ProblemError, /inner\.steps is NaN/],
  ["no lanes", spec({ lanes: 0 }), ProblemError, /lanes is 0/],
  ["η < 0", spec({}, { optimizer: sgd({ lr: -1 }) }), ProblemError, /lr is -1/],
  ["η = NaN", spec({}, { optimizer: sgd({ lr: Number.NaN }) }), ProblemError, /lr is NaN/],
  ["η = ∞", spec({}, { optimizer: sgd({ lr: Number.POSITIVE_INFINITY }) }), ProblemError, /lr is Infinity/],
  ["μ < 0", spec({}, { optimizer: sgd({ lr: 1, momentum: -0.5 }) }), ProblemError, /momentum is -0\.5/],
  [
    "η's group missing",
    spec({}, { optimizer: sgd({ lr: "eta" }) }),
    ProblemError,
    /lr names the group "eta", which does not exist/,
  ],
  [
    "η's group of the wrong length",
    spec({}, { optimizer: sgd({ lr: "alpha" }) }),
    ShapeError,
    /lr is the group "alpha" of 3 numbers: give one, or one for each of 4 steps/,
  ],
  [
    "w_0's group of the wrong length",
    spec({ hyper: { alpha: zeros([3]), start: zeros([2]) }, start: "start" }),
    ShapeError,
    /"start" holds 2 numbers, w_0 has 3/,
  ],
  [
    "w_0's group missing",
    spec({ start: "start" }),
    ProblemError,
    /w_0 names the group "start", which does not exist/,
  ],
  [
    "a hyperparameter that reaches nothing",
    spec({ hyper: { alpha: zeros([3]), lost: zeros([2]), strayed: zeros([1]) } }),
    ProblemError,
    /"lost", "strayed" reaches neither loss nor the inner optimizer/,
  ],
  [
    "no parameters",
    spec(
      { parameters: {} },
      { loss: (_w, { alpha }) => squaredNorm(alpha!) },
      { loss: (_w, { alpha }) => squaredNorm(alpha!) },
    ),
    ProblemError,
    /there are no parameters/,
  ],
  [
    "no hyperparameters",
    spec({ hyper: {} }, { loss: ({ w }) => squaredNorm(w!) }),
    ProblemError,
    /there are no hyperparameters/,
  ],
  [
    "a loss that is no scalar",
    spec({}, { loss: ({ w }) => w! }),
    ShapeError,
    /^the inner loss is \[3\], no scalar: take its sum or mean/,
  ],
  [
    "an outer loss that is no scalar",
    spec({}, {}, { loss: ({ w }) => w! }),
    ShapeError,
    /^the outer loss is \[3\], no scalar/,
  ],
  [
    "w and α that do not fit",
    spec({ hyper: { alpha: zeros([2]) } }),
    ShapeError,
    /^the inner loss: \[3\] and \[2\] do not broadcast/,
  ],
  [
    "a product in the outer loss that does not fit",
    spec({}, {}, { loss: ({ w }) => squaredNorm(matmul(reshape(w!, [1, 3]), reshape(w!, [1, 3]))) }),
    ShapeError,
    /^the outer loss: matmul: \[1×3\] · \[1×3\] do not fit/,
  ],
  [
    "Values in the outer loss",
    spec({}, {}, { loss: ({ w }) => squaredNorm(sub(w!, zeros([3]) as never)) }),
    ProblemError,
    /^the outer loss: operand 2 of sub is Values/,
  ],
  [
    "μ = 1",
    spec({}, { optimizer: sgd({ lr: 1, momentum: 1 }) }),
    ProblemError,
    /momentum is 1: give a number in \[0, 1\)/,
  ],
  [
    "data without rows",
    spec({}, { data: { x: zeros([0, 2]) } }),
    ShapeError,
    /"x" of inner\.data is \[0×2\]: data has at least one row/,
  ],
  [
    "parts of lanes without lanes",
    spec({}, { data: { x: perLane(zeros([4, 2])) } }),
    ShapeError,
    /"x" is \[4×2\] with a part for each lane: its first axis has to be 1, or state lanes: 4/,
  ],
  [
    "a batch larger than the data",
    spec({}, { data: rows, batch: 9 }),
    ProblemError,
    /batches of 9 .* they have 8/,
  ],
  ["an empty batch", spec({}, { data: rows, batch: 0 }), ProblemError, /batches of 0/],
  ["half an example", spec({}, { data: rows, batch: 1.5 }), ProblemError, /batches of 1\.5/],
  ["a batch of no data", spec({}, { batch: 2 }), ProblemError, /batches of 2 .* they have none/],
  [
    "a batch of data with different rows",
    spec({}, { data: { x: zeros([8, 2]), y: zeros([7]) }, batch: 2 }),
    ProblemError,
    /batches of 2 .* they have 8, 7/,
  ],
  ["a batch of outer data", spec({}, {}, { data: rows, batch: 9 }), ProblemError, /batches of 9/],
  [
    "data whose numbers do not fill its shape",
    spec({}, { data: { x: { shape: [8, 2], data: new Float32Array(15) } } }),
    ShapeError,
    /"x".*15 numbers.*\[8×2\]/,
  ],
  [
    "parameters whose numbers do not fill their shape",
    spec({ parameters: { w: { shape: [3], data: new Float32Array(2) } } }),
    ShapeError,
    /"w".*2 numbers.*\[3\]/,
  ],
  [
    "hyperparameters whose numbers do not fill their shape",
    spec({ hyper: { alpha: { shape: [3], data: new Float32Array(4) } } }),
    ShapeError,
    /"alpha".*4 numbers.*\[3\]/,
  ],
  [
    "NaN in the data",
    spec({}, {}, { data: { x: values([0, Number.NaN, 0]) } }),
    ProblemError,
    /"x" of outer\.data is NaN at element \[1\]: give finite numbers/,
  ],
  [
    "infinity in w_0",
    spec({ parameters: { w: values([0, 0, Number.POSITIVE_INFINITY]) } }),
    ProblemError,
    /"w" of parameters is Infinity at element \[2\]/,
  ],
  [
    "NaN in α_0",
    spec({ hyper: { alpha: values([Number.NaN, 0, 0]) } }),
    ProblemError,
    /"alpha" of hyper is NaN at element \[0\]/,
  ],
  [
    "an array in float64",
    spec({ hyper: { alpha: { shape: [3], data: new Float64Array(3) as never } } }),
    ProblemError,
    /"alpha" of hyper holds a Float64Array: write values\(Float32Array\.from\(data\), shape\)/,
  ],
  [
    "data without a shape",
    spec({}, { data: { x: new Float32Array(4) as never } }),
    ProblemError,
    /"x" of inner\.data is a Float32Array: give values\(numbers, shape\)/,
  ],
  [
    "a name in the inner loss that there is not",
    spec({}, { data: rows, loss: ({ w }, { aplha }) => squaredNorm(sub(w!, aplha!)) }),
    ProblemError,
    /^the inner loss: operand 2 of sub is undefined: is its name spelled right\? There are parameters: w; hyper: alpha; data: x, y/,
  ],
  [
    "a name in the outer loss",
    spec({}, {}, { loss: ({ W }) => squaredNorm(W!) }),
    ProblemError,
    /operand of squaredNorm is undefined.*There are parameters: w; hyper: alpha; data: none/,
  ],
  [
    "an async loss",
    spec({}, { loss: (async ({ w }: Tensors) => squaredNorm(w!)) as never }),
    ProblemError,
    /the inner loss gave a promise: a loss must not be async/,
  ],
  [
    "no loss",
    spec({}, { loss: undefined as never }),
    ProblemError,
    /inner\.loss is undefined: give a function of \(w, α, data\) that returns a scalar/,
  ],
  [
    "a loss that returns nothing",
    spec({}, {}, { loss: (() => undefined) as never }),
    ProblemError,
    /the outer loss gave undefined: return a scalar; a body in braces needs the word return/,
  ],
  [
    "a loss by *",
    spec({}, { loss: (({ w }: Record<string, never>) => w! * w!) as never }),
    ProblemError,
    /the inner loss gave the number NaN: give a graph tensor; tensors are combined by add, sub, mul and div/,
  ],
  [
    "an inner loss without w",
    spec({}, { loss: (_w, { alpha }) => squaredNorm(alpha!) }),
    ProblemError,
    /the inner loss does not depend on the parameters/,
  ],
  ["no optimizer", spec({}, { optimizer: undefined as never }), ProblemError, /inner\.optimizer is none/],
  [
    "no η",
    spec({}, { optimizer: sgd({} as { lr: number }) }),
    ProblemError,
    /lr is undefined: give a number ≥ 0 or the name of a group/,
  ],
  [
    "T in words",
    spec({}, { steps: "3" as never }),
    ProblemError,
    /inner\.steps is the text "3": give a whole/,
  ],
  [
    "a constraint that is none",
    spec({ constraints: { alpha: "box" as never } }),
    ProblemError,
    /"alpha" has a constraint that is none: give one such as box/,
  ],
  [
    "an option that there is not",
    { ...spec(), lane: 2 } as Spec,
    ProblemError,
    /bilevel takes no "lane"; there are parameters, hyper, inner, outer, constraints, start, lanes, seed/,
  ],
  [
    "one in inner",
    spec({}, { batchSize: 2 } as object),
    ProblemError,
    /inner takes no "batchSize"; there are loss, data, batch, steps, optimizer/,
  ],
  [
    "one in outer",
    spec({}, {}, { steps: 2 } as object),
    ProblemError,
    /outer takes no "steps"; there are loss, data, batch/,
  ],
  [
    "no inner level",
    { ...spec(), inner: undefined as never },
    ProblemError,
    /inner takes \{ loss, data, .* \}, not undefined/,
  ],
  ["data that is no record", spec({}, { data: 5 as never }), ProblemError, /inner\.data is the number 5/],
];

test.each(problems)("%s", (_name, given, kind, message) => {
  const state = () => bilevel(given);
  expect(state).toThrow(kind);
  expect(state).toThrow(message);
});

test("the problem that the refused ones were made of is sound", async () => {
  const found = await hypergradient(bilevel(spec()), { gpu: gpu(), estimator: rmd() });
  expect(found.outerLoss).toBeGreaterThan(0);
});

describe("estimators", () => {
  test.each([-0.1, 1.1, Number.NaN])("γ = %d", (gamma) => {
    expect(() => greedy({ gamma })).toThrow(ProblemError);
    expect(() => greedy({ gamma })).toThrow(`γ is ${gamma}: give a number in [0, 1]`);
  });

  test.each([0, -1, 1.5, Number.NaN])("K = %d", (k) => {
    expect(() => krmd({ k })).toThrow(ProblemError);
    expect(() => krmd({ k })).toThrow(`K is ${k}: give a whole number > 0`);
  });

  test("K above T", async () => {
    const { buffers } = gpu().counters;
    const run = hypergradient(bilevel(spec()), { gpu: gpu(), estimator: krmd({ k: 5 }) });
    await expect(run).rejects.toThrow(ProblemError);
    await expect(run).rejects.toThrow("K is 5 and T is 4: give K = 4 at most, or use rmd() for all steps");
    expect(gpu().counters.buffers).toBe(buffers);
  });

  test.each([
    ["K-RMD", krmd({ k: 3 }), /only 3 of 5 steps are swept.*Use rmd\(\), or K = 5/],
    ["T1–T2", t1t2(), /only 1 of 5 steps are swept/],
    ["greedy", greedy({ gamma: 0.9 }), /the greedy sum has no term for it\. Use rmd\(\)/],
  ] as [string, Estimator, RegExp][])("%s with w_0 in α", async (_name, estimator, message) => {
    const { buffers } = gpu().counters;
    const run = hypergradient(problem(quadratic, { learnStart: true }), { gpu: gpu(), estimator });
    await expect(run).rejects.toThrow(ProblemError);
    await expect(run).rejects.toThrow(message);
    expect(gpu().counters.buffers).toBe(buffers);
  });
});

describe("options of the outer loop", () => {
  const first = async (options: Partial<Parameters<typeof optimize>[1]>) => {
    const all = { gpu: gpu(), estimator: rmd(), optimizer: adam({ lr: 0.1 }), steps: 2, ...options };
    return await optimize(problem(hypercleaning), all).next();
  };

  test.each([0, -1, 1.5, Number.NaN])("%d outer steps", async (steps) => {
    await expect(first({ steps })).rejects.toThrow(`steps is ${steps}: give a whole number > 0`);
  });

  test.each([0, -1, 2.5])("news every %d steps", async (every) => {
    await expect(first({ every })).rejects.toThrow(`every is ${every}: give a whole number > 0`);
  });

  test("a mode that there is not", async () => {
    const run = first({ mode: "wram" as "warm" });
    await expect(run).rejects.toThrow(ProblemError);
    await expect(run).rejects.toThrow(/mode is the text "wram": give "restart" or "warm"/);
  });

  test("going on with the inner loop while w_0 is learned", async () => {
    const stated = problem(quadratic, { learnStart: true });
    const { start } = stated;
    const moved = [adam({ lr: 0.1 }), { [start!]: adam({ lr: 0.1 }) }];
    for (const optimizer of moved) {
      const run = optimize(stated, {
        gpu: gpu(),
        estimator: rmd(),
        optimizer,
        steps: 2,
        mode: "warm",
      }).next();
      await expect(run).rejects.toThrow(ProblemError);
      await expect(run).rejects.toThrow(`nothing depends on w_0, the group "${start}". Use mode: "restart"`);
    }
    const still = optimize(stated, { gpu: gpu(), estimator: rmd(), optimizer: {}, steps: 2, mode: "warm" });
    expect((await still.next()).value!.index).toBe(1);
    await still.return(undefined);
  });

  test("no optimizer", async () => {
    const run = first({ optimizer: undefined as never });
    await expect(run).rejects.toThrow(ProblemError);
    await expect(run).rejects.toThrow(/there is no outer optimizer: give adam\(\)/);
  });

  test.each([{}, { weight: undefined }])("but not %j, with which α stays as it is", async (optimizer) => {
    const loop = optimize(problem(hypercleaning), { gpu: gpu(), estimator: rmd(), optimizer, steps: 1 });
    const { value } = await loop.next();
    expect((await value!.hyper()).weight).toEqual(problem(hypercleaning).hyper.weight);
    await loop.return(undefined);
  });

  test("an optimizer of the inner loop", async () => {
    const inner = sgd({ lr: 0.1 }) as never;
    await expect(first({ optimizer: inner })).rejects.toThrow(
      /the outer optimizer is one of the inner loop, which moves w: give adam\(\) or gradientDescent\(\)/,
    );
    await expect(first({ optimizer: { weight: inner } })).rejects.toThrow(
      /the outer optimizer of "weight" is one of the inner loop/,
    );
    await expect(first({ optimizer: "adam" as never })).rejects.toThrow(
      /the outer optimizer is the text "adam"/,
    );
  });

  test("an estimator by its name", async () => {
    const estimator = "rmd" as never;
    await expect(first({ estimator })).rejects.toThrow(
      /estimator is the text "rmd": give one such as rmd\(\)/,
    );
    const alone = hypergradient(problem(hypercleaning), { gpu: gpu(), estimator });
    await expect(alone).rejects.toThrow(ProblemError);
  });

  test.each([{ step: -1, of: {}, state: {} }, { step: 1.5, of: {}, state: {} }, {}, "x.npz", null])(
    "no checkpoint: %j",
    async (resume) => {
      const run = first({ resume: resume as never });
      await expect(run).rejects.toThrow(ProblemError);
      await expect(run).rejects.toThrow(/resume is no checkpoint: give what step\.checkpoint\(\) gave/);
    },
  );

  test("an optimizer for a group that does not exist", async () => {
    const run = first({ optimizer: { weights: adam({ lr: 0.1 }) } });
    await expect(run).rejects.toThrow(
      /"weights" has an outer optimizer but is no group of α; those are weight/,
    );
  });

  test("constants of the outer optimizers", () => {
    expect(() => adam({ lr: Number.NaN })).toThrow(/outer rate is NaN/);
    expect(() => gradientDescent({ lr: -1 })).toThrow(/outer rate is -1/);
    expect(() => adam({ lr: 0.1, beta1: 1 })).toThrow(/beta1 is 1: give a number in \[0, 1\)/);
    expect(() => adam({ lr: 0.1, beta2: -0.1 })).toThrow(/beta2 is -0\.1/);
    expect(() => adam({ lr: 0.1, epsilon: 0 })).toThrow(/epsilon is 0/);
    expect(() => adam({ lr: 0.1, epsilon: 1e-46 })).toThrow(/Adam's epsilon is 1e-46: give a number > 0/);
    expect(() => adam({ lr: 0.1, epsilon: 1e-39 })).toThrow(/float32 holds, 1\.2e-38 to 3\.4e38/);
    expect(() => adam({ lr: 0.1, epsilon: 1e39 })).toThrow(/Adam's epsilon is 1e\+39/);
    expect(() => adam({ lr: 1e-46 })).toThrow(/outer rate is 1e-46/);
    expect(() => gradientDescent(JSON.parse(`{ "lr": 0.1, "decay": "sqr" }`))).toThrow(
      /decay is "sqr": give "sqrt", or leave it out/,
    );
  });
});
