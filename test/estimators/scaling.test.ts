import { describe, expect, test } from "vitest";
import type { Estimator } from "../../src/bilevel/estimator.ts";
import { hypergradient } from "../../src/bilevel/optimize.ts";
import { bilevel, type Problem } from "../../src/bilevel/problem.ts";
import { sgd } from "../../src/bilevel/sgd.ts";
import { cg } from "../../src/estimators/cg.ts";
import { greedy } from "../../src/estimators/greedy.ts";
import { inexactGd, inexactHb } from "../../src/estimators/inexact_ad.ts";
import { type EstimatorName, estimatorNamed, estimatorNames } from "../../src/estimators/named.ts";
import { neumann } from "../../src/estimators/neumann.ts";
import { nystrom } from "../../src/estimators/nystrom.ts";
import { exp } from "../../src/graph/operations/elementwise.ts";
import { add, scale, sub } from "../../src/graph/operations/linear_combination.ts";
import { matmul } from "../../src/graph/operations/matmul.ts";
import { mul } from "../../src/graph/operations/multiply.ts";
import { sum } from "../../src/graph/operations/reduce.ts";
import { squaredNorm } from "../../src/graph/operations/squared_norm.ts";
import { values } from "../../src/graph/values.ts";
import { Random } from "../../src/random.ts";
import { normal } from "../bilevel/problems.ts";
import { norm, numbers, relativeError } from "../bilevel/vectors.ts";
import { withGpu } from "../support/gpu.ts";
import { diagonal, normals, plus, product, solve, withEigenvalues } from "./dense.ts";

const gpu = withGpu(
  (adapter) => `how ${estimatorNames.length} estimators scale with η and with both losses, on ${adapter}`,
);

const h = async (stated: Problem, estimator: Estimator) =>
  numbers((await hypergradient(stated, { gpu: gpu(), estimator })).hypergradient);

interface Scales {
  readonly inner?: number;
  readonly outer?: number;
  readonly lr?: number;
  readonly momentum?: number;
  readonly steps?: number;
}

const [size, hypers, penalty] = [6, 3, -2];
const random = new Random(41);
const a = withEigenvalues(random, [0.4, 0.6, 1, 1.2, 1.6, 2]);
const b = normal(random, [size, hypers]);
const alpha = normals(random, hypers);
const target = normals(random, size);

/** L = s (½ wᵀAw - wᵀBα + e^λ ½‖w‖²) and E = r ½‖w - c‖². */
function problem({ inner = 1, outer = 1, lr = 0.25, momentum = 0.5, steps = 4 }: Scales): Problem {
  return bilevel({
    parameters: { w: values(new Array<number>(size).fill(0.5), [size, 1]) },
    hyper: { alpha: values(alpha, [hypers, 1]), penalty: values([penalty], []) },
    inner: {
      data: { a: values(a.flat(), [size, size]), b },
      loss: ({ w }, { alpha, penalty }, { a, b }) => {
        const fit = sub(scale(0.5, sum(mul(w, matmul(a, w)))), sum(mul(w, matmul(b, alpha))));
        return scale(inner, add(fit, mul(exp(penalty), scale(0.5, squaredNorm(w)))));
      },
      steps,
      optimizer: sgd({ lr, momentum }),
    },
    outer: {
      data: { target: values(target, [size, 1]) },
      loss: ({ w }, _a, { target }) => scale(outer / 2, squaredNorm(sub(w, target))),
    },
  });
}

const steps = 4;
const all: readonly [string, (inner: number) => Estimator][] = [
  ...estimatorNames
    .filter((name) => name !== "nystrom")
    .map((name): [string, () => Estimator] => [name, () => estimatorNamed(name, {}, steps).estimator]),
  ["greedy(auto)", () => greedy({ gamma: "auto" })],
  // ρ has the unit of a curvature.
  ["nystrom", (inner) => nystrom({ rank: 3, rho: 0.25 * inner })],
];

test.each(all)("%s: s L with η / s gives the same h, and r E gives r h, to the bit", async (name, make) => {
  const plain = await h(problem({}), make(1));
  // E has no α in it.
  if (name === "first-order") expect(norm(plain)).toBe(0);
  else expect(norm(plain)).toBeGreaterThan(0.1);
  for (const [inner, outer] of [
    [4, 1],
    [1 / 8, 1],
    [1, 16],
    [2, 1 / 32],
  ] as const) {
    const found = await h(problem({ inner, outer, lr: 0.25 / inner }), make(inner));
    expect(found, `s = ${inner}, r = ${outer}`).toEqual(plain.map((value) => outer * value));
  }
});

describe("one η, and no second one", () => {
  const trajectory: readonly EstimatorName[] = [
    "rmd",
    "krmd",
    "checkpointed",
    "reversible",
    "fmd",
    "t1t2",
    "greedy",
    "drmad",
    "rtho",
  ];

  test.each(trajectory)("%s of a single step with a linear E is -η H_αw c", async (name) => {
    const { estimator } = estimatorNamed(name, {}, 1);
    for (const lr of [0.5, 0.25, 0.125]) {
      const stated = bilevel({
        parameters: { w: values([1, 2, -1]) },
        hyper: { alpha: values([0.5, 1, 2]) },
        inner: {
          // H_αw is diagonal, with the entries 2 w_0 at w_0.
          loss: ({ w }, { alpha }) => sum(mul(alpha, mul(w, w))),
          steps: 1,
          optimizer: sgd({ lr, momentum: 0.5 }),
        },
        outer: {
          data: { c: values([3, -1, 2]) },
          loss: ({ w }, _a, { c }) => sum(mul(w, c)),
        },
      });
      expect(await h(stated, estimator)).toEqual([3, -1, 2].map((c, i) => -lr * 2 * [1, 2, -1][i]! * c));
    }
  });

  test("implicit estimators at a minimiser do not depend on η", async () => {
    const curvature = Math.exp(penalty);
    const hessian = a.map((row, i) => plus(row, curvature, diagonal(a.map(() => 1))[i]!));
    const rows = Array.from({ length: size }, (_, i) => [...b.data.subarray(i * hypers, (i + 1) * hypers)]);
    const w = solve(hessian, product(rows, alpha));
    const q = solve(hessian, plus(w, -1, target));
    const truth = [
      ...alpha.map((_, c) => rows.reduce((s, row, i) => s + row[c]! * q[i]!, 0)),
      -curvature * w.reduce((s, value, i) => s + value * q[i]!, 0),
    ];
    for (const lr of [0.1, 0.4]) {
      const stated = problem({ lr, momentum: 0, steps: 300 });
      for (const estimator of [
        cg(),
        neumann({ terms: 300 }),
        neumann({ terms: 100, step: 0.5 }),
        inexactGd({ iterations: 300 }),
        inexactHb({ iterations: 150, momentum: 0.5 }),
      ]) {
        expect(relativeError(await h(stated, estimator), truth), estimator.name).toBeLessThan(5e-6);
      }
      // ρ shifts every eigenvalue, of which the smallest is 0.5.
      const low = await h(stated, nystrom({ rank: size, rho: 1e-3 }));
      expect(relativeError(low, truth), "nystrom").toBeLessThan(5e-3);
    }
  });
});
