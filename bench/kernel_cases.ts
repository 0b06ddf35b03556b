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
import type { AdapterChoice } from "../src/host/gpu.ts";
import { type ExactOutput, flat, type Inputs, type KernelCase, type Mode, operation } from "./kernel_case.ts";

const all: readonly Mode[] = ["primal", "tangent", "dual"];
const ends: readonly Mode[] = ["primal", "dual"];
const plain: readonly Mode[] = ["primal"];

const backward = (loss: Tensor, leaf: Tensor): Tensor => gradients(sum(loss), [leaf])[0]!;

/**
 * x [n×i] · wᵀ [i×o] + b, and the gradient of w; `deep` layers have an x that carries a tangent, and a gradient of x; those
 * of `images` an x of bytes.
 */
const layer = (n: number, i: number, o: number, { deep = false, images = false } = {}): KernelCase[] => {
  const x = images ? { pixels: [n, i] } : [n, i];
  const of = images ? " pixels" : "";
  const w = [o, i];
  const u = [n, o];
  const forward = operation(
    `dense ${n}×${i}${of}·${i}×${o}`,
    { x, w, b: [o] },
    ({ x, w, b }) => dense(x, w, b),
    {
      modes: all,
      active: deep ? ["x", "w", "b"] : ["w", "b"],
    },
  );
  const byWeight = operation(
    `weight gradient ${o}×${n}·${n}×${i}${of}`,
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

const unary = (name: string, x: Shape, f: (x: Tensor) => Tensor, exact?: ExactOutput<"x">): KernelCase[] =>
  operation(`${name} ${x.join("×")}`, { x }, ({ x }) => f(x), { modes: ends, active: ["x"], exact });

const binary = (
  name: string,
  a: Shape,
  b: Shape,
  f: (a: Tensor, b: Tensor) => Tensor,
  exact?: ExactOutput<"a" | "b">,
): KernelCase[] =>
  operation(`${name} ${a.join("×")}, ${b.join("×")}`, { a, b }, ({ a, b }) => f(a, b), {
    modes: ends,
    active: ["a", "b"],
    exact,
  });

/** A matrix product [n×n] · [n×n]. */
const product = (n: number): KernelCase[] =>
  binary("product", [n, n], [n, n], matmul, {
    count: n * n,
    value: (at, i) => {
      const column = i % n;
      return total(n, (k) => at("a", i - column + k) * at("b", k * n + column));
    },
  });

/** What is done to each of n elements, and their sum. */
const elements = (n: number): KernelCase[] => {
  const one = (name: string, f: (x: Tensor) => Tensor, exact: (x: number) => number) =>
    unary(name, [n], f, { count: n, value: (at, i) => exact(at("x", i)) });
  const two = (name: string, f: (a: Tensor, b: Tensor) => Tensor, exact: (a: number, b: number) => number) =>
    binary(name, [n], [n], f, { count: n, value: (at, i) => exact(at("a", i), at("b", i)) });
  return [
    ...one("relu", relu, (x) => Math.max(x, 0)),
    ...one("sigmoid", sigmoid, (x) => 1 / (1 + Math.exp(-x))),
    ...two(
      "tanh backward",
      (x, u) => backward(mul(u, tanh(x)), x),
      (x, u) => u * (1 - Math.tanh(x) ** 2),
    ),
    ...two("add", add, (a, b) => a + b),
    ...two("multiply", mul, (a, b) => a * b),
    ...two("divide", div, (a, b) => a / b),
    ...unary("sum", [n], (x) => sum(x), { count: 1, value: (at) => total(n, (k) => at("x", k)) }),
  ];
};

function total(count: number, term: (k: number) => number): number {
  let sum = 0;
  for (let k = 0; k < count; k++) sum += term(k);
  return sum;
}

/** The kernels that move flat vectors of p elements, with η = 0.1 and μ = 0.9. */
const vectors = (p: number): KernelCase[] => {
  const stepped = (at: Inputs, i: number) => at("w", i) - 0.1 * (0.9 * at("v", i) + at("∇L", i));
  const step = { label: "inner step", flops: 4, exact: { block: "w", count: p, value: stepped } };
  return [
    flat(`inner step ${p}`, p, { ...step, index: 0, touched: 5 }),
    flat(`inner step, stored ${p}`, p, { ...step, index: 1, touched: 7 }),
    flat(`adjoint step ${p}`, p, {
      ...{ label: "adjoint step", index: 1, touched: 5, flops: 4 },
      exact: {
        block: "r",
        count: p,
        value: (at, i) => 0.9 * at("r", i) - 0.1 * (at("p", i) + at("H_ww r", i)),
      },
    }),
    flat(`accumulate ${p}`, p, {
      ...{ label: "accumulate", index: 0, touched: 3, flops: 2 },
      exact: { block: "h", count: p, value: (at, i) => at("h", i) + at("H_αw r", i) },
    }),
    flat(`dot ${p}`, p, {
      ...{ label: "dot", index: 0, touched: 2, flops: 2 },
      // The element of h that belongs to η.
      exact: {
        ...{ block: "h", first: p, count: 1 },
        value: (at) => at("h", p) - total(p, (k) => at("p", k) * at("v", k)),
      },
    }),
  ];
};

/** Cases for every adapter. A new one is a line here. */
const common: readonly KernelCase[] = [
  ...layer(1000, 784, 10),
  ...layer(5000, 784, 10),
  ...layer(1000, 784, 10, { images: true }),
  ...layer(5000, 784, 10, { images: true }),
  ...layer(1000, 784, 64),
  ...layer(1000, 64, 10, { deep: true }),
  ...product(512),
  ...product(1024),
  ...convolution(256, 1, 28, 8),
  ...convolution(256, 8, 14, 8),
  ...convolution(50, 32, 28, 32),
  ...loss(1000, 10),
  ...loss(5000, 10),
  ...elements(100_000),
  ...binary("multiply", [1000, 100], [100], mul),
  ...binary("multiply", [1000, 100], [1000, 1], mul),
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

const largeProduct = product(4096);

/** What the caches of no GPU hold; software would take for ever. */
export const largeCases: readonly KernelCase[] = [...largeProduct, ...elements(2 ** 26), ...vectors(2 ** 26)];

type Class = Pick<AdapterChoice, "software">;

/** Everything that `hypergrad bench kernels` times. */
export const kernelCases = ({ software }: Class): readonly KernelCase[] =>
  software ? common : [...common, ...largeCases];

/** What `hypergrad bench tune` goes over: more sizes of layers, of hyper-cleaning and of few-shot tasks. */
export const tunedCases = ({ software }: Class): readonly KernelCase[] => [
  ...common,
  ...(software ? [] : largeProduct),
  ...layer(1000, 784, 256, { images: true }),
  ...layer(1000, 256, 10, { deep: true }),
  ...convolution(256, 8, 7, 8),
  ...convolution(40, 1, 28, 32, 2),
  ...convolution(40, 32, 14, 32),
  ...convolution(40, 32, 14, 32, 2),
  ...convolution(40, 32, 7, 32),
  ...convolution(40, 32, 7, 32, 2),
  ...convolution(40, 32, 4, 32),
];
