import type { Constraint } from "../../src/bilevel/constraint.ts";
import { bilevel, type Problem } from "../../src/bilevel/problem.ts";
import { sgd } from "../../src/bilevel/sgd.ts";
import { reshape } from "../../src/graph/operations/copy.ts";
import { exp, softplus, square } from "../../src/graph/operations/elementwise.ts";
import { add, neg, sub } from "../../src/graph/operations/linear_combination.ts";
import { matmul } from "../../src/graph/operations/matmul.ts";
import { mean } from "../../src/graph/operations/mean.ts";
import { mul } from "../../src/graph/operations/multiply.ts";
import { sum } from "../../src/graph/operations/reduce.ts";
import { squaredNorm } from "../../src/graph/operations/squared_norm.ts";
import type { Tensor } from "../../src/graph/tensor.ts";
import { filled, values, zeros } from "../../src/graph/values.ts";
import { Random } from "../../src/random.ts";
import { plus, product, solve, transposed } from "../estimators/dense.ts";
import { type Examples, RidgeReference } from "./ridge_reference.ts";

const WEIGHTS = 8;

/** L2-regularised logistic regression whose λ is learned: one for all weights, or with `each` one for each. */
export function ridge({
  each = false,
  start = -1,
  constraint,
  lanes,
  steps = 20,
}: {
  each?: boolean;
  start?: number;
  constraint?: Constraint;
  lanes?: number;
  steps?: number;
}): { problem: Problem<"w", "lambda">; reference: RidgeReference } {
  const random = new Random(8);
  const truth = Array.from({ length: WEIGHTS }, (_, j) => (j < 3 ? 1.5 * random.normal() : 0));
  const [train, validation] = [draw(random, truth, 40), draw(random, truth, 40)];
  const logistic = (w: Tensor, x: Tensor, y: Tensor) => mean(softplus(neg(mul(y, applied(x, w)))));
  const data = ({ x, y }: Examples) => ({ x: values(x.flat(), [y.length, WEIGHTS]), y: values([...y]) });
  const problem = bilevel({
    parameters: { w: zeros([WEIGHTS]) },
    hyper: { lambda: filled(each ? [WEIGHTS] : [], start) },
    constraints: constraint && { lambda: constraint },
    lanes,
    inner: {
      data: data(train),
      loss: ({ w }, { lambda }, { x, y }) => add(logistic(w, x, y), sum(mul(exp(lambda), square(w)))),
      steps,
      optimizer: sgd({ lr: 0.5, momentum: 0.5 }),
    },
    outer: { data: data(validation), loss: ({ w }, _lambda, { x, y }) => logistic(w, x, y) },
  });
  return { problem, reference: new RidgeReference(train, validation) };
}

/** Normal features, float32 numbers; the class is drawn from the logistic model of `truth`. */
function draw(random: Random, truth: readonly number[], count: number): Examples {
  const x = Array.from({ length: count }, () => truth.map(() => Math.fround(random.normal())));
  const y = x.map((row) => {
    const score = row.reduce((total, value, j) => total + value * truth[j]!, 0);
    return random.uniform() < 1 / (1 + Math.exp(-score)) ? 1 : -1;
  });
  return { x, y };
}

/** L = ‖Cθ + Dy - e‖², E = ‖Ay - b‖²: the hypergradient and the best θ by solving linear systems in float64. */
export function leastSquares(): {
  problem: Problem<"y", "theta">;
  at(theta: readonly number[]): { loss: number; gradient: number[] };
  best: number[];
} {
  const random = new Random(5);
  const matrix = (rows: number, columns: number, spread = 1) =>
    Array.from({ length: rows }, () =>
      Array.from({ length: columns }, () => Math.fround(spread * random.normal())),
    );
  const [a, c, d] = [matrix(8, 4), matrix(12, 3, 0.5), matrix(12, 4, 0.3)];
  const [b, e] = [matrix(1, 8)[0]!, matrix(1, 12)[0]!];
  const problem = bilevel({
    parameters: { y: zeros([4]) },
    hyper: { theta: values([1, -1, 0.5]) },
    inner: {
      data: {
        c: values(c.flat(), [12, 3]),
        d: values(d.flat(), [12, 4]),
        e: values(e),
      },
      loss: ({ y }, { theta }, { c, d, e }) => squaredNorm(add(applied(c, theta), sub(applied(d, y), e))),
      steps: 20,
      optimizer: sgd({ lr: 0.1, momentum: 0.5 }),
    },
    outer: {
      data: { a: values(a.flat(), [8, 4]), b: values(b) },
      loss: ({ y }, _theta, { a, b }) => squaredNorm(sub(applied(a, y), b)),
    },
  });
  const [dt, ct, at] = [transposed(d), transposed(c), transposed(a)];
  const gram = dt.map((row) => product(dt, row));
  const inner = (theta: readonly number[]) => solve(gram, product(dt, plus(e, -1, product(c, theta))));
  // y*(θ) = y_0 + Mθ.
  const offset = inner([0, 0, 0]);
  const m = transposed([0, 1, 2].map((k) => plus(inner([0, 1, 2].map((i) => Number(i === k))), -1, offset)));
  const am = a.map((row) => product(transposed(m), row));
  const amt = transposed(am);
  const best = solve(
    amt.map((row) => product(amt, row)),
    product(amt, plus(b, -1, product(a, offset))),
  );
  return {
    problem,
    best,
    at(theta) {
      const residual = plus(product(a, inner(theta)), -1, b);
      const q = solve(gram, product(at, residual));
      const gradient = product(ct, product(d, q)).map((value) => -2 * value);
      return { loss: residual.reduce((total, value) => total + value ** 2, 0), gradient };
    },
  };
}

function applied(matrix: Tensor, vector: Tensor): Tensor {
  return reshape(matmul(matrix, reshape(vector, [-1, 1])), [-1]);
}
