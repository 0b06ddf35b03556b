import { describe, expect, test } from "vitest";
import {
  box,
  type Constraint,
  nonNegative,
  simplex,
  symmetric,
  together,
} from "../../src/bilevel/constraint.ts";
import { optimize } from "../../src/bilevel/optimize.ts";
import { OuterLoop } from "../../src/bilevel/outer_loop.ts";
import { adam, gradientDescent } from "../../src/bilevel/outer_optimizer.ts";
import { bilevel, ProblemError } from "../../src/bilevel/problem.ts";
import { sgd } from "../../src/bilevel/sgd.ts";
import { firstOrder } from "../../src/estimators/first_order.ts";
import { rmd } from "../../src/estimators/krmd.ts";
import { Block } from "../../src/gpu/block.ts";
import { Sequence } from "../../src/gpu/dispatch.ts";
import { DivergenceError } from "../../src/gpu/errors.ts";
import { Executable } from "../../src/gpu/executable.ts";
import { add, sub } from "../../src/graph/operations/linear_combination.ts";
import { mul } from "../../src/graph/operations/multiply.ts";
import { sum } from "../../src/graph/operations/reduce.ts";
import { squaredNorm } from "../../src/graph/operations/squared_norm.ts";
import { type Shape, ShapeError, size } from "../../src/graph/shape.ts";
import { filled, scalar, type Values, values, zeros } from "../../src/graph/values.ts";
import { Random } from "../../src/random.ts";
import { withGpu } from "../support/gpu.ts";
import { dot, norm } from "./vectors.ts";

const worst: Record<string, number> = {};
const gpu = withGpu(
  (adapter) =>
    `projections against float64 (largest difference over the largest of total or bound: ${Object.entries(
      worst,
    )
      .map(([name, difference]) => `${name} ${difference.toExponential(1)}`)
      .join(", ")}), nearest points, idempotence, NaN, outer steps on ${adapter}`,
);

/** Numbers before and after the group, which a projection must leave alone. */
const GUARD = 5;

/** A group after a projection, and after another one. */
async function project(constraint: Constraint, group: Values): Promise<{ once: number[]; twice: number[] }> {
  const data = new Float32Array(2 * GUARD + group.data.length).fill(-7);
  data.set(group.data, GUARD);
  const block = new Block("group", "hyperparameters", data.byteLength, data);
  const sequence = new Sequence("projection");
  const { shape } = group;
  const placed = { shape, count: size(shape), view: { offset: GUARD, lane: 0 }, lanes: 1 };
  for (const kernel of constraint.record(block, placed)) sequence.add(kernel);
  const executable = await Executable.build(gpu(), [sequence]);
  const found: number[][] = [];
  try {
    for (let pass = 0; pass < 2; pass++) {
      executable.run(sequence);
      const all = [...(await executable.readFloats(block, 0, data.length))];
      expect(new Set([...all.slice(0, GUARD), ...all.slice(-GUARD)])).toEqual(new Set([-7]));
      found.push(all.slice(GUARD, -GUARD));
    }
  } finally {
    executable.destroy();
  }
  return { once: found[0]!, twice: found[1]! };
}

function normal(random: Random, shape: Shape, spread: number, middle = 0): Values {
  const draw = () => middle + spread * random.normal();
  return { shape, data: Float32Array.from({ length: size(shape) }, draw) };
}

/** By sorting, in float64. */
function simplexReference(row: readonly number[], total: number): number[] {
  const sorted = [...row].sort((a, b) => b - a);
  let [sum, theta] = [0, 0];
  for (const [i, value] of sorted.entries()) {
    sum += value;
    const candidate = (sum - total) / (i + 1);
    if (value > candidate) theta = candidate;
  }
  return row.map((value) => Math.max(value - theta, 0));
}

/** The positions of each row of a shape along an axis. */
function rowsAlong(shape: Shape, axis: number): number[][] {
  const inner = size(shape.slice(axis + 1));
  const rows = new Map<number, number[]>();
  for (let i = 0; i < size(shape); i++) {
    const n = shape[axis] ?? 1;
    const key = Math.floor(i / (n * inner)) * inner + (i % inner);
    rows.set(key, [...(rows.get(key) ?? []), i]);
  }
  return [...rows.values()];
}

function note(name: string, got: readonly number[], wanted: readonly number[], scale: number): number {
  const difference = Math.max(...got.map((value, i) => Math.abs(value - wanted[i]!))) / scale;
  worst[name] = Math.max(worst[name] ?? 0, difference);
  return difference;
}

describe("simplex", () => {
  test.each([
    [[1], 1, 1, 0],
    [[], 1, 1, 0],
    [[2], 1, 3, 0],
    [[7], 1, 0.1, 0],
    [[64], 1, 1, 0],
    [[65], 2.5, 1, 0],
    [[1000], 1, 0.01, 0],
    [[5000], 1, 1, 0],
    [[5000], 300, 1, 0],
    [[40, 3], 1, 1, 0],
    [[3, 300], 1, 2, 0],
    [[3, 300, 2], 5, 2, 0],
    [[100], 1, 1, 1e4],
  ] as [number[], number, number, number][])(
    "%j to the total %f, spread %f about %f",
    async (shape, total, spread, middle) => {
      const random = new Random(1);
      const axis = shape.length === 3 ? 1 : -1;
      const group = normal(random, shape, spread, middle);
      const { once, twice } = await project(simplex({ total, axis }), group);
      for (const row of rowsAlong(shape, shape.length === 3 ? 1 : Math.max(shape.length - 1, 0))) {
        const given = row.map((i) => group.data[i]!);
        const got = row.map((i) => once[i]!);
        expect(note("simplex", got, simplexReference(given, total), total)).toBeLessThan(1e-6);
        expect(got.every((value) => value >= 0)).toBe(true);
        expect(Math.abs(got.reduce((sum, value) => sum + value, 0) - total)).toBeLessThan(2e-6 * total);
        const again = row.map((i) => twice[i]!);
        expect(note("simplex again", again, got, total)).toBeLessThan(1e-6);
      }
    },
  );

  test.each([
    ["equal numbers", new Array<number>(100).fill(3), new Array<number>(100).fill(0.01)],
    ["one far above the others", [0, 0, 1e6, 0], [0, 0, 1, 0]],
    ["already there", [0.5, 0, 0.25, 0.25], [0.5, 0, 0.25, 0.25]],
    ["a vast range", [1e30, -1e30, 1e30, 0], [0.5, 0, 0.5, 0]],
    ["each round drops one", Array.from({ length: 24 }, (_, i) => -(2 ** -i)), undefined],
  ])("%s", async (_name, given, wanted) => {
    const { once } = await project(simplex(), values(given));
    const expected = wanted ?? simplexReference([...values(given).data], 1);
    expect(note("simplex", once, expected, 1)).toBeLessThan(1e-6);
  });
});

test.each([
  [[], -0.5, 0.5],
  [[1], -0.5, 0.5],
  [[130], 0, undefined],
  [[130], undefined, 0.1],
  [[50, 41], -0.1, 0.3],
] as [number[], number | undefined, number | undefined][])(
  "box of %j in [%f, %f]",
  async (shape, lower, upper) => {
    const group = normal(new Random(2), shape, 1);
    const bounds = { ...(lower !== undefined && { lower }), ...(upper !== undefined && { upper }) };
    const { once, twice } = await project(box(bounds), group);
    const [low, high] = [Math.fround(lower ?? -Infinity), Math.fround(upper ?? Infinity)];
    expect(once).toEqual([...group.data].map((x) => Math.min(Math.max(x, low), high)));
    expect(twice).toEqual(once);
    expect(box(bounds).violation(values(once, shape))).toBeUndefined();
  },
);

test.each([1, 2, 9, 33])("symmetric of %d×%d", async (n) => {
  const group = normal(new Random(3), [n, n], 1);
  const { once, twice } = await project(symmetric(), group);
  const wanted = [...group.data].map((x, i) => (x + group.data[(i % n) * n + Math.floor(i / n)]!) / 2);
  expect(note("symmetric", once, wanted, 1)).toBeLessThan(1e-6);
  expect(once).toEqual(once.map((_, i) => once[(i % n) * n + Math.floor(i / n)]));
  expect(twice).toEqual(once);
});

test("a symmetric matrix in a box, in either order of the list", async () => {
  const n = 12;
  const group = normal(new Random(4), [n, n], 1);
  const mean = [...group.data].map((x, i) => (x + group.data[(i % n) * n + Math.floor(i / n)]!) / 2);
  for (const list of [
    [symmetric(), nonNegative(), box({ upper: 0.8 })],
    [box({ upper: 0.8 }), nonNegative(), symmetric()],
  ]) {
    const { once, twice } = await project(together(list), group);
    expect(
      note(
        "symmetric box",
        once,
        mean.map((x) => Math.min(Math.max(x, 0), 0.8)),
        1,
      ),
    ).toBeLessThan(1e-6);
    expect(twice).toEqual(once);
  }
});

describe("the projection is the nearest point: no feasible direction leads closer", () => {
  const random = new Random(5);
  const uniform = (count: number) => Array.from({ length: count }, () => random.uniform());
  test.each([
    ["box", box({ lower: -0.2, upper: 0.4 }), [200], () => uniform(200).map((u) => 0.6 * u - 0.2)],
    [
      "simplex",
      simplex(),
      [200],
      () => {
        const u = uniform(200).map((x) => x ** 8);
        const all = u.reduce((a, b) => a + b);
        return u.map((x) => x / all);
      },
    ],
    [
      "symmetric and nonNegative",
      together([symmetric(), nonNegative()]),
      [15, 15],
      () => {
        const u = uniform(225);
        return u.map((x, i) => x + u[(i % 15) * 15 + Math.floor(i / 15)]!);
      },
    ],
  ] as [string, Constraint, number[], () => number[]][])("%s", async (_name, constraint, shape, feasible) => {
    const x = normal(random, shape, 1);
    const { once } = await project(constraint, x);
    const away = [...x.data].map((value, i) => value - once[i]!);
    for (let trial = 0; trial < 50; trial++) {
      const toward = feasible().map((value, i) => value - once[i]!);
      expect(dot(away, toward)).toBeLessThan(1e-6 * norm(away) * norm(toward));
    }
  });
});

test.each([
  ["box", box({ lower: 0, upper: 1 })],
  ["nonNegative", nonNegative()],
  ["simplex", simplex()],
  ["symmetric", symmetric()],
] as [string, Constraint][])("%s hides no NaN and no infinity", async (_name, constraint) => {
  for (const strange of [Number.NaN, Number.POSITIVE_INFINITY]) {
    const { once } = await project(constraint, values([0.3, strange, 0.2, 0.5], [2, 2]));
    expect(once.filter((value) => !Number.isFinite(value)).length).toBeGreaterThan(0);
  }
});

/** E = Σ c α + ‖w‖², so that h is c for the first-order estimator; L = ‖w - ε Σ α‖². */
function linearIn(c: Values, start: Values, constraint: Constraint | readonly Constraint[]) {
  return bilevel({
    parameters: { w: zeros([1]) },
    hyper: { other: zeros([3]), alpha: start },
    constraints: { alpha: constraint },
    inner: {
      loss: ({ w }, { alpha, other }) => squaredNorm(sub(w, add(sum(alpha), sum(other)))),
      steps: 2,
      optimizer: sgd({ lr: 0.1 }),
    },
    outer: { data: { c }, loss: (_w, { alpha }, { c }) => sum(mul(c, alpha)) },
  });
}

test("each outer step of optimize ends at the projection of the optimizer's step", async () => {
  const [n, lr, steps] = [20, 0.05, 8];
  const c = normal(new Random(6), [n], 1);
  const problem = linearIn(c, filled([n], 1 / n), simplex());
  let wanted = new Array<number>(n).fill(1 / n);
  for await (const step of optimize(problem, {
    gpu: gpu(),
    estimator: firstOrder(),
    optimizer: { alpha: gradientDescent({ lr }) },
    steps,
  })) {
    wanted = simplexReference(
      wanted.map((value, i) => value - lr * c.data[i]!),
      1,
    );
    const { alpha, other } = await step.hyper();
    expect(note("path in a simplex", [...alpha.data], wanted, 1)).toBeLessThan(5e-6);
    expect([...other.data]).toEqual([0, 0, 0]);
  }
});

test("a group without an optimizer keeps its bits", async () => {
  const random = new Random(7);
  const raw = Array.from({ length: 33 }, () => random.uniform());
  const all = raw.reduce((a, b) => a + b);
  const start = values(raw.map((value) => value / all));
  const optimizer = { other: adam({ lr: 0.1 }) };
  for await (const step of optimize(linearIn(filled([33], 1), start, simplex()), {
    gpu: gpu(),
    estimator: rmd(),
    optimizer,
    steps: 2,
  })) {
    expect((await step.hyper()).alpha.data).toEqual(start.data);
  }
});

test("a hyperparameter that is NaN is noticed in spite of a constraint", async () => {
  const problem = linearIn(filled([4], 1), zeros([4]), box({ lower: -1, upper: 1 }));
  const loop = await OuterLoop.prepare(problem, {
    gpu: gpu(),
    estimator: firstOrder(),
    optimizer: gradientDescent({ lr: 1 }),
  });
  try {
    loop.setHyper({ other: zeros([3]), alpha: values([0, Number.NaN, 0, 0]) });
    await expect(loop.step({ restart: true })).rejects.toThrow(DivergenceError);
    expect([...(await loop.hyper()).alpha.data]).toEqual([-1, Number.NaN, -1, -1]);
  } finally {
    loop.destroy();
  }
});

describe("refused", () => {
  const stated = (start: Values, constraint: Constraint | readonly Constraint[]) => () =>
    linearIn({ ...start, data: new Float32Array(size(start.shape)) }, start, constraint);
  test.each([
    ["below 0", stated(values([1, -1]), nonNegative()), /"alpha".*nonNegative.*element \[1\] is -1, not ≥ 0/],
    ["above", stated(scalar(2), box({ upper: 1 })), /"alpha".*box.*the value is 2, not ≤ 1/],
    ["NaN", stated(values([Number.NaN]), nonNegative()), /"alpha" of hyper is NaN at element \[0\]/],
    [
      "a wrong sum",
      stated(filled([2, 3], 0.5), simplex()),
      /row from element \[0, 0\] on adds up to 1\.5, not to 1/,
    ],
    ["a negative part", stated(values([2, -1]), simplex()), /element \[1\] is -1, not ≥ 0/],
    ["no matrix", stated(zeros([4]), symmetric()), /it is \[4\], no square matrix/],
    ["no square", stated(zeros([2, 3]), symmetric()), /it is \[2×3\], no square matrix/],
    [
      "not symmetric",
      stated(values([1, 2, 3, 4], [2, 2]), symmetric()),
      /element \[0, 1\] is 2, element \[1, 0\] is 3/,
    ],
    [
      "two that do not go together",
      stated(zeros([2]), [simplex(), box({ upper: 1 })]),
      /simplex does not go together/,
    ],
    ["an empty list", stated(zeros([2]), []), /a list of constraints is empty/],
    ["a box without bounds", () => box({}), /box has no bounds/],
    ["a box without room", () => box({ lower: 1, upper: 0 }), /lower 1 above upper 0/],
    ["a bound that is NaN", () => box({ lower: Number.NaN }), /lower NaN/],
    ["a total of 0", () => simplex({ total: 0 }), /total 0: give a finite number > 0/],
  ] as [string, () => unknown, RegExp][])("%s", (_name, state, message) => {
    expect(state).toThrow(ProblemError);
    expect(state).toThrow(message);
  });

  test("an axis that is not there", () => {
    expect(stated(zeros([2]), simplex({ axis: 1 }))).toThrow(ShapeError);
  });

  test("a group that is not there", () => {
    const state = () =>
      bilevel<string, string>({
        parameters: { w: zeros([1]) },
        hyper: { alpha: zeros([1]) },
        constraints: { beta: nonNegative() },
        inner: {
          loss: ({ w }, { alpha }) => squaredNorm(sub(w!, alpha!)),
          steps: 1,
          optimizer: sgd({ lr: 1 }),
        },
        outer: { loss: ({ w }) => squaredNorm(w!) },
      });
    expect(state).toThrow(/"beta" has a constraint but is no group of α; those are alpha/);
  });
});
