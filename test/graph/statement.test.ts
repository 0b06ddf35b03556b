import { afterAll, expect, test } from "vitest";
import { gradients } from "../../src/graph/reverse.ts";
import { statement } from "../../src/graph/statement.ts";
import { leaf, type Tensor } from "../../src/graph/tensor.ts";
import {
  add,
  avgPool,
  conv2d,
  crossEntropy,
  elementwise,
  gather,
  matmul,
  maxPool,
  mean,
  mul,
  relu,
  scale,
  slice,
  sub,
  sum,
  tanh,
  transpose,
} from "../../src/index.ts";

afterAll(() => console.log("statements of graphs tell computations apart, without a device"));

const x = () => leaf("x", [6, 6]);
const bytes = () => leaf("x", [6, 8], { dtype: "unorm8" });
const floats = () => leaf("x", [6, 8]);
const images = () => leaf("images", [2, 3, 6, 6]);
const kernels = () => leaf("kernels", [4, 3, 3, 3]);
const labels = () => leaf("labels", [6], { dtype: "i32" });
const swish = (f: string) => elementwise("swish", { f, df: "1.0", ddf: "0.0" });

const computations: Readonly<Record<string, () => Tensor>> = {
  x: () => x(),
  "another name": () => leaf("y", [6, 6]),
  "2x": () => scale(2, x()),
  "2 bytes": () => scale(2, bytes()),
  "2 floats": () => scale(2, floats()),
  "bytes x": () => matmul(bytes(), x(), { transposeA: true }),
  "floats x": () => matmul(floats(), x(), { transposeA: true }),
  "rows of bytes": () => gather(bytes(), labels()),
  "rows of floats": () => gather(floats(), labels()),
  "3x": () => scale(3, x()),
  "x + 1": () => add(x(), 1),
  "x + 2": () => add(x(), 2),
  "x - tanh x": () => {
    const a = x();
    return sub(a, tanh(a));
  },
  "tanh x - x": () => {
    const a = x();
    return sub(tanh(a), a);
  },
  relu: () => relu(x()),
  "sum over rows": () => sum(tanh(x()), 0),
  "sum over columns": () => sum(tanh(x()), 1),
  mean: () => mean(tanh(x()), 0),
  "columns from 0": () => slice(x(), 0, 2, 1),
  "columns from 1": () => slice(x(), 1, 3, 1),
  "rows from 1": () => slice(x(), 1, 3, 0),
  "rows from 2": () => slice(x(), 2, 4, 0),
  transpose: () => transpose(x()),
  "x x": () => {
    const a = x();
    return matmul(a, a);
  },
  "x xᵀ": () => {
    const a = x();
    return matmul(a, transpose(a));
  },
  "convolution, padding 1": () => conv2d(images(), kernels(), { padding: 1 }),
  "convolution, stride 2": () => conv2d(images(), kernels(), { padding: 1, stride: 2 }),
  "convolution, stride 2, padding 0": () => conv2d(images(), kernels(), { stride: 2 }),
  "max-pool": () => maxPool(images(), { size: 2 }),
  "average pool": () => avgPool(images(), { size: 2 }),
  "cross-entropy": () => crossEntropy(x(), labels()),
  gather: () => gather(x(), labels()),
  "own function": () => swish("x")(x()),
  "own function of that name": () => swish("x * x")(x()),
  "a gradient": () => {
    const a = x();
    return gradients(sum(mul(a, tanh(a))), [a])[0]!;
  },
};

test("equal computations have equal statements, others have others", () => {
  const seen = new Map<string, string>();
  for (const [name, make] of Object.entries(computations)) {
    const stated = statement(make());
    expect(statement(make()), name).toBe(stated);
    expect(seen.get(stated), name).toBeUndefined();
    seen.set(stated, name);
  }
});
