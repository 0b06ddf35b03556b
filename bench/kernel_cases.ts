import { conv2d } from "../src/graph/operations/conv2d.ts";
import { crossEntropy } from "../src/graph/operations/cross_entropy.ts";
import { relu, sigmoid, tanh } from "../src/graph/operations/elementwise.ts";
import { gather } from "../src/graph/operations/gather.ts";
import { add } from "../src/graph/operations/linear_combination.ts";
import { dense, matmul } from "../src/graph/operations/matmul.ts";
import { div, mul } from "../src/graph/operations/multiply.ts";
import { sum } from "../src/graph/operations/reduce.ts";
import { squaredNorm } from "../src/graph/operations/squared_norm.ts";
import { gradients } from "../src/graph/reverse.ts";
import type { Shape } from "../src/graph/shape.ts";
import type { Tensor } from "../src/graph/tensor.ts";
import { flat, type KernelCase, type Mode, operation } from "./kernel_case.ts";

const all: readonly Mode[] = ["primal", "tangent", "dual"];
const ends: readonly Mode[] = ["primal", "dual"];
const plain: readonly Mode[] = ["primal"];

const backward = (loss: Tensor, leaf: Tensor): Tensor => gradients(sum(loss), [leaf])[0]!;

/** x [n×i] · wᵀ [i×o] + b, and the gradient of w; `deep` layers have an x that carries a tangent, and a gradient of x. */
const layer = (n: number, i: number, o: number, { deep = false } = {}): KernelCase[] => {
  const x = [n, i];
  const w = [o, i];
  const u = [n, o];
  const forward = operation(`dense ${n}×${i}·${i}×${o}`, { x, w, b: [o] }, ({ x, w, b }) => dense(x, w, b), {
    modes: all,
    active: deep ? ["x", "w", "b"] : ["w", "b"],
  });
  const byWeight = operation(
    `weight gradient ${o}×${n}·${n}×${i}`,
    { u, x },
    ({ u, x }) => matmul(u, x, { transposeA: true }),
    { modes: all, active: deep ? ["u", "x"] : ["u"] },
  );
  const byInput = operation(`input gradient ${n}×${o}·${o}×${i}`, { u, w }, ({ u, w }) => matmul(u, w), {
    modes: all,
    active: ["u", "w"],
  });
  return [...forward, ...byWeight, ...(deep ? byInput : [])];
};

/** Images [n×c×size×size] with o kernels of 3×3 at padding 1, and both adjoints. */
const convolution = (n: number, c: number, size: number, o: number, stride = 1): KernelCase[] => {
  const x = [n, c, size, size];
  const w = [o, c, 3, 3];
  const y = [n, o, Math.ceil(size / stride), Math.ceil(size / stride)];
  const name = `${n}×${c}×${size}×${size} by ${o}${stride > 1 ? `, stride ${stride}` : ""}`;
  const through = (x: Tensor, w: Tensor) => conv2d(x, w, { padding: 1, stride });
  return [
    ...operation(
      `convolution ${name}`,
      { x, w, b: [o] },
      ({ x, w, b }) => conv2d(x, w, { padding: 1, stride, bias: b }),
      {
        modes: all,
        active: c > 1 ? ["x", "w", "b"] : ["w", "b"],
      },
    ),
    ...operation(
      `convolution to weights ${name}`,
      { x, w, y },
      ({ x, w, y }) => backward(mul(y, through(x, w)), w),
      {
        modes: all,
        active: c > 1 ? ["x", "y"] : ["y"],
      },
    ),
    ...(c > 1
      ? operation(
          `convolution to x ${name}`,
          { x, w, y },
          ({ x, w, y }) => backward(mul(y, through(x, w)), x),
          {
            modes: all,
            active: ["w", "y"],
          },
        )
      : []),
  ];
};

/** Cross-entropy of each of n examples, and its gradient with a weight for each example. */
const loss = (n: number, classes: number): KernelCase[] => {
  const inputs = { z: [n, classes], y: { count: n, below: classes } };
  return [
    ...operation(`cross-entropy ${n}×${classes}`, inputs, ({ z, y }) => crossEntropy(z, y), {
      modes: all,
      active: ["z"],
    }),
    ...operation(
      `cross-entropy backward ${n}×${classes}`,
      { ...inputs, u: [n] },
      ({ z, y, u }) => backward(mul(u, crossEntropy(z, y)), z),
      { modes: all, active: ["z"] },
    ),
  ];
};

const unary = (name: string, x: Shape, f: (x: Tensor) => Tensor): KernelCase[] =>
  operation(`${name} ${x.join("×")}`, { x }, ({ x }) => f(x), { modes: ends, active: ["x"] });

const binary = (name: string, a: Shape, b: Shape, f: (a: Tensor, b: Tensor) => Tensor): KernelCase[] =>
  operation(`${name} ${a.join("×")}, ${b.join("×")}`, { a, b }, ({ a, b }) => f(a, b), {
    modes: ends,
    active: ["a", "b"],
  });

/** The kernels that move flat vectors of p elements. */
const vectors = (p: number): KernelCase[] => [
  flat(`inner step ${p}`, p, { label: "inner step", index: 0, touched: 5, flops: 4 }),
  flat(`inner step, stored ${p}`, p, { label: "inner step", index: 1, touched: 7, flops: 4 }),
  flat(`adjoint step ${p}`, p, { label: "adjoint step", index: 1, touched: 5, flops: 4 }),
  flat(`accumulate ${p}`, p, { label: "accumulate", index: 0, touched: 3, flops: 2 }),
  flat(`dot ${p}`, p, { label: "dot", index: 0, touched: 2, flops: 2 }),
];

/** Everything that `hypergrad bench kernels` times. A new case is a line here. */
export const kernelCases: readonly KernelCase[] = [
  ...layer(1000, 784, 10),
  ...layer(5000, 784, 10),
  ...layer(1000, 784, 64),
  ...layer(1000, 64, 10, { deep: true }),
  ...binary("product", [512, 512], [512, 512], matmul),
  ...binary("product", [1024, 1024], [1024, 1024], matmul),
  ...convolution(256, 1, 28, 8),
  ...convolution(256, 8, 14, 8),
  ...convolution(50, 32, 28, 32),
  ...loss(1000, 10),
  ...loss(5000, 10),
  ...unary("relu", [100_000], relu),
  ...unary("sigmoid", [100_000], sigmoid),
  ...binary("tanh backward", [100_000], [100_000], (x, u) => backward(mul(u, tanh(x)), x)),
  ...binary("add", [100_000], [100_000], add),
  ...binary("multiply", [100_000], [100_000], mul),
  ...binary("divide", [100_000], [100_000], div),
  ...binary("multiply", [1000, 100], [100], mul),
  ...binary("multiply", [1000, 100], [1000, 1], mul),
  ...unary("sum", [100_000], (x) => sum(x)),
  ...unary("sum over rows", [1000, 10], (x) => sum(x, 0)),
  ...unary("sum over rows", [1000, 100], (x) => sum(x, 0)),
  ...unary("sum over columns", [1000, 100], (x) => sum(x, 1)),
  ...unary("squared norm", [7850], (x) => squaredNorm(x)),
  ...operation(
    "gather 100 rows of 5000×784",
    { x: [5000, 784], rows: { count: 100, below: 5000 } },
    ({ x, rows }) => gather(x, rows),
    { modes: plain, bytes: 4 * (2 * 100 * 784 + 100) },
  ),
  ...operation(
    "scatter 100 into 5000",
    { x: [5000], rows: { count: 100, below: 5000 }, u: [100] },
    ({ x, rows, u }) => backward(mul(u, gather(x, rows)), x),
    { modes: plain },
  ),
  ...vectors(7850),
  ...vectors(1_000_000),
];

/** What `hypergrad bench tune` goes over: more sizes of layers, of hyper-cleaning and of few-shot tasks. */
export const tunedCases: readonly KernelCase[] = [
  ...kernelCases,
  ...convolution(256, 8, 7, 8),
  ...convolution(40, 1, 28, 32, 2),
  ...convolution(40, 32, 14, 32),
  ...convolution(40, 32, 14, 32, 2),
  ...convolution(40, 32, 7, 32),
  ...convolution(40, 32, 7, 32, 2),
  ...convolution(40, 32, 4, 32),
];
