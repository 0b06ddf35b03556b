import { describe, expect, test } from "vitest";
import { hypergradient, optimize } from "../../src/bilevel/optimize.ts";
import { OuterLoop, type TaskData } from "../../src/bilevel/outer_loop.ts";
import { adam } from "../../src/bilevel/outer_optimizer.ts";
import { bilevel, ProblemError } from "../../src/bilevel/problem.ts";
import { sgd } from "../../src/bilevel/sgd.ts";
import { rmd } from "../../src/estimators/krmd.ts";
import { DivergenceError } from "../../src/gpu/errors.ts";
import { differentiate } from "../../src/graph/differentiate.ts";
import { slice } from "../../src/graph/operations/copy.ts";
import { correct, crossEntropy } from "../../src/graph/operations/cross_entropy.ts";
import { gather } from "../../src/graph/operations/gather.ts";
import { sub } from "../../src/graph/operations/linear_combination.ts";
import { dense } from "../../src/graph/operations/matmul.ts";
import { mean } from "../../src/graph/operations/mean.ts";
import { mul } from "../../src/graph/operations/multiply.ts";
import { sum } from "../../src/graph/operations/reduce.ts";
import { squaredNorm } from "../../src/graph/operations/squared_norm.ts";
import { ShapeError } from "../../src/graph/shape.ts";
import { filled, perLane, type Values, values } from "../../src/graph/values.ts";
import { withGpu } from "../support/gpu.ts";

const gpu = withGpu((adapter) => `labels and other indices that are out of range, on ${adapter}`);

const integers = (numbers: readonly number[], shape?: readonly number[]) =>
  values(Int32Array.from(numbers), shape);

const SOUND = [0, 1, 2, 1];

/** Four examples of three classes; α weighs them. */
function classify({
  inner = integers(SOUND),
  outer = integers(SOUND),
  lanes,
  batch,
  weights = 4,
}: {
  inner?: Values;
  outer?: Values;
  lanes?: number;
  batch?: number;
  weights?: number;
}) {
  const x = values(
    Float32Array.from({ length: 8 }, (_, i) => Math.sin(i)),
    [4, 2],
  );
  return bilevel({
    parameters: { w: filled([3, 2], 0.1) },
    hyper: { weight: filled([weights], 1) },
    lanes,
    inner: {
      data: { x, y: inner },
      batch,
      loss: ({ w }, { weight }, { x, y }, { rows }) => mean(mul(rows(weight), crossEntropy(dense(x, w), y))),
      steps: 3,
      optimizer: sgd({ lr: 0.1 }),
    },
    outer: { data: { x, y: outer }, loss: ({ w }, _a, { x, y }) => mean(crossEntropy(dense(x, w), y)) },
  });
}

const twoLanes = (numbers: readonly number[]) => perLane(integers([...SOUND, ...numbers], [2, 4]));

describe("a problem is refused", () => {
  test.each([
    [
      "labels from 1 on",
      () => classify({ inner: integers([1, 2, 3, 2]) }),
      /"y" of inner\.data is 3 at element \[2\]: cross-entropy takes 0 to 2 there, counted from 0/,
    ],
    [
      "a label less than 0",
      () => classify({ outer: integers([0, -1, 2, 1]) }),
      /"y" of outer\.data is -1 at element \[1\]/,
    ],
    [
      "in a lane",
      () => classify({ lanes: 2, inner: twoLanes([0, 1, 1, 7]) }),
      /"y" of inner\.data is 7 at element \[1, 3\]/,
    ],
    [
      "in an example that a mini-batch may pick",
      () => classify({ batch: 1, inner: integers([0, 1, 2, 3]) }),
      /"y" of inner\.data is 3 at element \[3\]/,
    ],
  ] as [string, () => unknown, RegExp][])("%s", (_name, state, message) => {
    expect(state).toThrow(ProblemError);
    expect(state).toThrow(message);
  });

  test("rows of a tensor that has not one for each example", () => {
    const state = () => classify({ batch: 2, weights: 3 });
    expect(state).toThrow(ShapeError);
    expect(state).toThrow(/batch\.rows takes a tensor with a row for each of the 4 examples, not \[3\]/);
  });
});

describe("new data is refused", () => {
  const first = (data: TaskData, problem = classify({})) =>
    optimize(problem, {
      gpu: gpu(),
      estimator: rmd(),
      optimizer: adam({ lr: 0.1 }),
      steps: 2,
      data: () => data,
    }).next();

  test("a label", async () => {
    const run = first({ inner: { y: integers([0, 1, 2, 3]) } });
    await expect(run).rejects.toThrow(ProblemError);
    await expect(run).rejects.toThrow(/"y" of inner\.data is 3 at element \[3\]/);
  });

  test("a label of a lane", async () => {
    const problem = classify({ lanes: 2, inner: twoLanes(SOUND) });
    const run = first({ inner: { y: twoLanes([9, 1, 2, 1]) } }, problem);
    await expect(run).rejects.toThrow(/"y" of inner\.data is 9 at element \[1, 0\]/);
    expect((await first({ inner: { y: twoLanes([2, 2, 2, 2]) } }, problem)).value?.index).toBe(1);
  });

  test("numbers that are not finite", async () => {
    const x = values([0, 0, 0, 0, 0, Number.NaN, 0, 0], [4, 2]);
    const run = first({ outer: { x } });
    await expect(run).rejects.toThrow(ProblemError);
    await expect(run).rejects.toThrow(/"x" of outer\.data is NaN at element \[2, 1\]: give finite numbers/);
  });
});

describe("differentiate refuses", () => {
  const table = { parameters: { w: filled([4, 3], 1) } };

  test("labels", async () => {
    const built = differentiate(gpu(), {
      ...table,
      data: { y: integers([0, 1, 2, 5]) },
      loss: ({ w }, _a, { y }) => sum(crossEntropy(w, y)),
    });
    await expect(built).rejects.toThrow(/"y" of data is 5 at element \[3\]: cross-entropy takes 0 to 2/);
  });

  test("labels of a score", async () => {
    const built = differentiate(gpu(), {
      ...table,
      data: { y: integers([0, 1, 2, 3]) },
      loss: ({ w }, _a, { y }) => mean(correct(w, y)),
    });
    await expect(built).rejects.toThrow(/"y" of data is 3 at element \[3\]: correct takes 0 to 2/);
  });

  test("rows", async () => {
    const built = differentiate(gpu(), {
      ...table,
      data: { i: integers([0, 4]) },
      loss: ({ w }, _a, { i }) => squaredNorm(gather(w, i)),
    });
    await expect(built).rejects.toThrow(/"i" of data is 4 at element \[1\]: gather takes 0 to 3/);
  });

  test("a part of an array by what that part is for", async () => {
    const parts = (numbers: readonly number[]) =>
      differentiate(gpu(), {
        ...table,
        data: { i: integers(numbers) },
        loss: ({ w }, _a, { i }) =>
          sum(crossEntropy(gather(w, slice(i, 0, 2)), gather(slice(i, 2, 5), slice(i, 5, 7)))),
      });
    (await parts([3, 3, 2, 2, 2, 1, 2])).destroy();
    await expect(parts([3, 4, 2, 2, 2, 1, 2])).rejects.toThrow(/is 4 at element \[1\]: gather takes 0 to 3/);
    await expect(parts([3, 3, 2, 2, 3, 1, 2])).rejects.toThrow(/is 3 at element \[4\]: cross-entropy/);
    await expect(parts([3, 3, 2, 2, 2, 1, 3])).rejects.toThrow(/is 3 at element \[6\]: gather takes 0 to 2/);
  });
});

test.each([3, -1, 2 ** 30])("label %i that only the GPU knows ends in a DivergenceError", async (label) => {
  const problem = classify({});
  const loop = await OuterLoop.prepare(problem, { gpu: gpu(), estimator: rmd() });
  loop.executable.writeIfUsed(problem.inner.arrays.y!.block, Int32Array.of(0, label, 2, 1));
  const step = loop.step({ restart: true });
  await expect(step).rejects.toThrow(DivergenceError);
  await expect(step).rejects.toMatchObject({ outerStep: 1, innerStep: 1 });
  await expect(step).rejects.toThrow(/It is the first step: see whether the inner loss/);
  loop.executable.writeIfUsed(problem.inner.arrays.y!.block, Int32Array.from(SOUND));
  const [entry] = await loop.step({ restart: true });
  const { outerLoss } = await hypergradient(problem, { gpu: gpu(), estimator: rmd() });
  expect(entry!.outerLoss).toBe(outerLoss);

  loop.executable.writeIfUsed(problem.outer.arrays.y!.block, Int32Array.of(0, 1, label, 1));
  await expect(loop.step({ restart: true })).rejects.toThrow(/the outer loss is not finite/);
  loop.destroy();
});

test("a row that only the GPU knows of is NaN", async () => {
  const problem = bilevel({
    parameters: { w: filled([4], 1) },
    hyper: { alpha: filled([4], 2) },
    inner: {
      loss: ({ w }, { alpha }) => squaredNorm(sub(w, alpha)),
      steps: 2,
      optimizer: sgd({ lr: 0.1 }),
    },
    outer: { data: { i: integers([0, 3]) }, loss: ({ w }, _a, { i }) => sum(gather(w, i)) },
  });
  const loop = await OuterLoop.prepare(problem, { gpu: gpu(), estimator: rmd() });
  loop.executable.writeIfUsed(problem.outer.arrays.i!.block, Int32Array.of(0, 4));
  await expect(loop.step({ restart: true })).rejects.toThrow(/the outer loss is not finite/);
  loop.destroy();
});
