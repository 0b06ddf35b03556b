import { expect, test } from "vitest";
import { hypergradient } from "../../src/bilevel/optimize.ts";
import { bilevel, type Problem } from "../../src/bilevel/problem.ts";
import { sgd } from "../../src/bilevel/sgd.ts";
import { krmdBound, krmdConstants } from "../../src/diagnostics/krmd_bound.ts";
import { krmd } from "../../src/estimators/krmd.ts";
import { add, scale, sub } from "../../src/graph/operations/linear_combination.ts";
import { matmul } from "../../src/graph/operations/matmul.ts";
import { mul } from "../../src/graph/operations/multiply.ts";
import { sum } from "../../src/graph/operations/reduce.ts";
import { squaredNorm } from "../../src/graph/operations/squared_norm.ts";
import { values } from "../../src/graph/values.ts";
import { Random } from "../../src/random.ts";
import { problem, quadratic } from "../bilevel/problems.ts";
import { norm, numbers } from "../bilevel/vectors.ts";
import { type GoldenCase, type GoldenMethod, goldenFolder, readFolder } from "../support/golden.ts";
import { goldenProblem } from "../support/golden_problems.ts";
import { withGpu } from "../support/gpu.ts";
import { apply, extremes, gram, type Matrix, spectralNorm, transposed } from "./float64.ts";

const report: string[] = [];
const gpu = withGpu((adapter) =>
  [`K-RMD's error under its bound on ${adapter}; bound over error by K:`, ...report].join("\n"),
);

/** What float32 rounds in h, relative to it. */
const ROUNDING = 2e-6;

interface Quadratic {
  readonly a: Matrix;
  readonly b: Matrix;
  readonly target: readonly number[];
  readonly alpha: readonly number[];
  readonly lr: number;
  readonly steps: number;
}

/** Numbers that float32 has, so that the reference sees the same problem. */
function generated(seed: number, width: number, count: number, steps: number): Quadratic {
  const random = new Random(seed);
  const draw = (n: number, m: number) =>
    Array.from({ length: n }, () => Array.from({ length: m }, () => random.normal()));
  const float32 = (matrix: Matrix) => matrix.map((row) => [...Float32Array.from(row)]);
  const square = gram(draw(2 * width, width), 2 * width);
  const a = float32(square.map((row, i) => row.map((value, j) => value + (i === j ? 0.05 : 0))));
  return {
    a,
    b: float32(draw(width, count)),
    target: float32(draw(1, width))[0]!,
    alpha: float32(draw(1, count))[0]!,
    lr: Math.fround(0.9 / extremes(a)[1]),
    steps,
  };
}

/** L = ½ wᵀAw - wᵀBα, E = ½‖w - c‖² + ½‖α‖², w_0 = 0. */
function stated({ a, b, target, alpha, lr, steps }: Quadratic): Problem<string, string> {
  const [width, count] = [a.length, alpha.length];
  return bilevel({
    parameters: { w: values(new Float32Array(width), [width, 1]) },
    hyper: { alpha: values([...alpha], [count, 1]) },
    inner: {
      data: { a: values(a.flat(), [width, width]), b: values(b.flat(), [width, count]) },
      loss: ({ w }, { alpha }, { a, b }) =>
        sub(scale(0.5, sum(mul(w!, matmul(a!, w!)))), sum(mul(w!, matmul(b!, alpha!)))),
      steps,
      optimizer: sgd({ lr }),
    },
    outer: {
      data: { target: values([...target], [width, 1]) },
      loss: ({ w }, { alpha }, { target }) =>
        add(scale(0.5, squaredNorm(sub(w!, target!))), scale(0.5, squaredNorm(alpha!))),
    },
  });
}

/** h of exact reverse mode, in float64. */
function exact({ a, b, target, alpha, lr, steps }: Quadratic): number[] {
  const force = apply(b, alpha);
  let w = target.map(() => 0);
  for (let t = 0; t < steps; t++) {
    const pull = apply(a, w);
    w = w.map((value, i) => value - lr * (pull[i]! - force[i]!));
  }
  let p = w.map((value, i) => value - target[i]!);
  const h = [...alpha];
  for (let t = 0; t < steps; t++) {
    apply(transposed(b), p).forEach((value, j) => {
      h[j]! += lr * value;
    });
    const pull = apply(a, p);
    p = p.map((value, i) => value - lr * pull[i]!);
  }
  return h;
}

test.each([
  [1, 12, 7, 30],
  [2, 30, 50, 20],
])("a generated quadratic, every K (seed %i)", async (seed, width, count, steps) => {
  const given = generated(seed, width, count, steps);
  const problem = stated(given);
  const constants = await krmdConstants(problem, { gpu: gpu(), steps: 60 });
  const [low, high] = extremes(given.a);
  expect(constants.smallestCurvature).toBeLessThanOrEqual(low);
  expect(constants.largestCurvature).toBeGreaterThanOrEqual(high);
  expect(constants.mixedNorm).toBeGreaterThanOrEqual(spectralNorm(given.b));

  const truth = exact(given);
  const ratios: string[] = [];
  for (let k = 1; k <= steps; k++) {
    const { hypergradient: found } = await hypergradient(problem, { gpu: gpu(), estimator: krmd({ k }) });
    const error = norm(numbers(found).map((value, i) => value - truth[i]!));
    const bound = krmdBound({ ...constants, k });
    expect(error).toBeLessThanOrEqual(bound + ROUNDING * norm(truth));
    expect(krmdBound({ ...constants, steps: undefined, k })).toBeGreaterThanOrEqual(bound);
    if (k === 1 || k % 6 === 0) ratios.push(`${k}: ${(bound / error).toFixed(1)}`);
    // Looser than its terms make it, the bound would still hold, but be of no use.
    if (k < steps) expect(bound).toBeLessThan(60 * error);
  }
  report.push(`  P = ${width}, T = ${steps}: ${ratios.join(", ")}`);
});

const folder = goldenFolder();

test.skipIf(folder === undefined)("golden cases: their bound, and the true error below it", async () => {
  type Bounded = GoldenMethod & { prop31_bound?: number; abs_err: number };
  let covered = 0;
  for (const golden of readFolder<GoldenCase>(folder!, "cases")) {
    const bounded = (golden.methods as Bounded[]).filter(({ prop31_bound }) => prop31_bound !== undefined);
    if (bounded.length === 0) continue;
    const constants = await krmdConstants(goldenProblem(golden)!, { gpu: gpu() });
    const ratios: string[] = [];
    for (const { params, prop31_bound: theirs, abs_err: error } of bounded) {
      const k = Number(params.K);
      const proposition = krmdBound({ ...constants, steps: undefined, k });
      const bound = krmdBound({ ...constants, k });
      expect(bound).toBeLessThanOrEqual(proposition);
      expect(bound).toBeGreaterThanOrEqual(error);
      // At K = T they write 0 instead. The power K makes the rounding of the curvature K times as large.
      if (k < golden.T) expect(Math.abs(proposition / theirs! - 1)).toBeLessThan(1e-5 * (k + 10));
      else expect(bound).toBe(0);
      if (k < golden.T) ratios.push(`${k}: ${(bound / error).toFixed(1)}`);
      covered++;
    }
    report.push(`  ${golden.file}: ${ratios.join(", ")}`);
  }
  report.push(`  ${covered} golden bounds`);
});

test("without convexity it is finite for a known T, and without T there is none", () => {
  const constants = { smallestCurvature: -0.1, mixedNorm: 2, lr: 0.5, outerGradientNorm: 3 };
  expect(krmdBound({ ...constants, k: 2 })).toBe(Number.POSITIVE_INFINITY);
  expect(krmdBound({ ...constants, k: 2, steps: 4 })).toBeCloseTo(3 * (1.05 ** 2 + 1.05 ** 3), 10);
  // A step beyond 2 / L makes the other end of the spectrum the worse one.
  expect(krmdBound({ ...constants, smallestCurvature: 1, largestCurvature: 6, k: 1, steps: 2 })).toBeCloseTo(
    3 * 2,
    10,
  );
});

test("momentum, a learned rate and nonsense are refused", async () => {
  for (const setting of [{ momentum: 0.9 }, { lr: [0.1, 0.1, 0.1, 0.1, 0.1] }]) {
    await expect(krmdConstants(problem(quadratic, setting), { gpu: gpu() })).rejects.toThrow(
      "gradient descent",
    );
  }
  expect(() =>
    krmdBound({ smallestCurvature: 1, mixedNorm: 1, lr: 0.1, outerGradientNorm: 1, k: 0 }),
  ).toThrow("whole number");
});
