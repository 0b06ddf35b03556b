import { describe, expect, test } from "vitest";
import { hypergradient, optimize } from "../../src/bilevel/optimize.ts";
import { OuterLoop, type TaskData } from "../../src/bilevel/outer_loop.ts";
import { adam } from "../../src/bilevel/outer_optimizer.ts";
import { bilevel, ProblemError } from "../../src/bilevel/problem.ts";
import { sgd } from "../../src/bilevel/sgd.ts";
import { greedy } from "../../src/estimators/greedy.ts";
import { rmd } from "../../src/estimators/krmd.ts";
import { square } from "../../src/graph/operations/elementwise.ts";
import { add, sub } from "../../src/graph/operations/linear_combination.ts";
import { matmul } from "../../src/graph/operations/matmul.ts";
import { mul } from "../../src/graph/operations/multiply.ts";
import { squaredNorm } from "../../src/graph/operations/squared_norm.ts";
import { ShapeError } from "../../src/graph/shape.ts";
import { perLane, type Values, values } from "../../src/graph/values.ts";
import { Random } from "../../src/random.ts";
import { withGpu } from "../support/gpu.ts";
import { watchBuffers } from "./buffers.ts";
import { normal } from "./problems.ts";
import { bits } from "./vectors.ts";

const LANES = 3;
const SIZE = 5;

const gpu = withGpu(
  (adapter) => `new tasks for every outer step, sampled while the last one runs, on ${adapter}`,
);

/** The tasks of a step: regression, with parts of an odd size, so that lanes are padded. */
function tasks(step: number) {
  const random = new Random(step);
  const part = (...shape: number[]) => perLane(normal(random, [LANES, ...shape]));
  return {
    inner: { x: part(7, SIZE), y: part(7, 1), shared: normal(random, [SIZE, 1]) },
    outer: { x: part(9, SIZE), y: part(9, 1) },
  };
}

/** x² does not depend on w: it is computed once an outer step, and has to be computed anew. */
function problemOf({ inner, outer }: ReturnType<typeof tasks>, alpha?: Values) {
  return bilevel({
    parameters: { w: values(new Float32Array(SIZE), [SIZE, 1]) },
    hyper: { strength: alpha ?? values([0.5, 1, 1.5, 2, 2.5], [SIZE, 1]) },
    lanes: LANES,
    inner: {
      data: inner,
      loss: ({ w }, { strength }, { x, y, shared }) =>
        add(squaredNorm(sub(matmul(square(x), w), y)), squaredNorm(mul(strength, sub(w, shared)))),
      steps: 4,
      optimizer: sgd({ lr: 0.002, momentum: 0.5 }),
    },
    outer: {
      data: outer,
      loss: ({ w }, _a, { x, y }) => squaredNorm(sub(matmul(square(x), w), y)),
    },
  });
}

test.each([
  ["rmd", rmd()],
  ["greedy", greedy({ gamma: 0.9 })],
])("%s: each step has its own tasks, and makes no GPU object", async (_name, estimator) => {
  const { counters } = gpu();
  let before: typeof counters | undefined;
  const found: string[] = [];
  const alphas: (Values | undefined)[] = [undefined];
  const buffers = watchBuffers(gpu());
  let made = 0;
  for await (const step of optimize(problemOf(tasks(1)), {
    gpu: gpu(),
    estimator,
    optimizer: adam({ lr: 0.1 }),
    steps: 4,
    data: tasks,
  })) {
    if (before !== undefined) {
      expect(counters).toEqual({ ...before, submits: before.submits + 1, dispatches: counters.dispatches });
      expect(buffers.made.length).toBe(made);
    }
    found.push(bits(await step.hypergradient()));
    alphas.push((await step.hyper()).strength);
    before = { ...counters };
    made = buffers.made.length;
  }
  buffers.stop();
  for (const [index, h] of found.entries()) {
    const alone = problemOf(tasks(index + 1), alphas[index]);
    expect(bits((await hypergradient(alone, { gpu: gpu(), estimator })).hypergradient)).toBe(h);
  }
  expect(new Set(found).size).toBe(4);
});

test.each([1, 3, 10])(
  "tasks are asked for while the step before runs, news every %i steps",
  async (every) => {
    const events: string[] = [];
    const submits = gpu().counters;
    const start = submits.submits;
    const sample = async (step: number): Promise<TaskData> => {
      events.push(`sample ${step} after ${submits.submits - start} submits`);
      await Promise.resolve();
      return tasks(step);
    };
    const problem = problemOf(tasks(1));
    const options = { gpu: gpu(), estimator: rmd(), optimizer: adam({ lr: 0.1 }) };
    const losses: number[] = [];
    for await (const { index, outerLoss } of optimize(problem, {
      ...options,
      steps: 5,
      every,
      data: sample,
    })) {
      events.push(`news ${index}`);
      losses.push(outerLoss);
    }
    // When the tasks of step k are asked for, k - 1 steps are submitted and there is no news of the last of them.
    for (let k = 1; k <= 5; k++) {
      const at = events.indexOf(`sample ${k} after ${k - 1} submits`);
      expect(at, events.join("; ")).toBeGreaterThanOrEqual(0);
      if (k > 1) expect(at).toBeLessThan(events.indexOf(`news ${k - 1}`));
    }
    expect(events.filter((event) => event.startsWith("sample"))).toHaveLength(5);
    // As if they were given before each step, one after the other.
    const loop = await OuterLoop.prepare(problem, options);
    for (const [index, loss] of losses.entries()) {
      loop.setData(tasks(index + 1));
      expect((await loop.step({ restart: true }))[0]!.outerLoss).toBe(loss);
    }
    loop.destroy();
  },
);

test("what is not given stays as it is", async () => {
  const problem = problemOf(tasks(1));
  const loop = await OuterLoop.prepare(problem, { gpu: gpu(), estimator: rmd() });
  loop.setData({ inner: { shared: tasks(2).inner.shared } });
  await loop.step({ restart: true });
  const { inner, outer } = tasks(1);
  const stated = problemOf({ inner: { ...inner, shared: tasks(2).inner.shared }, outer });
  const wanted = await hypergradient(stated, { gpu: gpu(), estimator: rmd() });
  expect(bits(await loop.hypergradient())).toBe(bits(wanted.hypergradient));
  loop.destroy();
});

describe("refused", () => {
  const first = async (data: TaskData | (() => Promise<TaskData>)) =>
    await optimize(problemOf(tasks(1)), {
      gpu: gpu(),
      estimator: rmd(),
      optimizer: adam({ lr: 0.1 }),
      steps: 2,
      data: typeof data === "function" ? data : () => data,
    }).next();

  test.each([
    [
      "a name",
      { inner: { z: values([1]) } },
      ProblemError,
      /"z" is no data of the inner loss; there are x, y, shared/,
    ],
    [
      "a level",
      { other: { x: values([1]) } } as TaskData,
      ProblemError,
      /"other" is no level: give \{ inner, outer \}, each with its arrays by name/,
    ],
    ["nothing", undefined as never, ProblemError, /the data of an outer step is undefined/],
    [
      "an array as it is",
      { inner: { shared: new Float32Array(5) as never } },
      ProblemError,
      /"shared" of inner\.data is a Float32Array: give values\(numbers, shape\)/,
    ],
    [
      "a shape",
      { outer: { x: values(new Float32Array(45), [9, 5]) } },
      ShapeError,
      /"x" of outer\.data is \[9×5\] of Float32Array, the problem was stated with \[3×9×5\] of Float32Array/,
    ],
    [
      "a type",
      { inner: { shared: values(new Int32Array(5), [5, 1]) } },
      ShapeError,
      /"shared" of inner\.data is \[5×1\] of Int32Array, the problem was stated with \[5×1\] of Float32Array/,
    ],
    [
      "too few numbers",
      { inner: { shared: { shape: [5, 1], data: new Float32Array(4) } } },
      ShapeError,
      /"shared" of inner\.data has 4 numbers, which do not fill \[5×1\]/,
    ],
  ] as [string, TaskData, typeof ProblemError, RegExp][])("%s", async (_name, data, kind, message) => {
    const run = first(data);
    await expect(run).rejects.toThrow(kind);
    await expect(run).rejects.toThrow(message);
  });

  test("a sampler's own error comes through, and the run ends", async () => {
    const { buffers } = gpu().counters;
    await expect(first(() => Promise.reject(new RangeError("no more classes")))).rejects.toThrow(
      "no more classes",
    );
    expect(gpu().counters.buffers).toBeGreaterThan(buffers);
    const late = (async () => {
      for await (const _step of optimize(problemOf(tasks(1)), {
        gpu: gpu(),
        estimator: rmd(),
        optimizer: adam({ lr: 0.1 }),
        steps: 3,
        data: (step) => {
          if (step === 2) throw new RangeError("no more classes");
          return tasks(step);
        },
      }));
    })();
    await expect(late).rejects.toThrow("no more classes");
  });
});
