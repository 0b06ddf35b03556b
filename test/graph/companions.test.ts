import { expect, test } from "vitest";
import { differentiate } from "../../src/graph/differentiate.ts";
import { square } from "../../src/graph/operations/elementwise.ts";
import { add } from "../../src/graph/operations/linear_combination.ts";
import { dense, matmul } from "../../src/graph/operations/matmul.ts";
import { mul } from "../../src/graph/operations/multiply.ts";
import { sum } from "../../src/graph/operations/reduce.ts";
import type { Tensor } from "../../src/graph/tensor.ts";
import { values } from "../../src/graph/values.ts";
import { Random } from "../../src/random.ts";
import { withGpu } from "../support/gpu.ts";

const gpu = withGpu((adapter) => `sums that the kernels of products write beside them, on ${adapter}`);

const [ROWS, COLUMNS] = [9, 4];
const random = new Random(4);
const matrix = (rows: number, columns: number) =>
  Float32Array.from({ length: rows * columns }, () => random.normal());
const w = matrix(ROWS, COLUMNS);
const x = matrix(ROWS, COLUMNS);

const sums = Array.from({ length: COLUMNS }, (_, j) => {
  let total = 0;
  for (let i = 0; i < ROWS; i++) total += w[i * COLUMNS + j]!;
  return total;
});

async function evaluated(
  loss: (w: Tensor, x: Tensor) => Tensor,
): Promise<{ value: number; kernels: string }> {
  const f = await differentiate(gpu(), {
    parameters: { w: values(w, [ROWS, COLUMNS]) },
    data: { x: values(x, [ROWS, COLUMNS]) },
    loss: ({ w }, _, { x }) => loss(w, x!),
  });
  const [value] = await f.value();
  const kernels = f.explain().split("\n\n")[0]!.split("gradient:")[0]!;
  f.destroy();
  return { value: value!, kernels };
}

/** Σ over i, j of Σ_p w[p,i] x[p,j] scale[j] */
function products(scale: (column: number) => number): number {
  let total = 0;
  for (let p = 0; p < ROWS; p++)
    for (let i = 0; i < COLUMNS; i++)
      for (let j = 0; j < COLUMNS; j++) total += w[p * COLUMNS + i]! * x[p * COLUMNS + j]! * scale(j);
  return total;
}

test("a sum over the rows of a matrix goes with a product of its transpose", async () => {
  const { value, kernels } = await evaluated((w, x) =>
    add(sum(matmul(w, x, { transposeA: true })), sum(square(sum(w, 0)))),
  );
  expect(kernels).toMatch(/matmul and sum +\[9×4\] \[9×4\] → \[4×4\] \[4\]/);
  const expected = products(() => 1) + sums.reduce((all, one) => all + one * one, 0);
  expect(value).toBeCloseTo(expected, 3);
});

test("but not one that the product waits for", async () => {
  const { value, kernels } = await evaluated((w, x) =>
    sum(matmul(w, mul(x, sum(w, 0)), { transposeA: true })),
  );
  expect(kernels).not.toMatch(/and sum/);
  expect(value).toBeCloseTo(
    products((j) => sums[j]!),
    3,
  );
});

test("nor one beside a product with a bias, which has too many buffers", async () => {
  const { value, kernels } = await evaluated((w, x) =>
    add(sum(matmul(w, x, { transposeA: true, bias: sum(x, 0) })), sum(square(sum(w, 0)))),
  );
  expect(kernels).not.toMatch(/and sum/);
  let biases = 0;
  for (const one of x) biases += COLUMNS * one;
  const expected = products(() => 1) + biases + sums.reduce((all, one) => all + one * one, 0);
  expect(value).toBeCloseTo(expected, 3);
});

test("the bias' gradient comes with that of the weights", async () => {
  const f = await differentiate(gpu(), {
    parameters: { weight: values(matrix(3, COLUMNS), [3, COLUMNS]), bias: values([1, 2, 3]) },
    data: { x: values(x, [ROWS, COLUMNS]) },
    loss: ({ weight, bias }, _, { x }) => sum(square(dense(x!, weight!, bias!))),
  });
  const { bias, weight } = f
    .explain()
    .split("\n")
    .some((line) => /matmul and sum/.test(line))
    ? (await f.gradient()).parameters
    : { bias: undefined, weight: undefined };
  f.destroy();
  expect(weight?.shape).toEqual([3, COLUMNS]);
  expect(bias?.shape).toEqual([3]);
});
