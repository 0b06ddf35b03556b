import { expect, test } from "vitest";
import type { Estimator } from "../../src/bilevel/estimator.ts";
import { bilevel, type Problem } from "../../src/bilevel/problem.ts";
import { sgd } from "../../src/bilevel/sgd.ts";
import {
  implicitBound,
  implicitConstants,
  type LipschitzConstants,
} from "../../src/diagnostics/implicit_bound.ts";
import { cg } from "../../src/estimators/cg.ts";
import { inexactHb } from "../../src/estimators/inexact_ad.ts";
import { rmd } from "../../src/estimators/krmd.ts";
import { neumann } from "../../src/estimators/neumann.ts";
import { nystrom } from "../../src/estimators/nystrom.ts";
import { reshape } from "../../src/graph/operations/copy.ts";
import { exp, softplus, square } from "../../src/graph/operations/elementwise.ts";
import { add, neg, sub } from "../../src/graph/operations/linear_combination.ts";
import { matmul } from "../../src/graph/operations/matmul.ts";
import { mean } from "../../src/graph/operations/mean.ts";
import { mul } from "../../src/graph/operations/multiply.ts";
import { sum } from "../../src/graph/operations/reduce.ts";
import { squaredNorm } from "../../src/graph/operations/squared_norm.ts";
import type { Tensor } from "../../src/graph/tensor.ts";
import { values } from "../../src/graph/values.ts";
import { Random } from "../../src/random.ts";
import { problem, quadratic } from "../bilevel/problems.ts";
import { norm, numbers } from "../bilevel/vectors.ts";
import { decode, type GoldenCase, goldenFolder, readFolder } from "../support/golden.ts";
import { goldenProblem } from "../support/golden_problems.ts";
import { withGpu } from "../support/gpu.ts";
import { apply, extremes, gram, type Matrix, rows, solve, spectralNorm, transposed } from "./float64.ts";

const report: string[] = [];
const gpu = withGpu((adapter) =>
  [
    `implicit estimators' error to the gradient at the exact minimiser on ${adapter};`,
    "relative error, bound over error, by T:",
    ...report,
  ].join("\n"),
);

/** A problem of which everything is known in float64. */
interface Known {
  readonly name: string;
  stated(steps: number): Problem<string, string>;
  /** ∇F(α) */
  readonly truth: readonly number[];
  readonly lipschitz: LipschitzConstants;
  readonly strongConvexity: number;
}

const product = (matrix: Tensor, x: Tensor) => reshape(matmul(matrix, reshape(x, [-1, 1])), [-1]);

function draw(random: Random, count: number, width: number, spread = 1): Float32Array {
  return Float32Array.from({ length: count * width }, () => spread * random.normal());
}

/** L = ‖Cθ + Dy - e‖², E = ‖Ay - b‖² (Li et al. 2022). */
function leastSquares(): Known {
  const random = new Random(3);
  const [n, p, q] = [30, 10, 6];
  const flat = {
    a: draw(random, n, p, 0.3),
    b: draw(random, n, 1),
    c: draw(random, n, q, 0.3),
    d: draw(random, n, p, 0.3),
    e: draw(random, n, 1),
    theta: draw(random, q, 1),
  };
  const [a, c, d] = [rows(flat.a, p), rows(flat.c, q), rows(flat.d, p)];
  const normal = gram(d);
  const shift = apply(c, [...flat.theta]);
  const y = solve(
    normal,
    apply(
      transposed(d),
      [...flat.e].map((value, i) => value - shift[i]!),
    ),
  );
  const residual = apply(a, y).map((value, i) => value - flat.b[i]!);
  const g = apply(transposed(a), residual).map((value) => 2 * value);
  const truth = apply(transposed(c), apply(d, solve(normal, g))).map((value) => -value);
  const [low, high] = extremes(normal);
  return {
    name: "least squares",
    truth,
    lipschitz: { outerGradient: 2 * extremes(gram(a))[1] },
    strongConvexity: 2 * low,
    stated: (steps) =>
      bilevel({
        parameters: { y: values(new Float32Array(p)) },
        hyper: { theta: values(flat.theta) },
        inner: {
          data: { c: values(flat.c, [n, q]), d: values(flat.d, [n, p]), e: values(flat.e) },
          loss: ({ y }, { theta }, { c, d, e }) =>
            squaredNorm(sub(add(product(c!, theta!), product(d!, y!)), e!)),
          steps,
          optimizer: sgd({ lr: 0.5 / high }),
        },
        outer: {
          data: { a: values(flat.a, [n, p]), b: values(flat.b) },
          loss: ({ y }, _a, { a, b }) => squaredNorm(sub(product(a!, y!), b!)),
        },
      }),
  };
}

/** L = mean log(1 + exp(-y xᵀw)) + Σ_j exp(λ_j) w_j², E the mean on other data (Pedregosa 2016). */
function logistic(): Known {
  const random = new Random(8);
  const [n, p] = [40, 6];
  const made = () => {
    const x = draw(random, n, p);
    const y = Float32Array.from({ length: n }, (_, i) => (x[i * p]! + 0.5 * random.normal() > 0 ? 1 : -1));
    return { x, y, signed: rows(x, p).map((row, i) => row.map((value) => value * y[i]!)) };
  };
  const [train, valid] = [made(), made()];
  const lambda = Float32Array.from({ length: p }, () => -2 + 0.5 * random.normal());
  const ridge = [...lambda].map((value) => 2 * Math.exp(value));

  // σ(-z) of every example, z = y xᵀw.
  const doubt = (signed: Matrix, w: readonly number[]) => apply(signed, w).map((z) => 1 / (1 + Math.exp(z)));
  const gradient = (signed: Matrix, w: readonly number[]) =>
    apply(transposed(signed), doubt(signed, w)).map((value) => -value / n);
  const hessian = (w: readonly number[]) => {
    const weights = doubt(train.signed, w).map((value) => value * (1 - value));
    return gram(train.signed, n, weights).map((row, i) =>
      row.map((value, j) => value + (i === j ? ridge[i]! : 0)),
    );
  };
  let w: number[] = ridge.map(() => 0);
  for (let iteration = 0; iteration < 30; iteration++) {
    const downhill = gradient(train.signed, w).map((value, j) => value + ridge[j]! * w[j]!);
    const move = solve(hessian(w), downhill);
    w = w.map((value, j) => value - move[j]!);
  }
  const q = solve(hessian(w), gradient(valid.signed, w));
  const spread = extremes(gram(train.signed, n))[1];
  const longest = Math.max(...train.signed.map(norm));
  return {
    name: "logistic regression",
    truth: w.map((value, j) => -ridge[j]! * value * q[j]!),
    lipschitz: {
      outerGradient: extremes(gram(valid.signed, n))[1] / 4,
      // |σ''| ≤ 1 / (6 √3)
      hessian: (longest * spread) / (6 * Math.sqrt(3)),
      mixed: Math.max(...ridge),
    },
    strongConvexity: Math.min(...ridge),
    stated: (steps) =>
      bilevel({
        parameters: { w: values(new Float32Array(p)) },
        hyper: { lambda: values(lambda) },
        inner: {
          data: { x: values(train.x, [n, p]), y: values(train.y) },
          loss: ({ w }, { lambda }, { x, y }) =>
            add(mean(softplus(neg(mul(y!, product(x!, w!))))), sum(mul(exp(lambda!), square(w!)))),
          steps,
          optimizer: sgd({ lr: 1 / (spread / 4 + Math.max(...ridge)) }),
        },
        outer: {
          data: { x: values(valid.x, [n, p]), y: values(valid.y) },
          loss: ({ w }, _a, { x, y }) => mean(softplus(neg(mul(y!, product(x!, w!))))),
        },
      }),
  };
}

const every = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 20, 25, 30, 40, 60, 100];
const some = [1, 5, 20, 100];
const solvers: readonly [Estimator, readonly number[]][] = [
  [cg({ tolerance: 1e-6, iterations: 20 }), every],
  [cg({ tolerance: 1e-6, iterations: 2 }), some],
  [neumann({ terms: 10 }), some],
  [inexactHb({ iterations: 10, momentum: 0.5 }), some],
  [nystrom({ rank: 3, rho: 0.1 }), some],
];

const cases = [leastSquares(), logistic()].flatMap((known) =>
  solvers.map(
    ([estimator, counts], index) => [known.name, estimator.name, index, known, estimator, counts] as const,
  ),
);

test.each(cases)("%s, %s (%i): the error is below the bound at every T", async (...row) => {
  const [name, solver, index, { stated, truth, lipschitz, strongConvexity }, estimator, counts] = row;
  const line: string[] = [];
  for (const steps of counts) {
    const options = { gpu: gpu(), estimator, lipschitz };
    const found = await implicitConstants(stated(steps), { ...options, strongConvexity });
    const { bound, fromInnerLoop, fromSolver } = implicitBound(found);
    const error = norm(numbers(found.hypergradient).map((value, i) => value - truth[i]!));
    expect(error).toBeLessThanOrEqual(bound);
    expect(fromInnerLoop + fromSolver).toBeCloseTo(bound, 12);
    // What is known at w_T alone bounds the error too, where it bounds anything.
    const local = implicitBound({ ...found, strongConvexity: undefined });
    expect(error).toBeLessThanOrEqual(local.bound);
    expect(local.bound).toBeGreaterThanOrEqual(bound * (1 - 1e-12));
    line.push(`${steps}: ${(error / norm(truth)).toExponential(1)} ${(bound / error).toFixed(1)}`);
    // Near the minimiser, with the system solved, it is of use: some percent, and not 10⁹.
    if (index === 0 && steps === 100) expect(local.bound).toBeLessThan(1e-2 * norm(truth));
  }
  report.push(`  ${name}, ${solver} (${index}): ${line.join(", ")}`);
});

const folder = goldenFolder();

test.skipIf(folder === undefined)("golden least squares: against the analytic hypergradient", async () => {
  type Analytic = GoldenCase & { analytic: { h: GoldenCase["arrays"] } };
  let covered = 0;
  for (const golden of readFolder<Analytic>(folder!, "cases")) {
    if (golden.problem !== "least_squares") continue;
    const { shape, data } = decode(golden.arrays.A!);
    const truth = [...decode(golden.analytic.h.theta!).data];
    const estimator = cg({ tolerance: 1e-6, iterations: 20 });
    const found = await implicitConstants(goldenProblem(golden)!, {
      gpu: gpu(),
      estimator,
      lipschitz: { outerGradient: 2 * spectralNorm(rows(data, shape[1]!)) ** 2 },
    });
    const error = norm(numbers(found.hypergradient).map((value, i) => value - truth[i]!));
    const { bound } = implicitBound(found);
    expect(error).toBeLessThanOrEqual(bound);
    report.push(`  ${golden.file}: ${(error / norm(truth)).toExponential(1)} ${(bound / error).toFixed(1)}`);
    covered++;
  }
  expect(covered).toBeGreaterThan(0);
});

const constants = { innerGradientNorm: 0.1, residualNorm: 0, solutionNorm: 1, mixedNorm: 1 };

test("without a minimiser near there is no bound", () => {
  const bound = (smallestCurvature: number, hessian: number) =>
    implicitBound({ ...constants, smallestCurvature, lipschitz: { hessian, outerGradient: 1 } }).bound;
  expect(bound(-1, 0)).toBe(Number.POSITIVE_INFINITY);
  expect(bound(0, 0)).toBe(Number.POSITIVE_INFINITY);
  expect(bound(1, 5.01)).toBe(Number.POSITIVE_INFINITY);
  expect(bound(1, 4.99)).toBeLessThan(Number.POSITIVE_INFINITY);
  expect(bound(1, 0)).toBeCloseTo(0.1, 12);
});

test("constants that are missing, and estimators that solve nothing, are refused", async () => {
  expect(() => implicitBound({ ...constants, lipschitz: {} })).toThrow("strongConvexity");
  expect(() => implicitBound({ ...constants, strongConvexity: 0, lipschitz: {} })).toThrow("> 0");
  const options = { gpu: gpu(), lipschitz: { outerGradient: 1 } };
  const stated = problem(quadratic);
  await expect(implicitConstants(stated, { ...options, estimator: rmd() })).rejects.toThrow(
    "solves no linear system",
  );
  const lanes = problem(quadratic, { lanes: 2 });
  const estimator = neumann({ terms: 1 });
  await expect(implicitConstants(lanes, { ...options, estimator })).rejects.toThrow("take one lane");
});
